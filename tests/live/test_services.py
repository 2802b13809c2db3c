"""PostgreSQL and Redis come up in a private folder, on no port, and leave nothing."""

from __future__ import annotations

import psycopg
import pytest
import redis as redis_client

from gatewaylab import _procfs, services
from gatewaylab.errors import ServerMissingError, ServerStartError
from gatewaylab.services import SERVICES, missing_services, postgres, redis

pytestmark = pytest.mark.live


def needs(name: str) -> pytest.MarkDecorator:
    spec = SERVICES[name]
    return pytest.mark.skipif(not spec.available(), reason=f"no {name}; {spec.install_hint()}")


def listens_on_a_port(pids: set[int]) -> bool:
    own = _procfs.socket_inodes(pids)
    return any(one.inode in own for one in _procfs.listeners())


@needs("postgresql")
def test_postgresql_answers_over_its_own_socket_and_nowhere_else() -> None:
    with postgres(max_connections=20) as service:
        with psycopg.connect(
            host=service.env["PGHOST"], user=service.env["PGUSER"], dbname=service.env["PGDATABASE"]
        ) as connection:
            row = connection.execute("SHOW max_connections").fetchone()
        assert row == ("20",)
        assert not listens_on_a_port(service.pids())
        pids = service.pids()
    assert not pids & set(_procfs.all_pids())
    assert not service.folder.exists()


@needs("redis")
def test_redis_answers_over_its_own_socket_and_nowhere_else() -> None:
    with redis() as service:
        with redis_client.Redis.from_url(service.env["REDIS_URL"]) as client:
            assert client.ping()
        assert not listens_on_a_port(service.pids())
        pids = service.pids()
    assert not pids & set(_procfs.all_pids())


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_missing_says_how_it_is_installed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = services.ServiceSpec(name, name, name, lambda: None)
    monkeypatch.setattr(services, "SERVICES", {name: lacking})
    assert missing_services(name) == [f"{name}: scripts/install --system"]
    start = {"postgresql": postgres, "redis": redis}[name]
    with pytest.raises(ServerMissingError, match="scripts/install --system"), start():
        pytest.fail("it started")


def test_one_that_does_not_come_up_is_reported_with_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = services.ServiceSpec("redis", "Redis", "redis-server", lambda: "/bin/false")
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
