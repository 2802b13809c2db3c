"""The configurations in deploy/: each file is run or checked, the web servers' by something here.

What runs the application is in ``tests/deploy/test_processes.py``. Linters that this machine or its
environment lacks are skipped with the reason. nginx and Apache are run from the very files.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from gatewaylab.guard.serve import serve
from gatewaylab.load.clients import ask, together
from gatewaylab.load.crowds import echoes, websockets
from gatewaylab.servers import fronts, installed
from gatewaylab.servers.commands import Launch, find_program
from gatewaylab.servers.registry import Server, server
from gatewaylab.servers.specs import NGINX
from tests import ROOT

DEPLOY = ROOT / "deploy"

NGINX_SITES = sorted((DEPLOY / "nginx").glob("*.conf"))
UNITS = sorted((DEPLOY / "systemd").iterdir())
DOCKERFILES = [DEPLOY / "docker" / f"Dockerfile.{kind}" for kind in ("wsgi", "asgi")]
IGNORES = [file.with_name(f"{file.name}.dockerignore") for file in DOCKERFILES]
COMPOSE = sorted((DEPLOY / "docker").glob("compose.*.yaml"))
APACHE = DEPLOY / "apache" / "mod_wsgi.conf"
GUNICORN = DEPLOY / "gunicorn" / "gunicorn.conf.py"
DIGITALOCEAN = DEPLOY / "digitalocean" / "app.yaml"
PUBLIC = sorted(file for file in (DEPLOY / "public").rglob("*") if file.is_file())


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
        *NGINX_SITES, *UNITS, *DOCKERFILES, *IGNORES, *COMPOSE, APACHE, GUNICORN, DIGITALOCEAN,
        *PUBLIC,
    ]  # fmt: skip
    files = [
        file for file in DEPLOY.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    ]
    assert sorted(files) == sorted(checked)


# nginx


def site_files(file: Path, folder: Path) -> None:
    """What the harness would start nginx with."""
    files = fronts.nginx_files(
        host="127.1.2.3", port=9999, upstream=f"unix:{folder}/s", folder=folder,
        site=name_of(file), text=file.read_text(), public=ROOT / installed.PUBLIC,
    )  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("file", NGINX_SITES, ids=name_of)
def test_nginx_accepts_the_site(file: Path, tmp_path: Path) -> None:
    (program,) = needs("nginx")
    site_files(file, tmp_path)
    said = run(*fronts.nginx_command(program, tmp_path), "-t")
    assert "test is successful" in said
    assert "[warn]" not in said


@pytest.mark.parametrize("file", NGINX_SITES, ids=name_of)
def test_gixy_finds_no_fault_in_the_site(file: Path) -> None:
    (program,) = needs("gixy")
    # try_files costs one look at the disk a request; a React build has no other way.
    said = run(program, "--skips", "try_files_is_evil_too", file)
    assert "No issues found" in said


@pytest.mark.parametrize("file", NGINX_SITES, ids=name_of)
def test_a_site_overwrites_what_a_client_says_about_itself(file: Path) -> None:
    text = file.read_text()
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text
    assert "proxy_set_header X-Forwarded-Proto $scheme;" in text
    assert "proxy_add_x_forwarded_for" not in text
    assert "client_max_body_size" in text
    assert "proxy_http_version 1.1;" in text


@pytest.mark.live
@pytest.mark.parametrize("file", [f for f in NGINX_SITES if f.stem != "react"], ids=name_of)
@pytest.mark.parametrize("unix", [True, False], ids=["unix", "tcp"])
def test_a_site_serves_django_and_the_static_files_without_it(file: Path, unix: bool) -> None:
    name = "gunicorn-gthread" if file.stem == "gunicorn" else "uvicorn"
    with serve(here(server(name, unix=unix, site=name_of(file)))) as running:
        page, style, missing = together(
            running, ["/hello", "/static/site.2b7c1a.css", "/static/none.css"]
        )
        assert (page.status, page.text) == (200, "hello, world\n")
        assert style.status == 200
        assert style.headers["content-type"].startswith("text/css")
        assert "immutable" in style.headers["cache-control"]
        assert missing.status == 404
        assert ["x-worker" in reply.headers for reply in (page, style, missing)] == [
            True, False, False
        ]  # fmt: skip
        if name == "uvicorn":
            with websockets(running, 1, "/ws/echo") as (connection,):
                assert echoes(connection, "through nginx")


@pytest.mark.live
@pytest.mark.parametrize(
    ("name", "site"), [("uvicorn", "uvicorn"), ("gunicorn-gthread", "gunicorn")]
)
def test_events_pass_a_site_one_by_one(name: str, site: str) -> None:
    with serve(here(server(name, site=f"deploy/nginx/{site}.conf"))) as running:
        pieces = ask(running, "/sse?n=4&ms=150").pieces
    assert [later - sooner > 0.05 for sooner, later in itertools.pairwise(pieces)] == [
        True, True, True
    ]  # fmt: skip


@pytest.mark.live
def test_the_react_site_serves_the_build_and_passes_on_the_api_alone() -> None:
    one = server(
        "uvicorn", unix=True, site="deploy/nginx/react.conf",
        env={"DJANGO_SETTINGS_MODULE": "demo_apps.django_app.settings_react"},
    )  # fmt: skip
    paths = ["/", "/orders/17", "/assets/app-4f1d2c.js", "/assets/old.js", "/api/hello", "/hello"]
    with serve(here(one)) as running:
        start, page, script, old, api, outside = together(running, paths)
    index = (DEPLOY / "public" / "index.html").read_bytes()
    assert start.body == page.body == outside.body == index
    assert start.headers["cache-control"] == page.headers["cache-control"] == "no-cache"
    assert script.headers["content-type"].startswith("text/javascript")
    assert old.status == 404
    assert old.body != index
    assert api.text == "hello, world\n"
    assert "x-worker" in api.headers


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


# Apache


def test_apache_accepts_the_virtual_host(tmp_path: Path) -> None:
    one = here(server("mod_wsgi", site=name_of(APACHE)))
    launch = Launch(
        app=one.target, host="127.1.2.3", port=9999, socket=None, slots=None, workers=1,
        folder=tmp_path, project=ROOT,
    )  # fmt: skip
    files = fronts.apache_site_files(
        launch, name_of(APACHE), APACHE.read_text(), ROOT / installed.PUBLIC
    )
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    argv = one.spec.command(launch)
    assert "Syntax OK" in run(*argv, "-t")


@pytest.mark.live
def test_apache_serves_django_and_the_static_files_without_it() -> None:
    with serve(here(server("mod_wsgi", site=name_of(APACHE)))) as running:
        page, style, missing = together(
            running, ["/hello", "/static/site.2b7c1a.css", "/static/none.css"]
        )
    assert page.text == "hello, world\n"
    assert style.headers["content-type"] == "text/css"
    assert missing.status == 404
    assert "x-worker" in page.headers
    assert "x-worker" not in {**style.headers, **missing.headers}


# Docker


@pytest.mark.parametrize("file", IGNORES, ids=name_of)
def test_secrets_and_history_stay_out_of_the_image(file: Path) -> None:
    assert {"**/.env", ".git", ".venv"} <= set(file.read_text().splitlines())
