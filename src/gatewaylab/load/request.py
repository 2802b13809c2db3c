"""What is sent, and where to: one request, one loopback target."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

from gatewaylab.errors import InputError

#: A loopback address: ``http://127.0.0.1:8000``, ``http://[::1]:8000`` or ``unix:/path/of/socket``.
Target = str

#: Headers whose values are sent and never written down.
_SECRET = ("authorization", "proxy-authorization", "cookie")


@dataclass(frozen=True)
class Endpoint:
    """Where a target listens.

    Attributes:
        host, port: the loopback address; port 0 means that ``host`` is a unix socket's path.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, target: Target) -> Self:
        """The endpoint that a target names.

        Raises:
            InputError: not a loopback address with a port, nor a unix socket's path.
        """
        if target.startswith("unix:"):
            path = target.removeprefix("unix:")
            if not path.startswith("/"):
                raise InputError(f"a unix target is unix: and an absolute path, not {target!r}")
            return cls(path, 0)
        parts = _split(target)
        if parts.path not in ("", "/") or parts.query:
            raise InputError(f"the path belongs in the request, not in the target {target!r}")
        port = None
        with contextlib.suppress(ValueError):  # not a number, or beyond 65535
            port = parts.port
        if parts.scheme != "http" or not port:
            raise InputError(f"a target is http://127.0.0.1:PORT or unix:/path, not {target!r}")
        host = str(parts.hostname)
        return cls("127.0.0.1" if host == "localhost" else host, port)

    @property
    def path(self) -> str | None:
        """The unix socket's path; None over TCP."""
        return None if self.port else self.host

    @property
    def authority(self) -> str:
        """What a URL and the ``Host`` header call it; "localhost" for a unix socket."""
        if not self.port:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Request:
    """What every arrival sends.

    Attributes:
        method, path: as in the request line; the path carries the query.
        headers: name and value pairs; Host and Content-Length are added when missing.
        body: the body, or the message that the WebSocket transport sends.
        expected: statuses that count as success; empty for any 2xx.
        expected_body: what each answer's body must be; None to accept any. A different body is a
            sample with the error ``body``.

    Raises:
        InputError: a part cannot be written into an HTTP/1.1 head.
    """

    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    expected: tuple[int, ...] = ()
    expected_body: bytes | None = None

    def __post_init__(self) -> None:
        if not self.method.isalpha():
            raise InputError(f"the method must be a word such as GET, not {self.method!r}")
        if not self.path.startswith("/") or not self.path.isascii() or _breaks(self.path, " "):
            raise InputError(
                f"the path must start with / and be percent-encoded ASCII, not {self.path!r}"
            )
        for name, value in self.headers:
            if not name or _breaks(name, " :") or _breaks(value) or not (name + value).isascii():
                raise InputError(f"the header {name!r}: {value!r} does not fit on one line")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form for the record.

        A long or binary body is given by its SHA-256, and what shows who somebody is, not at all.
        """
        body = f"sha256:{hashlib.sha256(self.body).hexdigest()}"
        if len(self.body) <= 1024:
            with contextlib.suppress(UnicodeDecodeError):
                body = self.body.decode()
        return {
            "method": self.method,
            "path": self.path,
            "headers": [
                [name, "(left out)" if name.lower() in _SECRET else value]
                for name, value in self.headers
            ],
            "body": body,
            "expected": list(self.expected),
        }


def get(path: str, **headers: str) -> Request:
    """A GET request; underscores in header names become dashes."""
    return Request("GET", path, _named(headers))


def post(path: str, body: bytes, **headers: str) -> Request:
    """A POST request with ``body``; underscores in header names become dashes."""
    return Request("POST", path, _named(headers), body)


def split_url(url: str) -> tuple[Target, Request]:
    """A URL as the target and the GET request for its path.

    Raises:
        InputError: not a loopback ``http://`` address, or one with a user's name in it.
    """
    if url.startswith("unix:"):
        return url, Request()
    parts = _split(url)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}", get((parts.path or "/") + query)


def _split(given: str) -> SplitResult:
    """The parts of an address on loopback; a refused one is not repeated with its password."""
    try:
        parts = urlsplit(given)
    except ValueError as problem:  # a bracket is missing, for example
        raise InputError(f"no address: {problem}; write one like http://[::1]:8000/") from None
    if "@" in parts.netloc:
        raise InputError(
            "the address holds a user's name or a password, which would be written down with the "
            "result: leave them out, and send them as a header: "
            'get("/", Authorization="Basic …")'
        )
    if parts.scheme in ("ws", "wss"):
        raise InputError(
            f"{parts.scheme}:// is not a target: write http://{parts.netloc}, and choose the "
            "client by run(…, transport='websocket')"
        )
    with contextlib.suppress(ValueError):  # a name, and no address
        if parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback:
            return parts
    raise InputError(
        f"load is sent to this machine only, so the address must be 127.x.y.z, [::1], localhost "
        f"or unix:/path, not {given!r}"
    )


def _named(headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", "-"), value) for name, value in headers.items())


def _breaks(text: str, others: Sequence[str] = "") -> bool:
    return any(ord(c) < 32 or ord(c) == 127 or c in others for c in text)
