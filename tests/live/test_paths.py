"""A project and a temporary folder with an odd path serve like any other: with a space, an umlaut,
and what nginx and Apache take for a variable."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatewaylab.guard.serve import serve
from gatewaylab.guard.services import SERVICES, missing_services, postgres, redis
from gatewaylab.load.clients import ask
from gatewaylab.servers.registry import missing, project_root, server
from gatewaylab.servers.specs import SERVERS
from tests import ROOT

pytestmark = pytest.mark.live

NAME = "my $böok ${PATH} dir"


@pytest.fixture
def odd(session_folder: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Such a folder: a copy of what is served, the working directory, and TMPDIR. It is short."""
    folder = Path(session_folder) / NAME
    folder.mkdir(exist_ok=True)
    for name in ("demo_apps", "deploy"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


SITES: list[tuple[str, dict[str, Any]]] = [
    ("gunicorn-gthread", {"unix": True, "site": "deploy/nginx/gunicorn.conf"}),
    ("uvicorn", {"unix": True, "site": "deploy/nginx/uvicorn.conf"}),
    ("uvicorn", {"unix": True, "site": "deploy/nginx/react.conf"}),
    ("mod_wsgi", {"site": "deploy/apache/mod_wsgi.conf"}),
]


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {"app": "raw", "unix": spec.unix}) for name, spec in SERVERS.items()),
     ("uvicorn", {"app": "raw", "nginx": True}),
     ("uvicorn", {"app": "raw", "nginx": True, "unix": True}),
     ("uvicorn", {"app": "raw", "nginx": True, "tls": True}), *SITES],
    ids=str,
)  # fmt: skip
def test_every_server_and_every_site_starts_there(
    name: str, options: dict[str, Any], odd: Path
) -> None:
    one = server(name, **options)
    if lacking := missing(one):
        pytest.skip(f"not on this machine; {', '.join(lacking)}")
    assert project_root() == odd
    with serve(one) as running:
        running.verify()
        if running.unix_path is not None:
            assert NAME in str(running.unix_path)
        if one.tls:
            assert ask(running.secured, "/whoami").status == 200
        if one.site:  # its static files lie below that path, too
            served = sorted((odd / "deploy/public/static").rglob("*.*"))
            path = served[0].relative_to(odd / "deploy/public")
            answer = httpx.get(f"{running.url}/{path}", timeout=60)
            assert (answer.status_code, answer.content) == (200, served[0].read_bytes())


def test_services_start_there(odd: Path) -> None:
    if lacking := missing_services(*SERVICES):
        pytest.skip(f"not on this machine; {', '.join(lacking)}")
    import redis as client

    with postgres() as database, redis() as store:
        assert NAME in database.env["PGHOST"]
        asked = client.Redis.from_url(store.env["REDIS_URL"])
        assert asked.ping()
        asked.close()
