"""PostgreSQL and Redis come up in a private folder, on no port, and leave nothing."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psycopg
import pytest
import redis as redis_client

from gatewaylab.errors import ServerMissingError, ServerStartError
from gatewaylab.guard import procfs, services
from gatewaylab.guard.services import SERVICES, missing_services, postgres, redis
from gatewaylab.measure.delay import until

pytestmark = pytest.mark.live


def needs(name: str) -> pytest.MarkDecorator:
    spec = SERVICES[name]
    return pytest.mark.skipif(not spec.available(), reason=f"no {name}; {spec.install_hint()}")


def listens_on_a_port(pids: set[int]) -> bool:
    own = procfs.socket_inodes(pids)
    return any(one.inode in own for one in procfs.listeners())


@needs("postgresql")
def test_postgresql_answers_over_its_own_socket_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPORT", "5999")  # of a database that the caller has elsewhere
    with postgres(max_connections=20) as service:
        with psycopg.connect(
            host=service.env["PGHOST"], port=service.env["PGPORT"],
            user=service.env["PGUSER"], dbname=service.env["PGDATABASE"],
        ) as connection:  # fmt: skip
            row = connection.execute("SHOW max_connections").fetchone()
        assert row == ("20",)
        assert not listens_on_a_port(service.pids())
        pids = service.pids()
    assert not pids & set(procfs.all_pids())
    assert not service.folder.exists()


@needs("postgresql")
def test_postgresql_ends_in_order_although_a_client_is_still_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A killed one would leave shared memory on the machine. Long before its grace is over."""
    monkeypatch.setattr(services, "_GRACE", 240.0)
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(postgres())
        with psycopg.connect(
            host=service.env["PGHOST"], port=service.env["PGPORT"],
            user=service.env["PGUSER"], dbname=service.env["PGDATABASE"],
        ) as connection:  # fmt: skip
            begun = time.monotonic()
            stack.close()
            assert time.monotonic() - begun < services._GRACE / 2
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
    assert not service.folder.exists()


def test_postgresql_starts_for_a_user_who_is_not_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Root's way leads through another program, so the first word differs."""
    for name, does in (
        ("initdb", "mkdir data"), ("postgres", "exec sleep 60"), ("pg_isready", "exit 0"),
    ):  # fmt: skip
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    fake = services.ServiceSpec("postgresql", "x", lambda: str(tmp_path / "postgres"))
    monkeypatch.setattr(services, "SERVICES", {"postgresql": fake})
    monkeypatch.setattr(services, "as_ordinary_user", list)
    with postgres() as service:
        assert until((service.folder / "data").exists, within=60), service.log()


@needs("redis")
def test_redis_answers_over_its_own_socket_and_nowhere_else() -> None:
    with redis() as service:
        with redis_client.Redis.from_url(service.env["REDIS_URL"]) as client:
            assert client.ping()
        assert not listens_on_a_port(service.pids())
        pids = service.pids()
    assert not pids & set(procfs.all_pids())


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_missing_says_how_it_is_installed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = services.ServiceSpec(name, name, lambda: None)
    monkeypatch.setattr(services, "SERVICES", {name: lacking})
    assert missing_services(name) == [f"{name}: scripts/install --system"]
    start = {"postgresql": postgres, "redis": redis}[name]
    with pytest.raises(ServerMissingError, match="scripts/install --system"), start():
        pytest.fail("it started")


def test_one_that_does_not_come_up_is_reported_with_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = services.ServiceSpec("redis", "Redis", lambda: "/bin/false")
    monkeypatch.setattr(services, "SERVICES", {"redis": broken})
    with pytest.raises(ServerStartError, match="redis did not become ready"), redis():
        pytest.fail("it started")


@pytest.mark.parametrize("name", SERVICES)
def test_the_version_is_read_from_the_program(name: str) -> None:
    spec = SERVICES[name]
    if not spec.available():
        pytest.skip(f"no {name}; {spec.install_hint()}")
    version = spec.version()
    assert version is not None
    assert version[0].isdigit()
