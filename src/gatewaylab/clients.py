"""Clients that behave as visitors do: all at once, on a bad line, silent, staying, leaving early.

They show behaviour: who was answered, in which order, how often. They run in this process and
share its interpreter lock, so they are exact to some milliseconds; latency is measured by `load`.
Everything here connects to loopback only, and a ``with`` block ends what it began.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol, TypeVar

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect, unix_connect

from gatewaylab import _http1, _procfs, timeline
from gatewaylab._request import Request, Target, address, get
from gatewaylab.errors import InputError

Result = TypeVar("Result")

#: A server has settled when all its threads wait in so many looks, so many seconds apart.
_LOOKS, _APART = 3, 0.01


class Listening(Protocol):
    """What clients need to know of a server; `process.Running` is one."""

    @property
    def target(self) -> Target:
        """Its loopback address."""


class Watched(Listening, Protocol):
    """What they need to know to see it come to rest; `process.Running` is one."""

    def pids(self) -> set[int]:
        """Its processes."""


@dataclass(frozen=True)
class Reply:
    """What one request came to.

    Attributes:
        status: HTTP status; None when no answer came.
        headers: by name in lower case. body: as far as it came.
        http_version: ``HTTP/1.1`` or ``HTTP/2``; empty without an answer.
        begun: monotonic clock when the request was sent, in seconds.
        seconds: from there to the end of the answer, or to giving up.
        pieces: from there to each piece of the body, in seconds.
        error: why there is no whole answer, the exception's name; empty when there is one.
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
    apart: float = 0.0,
) -> list[Reply]:
    """Send all requests at once and wait for every answer, in the order of the requests.

    Args:
        timeout: seconds without a byte after which a client gives up.
        http2: send them as the streams of one HTTP/2 connection without TLS, in prior knowledge
            (RFC 9113, section 3.3); otherwise each has an HTTP/1.1 connection of its own.
        apart: seconds between one request and the next.
    """
    whole = [get(one) if isinstance(one, str) else one for one in requests]
    host, port = address(server.target)

    async def run() -> list[Reply]:
        transport = httpx.AsyncHTTPTransport(
            # Nothing here speaks TLS; by default httpx would read the system's certificates first,
            # which takes longer than most answers do.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            http1=not http2,
            http2=http2,
            uds=None if port else host,
            limits=httpx.Limits(
                max_connections=1 if http2 else None,
                max_keepalive_connections=1 if http2 else 0,
            ),
        )
        base = f"http://{host}:{port}" if port else "http://localhost"
        async with httpx.AsyncClient(
            transport=transport, base_url=base, timeout=timeout, trust_env=False
        ) as client:

            async def later(place: int, request: Request) -> Reply:
                await asyncio.sleep(place * apart)
                return await _exchange(client, request)

            return await asyncio.gather(*(later(*each) for each in enumerate(whole)))

    return _elsewhere(run)


def span(replies: Sequence[Reply]) -> float:
    """Seconds from the first request's start to the last answer's end."""
    return max(reply.ended for reply in replies) - min(reply.begun for reply in replies)


def inside(reply: Reply) -> tuple[float, float]:
    """When a request came to the demo application, and when its answer was ready there.

    Both by the monotonic clock, as the headers of every answer tell; what a client, the network or
    a queue before the application add is not in them.
    """
    came = float(reply.headers["x-started"])
    return came, came + float(reply.headers["server-timing"].partition("dur=")[2]) / 1000


def most_at_once(intervals: Iterable[Sequence[float]]) -> int:
    """How many of these intervals, each from a moment to a later one, most share one moment.

    Where one ends as the next begins they share none.
    """
    steps = [step for begun, ended in intervals for step in ((begun, 1), (ended, -1))]
    return max(accumulate(change for _, change in sorted(steps)), default=0)


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
            async for piece in response.aiter_raw():
                pieces.append(time.monotonic() - begun)
                body += piece
    except httpx.HTTPError as problem:
        error = type(problem).__name__
    seconds = time.monotonic() - begun
    return Reply(status, headers, body, version, begun, seconds, tuple(pieces), error)


def _elsewhere(work: Callable[[], Awaitable[Result]]) -> Result:
    """Run a coroutine in a thread of its own: a notebook's thread has a running loop already."""

    async def whole() -> Result:
        return await work()

    with timeline.under_load(), ThreadPoolExecutor(1) as pool:
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
        seen = seen + 1 if _procfs.asleep(pids) else 0
    return seen == _LOOKS


def leave(server: Listening, request: Request | str, *, after: float) -> None:
    """Send a request and hang up ``after`` seconds later, with or without an answer."""
    with timeline.under_load(), _connection(server) as sock:
        sock.sendall(_encoded(request))
        time.sleep(after)


@contextlib.contextmanager
def slow_heads(server: Watched, clients: int) -> Iterator[None]:
    """Clients on a bad line: each has sent half of a request's head, and nothing follows.

    They stay for the length of the ``with`` block, which begins when the server has noticed them
    (`settled`).
    """
    with timeline.under_load(), contextlib.ExitStack() as stack:
        for _ in range(clients):
            sock = stack.enter_context(_connection(server))
            sock.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        settled(server)
        yield


