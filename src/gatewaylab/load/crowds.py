"""Clients that stay: slow senders, listeners to streams, WebSockets, and those who leave."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect, unix_connect

from gatewaylab.load.clients import Listening, Watched, encode, open_connection, settled
from gatewaylab.load.request import Endpoint, Request
from gatewaylab.timeline import session


@contextlib.contextmanager
def slow_heads(server: Watched, clients: int) -> Iterator[None]:
    """Clients on a bad line: each has sent half of a request's head, and nothing follows.

    They stay for the length of the ``with`` block, which begins when the server has noticed them
    (`settled`).
    """
    with session.under_load(), contextlib.ExitStack() as stack:
        for _ in range(clients):
            sock = stack.enter_context(open_connection(server))
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
    with session.under_load(), contextlib.ExitStack() as stack:
        socks = [
            stack.enter_context(open_connection(server, timeout=timeout)) for _ in range(clients)
        ]
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
    sent = encode(request)
    with (
        session.under_load(),
        contextlib.ExitStack() as stack,
        selectors.DefaultSelector() as selector,
    ):
        for place in range(clients):
            sock = stack.enter_context(open_connection(server))
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
    endpoint = Endpoint.parse(server.target)
    url = f"ws://{endpoint.authority}{path}"
    connections: list[ClientConnection] = []

    def open_one(_: int) -> None:
        with contextlib.suppress(OSError, WebSocketException):
            if endpoint.path is None:
                made = connect(url, open_timeout=within, close_timeout=1, proxy=None)
            else:
                made = unix_connect(endpoint.path, url, open_timeout=within, close_timeout=1)
            connections.append(made.__enter__())  # left below, each in a thread of its own

    with session.under_load(), ThreadPoolExecutor(max(clients, 1)) as pool:
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
