"""The question that tells whether a server is ready: GET /whoami, asked over a plain socket.

A library would hide what matters here: the deadline covers connecting and reading alike, and
another file descriptor (the guard's news) interrupts the wait.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MOST = 1 << 20
_SILENCE = 1.0  # seconds without a byte after which the asker looks around


@dataclass(frozen=True)
class Address:
    """Where something listens: TCP, or a unix socket when `path` is set."""

    host: str
    port: int
    path: Path | None = None

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}"

    def connect(self) -> socket.socket | None:
        """A connected non-blocking socket, or None while nobody listens."""
        family = socket.AF_UNIX if self.path else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(1.0)
        try:
            sock.connect(str(self.path) if self.path else (self.host, self.port))
        except OSError:
            sock.close()
            return None
        sock.setblocking(False)
        return sock


@dataclass(frozen=True)
class ProbeAnswer:
    """A whole HTTP response: status and body."""

    status: int
    body: bytes

    @property
    def nonce(self) -> str | None:
        """The run's nonce that the application returned, if it did."""
        nonce = self._told.get("nonce")
        return nonce if isinstance(nonce, str) else None

    @property
    def pid(self) -> int | None:
        """The process that answered, by the number that it has for itself, if it said so."""
        pid = self._told.get("pid")
        return pid if isinstance(pid, int) else None

    @property
    def _told(self) -> dict[str, Any]:
        try:
            values = json.loads(self.body)
        except ValueError:
            return {}
        return values if isinstance(values, dict) else {}


def ask(
    address: Address, until: float, interrupt: int, in_silence: Callable[[], object]
) -> ProbeAnswer | None:
    """GET /whoami on a fresh connection.

    Args:
        until: when to give up, on the monotonic clock.
        interrupt: a file descriptor; when it becomes readable the answer is no longer waited for.
        in_silence: called once a second while no byte comes; what it raises ends the wait. (The
            connection may have gone to a foreign process that shares the port and never answers.)

    Returns:
        The answer, or None if it did not come, was cut off, or was interrupted.
    """
    sock = address.connect()
    if sock is None:
        return None
    with sock:
        host = "localhost" if address.path else f"{address.host}:{address.port}"
        try:
            sock.sendall(
                f"GET /whoami HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            data = b""
            while len(data) < _MOST:
                left = until - time.monotonic()
                if left <= 0:
                    return None
                watched = [sock.fileno(), interrupt]
                ready, _, _ = select.select(watched, [], [], min(left, _SILENCE))
                if not ready:
                    in_silence()
                if interrupt in ready:
                    return None
                if sock.fileno() in ready:
                    piece = sock.recv(65536)
                    data += piece
                    if not piece or _complete(data):
                        return _parse(data)
        except OSError:
            return None
    return None


def _complete(data: bytes) -> bool:
    """Whether the body is as long as announced: not every server closes when asked to."""
    head, end, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n") if end else ():
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
        if line.startswith(b"transfer-encoding:"):
            return body.endswith(b"0\r\n\r\n")
    return False


def _parse(data: bytes) -> ProbeAnswer | None:
    head, _, body = data.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return None
    if b"transfer-encoding: chunked" in head.lower():
        body = _join_chunks(body)
    return ProbeAnswer(int(words[1]), body)


def _join_chunks(body: bytes) -> bytes:
    joined = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            return joined
        if length == 0:
            return joined
        joined += rest[:length]
        body = rest[length + 2 :]