@contextlib.contextmanager
def slow_bodies(
    server: Watched, clients: int, *, path: str, size: int, timeout: float = 60.0
) -> Iterator[list[bytes]]:
    """Uploads over a bad line: half of each body is sent, and the rest when the block ends.

    The block begins when the server has noticed them (`settled`). What a server does not read stays
    on the way.

    Args:
        path: where to POST. size: of each body, in bytes.
        timeout: seconds without progress after which an upload is given up.

    Yields:
        The first bytes of each answer, as they come; whole only after the block, which at its end
        waits until the uploads are over.
    """
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()
    answers: list[bytes] = []

    def upload(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:  # a server may wait for its client to hang up
            sock.sendall(bytes(size // 2))
            go_on.wait()
            sock.sendall(bytes(size - size // 2))
            answers.append(sock.recv(65_536))

    go_on = threading.Event()
    with timeline.under_load(), contextlib.ExitStack() as stack:
        socks = [stack.enter_context(_connection(server, timeout=timeout)) for _ in range(clients)]
        threads = [threading.Thread(target=upload, args=(one,), daemon=True) for one in socks]
        try:
            for sock, thread in zip(socks, threads, strict=True):
                sock.sendall(head)
                thread.start()
            settled(server)
            yield answers
        except BaseException:
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # nothing is sent or awaited any more
            raise
        finally:
            go_on.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()


@dataclass
class Streams:
    """Clients that listen to a stream.

    Attributes:
        opened: how many connections were made.
        served: the clients that have received something, by place.
        ended: those whose connection the server has closed since.
    """

    opened: int = 0
    served: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)


@contextlib.contextmanager
def streams(
    server: Listening, clients: int, request: Request | str, *, within: float = 2.0
) -> Iterator[Streams]:
    """Clients that stay: each asks for a stream and reads it, doing nothing else.

    The ``with`` block begins when all have received something, or ``within`` seconds later with
    those that have; at its end they hang up.
    """
    found = Streams()
    done = threading.Event()
    all_served = threading.Event()
    sent = _encoded(request)
    with (
        timeline.under_load(),
        contextlib.ExitStack() as stack,
        selectors.DefaultSelector() as selector,
    ):
        for place in range(clients):
            sock = stack.enter_context(_connection(server))
            sock.sendall(sent)
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, place)
            found.opened += 1

        def read() -> None:
            while not done.is_set():
                for key, _ in selector.select(0.05):
                    try:
                        data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                    except OSError:
                        data = b""
                    if data:
                        found.served.add(key.data)
                    else:
                        found.ended.add(key.data)
                        selector.unregister(key.fileobj)
                if len(found.served) == clients:
                    all_served.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            all_served.wait(within)
            yield found
        finally:
            done.set()
            reader.join()


@contextlib.contextmanager
def websockets(
    server: Listening, clients: int, path: str, *, within: float = 2.0
) -> Iterator[list[ClientConnection]]:
    """Open WebSocket connections all at once; those whose handshake was answered in time.

    Yields:
        The open connections, fewer than ``clients`` where the server took no more.
    """
    host, port = address(server.target)
    connections: list[ClientConnection] = []

    def open_one(_: int) -> None:
        with contextlib.suppress(OSError, WebSocketException):
            if port:
                made = connect(
                    f"ws://{host}:{port}{path}", open_timeout=within, close_timeout=1, proxy=None
                )
            else:
                made = unix_connect(
                    host, f"ws://localhost{path}", open_timeout=within, close_timeout=1
                )
            connections.append(made.__enter__())  # left below, each in a thread of its own

    with timeline.under_load(), ThreadPoolExecutor(max(clients, 1)) as pool:
        try:
            list(pool.map(open_one, range(clients)))
            yield connections
        finally:
            list(pool.map(ClientConnection.close, connections))


def echoes(connection: ClientConnection, text: str, *, timeout: float = 2.0) -> bool:
    """Whether a WebSocket connection gives back what is sent over it within ``timeout`` seconds."""
    try:
        connection.send(text)
        return connection.recv(timeout=timeout) == text
    except (OSError, WebSocketException, TimeoutError):
        return False


def _encoded(request: Request | str) -> bytes:
    one = get(request) if isinstance(request, str) else request
    return _http1.encode(one.method, "localhost", one.path, one.headers, one.body)


def _connection(server: Listening, *, timeout: float = 10.0) -> socket.socket:
    host, port = address(server.target)
    if port:
        return socket.create_connection((host, port), timeout)
    if not hasattr(socket, "AF_UNIX"):
        raise InputError("this system has no unix sockets; let the server listen on TCP")
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(host)
    except BaseException:
        sock.close()
        raise
    return sock


__all__ = [
    "Listening", "Reply", "Streams", "Watched", "ask", "echoes", "inside", "leave", "most_at_once",
    "settled", "slow_bodies", "slow_heads", "span", "streams", "together", "websockets",
]  # fmt: skip
