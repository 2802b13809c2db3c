"""The contract's checker passes what is right and refuses what was tampered with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import pytest
import uvicorn

from demo_apps import flask_app, raw_asgi, raw_wsgi, tampered
from demo_apps.common import Message, Receive, Scope, Send
from gatewaylab.measure.delay import until
from tests import contract, printed
from tests.contract import cases, check_headers, check_http_contract, check_websocket_contract
from tests.in_process import ask_asgi

pytestmark = pytest.mark.slow


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def listening(target: Any) -> Iterator[str]:
    with make_server("127.0.0.1", 0, target, _ThreadingServer, _QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_checker_passes_the_contract_over_a_socket() -> None:
    with listening(raw_wsgi.application) as url:
        check_http_contract(url, "raw", "wsgi")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        pytest.param(tampered.buffered, "came in one block", id="buffered"),
        pytest.param(tampered.altered_wsgi, "GET /hello", id="altered"),
        pytest.param(flask_app.application, "/async/hold", id="another's"),
    ],
)
def test_the_checker_refuses_a_tampered_application(target: Any, reason: str) -> None:
    with listening(target) as url, pytest.raises(AssertionError, match=reason):
        check_http_contract(url, "raw", "wsgi")


def test_the_checker_wants_websockets_to_check() -> None:
    with pytest.raises(ValueError, match="no WebSockets"):
        check_websocket_contract("ws://127.0.0.1:9", "flask")


@contextmanager
def listening_asgi(target: Any) -> Iterator[str]:
    config = uvicorn.Config(
        target, host="127.0.0.1", port=0, log_level="critical", loop="asyncio", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        ended = until(lambda: server.started or not thread.is_alive(), within=60)
        assert ended, "uvicorn is not ready"
        assert server.started, "uvicorn did not start"
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def test_the_checker_passes_websockets_over_a_socket() -> None:
    with listening_asgi(raw_asgi.application) as address:
        check_websocket_contract(f"ws://{address}", "raw")


def test_the_checker_refuses_an_altered_asgi_application() -> None:
    with (
        listening_asgi(tampered.altered_asgi) as address,
        pytest.raises(AssertionError, match="GET /hello"),
    ):
        check_http_contract(f"http://{address}", "raw", "asgi")


async def shouting(scope: Scope, receive: Receive, send: Send) -> None:
    async def shout(message: Message) -> None:
        if message.get("text"):
            message = {**message, "text": message["text"].upper()}
        await send(message)

    await raw_asgi.application(scope, receive, shout)


async def secretive(scope: Scope, receive: Receive, send: Send) -> None:
    """A chat in which each hears only itself: every connection is sent to the echo."""
    if scope["path"] == "/ws/chat":
        scope = {**scope, "path": "/ws/echo"}
    await raw_asgi.application(scope, receive, send)


async def open_door(scope: Scope, receive: Receive, send: Send) -> None:
    """A server that accepts any WebSocket."""
    if scope["path"] == "/ws/nothing":
        scope = {**scope, "path": "/ws/echo"}
    await raw_asgi.application(scope, receive, send)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        pytest.param(shouting, "/ws/echo: 'HELLO'", id="altered text"),
        pytest.param(secretive, "bob to ann: nothing came", id="each hears only itself"),
        pytest.param(open_door, "/ws/nothing: was accepted", id="accepts anything"),
    ],
)
def test_the_checker_refuses_tampered_websockets(
    target: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "_PATIENCE", 3.0)
    with listening_asgi(target) as address, pytest.raises(AssertionError, match=reason):
        check_websocket_contract(f"ws://{address}", "raw")


def test_altered_asgi_changes_hello_and_nothing_else() -> None:
    hello = asyncio.run(ask_asgi(tampered.altered_asgi, "/hello"))
    assert hello.content == b"HELLO, WORLD\n"
    assert hello.headers["Content-Length"] == str(len(hello.content))
    assert asyncio.run(ask_asgi(tampered.altered_asgi, "/hold?ms=0")).content == b"held 0 ms\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"Server-Timing": "app;dur=1", "X-Worker": "1/1", "X-Started": "5.000000"},
        {"Server-Timing": "app;dur=1.000", "X-Worker": "1", "X-Started": "5.000000"},
        {"Server-Timing": "app;dur=1.000", "X-Worker": "1/1", "X-Started": "3.000000"},
        {"Server-Timing": "app;dur=9000.000", "X-Worker": "1/1", "X-Started": "5.000000"},
        {"Server-Timing": "app;dur=1.000", "X-Worker": "1/1"},
    ],
)
def test_the_checker_refuses_headers_that_cannot_be(headers: dict[str, str]) -> None:
    with pytest.raises(AssertionError):
        check_headers(httpx.Response(200, headers=headers), what="x", before=4.0, after=6.0)


def test_an_unknown_application_has_no_cases() -> None:
    with pytest.raises(ValueError, match="no application 'flask' under asgi"):
        cases("flask", "asgi")


LEAN = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "demo_apps.django_app.settings"
import django
django.setup()
from django.urls import resolve
from demo_apps.django_app import urls as whole
from demo_apps.django_lean import settings, urls as lean
paths = ["/" + str(one.pattern) for one in lean.urlpatterns]
for path in paths:
    assert resolve(path, lean).func is resolve(path, whole).func, path
assert lean.handler400 == whole.handler400
from django.conf import settings as full
assert settings.MIDDLEWARE == full.MIDDLEWARE
print(*paths)
"""


def test_the_lean_project_gives_the_views_of_the_whole_one() -> None:
    assert {"/hello", "/whoami", "/sync/hold", "/async/hold"} <= {*printed(LEAN).split()}


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_the_lean_project_starts_without_what_it_leaves_out(interface: str) -> None:
    code = (
        "import sys\n"
        f"import demo_apps.django_lean.{interface} as lean\n"
        "assert callable(lean.application)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    assert not {"rest_framework", "channels", "daphne"} & {*printed(code).split()}
