"""Async views beside plain ones: where they run, how they wait, and what ends them early."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseServerError, JsonResponse

from demo_apps import common

#: How each view with a ticket has ended, in the memory of this one process.
OUTCOMES: dict[str, str] = {}
#: When it had, by the monotonic clock.
ENDED: dict[str, float] = {}


def where_am_i() -> dict[str, int | bool]:
    """The thread that this runs on, by both of its numbers, and whether it runs an event loop.

    Python uses the number of an ended thread again at once; the system's number takes its time.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        in_loop = False
    else:
        in_loop = True
    return {
        "thread": threading.get_ident(),
        "native": threading.get_native_id(),
        "loop": in_loop,
    }


def where(request: HttpRequest) -> JsonResponse:
    return JsonResponse(where_am_i())


async def async_where(request: HttpRequest) -> JsonResponse:
    return JsonResponse(where_am_i())


async def upstream(ms: float, begun: float) -> list[float]:
    """Stands for a call to another service; when it began and ended, in seconds since ``begun``."""
    start = time.monotonic() - begun
    await asyncio.sleep(ms / 1000)
    return [start, time.monotonic() - begun]


async def gather_upstream(calls: int, ms: float) -> list[list[float]]:
    """All calls at once."""
    begun = time.monotonic()
    return await asyncio.gather(*(upstream(ms, begun) for _ in range(calls)))


def pool_upstream(calls: int, ms: float) -> list[list[float]]:
    """All calls at once, each a blocking one on a thread of its own; under gevent, a greenlet."""
    begun = time.monotonic()

    def call(_: int) -> list[float]:
        start = time.monotonic() - begun
        time.sleep(ms / 1000)
        return [start, time.monotonic() - begun]

    with ThreadPoolExecutor(max(1, calls)) as pool:
        return list(pool.map(call, range(calls)))


async def gathered(request: HttpRequest) -> JsonResponse:
    calls, ms = calls_and_ms(request)
    return JsonResponse({"calls": await gather_upstream(calls, ms)})


async def one_by_one(request: HttpRequest) -> JsonResponse:
    calls, ms = calls_and_ms(request)
    begun = time.monotonic()
    return JsonResponse({"calls": [await upstream(ms, begun) for _ in range(calls)]})


def linger(request: HttpRequest) -> JsonResponse:
    ticket, seconds = ticket_and_seconds(request)
    OUTCOMES[ticket] = "RUNNING"
    time.sleep(seconds)
    end(ticket, "COMPLETED")
    return JsonResponse({"outcome": OUTCOMES[ticket]})


async def async_linger(request: HttpRequest) -> JsonResponse:
    ticket, seconds = ticket_and_seconds(request)
    OUTCOMES[ticket] = "RUNNING"
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        end(ticket, "CANCELLED")
        raise  # a coroutine that swallows its cancellation goes on for nobody
    end(ticket, "COMPLETED")
    return JsonResponse({"outcome": OUTCOMES[ticket]})


def end(ticket: str, outcome: str) -> None:
    ENDED[ticket] = time.monotonic()
    OUTCOMES[ticket] = outcome


def outcome(request: HttpRequest) -> JsonResponse:
    ticket = request.GET.get("ticket", "")
    return JsonResponse({"outcome": OUTCOMES.get(ticket, "UNKNOWN"), "ended": ENDED.get(ticket)})


def explicit_settings(request: HttpRequest) -> JsonResponse:
    """The names of the settings that the project has set, of all that Django has."""
    names = (name for name in dir(settings) if name.isupper() and settings.is_overridden(name))
    return JsonResponse({"settings": sorted(names)})


def server_error(request: HttpRequest) -> HttpResponseServerError:
    """The page for status 500, which Django asks for while it handles the exception.

    It names the exception, so that an experiment can tell failures apart. A real site leaves that
    to its log, because a stranger has no business with it.
    """
    error = sys.exc_info()[1]
    return HttpResponseServerError(f"{type(error).__name__}: {error}\n", content_type=common.TEXT)


def calls_and_ms(request: HttpRequest) -> tuple[int, float]:
    try:
        return (
            common.pieces(request.GET.get("n"), 10),
            common.milliseconds(request.GET.get("ms"), common.DEFAULT_HOLD_MS),
        )
    except common.BadQueryError as error:
        raise BadRequest(str(error)) from error


def ticket_and_seconds(request: HttpRequest) -> tuple[str, float]:
    return request.GET.get("ticket", ""), calls_and_ms(request)[1] / 1000
