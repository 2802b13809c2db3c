"""The drawing of where Django runs each part of a request, against Django itself."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import django
import pytest
from asgiref.sync import AsyncToSync
from bookext.lanes import DOORS, LOOP, PARTS, THREAD, Door, Way, draw, told
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import sync_only_middleware
from django.utils.deprecation import MiddlewareMixin

from tests.bookext import site
from tests.in_process import ask_asgi, environ_of

WAYS = [
    pytest.param(door, way, id=f"{door.interface}, {way.view}")
    for door in DOORS
    for way in door.ways
]

# A process has one set of Django settings; this is the one that other tests in process take.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_app.settings")


class Noted:
    """What ran: the part, its thread, its event loop or None, and the threads held meanwhile."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.threads: list[threading.Thread] = []
        self.loops: list[asyncio.AbstractEventLoop | None] = []
        self.held: list[set[int]] = []

    def __call__(self, part: str) -> None:
        self.parts.append(part)
        self.threads.append(threading.current_thread())
        self.loops.append(asyncio._get_running_loop())
        self.held.append({ident for ident, top in sys._current_frames().items() if _waits(top)})

    @property
    def runs(self) -> str:
        return "".join(THREAD if loop is None else LOOP for loop in self.loops)


def _waits(frame: Any) -> bool:
    """Whether a thread stands in `async_to_sync`: from before the coroutine begins to its end."""
    while frame is not None:
        if frame.f_code is AsyncToSync.__call__.__code__:
            return True
        frame = frame.f_back
    return False


note = Noted()


class Hooks(MiddlewareMixin):  # type: ignore[misc]
    """Middleware as Django's own: two plain hooks, in a class that is async-capable."""

    def process_request(self, request: HttpRequest) -> None:
        note("middleware")

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        note("middleware")
        return response


@sync_only_middleware  # type: ignore[untyped-decorator]
def sync_only(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    def middleware(request: HttpRequest) -> HttpResponse:
        note("middleware")
        response = get_response(request)
        note("middleware")
        return response

    return middleware


class Things(QuerySet[Model]):  # type: ignore[misc]
    """A query set without a table: its `aget` is Django's own."""

    def __init__(self) -> None:
        super().__init__(query=SimpleNamespace())

    def get(self, *args: Any, **kwargs: Any) -> Any:
        note("query")


def plain(request: HttpRequest) -> HttpResponse:
    note("view")
    Things().get()
    note("view")
    return HttpResponse()


async def awaiting(request: HttpRequest) -> HttpResponse:
    note("view")
    await Things().aget()
    note("view")
    return HttpResponse()


urlpatterns = [path("def view", plain), path("async def view", awaiting)]


class Parts:
    """The two things that Django's handlers do between middleware and view."""

    def resolve_request(self, request: HttpRequest) -> Any:
        note("find view")
        return super().resolve_request(request)  # type: ignore[misc]

    def check_response(self, *args: Any, **kwargs: Any) -> None:
        note("check")
        super().check_response(*args, **kwargs)  # type: ignore[misc]


class Wsgi(Parts, WSGIHandler):  # type: ignore[misc]
    pass


class Asgi(Parts, ASGIHandler):  # type: ignore[misc]
    pass


def ask_wsgi(view: str) -> None:
    def start_response(*_: Any) -> None:
        note("answer")

    application = Wsgi()
    note("request")
    application(environ_of(f"/{view}"), start_response).close()


def ask_over_asgi(view: str) -> None:
    application = Asgi()

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        async def sends(message: Any) -> None:
            if message["type"] == "http.response.start":
                note("answer")
            await send(message)

        note("request")
        await application(scope, receive, sends)

    assert asyncio.run(ask_asgi(noted, f"/{view}")).status_code == 200


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    django.setup()
    note.__init__()  # type: ignore[misc]
    with override_settings(ROOT_URLCONF=__name__):
        yield


@pytest.mark.parametrize(("door", "way"), WAYS)
def test_django_runs_each_part_where_the_drawing_has_it(door: Door, way: Way) -> None:
    before = set(threading.enumerate())
    middleware = "sync_only" if "sync-only" in way.view else "Hooks"
    view = "def view" if way.view == "def view" else "async def view"
    with override_settings(MIDDLEWARE=[f"{__name__}.{middleware}"]):
        {"WSGI": ask_wsgi, "ASGI": ask_over_asgi}[door.interface](view)
    assert tuple(note.parts) == PARTS
    assert note.runs == way.runs
    on = {lane: {t for t, at in zip(note.threads, note.runs, strict=True) if at == lane}
          for lane in set(note.runs)}  # fmt: skip
    assert all(len(threads) == 1 for threads in on.values())
    here, made = (THREAD, LOOP) if door.interface == "WSGI" else (LOOP, THREAD)
    assert on[here] == {threading.current_thread()}
    assert not on.get(made, set()) & before
    (thread,) = on[THREAD]
    kept = {lane: range(first, last + 1) for lane, first, last in way.taken}
    for part, lane in enumerate(way.runs):
        if lane == LOOP:
            assert (thread.ident in note.held[part]) == (part in kept.get(THREAD, ()))
    if door.interface == "WSGI" and LOOP in way.runs:
        loops = {loop for loop in note.loops if loop}
        assert len(loops) == 1
        assert loops.pop().is_closed()
        assert [way.runs.index(LOOP), way.runs.rindex(LOOP)] == [kept[LOOP][0], kept[LOOP][-1]]


def test_the_words_in_the_drawing_s_place_name_every_part_and_what_is_taken() -> None:
    wsgi, asgi = DOORS
    assert told(wsgi, wsgi.ways[0]) == (
        "WSGI, def view: request, middleware, find view, view, query, view, check, middleware, "
        "answer on the thread; the thread is taken from request to answer."
    )
    assert told(asgi, asgi.ways[0]) == (
        "ASGI, def view: request on the loop; middleware on the thread; find view on the loop; "
        "view, query, view on the thread; check on the loop; middleware on the thread; answer on "
        "the loop."
    )


def test_each_way_is_a_described_picture_with_a_dot_for_each_part() -> None:
    figure = draw("A &amp; B")
    ways = [way for door in DOORS for way in door.ways]
    assert figure.count('<svg role="img"') == figure.count("aria-label") - 1 == len(ways)
    assert figure.count("<circle") == len(ways) * len(PARTS)
    assert site.plain(figure).endswith("A & B")
