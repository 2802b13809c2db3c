"""The project on PostgreSQL: its settings follow the environment, its views name connections."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from gatewaylab.guard.serve import Running, serve
from gatewaylab.guard.services import SERVICES, postgres
from gatewaylab.load.clients import ask
from gatewaylab.measure.delay import until
from gatewaylab.servers.registry import server

PROJECT = "demo_apps.django_database"


def settings_with(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, Any]:
    for name in ("PGHOST", "PGUSER", "PGDATABASE", "DATABASE_MAX_AGE", "DATABASE_POOL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    module: ModuleType = importlib.import_module(f"{PROJECT}.settings")
    default: dict[str, Any] = importlib.reload(module).DATABASES["default"]
    return default


def test_the_database_is_found_through_libpq_s_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings_with(monkeypatch, PGHOST="/run/pg", PGUSER="lab", PGDATABASE="shop")
    assert (found["HOST"], found["USER"], found["NAME"]) == ("/run/pg", "lab", "shop")


def test_a_connection_is_kept_as_long_as_the_variable_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert settings_with(monkeypatch)["CONN_MAX_AGE"] == 0
    kept = settings_with(monkeypatch, DATABASE_MAX_AGE="60")
    assert (kept["CONN_MAX_AGE"], kept["OPTIONS"]) == (60, {})


def test_a_pool_excludes_kept_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    pooled = settings_with(monkeypatch, DATABASE_MAX_AGE="60", DATABASE_POOL="4")
    assert pooled["CONN_MAX_AGE"] == 0
    assert pooled["OPTIONS"] == {"pool": {"min_size": 1, "max_size": 4}}


@contextlib.contextmanager
def served() -> Iterator[Running]:
    with postgres(max_connections=20) as database:
        env = {"DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings", "DATABASE_POOL": "2"}
        with serve(server("uvicorn", env={**env, **database.env})) as running:
            yield running


@pytest.mark.live
@pytest.mark.skipif(
    not SERVICES["postgresql"].available(),
    reason=f"no PostgreSQL; {SERVICES['postgresql'].install_hint()}",
)
def test_the_views_name_the_connections_that_answered() -> None:
    with served() as running:

        def answer(path: str) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(ask(running, path).text)
            return found

        assert answer("/whoami")["app"] == "django"
        (pid,) = answer("/backend")["backends"]
        assert pid > 0

        orm = answer("/fan-out?how=orm&n=3&ms=20")
        assert len(orm["backends"]) == 3
        assert len(set(orm["backends"])) == 1
        assert orm["seconds"] >= 3 * 0.02
        began = sorted(orm["began"])
        assert all(later - before >= 0.02 for before, later in itertools.pairwise(began))

        driver = answer("/fan-out?how=driver&n=3&ms=20")
        assert len(set(driver["backends"])) == 3
        assert driver["seconds"] >= 0.02
        assert len(driver["began"]) == 3
        assert answer("/fan-out?n=0")["backends"] == []

        threads = answer("/fan-out?how=threads&n=3&ms=0")
        assert len(threads["backends"]) == 3

        # Of a pool with two connections, four tasks that close theirs leave enough for a request.
        for _ in range(4):
            assert answer("/later?close=1")["backends"] == []
        assert until(lambda: answer("/tasks") == {"tasks": 0}, within=60)
        assert len(answer("/backend")["backends"]) == 1
