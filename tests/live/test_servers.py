"""Each of the servers, started for real, keeps the contract and leaves nothing."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatewaylab.guard.serve import Running, serve
from gatewaylab.load import run as load
from gatewaylab.load.clients import ask, together
from gatewaylab.load.request import get
from gatewaylab.load.samples import ERRORS
from gatewaylab.measure.delay import until
from gatewaylab.measure.noise import NoiseWatch
from gatewaylab.model.arrivals import ConstantRate
from gatewaylab.servers.registry import Server, server
from gatewaylab.servers.specs import NGINX, SERVERS, Interface
from tests.contract import check_http_contract, check_websocket_contract

pytestmark = pytest.mark.live

ON_UNIX = [name for name, spec in SERVERS.items() if spec.unix]
# uWSGI is not among them: its --http-socket ends a body by closing, so nginx can't stream it.
BEHIND_NGINX = [name for name in SERVERS if name != "uwsgi"]
WITH_SLOTS = [name for name, spec in SERVERS.items() if spec.slot_kind != "coroutine"]
WITH_WORKERS = [name for name, spec in SERVERS.items() if spec.workers]


def here(name: str, **options: Any) -> Server:
    """A server, or a skip where the machine lacks it."""
    if not SERVERS[name].available():
        pytest.skip(f"not on this machine; {SERVERS[name].install_hint()}")
    if options.get("nginx") and not NGINX.available():
        pytest.skip(f"nginx is not on this machine; {NGINX.install_hint()}")
    return server(name, **options)


def whoami(running: Running) -> dict[str, Any]:
    """What the application says about itself."""
    uds = str(running.unix_path) if running.target.startswith("unix:") else None
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=uds), base_url=running.url, timeout=60
    ) as client:
        answer: dict[str, Any] = client.get("/whoami").json()
    return answer


def assert_is_the_one(running: Running) -> None:
    """The answer comes from this run, over the interface that its kind of server speaks."""
    answer = whoami(running)
    assert answer["nonce"] == running.nonce
    assert answer["interface"] == running.server.interface
    assert running.pids()
    assert running.alive()
    running.verify()


@pytest.mark.parametrize("app", ["raw", "django"])
@pytest.mark.parametrize("name", SERVERS)
def test_keeps_the_contract_over_tcp(name: str, app: str) -> None:
    with serve(here(name, app=app)) as running:
        assert_is_the_one(running)
        check_http_contract(running.url, app, running.server.interface)
        if running.server.interface is Interface.ASGI:
            check_websocket_contract(running.url.replace("http", "ws", 1), app)
        assert running.cpu_seconds() > 0


@pytest.mark.parametrize("name", ON_UNIX)
def test_answers_on_a_unix_socket(name: str) -> None:
    with serve(here(name, app="raw", unix=True)) as running:
        assert running.target == f"unix:{running.unix_path}"
        assert_is_the_one(running)


@pytest.mark.parametrize("name", BEHIND_NGINX)
def test_keeps_the_contract_behind_nginx(name: str) -> None:
    with serve(here(name, app="raw", nginx=True)) as running:
        assert_is_the_one(running)
        check_http_contract(running.url, "raw", running.server.interface)
        if running.server.interface is Interface.ASGI:
            check_websocket_contract(running.url.replace("http", "ws", 1), "raw")


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("front", [{"nginx": True}, {"site": "deploy/nginx/uvicorn.conf"}])
def test_nginx_answers_over_tls_to_those_who_know_its_certificate(
    front: dict[str, Any], http2: bool, tmp_path: Path
) -> None:
    with serve(here("uvicorn", app="raw", unix=True, tls=True, **front)) as running:
        known = running.secured
        (reply,) = together(known, ["/hello"], http2=http2)
        assert (reply.status, reply.http_version) == (200, "HTTP/2" if http2 else "HTTP/1.1")
        assert ask(running, "/hello").status == 200
        other = dataclasses.replace(known, certificate=tmp_path / "certificate.pem")
        other.certify()
        (refused,) = together(other, ["/hello"], http2=http2)
        assert (refused.status, refused.error) == (None, "ConnectError")


@pytest.mark.parametrize("name", ["uwsgi", "gunicorn-gthread", "uvicorn"])
def test_answers_on_a_unix_socket_behind_nginx(name: str) -> None:
    with serve(here(name, app="raw", nginx=True, unix=True)) as running:
        assert running.target == running.url
        assert_is_the_one(running)


@pytest.mark.parametrize("name", WITH_SLOTS)
def test_holds_as_many_requests_as_it_has_slots(name: str) -> None:
    """Requests on `slots` + 1 connections: the last one waits until a slot is free.

    How long they must be held for all slots to be taken at once depends on the machine.
    """
    slots = 3

    def hold(url: str) -> tuple[float, float]:
        answer = httpx.get(url, timeout=120)
        began = float(answer.headers["X-Started"])
        took = float(answer.headers["Server-Timing"].partition("dur=")[2]) / 1000
        return began, began + took

    with (
        serve(here(name, app="raw", slots=slots)) as running,
        ThreadPoolExecutor(slots + 1) as pool,
    ):
        for ms in (400, 2000, 8000):
            spans = list(pool.map(hold, [f"{running.url}/hold?ms={ms}"] * (slots + 1)))
            most = max(sum(a <= moment < b for a, b in spans) for moment, _ in spans)
            if most >= slots:
                break
    assert most == slots


@pytest.mark.parametrize("name", WITH_WORKERS)
def test_runs_as_many_workers_as_asked_for(name: str) -> None:
    with serve(here(name, app="raw", workers=2)) as running:
        seen: set[int] = set()

        def both() -> bool:
            seen.add(whoami(running)["pid"])
            return len(seen) == 2

        assert until(both, within=60, every=0)  # the second one may still be on its way


@pytest.mark.parametrize("name", SERVERS)
def test_keeps_its_processes_under_a_sound_load(name: str) -> None:
    """The rule that refuses a trial for a lost worker does not fire on what a server does anyway.

    The watch begins, as a comparison's does, once the server is ready.
    """
    workers = 2 if SERVERS[name].workers else 1
    with serve(here(name, app="raw", workers=workers)) as running:
        with NoiseWatch(own=running.pids) as watch:
            # One connection a request: uWSGI closes them without a word, at times under a request.
            request = get("/hello", Connection="close")
            samples, report = load.run(
                running.target, request, ConstantRate(30), seconds=2, warmup=0
            )
    assert report.sent == 60
    assert {ERRORS[code] for code in samples.error} == {""}
    assert (watch.health["workers_gone"], watch.health["workers_stopped"]) == (0, 0)
