"""Counts thread starts and calls handed to a pool of threads, and tells the numbers by HTTP.

The two methods are wrapped once, for the whole process, so Django, asgiref and the server are
counted alike. ``/counts`` is answered before the application is called: asking costs nothing. It
also tells how many requests the application still has ``inside``: Django works on after its answer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

from demo_apps.common import JSON, Receive, Scope, Send

PATH = "/counts"

Wsgi: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
# Loose on purpose: every library spells the three types of an ASGI call in its own way.
Asgi: TypeAlias = Callable[[Any, Any, Any], Any]

_counts = {"threads": 0, "submits": 0}
_lock = threading.Lock()
_start = threading.Thread.start
_submit = ThreadPoolExecutor.submit


def _counted_start(self: threading.Thread) -> None:
    with _lock:
        _counts["threads"] += 1
    _start(self)


def _counted_submit(
    self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Future[Any]:
    with _lock:
        _counts["submits"] += 1
    return _submit(self, fn, *args, **kwargs)


def install() -> None:
    """Start counting; a second call changes nothing."""
    threading.Thread.start = _counted_start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = _counted_submit  # type: ignore[method-assign, assignment]


def uninstall() -> None:
    """Put the original methods back; tests do."""
    threading.Thread.start = _start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = _submit  # type: ignore[method-assign]


def counts() -> Mapping[str, int]:
    """How often, since the start of the process: ``threads`` started, ``submits`` to a pool."""
    with _lock:
        return dict(_counts)


def _told(inside: int) -> bytes:
    return json.dumps({**counts(), "inside": inside}).encode()


def counted_wsgi(application: Wsgi) -> Wsgi:
    """The application, with ``/counts`` answered before it."""

    def outer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            return application(environ, start_response)
        start_response("200 OK", [("Content-Type", JSON)])
        # The worker has one thread, and that is here: no other request is inside.
        return [_told(inside=0)]

    return outer


def counted_asgi(application: Asgi) -> Asgi:
    """The application, with ``/counts`` answered before it."""

    inside = 0

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal inside
        if scope["type"] != "http" or scope["path"] != PATH:
            inside += 1
            try:
                await application(scope, receive, send)
            finally:
                inside -= 1
            return
        body = _told(inside)
        headers = [(b"content-type", JSON.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return outer
