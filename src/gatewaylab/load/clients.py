"""Clients that behave as visitors do: all at once, on a bad line, silent, staying, leaving early.

They show behaviour: who was answered, in which order, how often. They run in this process and
share its interpreter lock, so they are exact to some milliseconds; latency is measured by `load`.
Everything here connects to loopback only, and a ``with`` block ends what it began.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol, TypeVar

import httpx

from gatewaylab.errors import InputError, ServerError
from gatewaylab.guard import procfs
from gatewaylab.load import http1, unix
from gatewaylab.load.request import Endpoint, Request, Target, get
from gatewaylab.servers.fronts import Secured
from gatewaylab.timeline import session

Result = TypeVar("Result")

#: A server's header is a server's text: it may say anything, and must not end the caller.
_PLAIN = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_WORKER = re.compile(r"([0-9]{1,20})/([0-9]{1,20})")

#: A server has settled when all its threads wait in so many looks, so many seconds apart.
_LOOKS, _APART = 3, 0.01


class Listening(Protocol):
    """What clients need to know of a server; `serve.Running` is one."""

    @property
    def target(self) -> Target:
        """Its loopback address."""


class Watched(Listening, Protocol):
    """What they need to know to see it come to rest; `serve.Running` is one."""

    def pids(self) -> set[int]:
        """Its processes."""


@dataclass(frozen=True)
class Reply:
    """What one request came to.

    Attributes:
        status: HTTP status; None when no answer came.
        headers: by name in lower case. body: as far as it came, unpacked.
        http_version: ``HTTP/1.1`` or ``HTTP/2``; empty without an answer.
        begun: monotonic clock when the request was sent, in seconds.
        seconds: from there to the end of the answer, or to giving up.
        pieces: from there to each piece of the body, in seconds.
        error: why there is no whole answer: the exception's name, ``BacklogFull`` where a unix
            socket turned the connection away, or ``TooLarge``; empty when there is one, or when one
            without a length ended with its connection.
    """

    status: int | None
    headers: Mapping[str, str]
    body: bytes
    http_version: str
    begun: float
    seconds: float
    pieces: tuple[float, ...]
    error: str = ""

    @property
    def ended(self) -> float:
        """Monotonic clock at the end of the answer, in seconds."""
        return self.begun + self.seconds

    @property
    def process(self) -> int | None:
        """The process whose demo application answered; None if none did."""
        return self._worker(1)

    @property
    def thread(self) -> int | None:
        """The thread or greenlet that did, a number within its process; None if none did."""
        return self._worker(2)

    @property
    def started(self) -> float:
        """Monotonic clock when the request came to the demo application; ∞ if it never did."""
        return _number(self.headers.get("x-started", ""))

    def _worker(self, part: int) -> int | None:
        worker = _WORKER.fullmatch(self.headers.get("x-worker", ""))
        return None if worker is None else int(worker[part])

    @property
    def text(self) -> str:
        """The body as UTF-8; bytes that are not become replacement characters."""
        return self.body.decode(errors="replace")


def ask(server: Listening, request: Request | str, *, timeout: float = 30.0) -> Reply:
    """Send one request, a whole one or a path to GET, on a connection of its own.

    Args:
        timeout: seconds without a byte after which the client gives up.
    """
    return together(server, [request], timeout=timeout)[0]


def together(
    server: Listening,
    requests: Sequence[Request | str],
    *,
    timeout: float = 30.0,
    http2: bool = False,
    shared: bool = True,
    apart: float = 0.0,
) -> list[Reply]:
    """Send all requests at once and wait for every answer, in the order of the requests.

    Args:
        timeout: seconds without a byte after which a client gives up.
        http2: send them as the streams of one HTTP/2 connection, without TLS in prior knowledge
            (RFC 9113, section 3.3); otherwise each has an HTTP/1.1 connection of its own.
        shared: over HTTP/2, all on one connection. There httpx's streams read by turns, and the one
            whose turn it is keeps others from what has come for them: not for moments of pieces.
        apart: seconds between one request and the next.

    A server that is `Secured` is spoken to over TLS, and must have its own certificate.
    """
    whole = [get(one) if isinstance(one, str) else one for one in requests]
    endpoint = Endpoint.parse(server.target)
    if http2:
        session.speak("HTTP/2")
    # By default httpx would read the system's certificates first, which takes longer than most
    # answers do.
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    scheme = "http"
    if isinstance(server, Secured):
        trusted.load_verify_locations(server.certificate)
        scheme = "https"

    def client() -> httpx.AsyncClient:
        transport = unix.transport(
            endpoint.path,
            verify=trusted,
            http1=not http2,
            http2=http2,
            limits=httpx.Limits(
                max_connections=1 if http2 else None,
                max_keepalive_connections=1 if http2 else 0,
            ),
        )
        base = f"{scheme}://{endpoint.authority}"
        return httpx.AsyncClient(
            transport=transport, base_url=base, timeout=timeout, trust_env=False
        )

    async def run() -> list[Reply]:
        async with contextlib.AsyncExitStack() as stack:
            own = [
                await stack.enter_async_context(client()) for _ in whole[: 1 if shared else None]
            ]

            async def later(place: int, request: Request) -> Reply:
                await asyncio.sleep(place * apart)
                return await _exchange(own[place % len(own)], request)

            return await asyncio.gather(*(later(*each) for each in enumerate(whole)))

    return _elsewhere(run)


def span(replies: Sequence[Reply]) -> float:
    """Seconds from the first request's start to the last answer's end."""
    return max(reply.ended for reply in replies) - min(reply.begun for reply in replies)


def inside(reply: Reply) -> tuple[float, float]:
    """When a request came to the demo application, and when its answer was ready there.

    Both by the monotonic clock, as the headers of every answer tell; what a client, the network or
    a queue before the application add is not in them.

    Raises:
        ServerError: the answer has no such headers, or they make no sense.
    """
    came = _number(reply.headers.get("x-started", ""))
    ready = came + _number(reply.headers.get("server-timing", "").partition("dur=")[2]) / 1000
    if not math.isfinite(ready):
        raise ServerError(
            "the answer does not say when the application was at work; ask a path of a demo "
            f"application, through nothing that takes its headers away (status {reply.status})"
        )
    return came, ready


def most_at_once(intervals: Iterable[Sequence[float]]) -> int:
    """How many of these intervals, each from a moment to a later one, most share one moment.

    Where one ends as the next begins they share none.
    """
    steps = [step for begun, ended in intervals for step in ((begun, 1), (ended, -1))]
    return max(accumulate(change for _, change in sorted(steps)), default=0)


def peak_inside(replies: Iterable[Reply]) -> int:
    """How many of these requests most were inside the demo application at one moment."""
    return most_at_once(map(inside, replies))


def _number(text: str) -> float:
    """A number as the demo applications write it; ∞ for anything else."""
    return float(text) if _PLAIN.fullmatch(text) else math.inf


async def _exchange(client: httpx.AsyncClient, request: Request) -> Reply:
    begun = time.monotonic()
    body = b""
    pieces: list[float] = []
    status: int | None = None
    headers: dict[str, str] = {}
    version = error = ""
    try:
        async with client.stream(
            request.method, request.path, headers=list(request.headers),
            content=request.body or None,
        ) as response:  # fmt: skip
            status, version = response.status_code, response.http_version
            headers = {name.lower(): value for name, value in response.headers.items()}
            async for piece in response.aiter_bytes():
                pieces.append(time.monotonic() - begun)
                body += piece
                if len(body) > http1.MAX_BODY:
                    error = "TooLarge"
                    break
    except httpx.HTTPError as problem:
        error = type(problem).__name__
    seconds = time.monotonic() - begun
    return Reply(status, headers, body, version, begun, seconds, tuple(pieces), error)


def _elsewhere(work: Callable[[], Awaitable[Result]]) -> Result:
    """Run a coroutine in a thread of its own: a notebook's thread has a running loop already."""

    async def whole() -> Result:
        return await work()

    with session.under_load(), ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, whole()).result()


