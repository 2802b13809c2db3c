"""gunicorn's configuration, the units, the images, Compose and App Platform: run as shipped.

Their commands run outside systemd and Docker. Replaced is where they listen, what they serve and
the limit for stopping, where a test would have to wait for it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml

from gatewaylab.guard.serve import Running, serve
from gatewaylab.guard.tree import first_process, workers_of
from gatewaylab.load.clients import Reply, ask, encode, open_connection, reach_all, together
from gatewaylab.load.crowds import streams
from gatewaylab.load.request import get
from gatewaylab.measure.delay import until
from gatewaylab.servers.commands import find_program
from gatewaylab.servers.registry import server
from tests import ROOT
from tests.deploy import programs
from tests.deploy.sockets import listening, with_socket

DEPLOY = ROOT / "deploy"
GUNICORN = DEPLOY / "gunicorn" / "gunicorn.conf.py"
UNITS = sorted((DEPLOY / "systemd").iterdir())
SERVICES = {file.stem: file for file in UNITS if file.suffix == ".service"}
DOCKERFILES = {kind: DEPLOY / "docker" / f"Dockerfile.{kind}" for kind in ("wsgi", "asgi")}
COMPOSE = DEPLOY / "docker" / "compose.yaml"
APP_PLATFORM = DEPLOY / "digitalocean" / "app.yaml"
CHOICES: tuple[tuple[dict[str, str], str], ...] = (  # .env, and images of web, live and migrate
    ({}, "wsgi asgi wsgi"), ({"WEB": "asgi"}, "asgi " * 3), ({"LIVE": "wsgi"}, "wsgi " * 3)
)  # fmt: skip

PATIENCE = 60.0  # a limit for what should happen at once, on a machine of any speed
SERVED_BY = {"wsgi": "gunicorn-gthread", "asgi": "uvicorn"}
SECRETS = {"SECRET_KEY": "x", "DATABASE_URL": "sqlite://", "REDIS_URL": "redis://"}


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def needs(program: str) -> str:
    """The path of a program, or a skip that says that it is not here."""
    found = find_program(program)
    if found is None:
        pytest.skip(f"{program}: not on this machine")
    return found


def said_by(*argv: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """What a program said, with these variables besides; it must have ended well."""
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def gunicorn_settings(**env: str) -> dict[str, str]:
    """What gunicorn makes of its configuration file, which it reads unasked in its own folder."""
    words = ("--check-config", "--print-config", "--pythonpath", ROOT)
    said = said_by(
        needs("gunicorn"), *words, "demo_apps.raw_wsgi:application", cwd=GUNICORN.parent, env=env
    )  # fmt: skip
    assert f"{GUNICORN.name}" in said
    return dict(re.findall(r"^(\w+) += (.*)$", said, re.MULTILINE))


# systemd


def of_unit(file: Path, key: str) -> str:
    value = programs.of_unit(file.read_text(), key)
    assert value
    return value


def grace_of(words: list[str]) -> int:
    """For how many seconds a server that is started so lets its requests finish."""
    option = "--timeout-graceful-shutdown"
    asked = words[words.index(option) + 1] if option in words else None
    return int(asked or gunicorn_settings()["graceful_timeout"])


class Unit:
    """A service as systemd would run it, with its socket: `target` is where clients find it."""

    process: psutil.Popen

    def __init__(self, words: list[str], path: Path) -> None:
        self.words = words
        self.target = f"unix:{path}"
        self.socket = listening(path)

    def start(self) -> None:
        """Start its command with the socket as file 3, as a socket unit does."""
        descriptor = self.socket.fileno()
        self.process = psutil.Popen(
            with_socket(self.words, descriptor), pass_fds=[descriptor], cwd=ROOT,
             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def stop(self) -> int:
        """SIGTERM to its first process, as KillMode=mixed sends it; how that one ended."""
        self.process.terminate()
        return int(self.process.wait(PATIENCE))

    def workers(self) -> set[int]:
        """The processes that answer."""
        return {one.pid for one in workers_of(self.process)}


@contextmanager
def unit(name: str, folder: Path, **replaced: str) -> Iterator[Unit]:
    """A service of ``deploy/systemd`` that runs, with both of its workers at work."""
    program, *words = shlex.split(of_unit(SERVICES[name], "ExecStart"))
    door = "wsgi" if name == "gunicorn" else "asgi"
    words = [replaced.get(word, word) for word in words[:-1]]
    words = [needs(Path(program).name), *words, f"demo_apps.raw_{door}:application"]
    one = Unit(words, folder / "s")
    with one.socket:
        one.start()
        try:
            reach_all(one, 2)
            yield one
        finally:
            with suppress(psutil.NoSuchProcess):  # a test may have stopped it
                left = [*one.process.children(recursive=True), one.process]
                for process in left:
                    process.kill()
                psutil.wait_procs(left, PATIENCE)


def visited_during(one: Unit, act: Callable[[], None]) -> list[Reply]:
    """The answers to 100 visits a second for as long as `act` takes."""
    replies: list[Reply] = []
    acting = threading.Thread(target=act)
    acting.start()
    while acting.is_alive():
        replies += together(one, ["/hello"] * 100, apart=0.01, timeout=PATIENCE)
    return replies


def lost(replies: list[Reply], name: str) -> list[str]:
    """Failed visits; a uvicorn that stops may close a connection that it has not read from."""
    closed = {"ReadError", "RemoteProtocolError"} if name == "uvicorn" else set()
    failed = [reply.error or str(reply.status) for reply in replies if reply.status != 200]
    return [what for what in failed if what not in closed]


@pytest.mark.parametrize("file", UNITS, ids=name_of)
def test_systemd_accepts_the_unit(file: Path, tmp_path: Path) -> None:
    program = needs("systemd-analyze")
    for one in UNITS:  # a unit may name another one
        text = one.read_text().replace("/srv/myproject/.venv/bin", str(Path(sys.executable).parent))
        (tmp_path / one.name).write_text(text)
    # An unknown key or a value that makes no sense is a warning, and a warning is a fault.
    assert said_by(program, "verify", tmp_path / file.name) == ""


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_waits_longer_than_the_server_takes_to_stop(name: str) -> None:
    words = shlex.split(of_unit(SERVICES[name], "ExecStart"))
    assert int(of_unit(SERVICES[name], "TimeoutStopSec")) > grace_of(words)


@pytest.mark.live
@pytest.mark.parametrize("name", SERVICES)
def test_a_reload_replaces_all_workers_and_refuses_nobody(name: str, tmp_path: Path) -> None:
    assert of_unit(SERVICES[name], "ExecReload") == "/bin/kill -s HUP $MAINPID"
    with unit(name, tmp_path) as one:
        before = one.workers()

        def reload() -> None:
            one.process.send_signal(1)
            until(lambda: not before & one.workers(), within=PATIENCE, every=0.1)

        replies = visited_during(one, reload)
        reach_all(one, 2)
        assert not before & one.workers()
    assert lost(replies, name) == []


@pytest.mark.live
@pytest.mark.parametrize("name", SERVICES)
def test_a_restart_under_its_socket_refuses_nobody(name: str, tmp_path: Path) -> None:
    with unit(name, tmp_path) as one:

        def restart() -> None:
            one.stop()
            one.start()
            reach_all(one, 2)

        first = one.process.pid
        replies = visited_during(one, restart)
        assert one.process.pid != first
    assert lost(replies, name) == []


@pytest.mark.live
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_stops_beside_a_listener_when_its_limit_is_over(
    name: str, tmp_path: Path
) -> None:
    """Ended by itself, and not by the signal: systemd would take 143 for well as well."""
    config = tmp_path / "gunicorn.conf.py"
    config.write_text(GUNICORN.read_text().replace("graceful_timeout = 30", "graceful_timeout = 1"))
    scaled = {"30": "1", name_of(GUNICORN): str(config)}
    with unit(name, tmp_path, **scaled) as one, streams(one, 1, "/sse?n=10000&ms=50") as listeners:
        assert listeners.served
        assert one.stop() == 0


@pytest.mark.live
@pytest.mark.parametrize("name", SERVICES)
def test_a_killed_worker_comes_back(name: str, tmp_path: Path) -> None:
    with unit(name, tmp_path) as one:
        before = one.workers()
        for worker in workers_of(one.process):
            worker.kill()
        assert ask(one, "/hello", timeout=PATIENCE).status == 200
        reach_all(one, 2)
        assert not before & one.workers()


# gunicorn


def test_gunicorn_never_ends_a_worker_by_count() -> None:
    """Such a worker would wait for its open streams, and leave the others without an answer."""
    assert gunicorn_settings()["max_requests"] == "0"


@pytest.mark.live
def test_gunicorns_log_names_the_visitor_and_the_time_that_it_took() -> None:
    one = server(
        "gunicorn-gthread", app="raw", unix=True, slots=8, extra=["--config", name_of(GUNICORN)]
    )
    with serve(one) as running:
        assert ask(running, get("/hold?ms=50", x_forwarded_for="203.0.113.7")).status == 200
        until(lambda: "/hold" in running.log_tail(), within=PATIENCE, every=0.05)
        log = running.log_tail()
    (took,) = re.findall(
        r'203\.0\.113\.7 \[.*\] "GET /hold\?ms=50 HTTP/1\.1" 200 \d+ (\d+) ms', log
    )
    assert int(took) >= 50


# The images


def instructions(file: Path) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile, with their continued lines joined."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def last(file: Path, wanted: str) -> str:
    return [rest for word, rest in instructions(file) if word == wanted][-1]


def command_of(kind: str) -> list[str]:
    words = json.loads(last(DOCKERFILES[kind], "CMD"))
    assert all(isinstance(word, str) for word in words)
    return list(words)


@contextmanager
def container(kind: str) -> Iterator[Running]:
    """The process of an image, with a project that answers over TLS alone."""
    one = server(
        SERVED_BY[kind], command=command_of(kind),
        env={**SECRETS, "DJANGO_SETTINGS_MODULE": "tests.deploy.secure", "WEB_CONCURRENCY": "2"},
    )  # fmt: skip
    with serve(one, host="127.0.0.1", grace=0.5) as running:
        yield running


def healthy(running: Running, kind: str) -> bool:
    """What the image's own check says; only the port is another."""
    program, *words = json.loads(last(DOCKERFILES[kind], "HEALTHCHECK").partition(" CMD ")[2])
    assert program == "python"
    words = [word.replace(":8000", f":{running.port}") for word in words]
    done = subprocess.run([sys.executable, *words], capture_output=True, check=False, timeout=300)
    return done.returncode == 0


