"""Each kind of client against a real server whose slots are known."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from gatewaylab.guard.procfs import asleep
from gatewaylab.guard.serve import Running, serve
from gatewaylab.load.clients import Reply, ask, inside, most_at_once, settled, span, together
from gatewaylab.load.crowds import echoes, slow_bodies, slow_heads, streams, websockets
from gatewaylab.load.request import Endpoint, get, post
from gatewaylab.measure.delay import until
from gatewaylab.servers.registry import server

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def one_slot() -> Iterator[Running]:
    with serve(server("gunicorn-sync", app="raw")) as running:
        yield running


@pytest.fixture(scope="module")
def loop() -> Iterator[Running]:
    with serve(server("uvicorn", app="raw")) as running:
        yield running


def at_once(asked: Callable[[str], Sequence[Reply]], most: int) -> bool:
    """Whether so many requests share a moment, if each is held for as long as a machine needs."""
    paths = (f"/hold?ms={ms}" for ms in (400, 2000, 8000))
    return any(most_at_once(map(inside, asked(path))) == most for path in paths)


def test_an_answer_comes_back_whole(loop: Running) -> None:
    reply = ask(loop, post("/echo", b"some bytes"))
    assert (reply.status, reply.body, reply.error) == (200, b"some bytes", "")
    assert reply.http_version == "HTTP/1.1"
    assert reply.headers["x-worker"]


def test_a_unix_socket_is_asked_like_a_port() -> None:
    with serve(server("uvicorn", app="raw", unix=True)) as running:
        assert ask(running, "/hello").status == 200
        with streams(running, 2, "/sse?n=2&ms=10", within=60) as held:
            assert held.served == {0, 1}
        with websockets(running, 1, "/ws/echo", within=60) as (connection,):
            assert echoes(connection, "hello", timeout=60)


def test_nobody_there_is_a_reply_without_a_status() -> None:
    with serve(server("uvicorn", app="raw")) as running:
        pass
    assert (ask(running, "/hello").status, ask(running, "/hello").error) == (None, "ConnectError")


def test_a_client_that_is_not_answered_gives_up(one_slot: Running) -> None:
    reply = ask(one_slot, "/hold?ms=2000", timeout=0.2)
    assert (reply.status, reply.error) == (None, "ReadTimeout")
    assert reply.seconds >= 0.2


def test_one_slot_answers_one_after_another_and_a_loop_all_at_once(
    one_slot: Running, loop: Running
) -> None:
    queued = together(one_slot, ["/hold?ms=100"] * 4)
    assert span(queued) >= 0.4
    assert most_at_once(map(inside, queued)) == 1
    assert at_once(lambda path: together(loop, [path] * 4), 4)


@pytest.mark.parametrize(
    ("intervals", "most"),
    [([], 0), ([(1, 2), (2, 3)], 1), ([(1, 4), (2, 3), (5, 6)], 2), ([(0, 9), (1, 3), (2, 4)], 3)],
)
def test_the_most_at_once_share_more_than_a_border(
    intervals: list[tuple[float, float]], most: int
) -> None:
    assert most_at_once(intervals) == most


def test_requests_may_follow_each_other(loop: Running) -> None:
    replies = together(loop, ["/hello"] * 3, apart=0.1)
    assert replies[2].begun - replies[0].begun >= 0.2


def test_the_pieces_of_a_stream_are_timed(loop: Running) -> None:
    def apart(ms: int) -> bool:
        """A client that is kept from its processor reads the first piece late."""
        reply = ask(loop, f"/sse?n=3&ms={ms}", timeout=60)
        assert len(reply.pieces) >= 3 or ms < 1000
        return reply.pieces[-1] - reply.pieces[0] >= ms / 1000

    assert any(map(apart, (100, 500, 2000)))


def test_streams_of_one_http2_connection_come_back_side_by_side() -> None:
    with serve(server("hypercorn", app="raw")) as running:

        def asked(path: str) -> list[Reply]:
            replies = together(running, [path] * 4, http2=True)
            assert {reply.http_version for reply in replies} == {"HTTP/2"}
            return replies

        assert at_once(asked, 4)


@pytest.mark.parametrize(("shared", "connections"), [(True, 1), (False, 3)])
def test_streams_of_http2_share_a_connection_or_have_their_own(
    shared: bool, connections: int
) -> None:
    with serve(server("hypercorn", app="raw")) as running, ThreadPoolExecutor(1) as pool:
        port, seen = Endpoint.parse(running.target).port, set()
        heard = pool.submit(
            together, running, ["/sse?n=4&ms=200"] * 3, http2=True, shared=shared, timeout=60
        )
        while not heard.done():
            open_now = psutil.Process().net_connections("tcp")
            seen.add(sum(bool(one.raddr) and one.raddr.port == port for one in open_now))
        assert [reply.body.count(b"data:") for reply in heard.result()] == [4, 4, 4]
    assert max(seen) == connections


def test_slow_heads_take_the_only_slot(one_slot: Running) -> None:
    with slow_heads(one_slot, 2):
        assert ask(one_slot, "/hello", timeout=0.3).status is None
    assert ask(one_slot, "/hello").status == 200


def test_slow_bodies_stay_until_the_block_ends(one_slot: Running) -> None:
    with slow_bodies(one_slot, 1, path="/upload", size=30_000) as answers:
        assert ask(one_slot, "/hello", timeout=0.2).status is None
        assert answers == []
    assert [answer.startswith(b"HTTP/1.1 200") for answer in answers] == [True]


def test_slow_bodies_are_noticed_before_the_block_begins(loop: Running) -> None:
    with slow_bodies(loop, 3, path="/upload", size=3_000_000) as answers:
        noticed = time.monotonic()
    called = re.findall(rb"x-started: ([\d.]+)", b"".join(answers), re.IGNORECASE)
    assert [float(when) < noticed for when in called] == [True] * 3


def test_slow_bodies_are_left_when_the_block_fails(one_slot: Running) -> None:
    begun = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        with slow_bodies(one_slot, 2, path="/upload", size=30_000_000) as answers:
            raise ZeroDivisionError
    assert answers == []
    assert time.monotonic() - begun < 30
    assert ask(one_slot, "/hello", timeout=30).status == 200


def test_a_server_that_computes_has_not_settled(one_slot: Running) -> None:
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(ask, one_slot, "/burn?ms=1000", timeout=60)
        assert until(lambda: not asleep(one_slot.pids()), within=30)
        assert not settled(one_slot, within=0)
        assert settled(one_slot)
        done = time.monotonic()
    assert inside(reply.result())[1] < done


def test_streams_stay_until_the_block_ends(one_slot: Running, loop: Running) -> None:
    with streams(loop, 5, "/sse?n=3000&ms=100", within=60) as held:
        assert (held.opened, len(held.served), len(held.ended)) == (5, 5, 0)
        assert ask(loop, "/hello").status == 200
    with streams(one_slot, 2, "/sse?n=300&ms=100", within=3) as held:
        assert len(held.served) == 1


def test_a_stream_that_ends_is_noticed(loop: Running) -> None:
    with streams(loop, 1, get("/sse?n=1&ms=1", connection="close"), within=60) as held:
        assert until(lambda: held.ended == {0}, within=60)


def test_websockets_that_are_refused_are_left_out(loop: Running, one_slot: Running) -> None:
    with websockets(loop, 3, "/ws/echo", within=60) as made:
        assert [echoes(one, "hello", timeout=60) for one in made] == [True] * 3
    with websockets(one_slot, 1, "/ws/echo", within=0.5) as made:
        assert made == []
