"""The generator against servers that say exactly what a script tells them to."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gatewaylab.errors import InputError, LoadError
from gatewaylab.load import http1, wire
from gatewaylab.load import run as load
from gatewaylab.load.clients import ask, open_connection, together
from gatewaylab.load.crowds import echoes, websockets
from gatewaylab.load.http1 import Answer, ProtocolError
from gatewaylab.load.request import Endpoint, Request, get, post, split_url
from gatewaylab.load.run import run, stream
from gatewaylab.load.samples import ERRORS, GeneratorReport, Samples
from gatewaylab.load.summary import summary
from gatewaylab.measure.delay import until
from gatewaylab.measure.reference import reference_server
from gatewaylab.model.arrivals import Arrivals, Closed, ConstantRate, Poisson
from tests import builders

pytestmark = pytest.mark.slow

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n"

Script = Callable[[socket.socket, bytes], bool]
"""Gets a connection and one request; sends what it likes; False closes the connection."""


@contextlib.contextmanager
def scripted(script: Script, path: Path | None = None, *, ipv6: bool = False) -> Iterator[str]:
    """A server that answers by ``script``, one thread a connection, as a target."""
    host, family = ("::1", socket.AF_INET6) if ipv6 else ("127.0.0.1", socket.AF_INET)
    listener = socket.socket(socket.AF_UNIX if path else family)
    listener.bind(str(path) if path else (host, 0))
    listener.listen(64)
    open_ones: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            buffer = b""
            while piece := connection.recv(65_536):
                buffer += piece
                while b"\r\n\r\n" in buffer:
                    head, _, rest = buffer.partition(b"\r\n\r\n")
                    length = 0
                    for line in head.lower().split(b"\r\n"):
                        if line.startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    if len(rest) < length:
                        break
                    buffer = rest[length:]
                    if not script(connection, head + b"\r\n\r\n" + rest[:length]):
                        return

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_ones.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        name = f"[{host}]" if ipv6 else host
        yield f"unix:{path}" if path else f"http://{name}:{listener.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_ones:
            connection.close()
        thread.join(60)


def says(*pieces: bytes, keep: bool = True, gap: float = 0.0) -> Script:
    def script(connection: socket.socket, _: bytes) -> bool:
        for piece in pieces:
            connection.sendall(piece)
            if gap:
                time.sleep(gap)
        return keep

    return script


def short(
    target: str, request: Request | None = None, arrivals: Arrivals | None = None, **more: Any
) -> tuple[Samples, GeneratorReport]:
    options: dict[str, Any] = {"seconds": 0.2, "warmup": 0.0, "seed": 1, "deadline": 30.0} | more
    return run(target, request or get("/x"), arrivals or ConstantRate(50), **options)


#: Ten requests, far enough apart that none overtakes the one before on a busy machine.
ONE_AT_A_TIME: dict[str, Any] = {"arrivals": ConstantRate(5), "seconds": 2.0}


def errors_of(samples: Samples) -> set[str]:
    return {ERRORS[code] for code in samples.error}


# What an answer is.

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4\r\nwiki\r\n5;x=y\r\npedia\r\n0\r\nTrailer: t\r\n\r\n"
)
CASES = {
    "counted": (OK, "GET", 200, b"ok\n", True),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "GET", 200, b"", True),
    "chunked": (CHUNKED, "GET", 200, b"wikipedia", True),
    "close": (CLOSING, "GET", 200, b"ok\n", False),
    "http10": (OK.replace(b"1.1", b"1.0"), "GET", 200, b"ok\n", False),
    "http10 kept": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
        "GET", 200, b"x", True,
    ),
    "head": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", 200, b"", True),
    "head chunked": (CHUNKED.partition(b"4\r\n")[0], "HEAD", 200, b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "GET", 204, b"", True),
    "not modified": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET", 304, b"", True,
    ),
    "interim": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, "GET", 200, b"ok\n", True),
    "two interims": (b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + OK, "GET", 200, b"ok\n", True),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_whole_at_its_last_byte_however_it_is_cut(name: str, size: int) -> None:
    raw, method, status, body, keep = CASES[name]
    answer = Answer(method, keep_body=1_000)
    for _ in range(2):  # the object is used again on a kept connection
        answer.reset()
        pieces = [raw[i : i + size] for i in range(0, len(raw), size)]
        assert [answer.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert (answer.status, answer.body, answer.keep) == (status, body, keep)


@pytest.mark.parametrize("size", [1, 10_000])
def test_an_answer_without_a_length_ends_with_its_connection(size: int) -> None:
    raw = b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nall of it"
    answer = Answer("GET", keep_body=1_000)
    for at in range(0, len(raw), size):
        assert not answer.feed(raw[at : at + size])
    assert answer.eof()
    assert (answer.status, answer.body, answer.keep) == (200, b"all of it", False)


def test_what_is_read_of_a_body_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "MAX_BODY", 1_000)
    for head in (b"", b"Transfer-Encoding: chunked\r\n"):
        answer = Answer("GET", keep_body=10)
        assert not answer.feed(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        assert not answer.feed(b"fff\r\n" + b"x" * 495)
        assert not answer.feed(b"x" * 100)
        assert 10 <= len(answer.body) < 595  # only as much as shows whether it is right
        with pytest.raises(ProtocolError, match="than are read"):
            answer.feed(b"x" * 401)


def test_a_counted_answer_does_not_end_with_its_connection() -> None:
    answer = Answer("GET", keep_body=0)
    assert not answer.feed(OK[:-1])
    assert not answer.eof()


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 200\r\n\r\n"[:6] + b"\x00" * 9,
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (http1.MAX_BODY + 1),
        b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nok\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nok\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 3\n\nok\n",
        b"HTTP/1.1 200 OK\n",  # at once, and not when a deadline has passed
        b"HTTP/1.1 200 OK\r\nfolded:\r\n line\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 3\r\n\r\nok\n",
        b"HTTP/1.1 200x\r\nContent-Length: 3\r\n\r\nok\n",
        b"HTTP/1.1 20\r\nContent-Length: 3\r\n\r\nok\n",
        b"HTTP/1.2 200 OK\r\nContent-Length: 3\r\n\r\nok\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 600 + OK,
        OK + b"more",
        OK + OK,
        CHUNKED + b"more",
        CHUNKED + CHUNKED,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    ],
)
def test_what_is_not_one_http1_answer_is_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        Answer("GET", keep_body=0).feed(raw)


@pytest.mark.parametrize(
    ("first", "second", "status", "body"),
    [
        (("200", 3, "0.125"), ("200", 3, "9.875"), 200, b"ok\n"),
        (("200", 3, "0.125"), ("500", 3, "0.125"), 500, b"ok\n"),
        (("200", 3, "0.125"), ("200", 5, "0.125"), 200, b"okay\n"),
    ],
)
def test_a_head_that_differs_in_digits_alone_is_read_anew_where_they_matter(
    first: tuple[str, int, str], second: tuple[str, int, str], status: int, body: bytes
) -> None:
    head = "HTTP/1.1 {} OK\r\nContent-Length: {}\r\nServer-Timing: app;dur={}\r\n\r\n"
    answer = Answer("GET", keep_body=1_000)
    assert answer.feed(head.format(*first).encode() + b"ok\n")
    for size in (1, 10_000):
        raw = head.format(*second).encode() + body
        answer.reset()
        pieces = [raw[i : i + size] for i in range(0, len(raw), size)]
        assert [answer.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert (answer.status, answer.body, answer.keep) == (status, body, True)
        assert answer.head.endswith(second[2].encode())


def test_a_kept_connection_that_will_close_after_a_similar_head_is_noticed() -> None:
    answer = Answer("GET", keep_body=0)
    old = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nDate: 11\r\nContent-Length: 0\r\n\r\n"
    new = b"HTTP/1.1 200 OK\r\nConnection: close\r\nDate: 12\r\nContent-Length: 0\r\n\r\n"
    for raw, keep in ((old, True), (new, False), (new.replace(b"12", b"13"), False), (old, True)):
        answer.reset()
        assert answer.feed(raw)
        assert answer.keep == keep


def test_no_more_heads_are_remembered_than_are_of_use() -> None:
    answer = Answer("GET", keep_body=0)
    for n in range(200):
        answer.reset()
        name = "x" * (n + 1)
        assert answer.feed(f"HTTP/1.1 200 OK\r\n{name}: 1\r\nContent-Length: 0\r\n\r\n".encode())
    assert len(answer._shapes) <= 32


# The raw transport.


def test_every_request_of_the_plan_is_a_sample_on_one_kept_connection() -> None:
    seen: list[bytes] = []

    def script(connection: socket.socket, request: bytes) -> bool:
        seen.append(request)
        connection.sendall(OK)
        return True

    with scripted(script) as target:
        samples, report = short(target, get("/x?y=1", x_name="v"))
    assert samples.scheduled_at == pytest.approx(np.arange(10) / 50, abs=1e-12)
    assert report.planned == report.sent == len(seen) == 10
    assert report.connections >= 1
    assert report.reconnects == 0
    assert errors_of(samples) == {""}
    assert set(samples.status) == {200}
    assert (samples.sent_at >= samples.scheduled_at - 1e-6).all()
    assert (samples.first_byte_at >= samples.sent_at).all()
    assert (samples.finished_at >= samples.first_byte_at).all()
    authority = target.removeprefix("http://").encode()
    assert set(seen) == {b"GET /x?y=1 HTTP/1.1\r\nHost: %s\r\nx-name: v\r\n\r\n" % authority}


def test_head_and_body_in_separate_segments_are_one_answer() -> None:
    with scripted(says(OK[:20], OK[20:-2], OK[-2:], gap=0.003)) as target:
        samples, _ = short(target, replace_expected(get("/"), b"ok\n"))
    assert errors_of(samples) == {""}
    # Not all: what reads late finds the pieces together.
    assert (samples.finished_at - samples.first_byte_at).max() > 0.004


def replace_expected(request: Request, body: bytes) -> Request:
    return Request(request.method, request.path, expected_body=body)


def test_chunked_answers_are_read_to_their_end() -> None:
    with scripted(says(CHUNKED[:60], CHUNKED[60:], gap=0.003)) as target:
        samples, report = short(target, replace_expected(get("/"), b"wikipedia"))
    assert errors_of(samples) == {""}
    assert report.reconnects == 0


def test_who_asks_for_the_connection_to_be_closed_does_not_use_it_again() -> None:
    def polite(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(OK)  # without a word about closing, as uWSGI does
        return False

    with scripted(polite) as url:
        request = get("/", Connection="close")
        samples, report = run(url, request, Closed(2), seconds=0.3, warmup=0)
    assert (samples.error == 0).all()
    assert report.connections == len(samples) > 2


def test_a_generator_that_fell_behind_still_ends_at_its_deadline() -> None:
    with reference_server("null") as server:
        _, report = run(
            server.url, get("/"), ConstantRate(500_000), seconds=0.3, warmup=0, deadline=0.3
        )
    assert report.sent < report.planned == 150_000  # what was left then stays unsent


@pytest.mark.parametrize("answer", [CLOSING, b"HTTP/1.0 200 OK\r\n\r\nuntil the end"])
def test_a_server_that_closes_each_time_costs_a_counted_reconnect(answer: bytes) -> None:
    with scripted(says(answer, keep=False)) as target:
        samples, report = short(target, **ONE_AT_A_TIME)
    assert errors_of(samples) == {""}
    assert report.connections == 10
    assert report.reconnects == 9


def test_a_connection_closed_while_idle_is_replaced_without_an_error() -> None:
    with scripted(says(OK, keep=False)) as target:  # promises to keep, and closes
        samples, report = short(target, **ONE_AT_A_TIME)
    assert errors_of(samples) == {""}
    assert (report.connections, report.reconnects) == (10, 9)


def test_a_connection_that_dies_under_its_request_is_an_error_and_is_not_sent_again() -> None:
    requests: list[bytes] = []

    def script(connection: socket.socket, request: bytes) -> bool:
        requests.append(request)
        if len(requests) % 2:
            connection.sendall(OK)
            return True
        return False

    with scripted(script) as target:
        samples, report = short(target, **ONE_AT_A_TIME)
    assert len(requests) == report.sent == 10
    assert [ERRORS[code] for code in samples.error] == ["", "kept reset"] * 5
    assert np.isnan(samples.finished_at[samples.error > 0]).all()
    assert np.isinf(samples.latency[samples.error > 0]).all()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "status"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "status"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "body"),
        (b"*** this is not HTTP ***", "protocol"),
    ],
)
def test_a_wrong_answer_is_a_sample_with_its_error(answer: bytes, error: str) -> None:
    with scripted(says(answer)) as target:
        samples, report = short(target, replace_expected(get("/"), b"ok\n"))
    assert errors_of(samples) == {error}
    assert report.sent == 10


def test_a_truncated_answer_is_an_error() -> None:
    with scripted(says(OK[:-1], keep=False)) as target:
        samples, _ = short(target)
    assert errors_of(samples) == {"cut off"}
    assert set(samples.status) == {200}


def resets(*pieces: bytes) -> Script:
    """Sends these, waits until they are read, and resets the connection."""

    def script(connection: socket.socket, _: bytes) -> bool:
        for piece in pieces:
            connection.sendall(piece)
        while int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4), sys.byteorder):
            time.sleep(0.001)
        time.sleep(0.01)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return script


UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n\r\nhalf of the bo"


@pytest.mark.parametrize("transport", ["raw", "httpx"])
@pytest.mark.parametrize("answer", [UNTIL_THE_END, OK[:-1], CHUNKED[:-1]])
def test_an_answer_that_a_reset_ends_is_cut_off(answer: bytes, transport: str) -> None:
    with scripted(resets(answer)) as target:
        samples, _ = short(target, transport=transport)
    assert errors_of(samples) == {"cut off"}
    assert np.isnan(samples.finished_at).all()
    assert not samples.length_unknown.any()


def test_an_answer_is_cut_off_also_if_only_the_request_meets_the_reset() -> None:
    """The kernel tells a reset once, here to the sender; the reader finds an end like any other."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)

        def serve() -> None:
            connection, _ = listener.accept()
            accepted.append(connection)
            connection.sendall(UNTIL_THE_END)
            time.sleep(0.2)
            connection.close()  # with much of the request unread, which resets

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        target = f"http://127.0.0.1:{listener.getsockname()[1]}"
        samples, _ = short(target, post("/", bytes(20_000_000)), seconds=0.01, deadline=60)
        thread.join()
    assert errors_of(samples) == {"cut off"}


