"""One stream of server-sent events with either kind of iterator, whatever the interface is.

Django passes an iterator of the interface's own kind on piece by piece. It reads one of the other
kind to its end first, and warns: those bytes arrive, but they do not stream.

Each event says when it was made, so a client can tell the two apart by their order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from django.core.exceptions import BadRequest
from django.http import HttpRequest, StreamingHttpResponse

from demo_apps import common


def plain(request: HttpRequest) -> StreamingHttpResponse:
    """The iterator that streams under WSGI."""
    n, gap = _paces(request)
    return _respond(request, _plain_events(n, gap))


def asynchronous(request: HttpRequest) -> StreamingHttpResponse:
    """The iterator that streams under ASGI."""
    n, gap = _paces(request)
    return _respond(request, _async_events(n, gap))


def _plain_events(n: int, gap: float) -> Iterator[str]:
    for index in range(n):
        if index:
            time.sleep(gap)
        yield common.tick()


async def _async_events(n: int, gap: float) -> AsyncIterator[str]:
    for index in range(n):
        if index:
            await asyncio.sleep(gap)
        yield common.tick()


def _respond(
    request: HttpRequest, events: Iterator[str] | AsyncIterator[str]
) -> StreamingHttpResponse:
    kind = "text/html" if request.GET.get("type") == "html" else common.EVENTS
    response = StreamingHttpResponse(events, content_type=kind)
    if request.GET.get("accel") == "no":
        # nginx reads this header, obeys it, and does not pass it on.
        response["X-Accel-Buffering"] = "no"
    return response


def _paces(request: HttpRequest) -> tuple[int, float]:
    """How many events, and the seconds between one and the next."""
    try:
        gap_ms = common.milliseconds(request.GET.get("ms"), common.DEFAULT_GAP_MS)
        return common.pieces(request.GET.get("n")), gap_ms / 1000
    except common.BadQueryError as error:
        raise BadRequest(str(error)) from error
