"""Raw applications with one thing broken each.

They are for sabotage: a check or a claim that still passes on one of these proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from demo_apps import raw_asgi, raw_wsgi
from demo_apps.common import Message, Receive, Scope, Send


def buffered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """``raw_wsgi`` with every stream held back until it is whole, as a bad middleware does."""
    return [b"".join(raw_wsgi.application(environ, start_response))]


def altered_wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """``raw_wsgi`` with another body of the same length at ``/hello``."""
    body = raw_wsgi.application(environ, start_response)
    if environ["PATH_INFO"] == "/hello":
        return [piece.upper() for piece in body]
    return body


async def altered_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """``raw_asgi`` with another body of the same length at ``/hello``."""

    async def send_altered(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": message.get("body", b"").upper()}
        await send(message)

    tampering = scope["type"] == "http" and scope["path"] == "/hello"
    await raw_asgi.application(scope, receive, send_altered if tampering else send)
