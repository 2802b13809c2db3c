"""A view that starts a task on its event loop and answers without waiting for it."""

from __future__ import annotations

import asyncio
import logging

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse

from demo_apps import common

_log = logging.getLogger(__name__)

# What became of each task, by name. The memory of one process: its end is the end of these, too.
_states: dict[str, str] = {}

# An event loop keeps only a weak reference to a task. Without this set the task could be
# collected as garbage in the middle of its work.
_running: set[asyncio.Task[None]] = set()


async def start(request: HttpRequest) -> HttpResponse:
    """Answer at once; the task works on for ``?ms=``, if it may."""
    _start(request)
    return HttpResponse("started\n", status=202, content_type=common.TEXT)


async def start_and_wait(request: HttpRequest) -> HttpResponse:
    """The same, and answer when the task is over."""
    await _start(request)
    return HttpResponse("finished\n", content_type=common.TEXT)


def states(request: HttpRequest) -> JsonResponse:
    """What has become of each task so far: running, cancelled or done."""
    return JsonResponse(_states)


def _start(request: HttpRequest) -> asyncio.Task[None]:
    try:
        seconds = common.milliseconds(request.GET.get("ms"), common.DEFAULT_HOLD_MS) / 1000
    except common.BadQueryError as error:
        raise BadRequest(str(error)) from error
    name = request.GET.get("name", "")
    _states[name] = "running"
    task = asyncio.create_task(_work(name, seconds))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


async def _work(name: str, seconds: float) -> None:
    """Stands for a mail that is sent or a report that is made."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        _states[name] = "cancelled"
        raise
    finally:
        if _states[name] == "running":
            _states[name] = "done"
        _log.info("task %s: %s", name, _states[name])
