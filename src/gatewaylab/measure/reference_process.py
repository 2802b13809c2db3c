"""The reference server's process: ``python -m gatewaylab.measure.reference_process MODE``.

Started by :mod:`gatewaylab.measure.reference`, which says what each mode does. Binds to loopback,
prints its port when it takes connections, and ends with its parent.

Two choices keep its own account of time exact. Answers are written past the event loop's transport,
which would hold them until the loop's next round. And the slots are threads on a queue of their
own, because event loops do not serve connections in order of arrival.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import math
import os
import queue
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import httptools
import uvloop

#: One request in so many is never answered by the mode ``mute``.
MUTE_EVERY = 20

_PR_SET_PDEATHSIG = 1
#: The loop's timers may fire up to a millisecond early; a delay is never shorter than promised.
_SPARE = 0.001


class ReferenceServer:
    """What one mode does with a request, and what it did so far."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.respond: Callable[[Protocol, float], object] = getattr(self, given.mode)
        self.hold: float = given.hold
        self.at: float = given.at
        self.warm: float = given.warm
        self.first: int = given.first
        self.requests = 0
        self.muted = 0
        self.stalls: list[tuple[float, float]] = []
        self._began = math.nan
        self._stopped_at: float | None = None
        self._held: list[Protocol] = []
        self._queue: queue.SimpleQueue[tuple[Protocol, float, float]] = queue.SimpleQueue()
        self._random = random.Random(given.seed)  # noqa: S311 - repeatable on purpose
        self._mu = math.log(given.hold) - given.sigma**2 / 2 if given.sigma else 0.0
        self._sigma: float = given.sigma
        status = b"500 Internal ReferenceServer Error" if given.mode == "wrong" else b"200 OK"
        body = b"" if given.mode == "empty" else b"ok\n"
        head = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\n" % status
        end = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        self.bare = head + end
        self.traced = b"%sServer-Timing: app;dur=%%.3f\r\nX-Worker: %d/1\r\nX-Started: %%.6f\r\n%s"
        self.traced %= head, os.getpid(), end
        self.trace: bool = given.trace
        if given.mode == "slots":
            for _ in range(given.slots):
                threading.Thread(target=self._work, daemon=True).start()

    def report(self) -> bytes:
        did = {"requests": self.requests, "muted": self.muted, "stalls": self.stalls}
        body = json.dumps(did).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def draw(self) -> float:
        """A log-normal service time of mean ``hold``."""
        return self._random.lognormvariate(self._mu, self._sigma)

    # One method a mode: the asker and when its request had arrived.

    def null(self, asker: Protocol, arrived: float) -> None:
        asker.answer(arrived)

    wrong = empty = null

    def early(self, asker: Protocol, arrived: float) -> None:
        asker.write(self._head(self.hold, arrived))

    def delay(self, asker: Protocol, arrived: float) -> None:
        asker.later(self.hold + _SPARE, arrived)

    def slots(self, asker: Protocol, arrived: float) -> None:
        self._queue.put((asker, arrived, self.draw() if self._sigma else self.hold))

    def stall(self, asker: Protocol, arrived: float) -> None:
        if self.requests == 1:
            asyncio.get_running_loop().call_later(self.at, self._stop)
        if self._stopped_at is None:
            asker.answer(arrived)
        else:
            self._held.append(asker)

    def mute(self, asker: Protocol, arrived: float) -> None:
        if self.requests % MUTE_EVERY:
            asker.answer(arrived)
        else:
            self.muted += 1

    def warming(self, asker: Protocol, arrived: float) -> None:
        if self.requests == 1:
            self._began = arrived
        cold = self.requests <= self.first or arrived - self._began < self.at
        delay = self.hold + self.warm * cold
        if delay:
            asker.later(delay + _SPARE, arrived)
        else:
            asker.answer(arrived)

    def stamped(self, arrived: float) -> tuple[bytes, float]:
        """An answer whose service time ends now, and that time."""
        ended = time.monotonic()
        return self._head(ended - arrived, arrived), ended

    def _head(self, service: float, began: float) -> bytes:
        return self.traced % (1e3 * service, began) if self.trace else self.bare

    def _work(self) -> None:
        ended = 0.0
        while True:
            asker, arrived, hold = self._queue.get()
            # The slot was held from the arrival, or from the end of the one before: waking up
            # and changing over keep it busy too.
            began = max(arrived, ended)
            time.sleep(hold)
            ended = asker.answer(began)

    def _stop(self) -> None:
        # Connections and requests are still taken in, so that this work is not left for the end,
        # where it would lengthen the stall by a part that no account mentions.
        self._stopped_at = time.monotonic()
        asyncio.get_running_loop().call_later(self.hold, self._go_on)

    def _go_on(self) -> None:
        assert self._stopped_at is not None
        ended = time.monotonic()
        self.stalls.append((self._stopped_at, ended))
        self._stopped_at = None
        for asker in self._held:
            ended = asker.answer(ended)
        self._held.clear()


class Protocol(asyncio.Protocol):
    def __init__(self, server: ReferenceServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._path = b""
        self._fd = -1

    def connection_made(self, transport: Any) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._fd = transport.get_extra_info("socket").fileno()

    def connection_lost(self, error: Exception | None) -> None:
        self._fd = -1

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._path = url

    def on_message_complete(self) -> None:
        arrived = time.monotonic()
        server = self._server
        if self._path == b"/report":
            self.write(server.report())
            return
        server.requests += 1
        server.respond(self, arrived)

    def answer(self, began: float) -> float:
        """Answer, and say when: at the end of the service time that the answer reports."""
        answer, ended = self._server.stamped(began)
        self.write(answer)
        return ended

    def later(self, seconds: float, began: float) -> None:
        self._loop.call_later(seconds, self.answer, began)

    def write(self, answer: bytes) -> None:
        """Send it at once; an asker that is gone is nobody's loss."""
        with contextlib.suppress(OSError):
            if self._fd >= 0:
                os.write(self._fd, answer)


async def _serve(given: argparse.Namespace) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = ReferenceServer(given)
    loop = asyncio.get_running_loop()
    running = await loop.create_server(lambda: Protocol(server), sock=listener, backlog=4096)
    print(listener.getsockname()[1], flush=True)
    await running.serve_forever()


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's options; :mod:`gatewaylab.measure.reference` checks their values."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode")
    for name in ("hold", "at", "warm", "sigma"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    for name, default in (("slots", 1), ("first", 0), ("seed", 0), ("parent", 0), ("pin", -1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--trace", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    """Serve until killed, or until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner is interrupted, and then ends us
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    given = parsed()
    if os.getppid() != given.parent:
        raise SystemExit("the owner was gone before the server began")
    if given.pin >= 0:
        os.sched_setaffinity(0, {given.pin})
    uvloop.run(_serve(given))


if __name__ == "__main__":
    main()
