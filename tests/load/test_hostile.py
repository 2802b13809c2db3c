"""The lean transport against servers that send anything at all, with h11 as the second opinion."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from unittest.mock import Mock

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gatewaylab.load import http1, raw, wire

pytestmark = pytest.mark.slow

#: More than any answer needs; who waits for it waits for something that never comes.
PATIENCE = 60.0
RESET = struct.pack("ii", 1, 0)


@dataclass
class Hostile:
    """A server that answers each connection with the same bytes, and then ends it or stays."""

    port: int
    answer: bytes = b""
    end: str = "close"

    def serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # of accept, when the test is over
            while True:
                self.reply(listener.accept()[0])

    def reply(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client may have seen enough
            connection.settimeout(PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += connection.recv(65_536)
            connection.sendall(self.answer)
            if self.end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif self.end == "stay":
                connection.recv(1)


@pytest.fixture(scope="module")
def hostile() -> Iterator[Hostile]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Hostile(listener.getsockname()[1])
        thread = threading.Thread(target=server.serve, args=(listener,), daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


@dataclass(frozen=True)
class Answer:
    """What a server sends, and whether it is right in every way."""

    data: bytes
    right: bool


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    right = True

    def pick(good: list[bytes], bad: list[bytes]) -> bytes:
        nonlocal right
        choice = draw(st.integers(0, 9 if bad else 8))
        if choice < 9:
            return draw(st.sampled_from(good))
        right = False
        return draw(st.sampled_from(bad))

    body = draw(st.binary(max_size=40))
    length = b"Content-Length: %d\r\n" % len(body)
    chunked = b"Transfer-Encoding: chunked\r\n"
    framing = draw(st.sampled_from(["counted", "chunked", "until close", "empty"]))
    if framing == "counted":
        lines = pick([length], [
            b"", length * 2, length + b"Content-Length: %d\r\n" % (len(body) + 1), length + chunked,
            b"Content-Length: %d\r\n" % (len(body) + 1), b"Content-Length: 0\r\n",
            length.replace(b":", b" :"), length.replace(b" ", b"\x0b"), length.replace(b"\r", b""),
            b"Content-Length: -1\r\n", b"Content-Length: +%d\r\n" % len(body),
            b"Content-Length: 0x2\r\n", b"Content-Length: 1_0\r\n",
            b"Content-Length: " + b"9" * 5_000 + b"\r\n", b"Content-Length: %d\r\n" % 2**63,
            b"Content-Length:\r\n %d\r\n" % len(body), b"Content-Length: 2, 2\r\n",
        ])  # fmt: skip
    elif framing == "chunked":
        lines = pick([chunked], [
            chunked * 2, b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
            b"Transfer-Encoding:\r\n", b"Transfer-Encoding: xchunked\r\n", chunked + length,
            b"Transfer-Encoding: chunked, identity\r\n", b"Transfer-Encoding : chunked\r\n",
        ])  # fmt: skip
        pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
        body = b""
        for piece in pieces:
            size = pick([b"%x", b"%X", b"0%x"], [b"%x ", b" %x", b"0x%x", b"-%x", b"", b"f" * 20])
            size = size % len(piece) if b"%" in size else size
            extension = pick([b"", b";x=y", b';x="y z"'], [b";\x00", b";x\n", b"\n", b";" * 9_000])
            end = pick([b"\r\n"], [b"", b"\n", b"\r", b"x\r\n"])
            body += size + extension + b"\r\n" + piece + end
        trailer = pick([b"", b"Trailer: t\r\n"], [
            b"Content-Length: 3\r\n", b"no colon\r\n", b" \r\n", b"a : b\r\n", b"a: b\n",
            b"A: " + b"b" * 70_000 + b"\r\n",
        ])  # fmt: skip
        body += (
            pick([b"0", b"000"], [b"", b"00;\n"])
            + b"\r\n"
            + trailer
            + pick([b"\r\n"], [b"", b"\n"])
        )
    else:
        lines = b""
    if framing == "empty":
        body = b""
        status = pick([b"204 No Content", b"304 Not Modified"], [b"101 Switching", b"100 Continue"])
    else:
        status = pick([b"200 OK", b"200", b"201 ", b"404 Not Found", b"599 Odd"], [
            b"2000 OK", b"200x", b"20", b"99 Low", b"", b"-20 OK", b"+20 OK", b"2 0 OK", b"200\tOK",
            b"200 \x00", b"1000 High", b" 200 OK", b"0200 OK",
        ])  # fmt: skip
    version = pick([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"], [
        b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.1.1", b"ICY", b"HTTP/1",
        b"\r\nHTTP/1.1",
    ])  # fmt: skip
    closing, kept = b"Connection: close\r\n", b"Connection: keep-alive\r\n"
    more = pick([b"", closing, kept, b"Date: now\r\nX: y\r\n"], [
        b"a b: c\r\n", b"no colon\r\n", b"X: y\n", b": empty\r\n", b"X: y\r\n folded\r\n",
        b"X: " + b"y" * 70_000 + b"\r\n", b"X: y\r\n" * 12_000, b"X: \x00\r\n", b"X\x80: y\r\n",
        b"Upgrade: h2c\r\nConnection: upgrade\r\n",
    ])  # fmt: skip
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    before = pick(
        [b"", b"", interim, b"HTTP/1.1 100 Continue\r\n\r\n" * 2],
        [
            interim * 600,
            interim[:-2],
            b"\r\n",
            b"HTTP/1.1 101 Switching\r\n\r\n",
            b"HTTP/1.1 10\r\n\r\n",
        ],
    )
    after = pick([b""], [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
    data = before + version + b" " + status + b"\r\n" + more + lines + b"\r\n" + body + after
    damage = draw(st.sampled_from(["none", "none", "cut", "line feeds", "bytes"]))
    if damage == "cut":
        data, right = data[: draw(st.integers(0, len(data)))], False
    elif damage == "line feeds":
        data, right = data.replace(b"\r\n", b"\n"), False
    elif damage == "bytes":
        right = False
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, min(len(data), 400)))
            data = data[:at] + draw(st.binary(max_size=2)) + data[at + draw(st.integers(0, 2)) :]
    return Answer(data, right)


def second_opinion(method: str, data: bytes, end: str) -> tuple[int, bytes] | None:
    """Status and body as h11 reads them; None if it sees no whole answer."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    status, body = 0, b""
    closed = end == "stay"  # then there is nothing more to be told
    try:
        client.receive_data(data) if data else None
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return status, body
            elif event is h11.NEED_DATA and end == "close" and not closed:
                closed = True
                client.receive_data(b"")
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


