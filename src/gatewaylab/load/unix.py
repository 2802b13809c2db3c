"""httpx over a unix socket that says when its backlog is full, as a proxy does.

By itself it asks again as fast as it can, until its timeout, and tells nobody.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import httpcore
import httpx
from anyio.abc import UNIXSocketStream
from httpcore._backends.anyio import AnyIOStream


class BacklogFull(httpx.ConnectError):
    """The kernel turned a connection away: more wait for the server than it lets."""


def transport(path: str | None, **options: Any) -> httpx.AsyncHTTPTransport:
    """What an `httpx.AsyncClient` sends by: over a unix socket, or over TCP without a path."""
    made = httpx.AsyncHTTPTransport(uds=path, **options)
    if path is not None:
        # The pool takes a backend, and httpx has no word to give it one.
        made._pool._network_backend = _OneTry()
    return made


class _OneTry(httpcore.AnyIOBackend):
    async def connect_unix_socket(
        self, path: str, *_: Any, **__: Any
    ) -> httpcore.AsyncNetworkStream:
        """Connect now or never: on a unix socket there is nothing to wait for."""
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        if code := sock.connect_ex(path):
            sock.close()
            if code == errno.EAGAIN:
                raise BacklogFull("the backlog of the unix socket is full")
            raise httpcore.ConnectError(os.strerror(code))
        return AnyIOStream(await UNIXSocketStream.from_socket(sock))
