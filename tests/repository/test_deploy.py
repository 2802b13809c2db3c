"""The configurations in deploy/: each file is run or checked by something here or in tests/deploy.

Linters that this machine or its environment lacks are skipped with the reason.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gatewaylab.guard.serve import serve
from gatewaylab.load.clients import together
from gatewaylab.servers.commands import find_program
from gatewaylab.servers.registry import Server, server
from gatewaylab.servers.specs import NGINX
from tests import ROOT

DEPLOY = ROOT / "deploy"

NGINX_SITES = sorted((DEPLOY / "nginx").glob("*.conf"))
UNITS = sorted((DEPLOY / "systemd").iterdir())
DOCKERFILES = [DEPLOY / "docker" / f"Dockerfile.{kind}" for kind in ("wsgi", "asgi")]
IGNORES = [file.with_name(f"{file.name}.dockerignore") for file in DOCKERFILES]
COMPOSE = DEPLOY / "docker" / "compose.yaml"
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
        *NGINX_SITES, *UNITS, *DOCKERFILES, *IGNORES, *APACHE_SITES, COMPOSE,
        *INCLUDED, GUNICORN, DIGITALOCEAN, *PUBLIC,
    ]  # fmt: skip
    files = [
        file for file in DEPLOY.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    ]
    assert sorted(files) == sorted(checked)


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
        ("mod_wsgi", "apache/mod_wsgi.conf"),
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


# Docker


@pytest.mark.parametrize("file", IGNORES, ids=name_of)
def test_secrets_and_history_stay_out_of_the_image(file: Path) -> None:
    assert {"**/.env", ".git", ".venv"} <= set(file.read_text().splitlines())