@pytest.mark.live
@pytest.mark.parametrize("kind", SERVED_BY)
def test_the_check_sees_a_blocked_container_and_passes_beside_it(kind: str) -> None:
    """Though the project answers over TLS only, and whatever WEB_CONCURRENCY says."""
    block, times = ("/sync/hold", 8) if kind == "wsgi" else ("/async/blocking-hold", 1)
    stuck = encode(get(f"{block}?ms=60000", x_forwarded_proto="https"))
    with container(kind) as blocked, container(kind) as other:
        assert ask(other, "/healthz").status == 301
        assert len(workers_of(first_process(blocked))) == 1
        assert until(lambda: healthy(blocked, kind), within=PATIENCE)
        visitors = [open_connection(blocked) for _ in range(times)]
        for visitor in visitors:
            visitor.sendall(stuck)
        assert until(lambda: not healthy(blocked, kind), within=PATIENCE)
        assert [healthy(blocked, kind) for _ in range(2)] == [False, False]
        assert until(lambda: healthy(other, kind), within=PATIENCE)
        for visitor in visitors:
            visitor.close()


@pytest.mark.parametrize("file", DOCKERFILES.values(), ids=name_of)
def test_the_build_gives_the_settings_all_that_they_ask_for(file: Path, tmp_path: Path) -> None:
    (line,) = [rest for word, rest in instructions(file) if word == "RUN" and "manage.py" in rest]
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "manage.py").write_text(
        "import sys; from django.core.management import execute_from_command_line as run; run()\n"
    )
    env = {"DJANGO_SETTINGS_MODULE": "tests.deploy.secure", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "static files copied" in done.stdout


@pytest.mark.parametrize("file", DOCKERFILES.values(), ids=name_of)
def test_hadolint_finds_no_fault_in_the_dockerfile(file: Path) -> None:
    assert said_by(needs("hadolint"), "--no-color", file) == ""


def test_the_two_images_differ_in_their_command_alone() -> None:
    one, other = (
        [pair for pair in instructions(file) if pair[0] != "CMD"] for file in DOCKERFILES.values()
    )
    assert one == other


# Compose and App Platform


def test_compose_accepts_the_file() -> None:
    docker = needs("docker")
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not on this machine")
    env = {"SECRET_KEY": "x", "POSTGRES_PASSWORD": "x", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(
        [docker, "compose", "--file", COMPOSE, "config", "--quiet"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("choice", "kinds"), CHOICES, ids=str)
def test_compose_publishes_the_proxy_alone_and_waits_for_the_stop(
    choice: dict[str, str], kinds: str
) -> None:
    services = programs.compose(COMPOSE.read_text(), choice)
    images = [services[name]["image"] for name in ("web", "live", "migrate")]
    assert images == [f"myproject-{kind}" for kind in kinds.split()]
    assert [name for name, one in services.items() if "ports" in one] == ["proxy"]
    servers = {name: one for name, one in services.items() if "replicas" in one.get("deploy", {})}
    assert set(services["proxy"]["depends_on"]) == set(servers)
    for one in servers.values():
        dockerfile = (
            COMPOSE.parent / one["build"]["context"] / one["build"]["dockerfile"]
        ).resolve()
        kind = {file: kind for kind, file in DOCKERFILES.items()}[dockerfile]
        assert one["image"] == f"myproject-{kind}"
        assert int(one["stop_grace_period"].removesuffix("s")) > grace_of(command_of(kind))
        assert set(SECRETS) <= set(one["environment"])


def test_compose_gives_the_proxy_a_site_that_names_its_services() -> None:
    text = (DEPLOY / "nginx" / "container.conf").read_text()
    named = re.findall(r"^ *server (\w+):8000\b", text, re.MULTILINE)
    assert set(named) == set(programs.compose(COMPOSE.read_text(), {})["proxy"]["depends_on"])


def test_the_app_platform_spec_names_what_is_there() -> None:
    spec = yaml.safe_load(APP_PLATFORM.read_text())
    (web,), (job,) = spec["services"], spec["jobs"]
    words = command_of(Path(web["dockerfile_path"]).suffix.removeprefix("."))
    assert job["kind"] == "PRE_DEPLOY"
    assert words[words.index("--port") + 1] == str(web["http_port"])
    assert web["termination"]["grace_period_seconds"] > grace_of(words)
    for one in (web, job):
        assert set(SECRETS) <= {env["key"] for env in one["envs"]}
        assert [env["key"] for env in one["envs"] if env.get("type") == "SECRET"] == ["SECRET_KEY"]
