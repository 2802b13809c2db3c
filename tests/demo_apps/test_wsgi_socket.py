"""WebSockets from a WSGI application, on a socket pair in the place of a server."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from demo_apps import wsgi_socket
from tests.contract import EVERY_BYTE
from tests.in_process import environ_of

Application = Callable[..., Any]
APPLICATION: Application = wsgi_socket.application


def call(environ: dict[str, Any], app: Application = APPLICATION) -> tuple[str, bytes]:
    """Status and body of one call."""
    heads: list[str] = []
    body = b"".join(app(environ, lambda status, headers: heads.append(status)))
    return heads[0], body


def serve_one(sock: socket.socket, ends: list[type[BaseException]]) -> None:
    """What gunicorn does with a connection: read the head, call, note how the call ended."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    first, *lines = head.decode().split("\r\n")
    environ = environ_of(first.split()[1]) | {"gunicorn.socket": sock, "wsgi.input": io.BytesIO()}
    for name, _, value in (line.partition(": ") for line in lines if line):
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    try:
        APPLICATION(environ, lambda status, headers: None)
    except BaseException as end:
        ends.append(type(end))


@contextmanager
def member_of(path: str, ends: list[type[BaseException]]) -> Iterator[ClientConnection]:
    ours, theirs = socket.socketpair()
    server = threading.Thread(target=serve_one, args=(theirs, ends))
    server.start()
    try:
        with connect(f"ws://localhost{path}", sock=ours, close_timeout=2) as connection:
            yield connection
    finally:
        server.join(5)
        assert not server.is_alive()


@pytest.mark.parametrize("message", ["grüß dich", "", EVERY_BYTE])
def test_the_echo_socket_returns_text_as_text_and_bytes_as_bytes(message: str | bytes) -> None:
    with member_of("/ws/echo", []) as ann:
        ann.send(message)
        assert ann.recv(timeout=60) == message


def test_the_chat_reaches_everyone_in_the_room_and_outlives_a_member() -> None:
    ends: list[type[BaseException]] = []
    with member_of("/ws/chat", ends) as ann:
        with member_of("/ws/chat", ends) as bob:
            ann.send("hello")
            assert ann.recv(timeout=60) == "hello"
            assert bob.recv(timeout=60) == "hello"
        ann.send("alone")
        assert ann.recv(timeout=60) == "alone"
    assert not wsgi_socket.ROOM


def test_the_end_of_a_conversation_tells_gunicorn_to_write_no_response() -> None:
    ends: list[type[BaseException]] = []
    with member_of("/ws/echo", ends):
        pass
    assert ends == [StopIteration]


def test_a_plain_request_to_a_socket_is_told_to_upgrade() -> None:
    status, _ = call(environ_of("/ws/echo"))
    assert status == "426 Upgrade Required"


@pytest.mark.parametrize("app", [wsgi_socket.application, wsgi_socket.without_socket])
def test_without_a_socket_from_the_server_there_is_no_websocket(app: Application) -> None:
    upgrade = {"HTTP_UPGRADE": "websocket"}
    if app is wsgi_socket.without_socket:
        upgrade["gunicorn.socket"] = "taken away before the application sees it"
    status, body = call(environ_of("/ws/echo") | upgrade, app)
    assert status == "501 Not Implemented"
    assert body == b"the server keeps its socket\n"


def test_every_other_path_is_the_bare_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAYLAB_NONCE", "abc")
    status, body = call(environ_of("/whoami"))
    assert status == "200 OK"
    assert json.loads(body)["nonce"] == "abc"
    assert call(environ_of("/nothing"))[0] == "404 Not Found"
