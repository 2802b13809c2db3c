"""Calling an application as a server does, without a server."""

from __future__ import annotations

import asyncio
from typing import Any
from wsgiref.util import setup_testing_defaults


def call_wsgi(application: Any, path: str) -> tuple[str, bytes]:
    """GET a path of a WSGI application: its status line and its whole body. Source: PEP 3333."""
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    statuses: list[str] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> None:
        statuses.append(status)

    response = application(environ, start_response)
    try:
        body = b"".join(response)
    finally:
        getattr(response, "close", bool)()
    return statuses[-1], body


async def call_asgi(application: Any, path: str) -> list[dict[str, Any]]:
    """GET a path of an ASGI application: the messages that it sent. Source: ASGI 3.0, HTTP."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "path": path, "query_string": b"", "headers": [(b"host", b"127.0.0.1")],
    }  # fmt: skip
    request = iter([{"type": "http.request", "body": b"", "more_body": False}])
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:  # the whole request, then silence: the client stays
        return next(request, None) or await asyncio.Event().wait()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return sent
