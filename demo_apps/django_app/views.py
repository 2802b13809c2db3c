"""The contract's routes as plain Django views, sync and async side by side."""

# Django has no type hints, so its decorators are Any to the checker.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

from django.core.exceptions import BadRequest
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    JsonResponse,
    StreamingHttpResponse,
)
from django.views.decorators.http import require_POST

from demo_apps import common

PIECE_BYTES = 64 * 1024


def hello(request: HttpRequest) -> HttpResponse:
    return _text("hello, world\n")


def hold(request: HttpRequest) -> HttpResponse:
    ms = _ms(request, common.DEFAULT_HOLD_MS)
    time.sleep(ms / 1000)
    return _text(common.held(ms))


async def async_hold(request: HttpRequest) -> HttpResponse:
    ms = _ms(request, common.DEFAULT_HOLD_MS)
    await asyncio.sleep(ms / 1000)
    return _text(common.held(ms))


async def blocking_hold(request: HttpRequest) -> HttpResponse:
    ms = _ms(request, common.DEFAULT_HOLD_MS)
    time.sleep(ms / 1000)  # wrong on purpose: under ASGI nothing else on this loop runs meanwhile
    return _text(common.held(ms))


def burn(request: HttpRequest) -> HttpResponse:
    ms = _ms(request, common.DEFAULT_HOLD_MS)
    common.burn(ms)
    return _text(common.burned(ms))


async def async_burn(request: HttpRequest) -> HttpResponse:
    ms = _ms(request, common.DEFAULT_HOLD_MS)
    common.burn(ms)
    return _text(common.burned(ms))


def echo(request: HttpRequest) -> HttpResponse:
    return _text(request.META.get("QUERY_STRING", "") if request.method == "GET" else request.body)


@require_POST
def upload(request: HttpRequest) -> JsonResponse:
    size = 0
    while piece := request.read(PIECE_BYTES):
        size += len(piece)
    return JsonResponse({"bytes": size})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return _stream(request, common.chunks(_pieces(request)), common.TEXT)


def sse(request: HttpRequest) -> StreamingHttpResponse:
    return _stream(request, common.events(_pieces(request)), common.EVENTS)


def whoami(request: HttpRequest) -> JsonResponse:
    if isinstance(request, ASGIRequest):
        return JsonResponse(common.whoami("django", "asgi", request.scope))
    return JsonResponse(common.whoami("django", "wsgi", request.environ))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django shows for a ``BadRequest``: its sentence, where the default is a fixed page."""
    return HttpResponseBadRequest(str(exception), content_type=common.TEXT)


def _ms(request: HttpRequest, default: float) -> float:
    try:
        return common.milliseconds(request.GET.get("ms"), default)
    except common.BadQueryError as error:
        raise BadRequest(str(error)) from error


def _pieces(request: HttpRequest) -> int:
    try:
        return common.pieces(request.GET.get("n"))
    except common.BadQueryError as error:
        raise BadRequest(str(error)) from error


def _text(body: str | bytes) -> HttpResponse:
    return HttpResponse(body, content_type=common.TEXT)


def _stream(request: HttpRequest, texts: Iterator[str], media: str) -> StreamingHttpResponse:
    gap_ms = _ms(request, common.DEFAULT_GAP_MS)
    # The kind of iterator must match the interface. Given the other kind, Django reads it to its
    # end before the first byte leaves (and warns): the response arrives, but it does not stream.
    if isinstance(request, ASGIRequest):
        return StreamingHttpResponse(_paced_async(texts, gap_ms), content_type=media)
    return StreamingHttpResponse(_paced(texts, gap_ms), content_type=media)


def _paced(texts: Iterator[str], gap_ms: float) -> Iterator[str]:
    for index, text in enumerate(texts):
        if index:
            time.sleep(gap_ms / 1000)
        yield text


async def _paced_async(texts: Iterator[str], gap_ms: float) -> AsyncIterator[str]:
    for index, text in enumerate(texts):
        if index:
            await asyncio.sleep(gap_ms / 1000)
        yield text