def settled(server: Watched, *, within: float = 30.0) -> bool:
    """Wait until a server has done all that it can with what it was sent, and say whether it has.

    Then each of its threads waits for something, and none runs or is ready to. However slow the
    machine is, it has noticed every client, and who has no answer by now gets none before somebody
    sends more or leaves. A view that waits for a time is not told from one that waits for a client.
    """
    pids, seen, end = server.pids(), 0, time.monotonic() + within
    while seen < _LOOKS and time.monotonic() < end:
        time.sleep(_APART)
        seen = seen + 1 if procfs.asleep(pids) else 0
    return seen == _LOOKS


def reach_all(
    server: Listening, workers: int, path: str = "/hello", *, within: float = 60.0
) -> set[int]:
    """Ask again and again until so many of the server's processes have answered.

    Each time four requests a worker are sent at once.

    Returns:
        The numbers of the processes that have answered, as they see themselves.

    Raises:
        ServerError: fewer have answered in that time.
    """
    seen: set[int] = set()
    end = time.monotonic() + within
    while len(seen) < workers:
        if time.monotonic() >= end:
            raise ServerError(
                f"{len(seen)} of {workers} workers have answered {path} within {within:g} s; "
                "allow more time, or ask for a path that keeps a worker busy"
            )
        replies = together(server, [path] * 4 * workers)
        seen |= {reply.process for reply in replies if reply.process is not None}
    return seen


def encode(request: Request | str) -> bytes:
    one = get(request) if isinstance(request, str) else request
    return http1.encode(one.method, "localhost", one.path, one.headers, one.body)


def open_connection(server: Listening, *, timeout: float = 10.0) -> socket.socket:
    endpoint = Endpoint.parse(server.target)
    if endpoint.path is None:
        return socket.create_connection((endpoint.host, endpoint.port), timeout)
    if not hasattr(socket, "AF_UNIX"):
        raise InputError("this system has no unix sockets; let the server listen on TCP")
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(endpoint.path)
    except BaseException:
        sock.close()
        raise
    return sock