@pytest.mark.parametrize("transport", ["raw", "httpx"])
def test_an_answer_that_only_its_connection_ends_is_marked(transport: str) -> None:
    with scripted(says(UNTIL_THE_END, keep=False)) as target:
        samples, report = short(target, transport=transport)
        unlike = Request(path="/", expected_body=b"half of the body")
        checked, _ = short(target, unlike, transport=transport)
    assert errors_of(samples) == {""}
    assert samples.length_unknown.all()
    assert errors_of(checked) == {"body"}
    told = summary(samples, report, 0.2)["length_unknown"]
    assert told == "10 answers, which may be whole or cut off"
    with scripted(says(OK)) as target:
        samples, report = short(target, transport=transport)
    assert not samples.length_unknown.any()
    assert "length_unknown" not in summary(samples, report, 0.2)


@pytest.mark.parametrize("pieces", [(b"HTTP/1.1 103 Early Hints\r\n\r\n", OK),
                                    (b"HTTP/1.1 100 Con", b"tinue\r\n\r\n", OK),
                                    (b"HTTP/1.1 100 Con", b"tinue\r\n\r\n" + OK)])  # fmt: skip
def test_an_interim_head_is_not_the_first_byte_of_an_answer(pieces: tuple[bytes, ...]) -> None:
    sent_last: list[float] = []

    def script(connection: socket.socket, _: bytes) -> bool:
        for piece in pieces[:-1]:
            connection.sendall(piece)
            time.sleep(0.02)
        sent_last.append(time.monotonic())
        connection.sendall(pieces[-1])
        return True

    with scripted(script) as target:
        samples, report = short(target, **ONE_AT_A_TIME)
    assert errors_of(samples) == {""}
    assert (samples.first_byte_at + report.monotonic_start >= sent_last).all()


