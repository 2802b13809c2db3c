"""What the demo applications share: reading a query, burning CPU, naming who answered.

Nothing here knows WSGI, ASGI or a framework; each application stays what its user would write.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias

# The three ASGI types, as loose as the specification: messages are dictionaries.
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
EVENTS = "text/event-stream"

MAX_MS = 60_000
MAX_PIECES = 10_000

DEFAULT_HOLD_MS = 50.0
DEFAULT_GAP_MS = 100.0
DEFAULT_PIECES = 5


class BadQueryError(ValueError):
    """A query parameter makes no sense; the text is the sentence that the client gets."""


def milliseconds(text: str | None, default: float) -> float:
    """The value of ``?ms=`` in milliseconds; a missing parameter (None) means ``default``.

    Raises:
        BadQueryError: not a number, or outside 0 … 60 000.
    """
    if text is None:
        return default
    try:
        ms = float(text)
    except ValueError:
        ms = -1.0
    if not 0 <= ms <= MAX_MS:  # false for NaN too
        raise BadQueryError(f"ms must be a number of milliseconds from 0 to {MAX_MS}\n")
    return ms


def pieces(text: str | None, default: int = DEFAULT_PIECES) -> int:
    """The value of ``?n=``, how many pieces to stream; None means ``default``.

    Raises:
        BadQueryError: not a whole number, or outside 0 … 10 000.
    """
    if text is None:
        return default
    try:
        n = int(text)
    except ValueError:
        n = -1
    if not 0 <= n <= MAX_PIECES:
        raise BadQueryError(f"n must be a whole number from 0 to {MAX_PIECES}\n")
    return n


def held(ms: float) -> str:
    """What every ``hold`` route answers: ``held 50 ms`` and a newline."""
    return f"held {ms:.15g} ms\n"


def burned(ms: float) -> str:
    """What every ``burn`` route answers: ``burned 50 ms`` and a newline."""
    return f"burned {ms:.15g} ms\n"


def chunks(n: int) -> Iterator[str]:
    """The ``n`` pieces of ``/stream``."""
    return (f"chunk {i}\n" for i in range(n))


def events(n: int) -> Iterator[str]:
    """The ``n`` server-sent events of ``/sse``."""
    return (f"data: {i}\n\n" for i in range(n))


def tick() -> str:
    """A server-sent event whose data is the moment of this call, by ``time.monotonic()``.

    That clock is the same for all processes of a Linux machine, so a client can say whether an
    event reached it before the next one was made.
    """
    return f"data: {time.monotonic():.6f}\n\n"


def burn(ms: float) -> None:
    """Keep this thread computing until it has spent ``ms`` milliseconds of CPU time.

    CPU time of the thread, not time on the wall: when two burn at once on one core, each takes
    twice as long, as real work would.
    """
    until = time.thread_time() + ms / 1000
    while time.thread_time() < until:
        pass


def contract_headers(started: float) -> list[tuple[str, str]]:
    """The three headers that every response carries.

    Args:
        started: ``time.monotonic()`` when the application got the request, in seconds. On Linux
            that clock is the same for all processes, so a client can subtract its own.

    Call it when the headers are sent, in the thread that got the request: ``Server-Timing`` then
    says how long the application took (for a stream: until its headers), ``X-Worker`` names that
    process and thread.
    """
    elapsed_ms = (time.monotonic() - started) * 1000
    return [
        ("Server-Timing", f"app;dur={elapsed_ms:.3f}"),
        ("X-Worker", f"{os.getpid()}/{threading.get_ident()}"),
        ("X-Started", f"{started:.6f}"),
    ]


def whoami(app: str, interface: str, scope: Mapping[str, Any]) -> dict[str, Any]:
    """What ``/whoami`` answers.

    Args:
        app: the application's short name: raw, flask, fastapi or django.
        interface: ``"wsgi"`` or ``"asgi"``.
        scope: the WSGI environ or the ASGI scope; the entries that JSON can hold are kept.
    """
    return {
        "pid": os.getpid(),
        "thread": threading.get_ident(),
        "interface": interface,
        "nonce": os.environ.get("GATEWAYLAB_NONCE", ""),
        "app": app,
        "scope": {key: value for key, value in scope.items() if _is_json(value)},
    }


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
