"""WebSockets from a WSGI application: simple-websocket on the socket that gunicorn hands out.

PEP 3333 has no way to leave HTTP: the server owns the connection, and hop-by-hop headers such as
``Upgrade`` are forbidden to the application. gunicorn puts the connection's socket into the
environ all the same, under a key of its own, and a library can take the conversation from there.
Every path but the two sockets is that of ``raw_wsgi``.

Run it with ``gunicorn --threads 8 demo_apps.wsgi_socket:application``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

from simple_websocket import ConnectionClosed, Server  # type: ignore[import-untyped]

from demo_apps import common, raw_wsgi

SOCKET = "gunicorn.socket"

# The room belongs to this process: with two workers there are two rooms. The lock keeps two
# members' threads from writing into one connection at the same time.
ROOM: set[Server] = set()
SPEAKING = threading.Lock()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request, or hold one WebSocket conversation to its end."""
    converse = SOCKETS.get(environ["PATH_INFO"])
    if converse is None:
        return raw_wsgi.application(environ, start_response)
    if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
        return _refuse(start_response, HTTPStatus.UPGRADE_REQUIRED, "this is a WebSocket\n")
    if SOCKET not in environ:
        return _refuse(start_response, HTTPStatus.NOT_IMPLEMENTED, "the server keeps its socket\n")
    with suppress(ConnectionClosed):
        converse(environ)
    # The conversation is over and the connection closed. Whatever we returned, gunicorn would
    # write a response to it; it takes this exception to mean that there is none.
    raise StopIteration


def without_socket(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The same application with only what PEP 3333 gives it: for checks that must fail."""
    standard = {key: value for key, value in environ.items() if key != SOCKET}
    return application(standard, start_response)


def echo(environ: WSGIEnvironment) -> None:
    """Send back what comes, until the client leaves."""
    member = Server.accept(environ)
    while True:
        member.send(member.receive())


def chat(environ: WSGIEnvironment) -> None:
    """One room: each text goes to every member, the sender included."""
    with SPEAKING:  # whoever has been let in is in the room before anybody speaks
        member = Server.accept(environ)
        ROOM.add(member)
    try:
        while True:
            text = member.receive()
            if isinstance(text, str):
                _tell_everyone(text)
    finally:
        with SPEAKING:
            ROOM.discard(member)


SOCKETS: dict[str, Callable[[WSGIEnvironment], None]] = {"/ws/echo": echo, "/ws/chat": chat}


def _tell_everyone(text: str) -> None:
    with SPEAKING:
        for member in ROOM:
            # A member may have left a moment ago; its own call takes it out of the room.
            with suppress(ConnectionClosed, OSError):
                member.send(text)


def _refuse(start_response: StartResponse, status: HTTPStatus, reason: str) -> list[bytes]:
    headers = [("Content-Type", common.TEXT), ("Content-Length", str(len(reason)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [reason.encode()]
