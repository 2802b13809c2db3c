"""The configurations in deploy/: each file is run or checked by something here.

Linters that this machine or its environment lacks are skipped with the reason. The commands of the
images are run for real; the sites of nginx and Apache are as well, by ``tests/deploy``.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gatewaylab.guard.serve import serve
from gatewaylab.load.clients import ask, together
from gatewaylab.servers.commands import find_program
from gatewaylab.servers.registry import Server, server
from gatewaylab.servers.specs import NGINX, SERVERS
from tests import ROOT

DEPLOY = ROOT / "deploy"

NGINX_SITES = sorted((DEPLOY / "nginx").glob("*.conf"))
UNITS = sorted((DEPLOY / "systemd").iterdir())
DOCKERFILES = [DEPLOY / "docker" / f"Dockerfile.{kind}" for kind in ("wsgi", "asgi")]
IGNORES = [file.with_name(f"{file.name}.dockerignore") for file in DOCKERFILES]
COMPOSE = [DEPLOY / "docker" / f"compose.{kind}.yaml" for kind in ("wsgi", "asgi")]
APACHE_SITES = sorted((DEPLOY / "apache").glob("*.conf"))
INCLUDED = sorted(DEPLOY.glob("*/myproject/*.conf"))
GUNICORN = DEPLOY / "gunicorn" / "gunicorn.conf.py"
DIGITALOCEAN = DEPLOY / "digitalocean" / "app.yaml"
PUBLIC = sorted(file for file in (DEPLOY / "public").rglob("*") if file.is_file())

FOR_A_COMMAND = {"wsgi": "gunicorn-gthread", "asgi": "uvicorn"}


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def needs(*programs: str) -> list[str]:
    """The paths of programs, or a skip that names what is not here."""
    found = [find_program(program) for program in programs]
    if None in found:
        pytest.skip(f"{' and '.join(programs)}: not on this machine")
    return [path for path in found if path is not None]


def here(one: Server) -> Server:
    parts = (one.spec, NGINX) if one.nginx else (one.spec,)
    for part in parts:
        if not part.available():
            pytest.skip(f"{part.name} is not on this machine; {part.install_hint()}")
    return one


def run(*argv: str | Path, cwd: Path = ROOT) -> str:
    """What a program said; it must have ended well."""
    done = subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_file_is_checked_here() -> None:
    checked = [
        *NGINX_SITES, *UNITS, *DOCKERFILES, *IGNORES, *COMPOSE, *APACHE_SITES,
        *INCLUDED, GUNICORN, DIGITALOCEAN, *PUBLIC,
    ]  # fmt: skip
    files = [
        file for file in DEPLOY.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    ]
    assert sorted(files) == sorted(checked)


def test_every_file_says_where_it_goes_or_how_it_is_used() -> None:
    for file in (*NGINX_SITES, *UNITS, *APACHE_SITES, *INCLUDED):
        first = file.read_text().splitlines()[0]
        assert re.match(r"# /etc/\S+", first), name_of(file)
    for file in (*DOCKERFILES, *COMPOSE, DIGITALOCEAN):
        assert re.search(r"^#   (docker|doctl) .*", file.read_text(), re.MULTILINE), name_of(file)


# nginx and Apache; tests/deploy visits what they serve


@pytest.mark.parametrize("file", NGINX_SITES, ids=name_of)
def test_gixy_finds_no_fault_in_the_site(file: Path) -> None:
    (program,) = needs("gixy")
    # try_files costs one look at the disk a request; a React build has no other way. $http_host
    # can be made up, and Django checks it; $host has no port, and Django compares that as well.
    said = run(program, "--skips", "try_files_is_evil_too,host_spoofing", file)
    assert "No issues found" in said


@pytest.mark.live
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("gunicorn-gthread", "nginx/gunicorn.conf"), ("uvicorn", "nginx/uvicorn.conf"),
        ("uvicorn", "nginx/container.conf"), ("mod_wsgi", "apache/mod_wsgi.conf"),
    ],
)  # fmt: skip
def test_a_notebook_can_run_the_site_over_plain_http(name: str, file: str) -> None:
    with serve(here(server(name, site=f"deploy/{file}"))) as running:
        page, style, missing = together(
            running, ["/hello", "/static/site.2b7c1a4f9d03.css", "/static/none.css"]
        )
    assert (page.text, style.status, missing.status) == ("hello, world\n", 200, 404)
    assert "immutable" in style.headers["cache-control"]
    assert ["x-worker" in reply.headers for reply in (page, style, missing)] == [
        True, False, False
    ]  # fmt: skip


def test_the_react_settings_put_the_api_below_a_prefix() -> None:
    code = (
        "import django; django.setup(); from django.urls import resolve;"
        "print(resolve('/api/hello').func.__name__, resolve('/whoami').func.__name__)"
    )
    env = {"DJANGO_SETTINGS_MODULE": "demo_apps.django_app.settings_react", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["hello", "whoami"]


@pytest.mark.parametrize("file", PUBLIC, ids=name_of)
def test_the_stand_in_for_a_build_is_small_and_whole(file: Path) -> None:
    text = file.read_text()
    assert len(text) < 1000
    for link in re.findall(r'(?:src|href)="(/[^"]+)"', text):
        assert (DEPLOY / "public" / link.lstrip("/")).is_file()


# gunicorn and systemd


def test_gunicorn_accepts_its_configuration() -> None:
    (program,) = needs("gunicorn")
    said = run(
        program, "--check-config", "--print-config", "--config", GUNICORN,
        "demo_apps.raw_wsgi:application",
    )  # fmt: skip
    found = dict(re.findall(r"^(\w+) += (.*)$", said, re.MULTILINE))
    assert found["threads"] == "8"
    assert found["graceful_timeout"] == "30"
    assert found["control_socket_disable"] == "True"


@pytest.mark.parametrize("file", UNITS, ids=name_of)
def test_systemd_accepts_the_unit(file: Path, tmp_path: Path) -> None:
    (program,) = needs("systemd-analyze")
    beside = Path(sys.executable).parent
    for unit in UNITS:  # a unit may name another one
        text = unit.read_text().replace("/srv/myproject/.venv/bin", str(beside))
        (tmp_path / unit.name).write_text(text)
    # An unknown key or a value that makes no sense is a warning, and a warning is a fault.
    assert run(program, "verify", tmp_path / file.name) == ""


@pytest.mark.parametrize("file", [f for f in UNITS if f.suffix == ".service"], ids=name_of)
def test_a_service_waits_longer_than_its_server_takes_to_stop(file: Path) -> None:
    text = file.read_text()
    words = shlex.split(re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0])
    if "--timeout-graceful-shutdown" in words:
        graceful = int(words[words.index("--timeout-graceful-shutdown") + 1])
    else:
        graceful = gunicorn_setting("graceful_timeout")
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[0]) > graceful
    assert "KillMode=mixed" in text
    assert re.search(r"^User=(?!root)", text, re.MULTILINE)


@pytest.mark.live
def test_the_command_of_the_uvicorn_unit_answers() -> None:
    unit = (DEPLOY / "systemd" / "uvicorn.service").read_text()
    _, *words = shlex.split(re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0])
    at = words.index("--uds")
    words = ["uvicorn", *words[:at], "--host", "0.0.0.0", "--port", "8000", *words[at + 2 :]]
    with serve(server("uvicorn", command=words)) as running:
        assert ask(running, "/hello").status == 200


@pytest.mark.live
def test_the_command_of_the_gunicorn_unit_takes_its_socket_from_systemd(tmp_path: Path) -> None:
    """systemd-socket-activate hands over a listening socket as systemd does."""
    activate, program = needs("systemd-socket-activate", "gunicorn")
    unit = (DEPLOY / "systemd" / "gunicorn.service").read_text()
    _, *words = shlex.split(re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0])
    path = tmp_path / "s"
    words = [*words[:-1], "demo_apps.raw_wsgi:application"]
    started = subprocess.Popen(
        [activate, "-l", path, program, *words],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "WEB_CONCURRENCY": "1"},
    )  # fmt: skip
    try:
        transport = httpx.HTTPTransport(uds=str(path), retries=20)
        with httpx.Client(transport=transport, timeout=60) as client:
            assert client.get("http://localhost/hello").text == "hello, world\n"
    finally:
        started.terminate()
        started.wait(10)


def gunicorn_setting(name: str) -> int:
    """A number from gunicorn's configuration file."""
    for node in ast.parse(GUNICORN.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return int(ast.literal_eval(node.value))
    raise AssertionError(name)


# Docker


def instructions(file: Path) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile, with their continued lines joined."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def last(file: Path, wanted: str) -> str:
    return [rest for word, rest in instructions(file) if word == wanted][-1]


@pytest.mark.parametrize("file", DOCKERFILES, ids=name_of)
def test_hadolint_finds_no_fault_in_the_dockerfile(file: Path) -> None:
    (program,) = needs("hadolint")
    assert run(program, "--no-color", file) == ""


@pytest.mark.parametrize("file", DOCKERFILES, ids=name_of)
def test_an_image_is_pinned_locked_small_and_not_roots(file: Path) -> None:
    found = list(instructions(file))
    images = [rest.split()[0] for word, rest in found if word == "FROM"]
    assert all(re.fullmatch(r"[\w./-]+:\d[\w.-]*", image) for image in images)
    assert images[0] == images[-1], "what is built must run on the Python that it was built for"
    assert any("uv sync --locked" in rest for word, rest in found if word == "RUN")
    final = found[max(k for k, (word, _) in enumerate(found) if word == "FROM") :]
    assert not any("uv" in rest or "apt" in rest for word, rest in final if word == "RUN")
    assert re.fullmatch(r"[1-9]\d*", last(file, "USER"))
    assert "PYTHONUNBUFFERED=1" in last(file, "ENV")


@pytest.mark.parametrize("file", DOCKERFILES, ids=name_of)
def test_commands_are_lists_so_that_signals_arrive(file: Path) -> None:
    words = json.loads(last(file, "CMD"))
    assert all(isinstance(word, str) for word in words)
    assert "sh" not in words[0]
    options, _, check = last(file, "HEALTHCHECK").partition(" CMD ")
    asked = json.loads(check)
    assert "--timeout=" in options
    assert asked[:2] == ["python", "-c"]
    ast.parse(asked[2])
    assert f":{last(file, 'EXPOSE')}/" in asked[2]


@pytest.mark.parametrize("kind", FOR_A_COMMAND)
@pytest.mark.live
def test_the_command_of_an_image_answers_outside_docker(kind: str) -> None:
    words = json.loads(last(DEPLOY / "docker" / f"Dockerfile.{kind}", "CMD"))
    assert {"0.0.0.0", "8000"} <= set(" ".join(words).replace(":", " ").split())
    one = server(FOR_A_COMMAND[kind], command=words, env={"WEB_CONCURRENCY": "2"})
    with serve(one) as running:
        assert ask(running, "/hello").text == "hello, world\n"
        assert len(running.pids()) >= 3  # a master and two workers: the variable was read


def test_the_two_images_differ_in_their_command_alone() -> None:
    one, other = ([pair for pair in instructions(file) if pair[0] != "CMD"] for file in DOCKERFILES)
    assert one == other
    assert IGNORES[0].read_text() == IGNORES[1].read_text()


@pytest.mark.parametrize("file", IGNORES, ids=name_of)
def test_secrets_and_history_stay_out_of_the_image(file: Path) -> None:
    assert {"**/.env", ".git", ".venv"} <= set(file.read_text().splitlines())


@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
def test_compose_accepts_the_file(file: Path) -> None:
    if shutil.which("docker") is None:
        pytest.skip("docker is not on this machine")
    known = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if known.returncode != 0:
        pytest.skip("docker compose is not on this machine")
    env = {"SECRET_KEY": "x", "POSTGRES_PASSWORD": "x", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(
        ["docker", "compose", "--file", file, "config", "--quiet"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


SERVICE_KEYS = {
    "image", "build", "command", "environment", "ports", "depends_on", "restart",
    "stop_grace_period", "volumes", "healthcheck",
}  # fmt: skip


@pytest.mark.parametrize("file", COMPOSE, ids=name_of)
def test_compose_publishes_the_proxy_alone_and_waits_for_the_stop(file: Path) -> None:
    whole = yaml.safe_load(file.read_text())
    services: dict[str, dict[str, Any]] = whole["services"]
    assert [name for name, one in services.items() if "ports" in one] == ["proxy"]
    for name, one in services.items():
        assert set(one) <= SERVICE_KEYS, name
        assert one["restart"] in ("unless-stopped", "no")
        assert set(one.get("depends_on", {})) <= set(services)
        tagged = re.fullmatch(r"[\w-]+(:\d[\w.-]*)?", one["image"])
        assert tagged
        assert tagged[1] or "build" in one
        if "build" in one:
            folder = (file.parent / one["build"]["context"]).resolve()
            assert (folder / one["build"]["dockerfile"]).is_file()
        for waited, how in one.get("depends_on", {}).items():
            if how["condition"] == "service_healthy" and waited != "app":
                assert "healthcheck" in services[waited]
    kind = file.suffixes[0].lstrip(".")
    words = json.loads(last(DEPLOY / "docker" / f"Dockerfile.{kind}", "CMD"))
    graceful = (
        int(words[words.index("--timeout-graceful-shutdown") + 1])
        if kind == "asgi"
        else gunicorn_setting("graceful_timeout")
    )
    assert int(services["app"]["stop_grace_period"].removesuffix("s")) > graceful
    assert ("redis" in services) == (kind == "asgi")
    upstream = (DEPLOY / "nginx" / "container.conf").read_text()
    assert "server app:8000 " in upstream


def test_the_app_platform_spec_names_what_is_there() -> None:
    spec = yaml.safe_load(DIGITALOCEAN.read_text())
    assert set(spec) == {
        "name", "region", "services", "jobs", "static_sites", "databases", "ingress"
    }  # fmt: skip
    (web,), (job,), (site,) = spec["services"], spec["jobs"], spec["static_sites"]
    assert (ROOT / web["dockerfile_path"]).is_file()
    assert job["kind"] == "PRE_DEPLOY"
    words = json.loads(last(ROOT / web["dockerfile_path"], "CMD"))
    assert words[words.index("--port") + 1] == str(web["http_port"])
    graceful = int(words[words.index("--timeout-graceful-shutdown") + 1])
    assert web["termination"]["grace_period_seconds"] > graceful
    databases = {one["name"] for one in spec["databases"]}
    named = set(re.findall(r"\$\{(\w+)\.", DIGITALOCEAN.read_text()))
    assert named == databases
    components = {web["name"], site["name"]}
    assert {rule["component"]["name"] for rule in spec["ingress"]["rules"]} == components
    secrets = [env for env in web["envs"] if env.get("type") == "SECRET"]
    assert [env["key"] for env in secrets] == ["SECRET_KEY"]


def test_the_servers_of_the_images_are_of_this_environment() -> None:
    assert all(SERVERS[name].available() for name in FOR_A_COMMAND.values())
