"""Views that say what reached them. What passes between them and a test are files in `SITE`."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

EVENTS = 3
PATIENCE = 10.0  # seconds after which a stream gives up waiting for its reader's signal


def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("well\n", "text/plain")


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"<p>{request.build_absolute_uri()}</p>\n")


def large(request: HttpRequest) -> HttpResponse:
    """32 MiB: more than lies between two sockets."""
    return HttpResponse(b"." * 2**25, "text/plain")


class WhoAmI(APIView):  # type: ignore[misc]  # the framework has no types
    """Who the visitor is, by REST framework, by Django, by the server, and by each header."""

    def get(self, request: Request) -> Response:
        told = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Authorization")
        return Response(
            {
                "ident": SimpleRateThrottle.get_ident(None, request),
                "secure": request.is_secure(),
                "address": request.META.get("REMOTE_ADDR"),
                "headers": {name: request.headers.get(name) for name in told},
            }
        )


def token(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_token(request), "text/plain")


def save(request: HttpRequest) -> HttpResponse:
    """Behind the CSRF check. Says how much of the body arrived."""
    return HttpResponse(f"{len(request.body)}\n", "text/plain")


@csrf_exempt  # type: ignore[untyped-decorator]
def upload(request: HttpRequest) -> JsonResponse:
    """The size and the hash of the file of a form."""
    file = request.FILES["file"]
    digest = hashlib.blake2b()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse({"size": file.size, "hash": digest.hexdigest()})


def cookies(request: HttpRequest) -> HttpResponse:
    """The length of the cookie `c`, and, when asked, cookies as long as `?set=`."""
    response = HttpResponse(f"{len(request.COOKIES.get('c', ''))}\n", "text/plain")
    for k in range(int(request.GET.get("set", "0"))):
        response.set_cookie(f"long{k}", "v" * 1000)
    return response


def private(request: HttpRequest, name: str) -> HttpResponse | FileResponse:
    """A file of `private/` for whoever knows the word."""
    if request.headers.get("Authorization") != "word":
        return HttpResponse(status=403)
    if settings.BY_NGINX:
        return HttpResponse(headers={"X-Accel-Redirect": f"/private/{name}"})
    return FileResponse(Path(settings.SITE, "private", Path(name).name).open("rb"))


def events(request: HttpRequest) -> StreamingHttpResponse:
    """Each event but the first waits until the reader of the one before has given a signal.

    The signal is a file of the name `?signals=` and the event's number. After `PATIENCE` without
    it the stream says so and ends.
    """
    signals = str(settings.SITE / request.GET["signals"])
    stream: Any = live(signals) if isinstance(request, ASGIRequest) else plain(signals)
    return StreamingHttpResponse(stream, content_type=request.GET["type"])


def plain(signals: str) -> Iterator[str]:
    for number in range(EVENTS):
        yield f"data: {number}\n\n"
        until = time.monotonic() + PATIENCE
        while not Path(f"{signals}{number}").exists():
            if time.monotonic() > until:
                yield f"data: nobody has read {number}\n\n"
                return
            time.sleep(0.01)


async def live(signals: str) -> AsyncIterator[str]:
    for number in range(EVENTS):
        yield f"data: {number}\n\n"
        until = time.monotonic() + PATIENCE
        while not Path(f"{signals}{number}").exists():
            if time.monotonic() > until:
                yield f"data: nobody has read {number}\n\n"
                return
            await asyncio.sleep(0.01)


def crowd(request: HttpRequest) -> StreamingHttpResponse:
    """Two events; the second comes to all listeners when the file `?signal=` is there.

    Where a stream holds a thread, it gives up after `PATIENCE`.
    """
    signal = Path(settings.SITE, request.GET["signal"])
    stream: Any = together(signal) if isinstance(request, ASGIRequest) else waiting(signal)
    return StreamingHttpResponse(stream, content_type="text/event-stream")


def waiting(signal: Path) -> Iterator[str]:
    yield "data: 0\n\n"
    until = time.monotonic() + PATIENCE
    while not signal.exists() and time.monotonic() < until:
        time.sleep(0.5)
    yield "data: 1\n\n"


async def together(signal: Path) -> AsyncIterator[str]:
    yield "data: 0\n\n"
    while not signal.exists():
        await asyncio.sleep(1)
    yield "data: 1\n\n"
