"""Looks at servers, streams of events as they came, and calls without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import psutil
import pytest

from gatewaylab.errors import ServerError
from gatewaylab.guard.serve import serve
from gatewaylab.guard.tree import first_process, workers_of
from gatewaylab.load.clients import Reply, reach_all
from gatewaylab.load.in_process import call_asgi, call_wsgi
from gatewaylab.measure.delay import Delay, Held
from gatewaylab.measure.events import Stream
from gatewaylab.measure.looks import observe, side_by_side
from gatewaylab.servers.registry import server


def test_jobs_side_by_side_keep_their_order_and_their_names() -> None:
    assert side_by_side(len, ["a", "bb", "ccc"], at_once=2) == [1, 2, 3]
    assert side_by_side(len, {"x": "a", "y": "bb"}) == {"x": 1, "y": 2}


def test_what_a_job_raises_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda number: 1 / number, [1, 0])


class _Still(Delay):
    """A block in which so many seconds can have been lost."""

    def __init__(self, lost: float) -> None:
        self._begin, self._end = 0.0, lost


def _stream(made: list[float], pieces: list[float], lost: float = 0.0, expected: int = 3) -> Stream:
    body = b"".join(b"data: %f\n\n" % moment for moment in made)
    reply = Reply(200, {}, body, "HTTP/1.1", 0.0, 1.0, tuple(pieces))
    return Stream(reply, _Still(lost), expected)


@pytest.mark.parametrize(
    ("stream", "one_by_one", "at_the_end"),
    [
        (_stream([0.0, 0.1, 0.2], [0.01, 0.11, 0.21]), True, False),
        (_stream([0.0, 0.1, 0.2], [0.21]), False, True),
        (_stream([0.0, 0.1, 0.2], [0.01, 0.21], lost=0.2), None, False),  # noise can explain it
        (_stream([0.0, 0.1], [0.01, 0.11]), False, False),  # one was never sent
    ],
)
def test_a_stream_tells_whether_its_events_came_as_they_were_made(
    stream: Stream, one_by_one: Held, at_the_end: bool
) -> None:
    assert stream.one_by_one() is one_by_one
    assert stream.at_the_end() is at_the_end


def _wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"you asked for ", environ["PATH_INFO"].encode()]


def test_a_wsgi_application_is_called_without_a_server() -> None:
    assert call_wsgi(_wsgi, "/x") == ("200 OK", b"you asked for /x")


def test_an_asgi_application_is_called_without_a_server() -> None:
    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    start, body = asyncio.run(call_asgi(application, "/x"))
    assert (start["status"], body["body"]) == (200, b"/x")


@pytest.mark.live
def test_a_server_is_looked_at_so_often_and_its_family_is_known() -> None:
    two = server("gunicorn-sync", app="raw", slots=2)
    with serve(two) as running:
        first = first_process(running)
        assert len(reach_all(running, 2, "/hold?ms=20")) == 2
        workers = workers_of(first)
        assert len(workers) == 2
        assert first not in workers
        with pytest.raises(ServerError, match="2 of 3 workers have answered"):
            reach_all(running, 3, within=0.5)
    assert not psutil.pid_exists(first.pid)
    with pytest.raises(ServerError, match="has no process"):
        first_process(running)
    assert len(set(observe(two, lambda up: up.nonce, times=3))) == 1


@pytest.mark.live
def test_a_server_without_workers_works_itself() -> None:
    with serve(server("waitress", app="raw")) as running:
        first = first_process(running)
        assert workers_of(first) == [first]