@pytest.mark.parametrize("transport", ["raw", "httpx"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\nok",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000 + OK[:20],
        b"HTTP/1.1 200 OK\r\nServer-Timing: app;dur=1e999\r\nX-Worker: /\r\nX-Started: 1e999\r\n"
        b"Content-Length: 0\r\n\r\n",
    ],
)
def test_no_answer_however_absurd_ends_a_run(answer: bytes, transport: str) -> None:
    with scripted(says(answer)) as target:
        samples, report = short(target, transport=transport, deadline=2.0)
    assert report.planned == len(samples) == 10
    assert np.isnan(samples.service).all()
    assert np.isnan(samples.started_at).all()
    if transport == "raw":
        assert errors_of(samples) == ({""} if b"1e999" in answer else {"protocol"})


def test_statuses_that_the_request_expects_are_no_errors() -> None:
    with scripted(says(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")) as target:
        samples, _ = short(target, Request(path="/", expected=(503,)))
    assert errors_of(samples) == {""}
    assert set(samples.status) == {503}


def test_what_has_no_answer_by_the_deadline_is_censored_and_the_run_ends() -> None:
    count = 0

    def script(connection: socket.socket, _: bytes) -> bool:
        nonlocal count
        count += 1
        if count % 5:
            connection.sendall(OK)
        return True

    with scripted(script) as target:
        samples, report = short(target, deadline=1.0)  # without it, the run would never end
    assert sorted(ERRORS[code] for code in samples.error) == [""] * 8 + ["deadline"] * 2
    assert (np.isnan(samples.finished_at) == (samples.error > 0)).all()
    assert report.sent == 10
    assert report.wall_seconds >= samples.scheduled_at[samples.error > 0].max() + 1.0


def test_an_answer_after_its_deadline_is_censored_even_if_it_was_seen() -> None:
    def script(connection: socket.socket, request: bytes) -> bool:
        time.sleep(0.25)
        connection.sendall(OK)
        return True

    with scripted(script) as target:  # the run goes on long after the first answer has come
        samples, _ = short(target, arrivals=ConstantRate(5), seconds=3, deadline=0.2)
    assert errors_of(samples) == {"deadline"}
    assert not np.isnan(samples.first_byte_at[0])
    assert np.isnan(samples.finished_at).all()


def test_a_slow_server_does_not_slow_the_plan() -> None:
    def script(connection: socket.socket, _: bytes) -> bool:
        time.sleep(2.0)
        connection.sendall(OK)
        return True

    with scripted(script) as target:
        samples, report = short(target)
    assert samples.sent_at.max() < samples.finished_at.min()
    assert report.connections == report.peak_in_flight == 10
    assert (samples.latency >= 2.0).all()


def test_large_bodies_go_out_and_come_back_whole() -> None:
    body = os.urandom(3_000_000)

    def script(connection: socket.socket, request: bytes) -> bool:
        assert request.endswith(body)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return True

    with scripted(script) as target:
        request = Request("POST", "/echo", body=body, expected_body=body)
        samples, _ = short(target, request, ConstantRate(10), seconds=0.3)
    assert errors_of(samples) == {""}


def test_unix_sockets_are_targets(tmp_path: Path) -> None:
    with scripted(says(OK), tmp_path / "s") as target:
        samples, report = short(target)
    assert errors_of(samples) == {""}
    assert report.sent == 10


@pytest.fixture
def ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as unused:
            unused.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")


@dataclass(frozen=True)
class Listening:
    target: str


@pytest.mark.usefixtures("ipv6")
def test_ipv6_loopback_is_a_target_for_every_client() -> None:
    heads: list[bytes] = []

    def script(connection: socket.socket, request: bytes) -> bool:
        heads.append(request)
        connection.sendall(OK)
        return True

    with scripted(script, ipv6=True) as target:
        for transport in ("raw", "httpx"):
            samples, _ = short(target, seconds=0.1, transport=transport)
            assert errors_of(samples) == {""}
        assert ask(Listening(target), "/x").body == b"ok\n"
        assert stream(target, get("/x"))
        open_connection(Listening(target)).close()
    authority = target.removeprefix("http://").encode()
    assert authority.startswith(b"[::1]:")
    assert len(heads) == 5 + 5 + 1 + 1
    assert all(b"host: %s\r\n" % authority in head.lower() for head in heads)


@pytest.mark.usefixtures("ipv6")
def test_ipv6_loopback_is_a_target_for_websockets() -> None:
    with echoing("::1") as port:
        target = f"http://[::1]:{port}"
        samples, _ = short(target, post("/", b"hello"), transport="websocket", connections=2)
        assert errors_of(samples) == {""}
        with websockets(Listening(target), 1, "/", within=60.0) as (connection,):
            assert echoes(connection, "hello", timeout=60.0)


@pytest.mark.parametrize(
    ("target", "endpoint", "authority"),
    [
        ("http://127.0.0.1:8000", Endpoint("127.0.0.1", 8000), "127.0.0.1:8000"),
        ("http://localhost:80", Endpoint("127.0.0.1", 80), "127.0.0.1:80"),
        ("http://[::1]:8000/", Endpoint("::1", 8000), "[::1]:8000"),
        ("unix:/a/b", Endpoint("/a/b", 0), "localhost"),
    ],
)
def test_a_target_names_an_endpoint(target: str, endpoint: Endpoint, authority: str) -> None:
    assert Endpoint.parse(target) == endpoint
    assert endpoint.authority == authority
    assert endpoint.path == (None if endpoint.port else "/a/b")


def test_who_asks_a_full_unix_backlog_again_is_delayed_and_loses_none(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        path = tmp_path / "s"
        listener.bind(str(path))
        listener.listen(0)

        def serve() -> None:
            select.select([listener], [], [])  # the first of them is waiting
            time.sleep(0.6)
            for _ in range(10):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(CLOSING)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        samples, report = short(f"unix:{path}", retry=True)
        thread.join()
    assert errors_of(samples) == {""}
    assert samples.latency.max() > 0.3
    assert report.retries > 1
    assert summary(samples, report, 0.2)["retries"] == report.retries


@pytest.mark.parametrize("transport", ["raw", "httpx"])
def test_a_full_unix_backlog_refuses_requests_and_that_is_counted(
    transport: str, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        path = tmp_path / "s"
        listener.bind(str(path))
        listener.listen(0)  # the first waits; the kernel turns the others away
        samples, report = short(f"unix:{path}", deadline=0.5, transport=transport)
    assert [ERRORS[code] for code in samples.error] == ["deadline"] + ["backlog full"] * 9
    assert np.isnan(samples.sent_at[1:]).all()
    assert (report.sent, report.connections, report.retries) == (1, 1, 0)


def test_clients_all_at_once_are_told_of_a_full_unix_backlog(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        path = tmp_path / "s"
        listener.bind(str(path))
        listener.listen(0)
        replies = together(Listening(f"unix:{path}"), ["/x"] * 5, timeout=0.5)
    assert sorted(reply.error for reply in replies) == ["BacklogFull"] * 4 + ["ReadTimeout"]


def test_only_the_raw_transport_asks_a_full_unix_backlog_again() -> None:
    with pytest.raises(InputError, match="transport='raw' only, not with 'httpx'"):
        short("http://127.0.0.1:9", transport="httpx", retry=True)


def test_the_apps_own_headers_are_read_only_when_asked_for() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nServer-Timing: db;dur=9, app;dur=12.345\r\nx-worker: 7/70\r\n"
        b"X-Started: %.6f\r\nContent-Length: 0\r\n\r\n"
    )

    def script(connection: socket.socket, _: bytes) -> bool:
        connection.sendall(answer % time.monotonic())
        return True

    with scripted(script) as target:
        samples, _ = short(target)
        plain, _ = short(target, trace=False)
    assert samples.service == pytest.approx(np.full(10, 0.012345))
    assert (samples.started_at >= samples.sent_at - 1e-5).all()
    assert (samples.started_at <= samples.finished_at).all()
    assert samples.workers == ("7/70",)
    assert set(samples.worker) == {0}
    assert np.isnan(plain.service).all()
    assert plain.workers == ()


def test_a_header_that_makes_no_sense_is_no_number() -> None:
    head = b"\r\nServer-Timing: app;dur=1.2.3\r\nX-Started: " + b"9" * 400
    columns = wire.Columns(array("d", [0.0]))
    columns.heads[0] = head
    buffers, _, _ = wire.decode(columns.encode(wire.Tally()))
    assert np.isnan(np.frombuffer(buffers["service"])).all()
    assert np.isnan(np.frombuffer(buffers["started_at"])).all()


# The closed model.


def test_closed_clients_wait_for_their_answers() -> None:
    def script(connection: socket.socket, _: bytes) -> bool:
        time.sleep(0.05)
        connection.sendall(OK)
        return True

    with scripted(script) as target:
        samples, report = short(target, arrivals=Closed(3), seconds=0.4)
    assert report.connections == report.peak_in_flight == 3
    assert 3 < report.sent == report.planned <= 3 * 8
    assert errors_of(samples) == {""}
    assert (samples.scheduled_at < 0.4).all()


def test_closed_clients_keep_their_connections_while_they_think() -> None:
    with scripted(says(OK)) as target:
        samples, report = short(target, arrivals=Closed(4, think=0.1), seconds=0.35)
    assert report.connections == 4
    assert 4 < report.sent <= 16
    starts = np.sort(samples.scheduled_at)
    assert (starts[4:] - starts[:-4]).min() >= 0.099  # nobody asks twice within a thought


def test_closed_clients_survive_failures_without_spinning() -> None:
    calls = 0

    def script(connection: socket.socket, _: bytes) -> bool:
        nonlocal calls
        calls += 1
        return False

    with scripted(script) as target:
        samples, report = short(target, arrivals=Closed(2), seconds=0.3)
    assert errors_of(samples) == {"reset"}
    assert 2 < report.sent <= 2 * 32


# The other transports.


@pytest.mark.parametrize("arrivals", [ConstantRate(50), Closed(2, think=0.04)])
def test_httpx_brings_the_same_columns(arrivals: Arrivals) -> None:
    with reference_server("null") as server:
        samples, report = short(server.url, arrivals=arrivals, transport="httpx", seconds=0.4)
    assert errors_of(samples) == {""}
    assert report.transport == "httpx"
    assert report.sent == len(samples) >= 2
    assert (samples.first_byte_at >= samples.sent_at).all()
    assert (samples.service >= 0).all()
    assert len(samples.workers) == 1


def test_httpx_counts_errors_and_censors() -> None:
    count = 0

    def script(connection: socket.socket, _: bytes) -> bool:
        nonlocal count
        count += 1
        if count == 1:
            connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        elif count == 2:
            return False
        elif count == 3:
            connection.sendall(b"*** this is not HTTP ***\r\n\r\n")
        elif count == 4:
            time.sleep(8)
        else:
            connection.sendall(OK)
        return True

    with scripted(script) as target:
        samples, _ = short(
            target, arrivals=ConstantRate(10), seconds=0.5, transport="httpx", deadline=3.0
        )
    # In any order: the first may be overtaken while its connection is made.
    found = sorted(ERRORS[code].removeprefix("kept ") for code in samples.error)
    assert found == sorted(["status", "reset", "protocol", "deadline", ""])


def test_httpx_is_refused_above_its_rate() -> None:
    for arrivals in (ConstantRate(101), Poisson(200), Closed(1), Closed(11, think=0.1)):
        with pytest.raises(InputError, match="httpx is for at most 100"):
            short("http://127.0.0.1:9", arrivals=arrivals, transport="httpx")


ECHO = """
import asyncio, sys
from websockets.asyncio.server import serve
async def echo(socket):
    async for message in socket:
        if message == "hang":
            continue
        await socket.send(message)
async def main():
    async with serve(echo, sys.argv[1], 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""


@contextlib.contextmanager
def echoing(host: str) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", ECHO, host], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with echoing("127.0.0.1") as port:
        yield f"http://127.0.0.1:{port}"


def test_websocket_messages_are_echoed_over_connections_opened_before(echo: str) -> None:
    request = post("/", b"hello")
    samples, report = short(echo, request, transport="websocket", connections=3)
    assert errors_of(samples) == {""}
    assert report.connections == 3
    assert report.sent == 10
    samples, report = short(echo, request, Closed(2, think=0.02), transport="websocket")
    assert errors_of(samples) == {""}
    assert report.connections == 2
    assert report.sent > 2


def test_websocket_messages_without_an_answer_are_censored(echo: str) -> None:
    samples, report = short(echo, post("/", b"hang"), transport="websocket", deadline=0.3)
    assert errors_of(samples) == {"deadline"}
    assert report.sent == 10


def test_a_plain_server_is_no_websocket_endpoint() -> None:
    with scripted(says(OK)) as target, pytest.raises(LoadError, match="no WebSocket endpoint"):
        short(target, transport="websocket")


# Failing, and ending.


def test_a_run_without_any_connection_raises() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take it
        port = unused.getsockname()[1]
        with pytest.raises(LoadError, match="no connection"):
            short(f"http://127.0.0.1:{port}")
        with pytest.raises(LoadError, match="no connection"):
            short(f"http://127.0.0.1:{port}", transport="httpx")


def test_a_generator_that_fails_raises_with_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "TRANSPORTS", ("raw", "no such", "websocket", "httpx"))
    monkeypatch.setattr(wire.Job, "encode", lambda self: b"\0" * 7 + b"\2{]")
    with pytest.raises(LoadError, match="JSONDecodeError"):
        short("http://127.0.0.1:9")


@pytest.mark.parametrize(
    "target",
    [
        "http://10.0.0.1:80", "http://example.org:80", "https://127.0.0.1:443", "127.0.0.1:80",
        "http://127.0.0.1", "http://127.0.0.1:80/path", "http://0.0.0.0:80", "unix:relative", "",
        "http://127.0.0.1:99999", "http://[::1]", "http://[::1", "http://[::2]:80",
    ],
)  # fmt: skip
def test_anything_but_a_loopback_address_is_refused(target: str) -> None:
    with pytest.raises(InputError, match=r"127|unix|path belongs|no address"):
        short(target)
    with pytest.raises(InputError, match=r"127|unix|path belongs|no address"):
        stream(target, get("/"))


@pytest.mark.parametrize("url", ["ws://127.0.0.1:80", "wss://127.0.0.1:80"])
def test_a_websocket_url_is_refused_with_what_to_write_instead(url: str) -> None:
    for refused in (lambda: short(url), lambda: split_url(url)):
        with pytest.raises(
            InputError, match=r"write http://127.0.0.1:80, .* transport='websocket'"
        ):
            refused()


@pytest.mark.parametrize("url", ["http://me:s3cret@127.0.0.1:80", "http://me:s3cret@10.0.0.1:80"])
def test_a_password_is_refused_and_not_repeated(url: str) -> None:
    for refused in (lambda: short(url), lambda: split_url(url), lambda: stream(url, get("/"))):
        with pytest.raises(InputError, match="send them as a header") as told:
            refused()
        assert "s3cret" not in str(told.value)
    record = json.dumps(get("/", Authorization="Basic s3cret", cookie="s3cret", a="b").as_dict())
    assert "s3cret" not in record
    assert '["a", "b"]' in record


@pytest.mark.parametrize(
    "options",
    [
        {"seconds": 0}, {"seconds": float("nan")}, {"warmup": -1}, {"deadline": 0},
        {"transport": "curl"}, {"pin": 4096}, {"connections": 0},
    ],
)  # fmt: skip
def test_senseless_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        short("http://127.0.0.1:9", **options)


@pytest.mark.parametrize(
    "parts",
    [
        {"path": "x"}, {"path": "/a b"}, {"path": "/a\r\nHost: b"}, {"path": "/ä"},
        {"method": "GET /"}, {"headers": (("a b", "c"),)}, {"headers": (("a", "b\r\nc: d"),)},
    ],
)  # fmt: skip
def test_a_request_cannot_break_out_of_its_head(parts: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Request(**parts)


def test_a_url_is_split_into_target_and_request() -> None:
    assert split_url("http://127.0.0.1:8000/a?b=c") == ("http://127.0.0.1:8000", get("/a?b=c"))
    assert split_url("http://localhost:8000") == ("http://localhost:8000", get("/"))
    assert split_url("http://[::1]:8000/a") == ("http://[::1]:8000", get("/a"))
    with pytest.raises(InputError, match="this machine only"):
        split_url("http://example.org/")
    with pytest.raises(InputError, match="no address"):
        split_url("http://[::1")


def test_a_request_is_recorded_as_json() -> None:
    record = post("/p", b"text", content_type="text/plain").as_dict()
    assert json.loads(json.dumps(record)) == record
    assert record["headers"] == [["content-type", "text/plain"]]
    assert record["body"] == "text"
    assert post("/p", b"\xff").as_dict()["body"].startswith("sha256:a8100ae6")


def test_error_codes_of_the_generator_are_those_of_the_results() -> None:
    names = ["OK", *(name.upper().replace(" ", "_") for name in ERRORS[1:])]
    assert [getattr(wire, name) for name in names] == list(range(len(ERRORS)))


def children(of: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[1]) == of and fields[0] != b"Z":
                    found.add(int(entry.name))
    return found


OWNER = """
import sys
from gatewaylab.load.request import get
from gatewaylab.load.run import run
from gatewaylab.model.arrivals import ConstantRate
run(sys.argv[1], get("/"), ConstantRate(20), seconds=600, transport=sys.argv[2])
"""


@pytest.mark.parametrize("transport", ["raw", "httpx"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_generator_ends_with_its_owner(transport: str, number: signal.Signals) -> None:
    with scripted(says(OK)) as target:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, target, transport], stderr=subprocess.DEVNULL
        )
        try:
            assert until(lambda: bool(children(owner.pid)), within=60)
            (generator,) = children(owner.pid)
            time.sleep(0.5)
            owner.send_signal(number)
            owner.wait(60)
            assert until(lambda: not Path(f"/proc/{generator}").exists(), within=60)
        finally:
            owner.kill()
            owner.wait()


def test_the_lifeline_alone_ends_the_generator() -> None:
    reader, writer = os.pipe()
    job = wire.Job(
        transport="raw", host="127.0.0.1", port=9, request=b"", method="GET", path="/",
        headers=[], body=b"", expected=[], expected_body=None, clients=0, think=0.0,
        duration=600.0, deadline=1.0, trace=False, pin=None, parent=os.getpid(), lifeline=reader,
        connections=1, plan=array("d", [500.0]),
    )  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "gatewaylab.load.generator", str(os.getpid())],
        stdin=subprocess.PIPE,
        pass_fds=(reader,),
    ) as process:
        assert process.stdin is not None
        process.stdin.write(job.encode())
        process.stdin.close()
        os.close(reader)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        os.close(writer)
        assert process.wait(60) == 1


def test_a_generator_whose_owner_is_gone_does_not_wait_for_a_job() -> None:
    """Its standard input may be held open for ever by a fork of the owner."""
    command = [sys.executable, "-m", "gatewaylab.load.generator", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 0


# Looking at one stream, and printing.


def test_a_stream_is_timed_by_chunk_and_an_event_stream_by_event() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%s\r\n"
    chunks = [b"3\r\nabc\r\n"] * 3 + [b"0\r\n\r\n"]
    with scripted(says(head % b"", *chunks, gap=0.05)) as target:
        times = stream(target, get("/stream"))
    assert len(times) == 3
    assert max(np.diff(times)) > 0.02  # the larger: what reads late finds the pieces together
    events = [b"e\r\ndata: 0\n\ndata:\r\n", b"d\r\n 1\n\ndata: 2\n\n\r\n", b"0\r\n\r\n"]
    kind = b"Content-Type: text/event-stream\r\n"
    with scripted(says(head % kind, *events, gap=0.5)) as target:
        times = stream(target, get("/sse"))
    assert len(times) == 3
    assert times[0] < times[1] == times[2]


def test_a_stream_that_fails_raises() -> None:
    with (
        scripted(says(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")) as target,
        pytest.raises(LoadError, match="404"),
    ):
        stream(target, get("/stream"))
    with scripted(says(OK[:-1], keep=False)) as target, pytest.raises(LoadError):
        stream(target, get("/stream"))


def test_the_summary_states_what_the_samples_can_carry() -> None:
    samples = builders.samples([0.01] * 180 + [math.inf] * 20)
    samples = samples.model_copy(update={"sent_at": samples.scheduled_at + 0.0002})
    report = builders.report(planned=200, sent=200, connections=21)
    table = summary(samples, report, 1.0, warmup=1.0, deadline=2.0)
    assert table["planned"] == 100
    assert table["sent_rate"] == 100.0
    assert table["throughput"] == 80.0
    assert table["errors"] == {"deadline": 20}
    assert table["p50_ms"] == 10.0
    assert table["p90_ms"] == table["p95_ms"] == table["max_ms"] == ">= 2000"
    assert "p99_ms" not in table
    assert table["send_lag_p99_ms"] == 0.2
    assert table["connections"] == 21
    assert "quantiles_leave_out" not in table


def test_the_summary_of_errors_does_not_show_how_fast_they_came() -> None:
    with scripted(says(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")) as target:
        samples, report = short(target, arrivals=ConstantRate(200))
    table = summary(samples, report, 0.2)
    assert table["errors"] == {"status": 40}
    assert table["quantiles_leave_out"] == "the 40 requests that failed"
    assert not {"p50_ms", "p90_ms", "max_ms"} & {*table}
