"""Connections that stay open, many of them."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.asyncio.client import connect
from websockets.typing import Origin

from tests.deploy.bed import PATIENCE, Up
from tests.deploy.setups import PROXY


@contextmanager
def asking(up: Up, path: str) -> Iterator[socket.socket]:
    """A connection that has asked for a path."""
    told = {"Host": up.authority, **up.told}
    head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    with up.connect() as line:
        line.sendall(f"GET {up.path(path)} HTTP/1.1\r\n{head}\r\n".encode())
        yield line


def read_until(line: socket.socket, wanted: bytes) -> None:
    """Read a stream up to an event."""
    seen = b""
    while wanted not in seen:
        seen += (new := line.recv(65_536))
        assert new, f"ended after {seen!r}"
        assert seen.startswith((b"HTTP/1.1 200", b"\r\n", b"9\r\n")), seen[:100]


@contextmanager
def more_files() -> Iterator[None]:
    """As many open files as this machine allows, for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def websocket(up: Up, path: str, origin: str = "", cookie: str = "") -> connect:
    """A WebSocket of a page (of this site, without `origin`), to be opened with ``async with``.

    This client has one thread. websockets' threaded one reads in a second, and over TLS the request
    of one attempt in some hundred never left it (Python 3.11.7, a busy machine).
    """
    plain = socket.create_connection((PROXY, up.port), timeout=PATIENCE)
    plain.setblocking(False)
    return connect(
        f"{'ws' if up.one.behind else 'wss'}://{up.authority}{path}", sock=plain,
        ssl=None if up.one.behind else up.trust(),
        origin=Origin(origin or f"https://{up.authority}"),
        additional_headers={**up.told, **({"Cookie": cookie} if cookie else {})},
        proxy=None, open_timeout=PATIENCE,
    )  # fmt: skip