def ours(
    port: int, method: str, expected_body: bytes | None, deadline: float
) -> tuple[int, int, wire.Columns]:
    """Status, error and all columns of one request of the raw transport, in this process."""
    job = wire.Job(
        transport="raw", host="127.0.0.1", port=port, method=method, path="/", headers=[],
        request=f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode(), body=b"",
        expected=list(range(1000)), expected_body=expected_body, clients=0, think=0.0, duration=0.0,
        deadline=deadline, trace=True, pin=None, parent=os.getpid(), lifeline=-1, connections=1,
        plan=array("d", [0.0]),
    )  # fmt: skip
    columns, _ = raw.run(job)
    columns.heads.settle()
    answered = columns.finished_at[0] == columns.finished_at[0]
    return (
        columns.status[0],
        columns.error[0] if answered else columns.error[0] or wire.DEADLINE,
        columns,
    )


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.timeout(3_600)  # for the ten thousand
@settings(
    # Some hundred at each run, and as many as the profile asks for: --hypothesis-profile=nightly.
    max_examples=max(300, settings().max_examples),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    answer=answers(),
    method=st.sampled_from(["GET", "GET", "GET", "HEAD"]),
    end=st.sampled_from(["close", "close", "reset", "stay"]),
    size=st.sampled_from([65_536, 65_536, 64, 3, 1]),
)
@example(Answer(OK, True), "GET", "stay", 1)
@example(Answer(OK.replace(b"\r\n", b"\n"), False), "GET", "close", 65_536)
@example(Answer(b"HTTP/1.1 200 OK\r\n\r\nhalf", False), "GET", "reset", 65_536)
def test_no_answer_passes_that_another_client_does_not_take_for_whole(
    hostile: Hostile,
    answer: Answer,
    method: str,
    end: str,
    size: int,
) -> None:
    if len(answer.data) > 10_000:
        size = 65_536  # byte by byte, a head of 70 kB is read 70 000 times
    hostile.answer, hostile.end = answer.data, end
    other = second_opinion(method, answer.data, end)
    waits = end == "stay" and other is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "_READ", size)
        patch.setattr(wire, "LEAD", 0.0)
        patch.setattr(raw, "gc", Mock())  # no clean process for each answer
        body = None if other is None else other[1]
        status, error, columns = ours(hostile.port, method, body, 0.1 if waits else PATIENCE)
    if error == wire.OK:
        assert other is not None
        assert status == other[0]  # and the body is the other's, or the error would be `body`
        assert columns.first_byte_at[0] <= columns.finished_at[0]
    assert error != wire.BODY
    assert waits or error != wire.DEADLINE
    if answer.right and method == "GET" and other is not None and end != "reset":
        assert error == wire.OK


NEXT_DIGIT = bytes.maketrans(b"0123456789", b"1234567890")


def read(data: bytes, shapes: http1.Shapes) -> tuple[object, ...]:
    one = http1.Answer("GET", keep_body=2**20, shapes=shapes)
    try:
        whole = one.feed(data)
    except http1.ProtocolError:
        return (None,)
    return whole, one.eof(), one.status, one.head, one.body, one.keep


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(answer=answers())
def test_what_was_seen_before_does_not_change_how_an_answer_is_read(answer: Answer) -> None:
    shapes: http1.Shapes = {}
    read(answer.data[:9] + answer.data[9:].translate(NEXT_DIGIT), shapes)
    read(answer.data, shapes)
    assert read(answer.data, shapes) == read(answer.data, {})
