"""Servers whose behaviour is known exactly, so that the instrument can be held against it.

Each runs in its own process. ``/report`` returns what it did, on the monotonic clock:
``requests``, ``muted`` (never answered) and ``stalls`` as ``[start, end]`` pairs.

Modes:
    null: answers at once.
    delay: answers every request ``hold`` seconds after it arrived, side by side.
    slots: so many slots (threads) on one queue, first come, first served. Each request holds its
        slot for ``hold`` seconds.
    stall: answers at once, but stops for ``hold`` seconds, ``at`` seconds after its first request.
    mute: never answers every 20th request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httptools
import httpx
import uvloop

_BARE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
_MUTE_EVERY = 20


class _Server:
    def __init__(self, mode: str, hold: float, at: float, slots: int, trace: bool) -> None:
        self.mode, self.hold, self.at, self.trace = mode, hold, at, trace
        # A queue of its own, because event loops do not serve connections in order of arrival.
        self.queue: queue.SimpleQueue[_Protocol] = queue.SimpleQueue()
        if mode == "slots":
            for _ in range(slots):
                threading.Thread(target=self.work, daemon=True).start()
        self.requests = 0
        self.muted = 0
        self.stalls: list[tuple[float, float]] = []

    def work(self) -> None:
        ended = 0.0
        while True:
            waiting = not self.queue.empty()
            asker = self.queue.get()
            # The change from one request to the next keeps the slot busy too.
            began = ended if waiting else time.monotonic()
            time.sleep(self.hold)
            ended = asker.answer(began)

    def stall(self) -> None:
        begin = time.monotonic()
        time.sleep(self.hold)
        self.stalls.append((begin, time.monotonic()))

    def report(self) -> bytes:
        body = json.dumps(
            {"requests": self.requests, "muted": self.muted, "stalls": self.stalls}
        ).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class _Protocol(asyncio.Protocol):
    def __init__(self, server: _Server) -> None:
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
        began = time.monotonic()
        server = self._server
        if self._path == b"/report":
            self._write(server.report())
            return
        server.requests += 1
        mode = server.mode
        if mode == "null":
            self.answer(began)
        elif mode == "slots":
            server.queue.put(self)
        elif mode == "delay":
            # A spare millisecond, because the loop's timers may fire up to one early.
            self._loop.call_later(server.hold + 0.001, self.answer, began)
        elif mode == "stall":
            if server.requests == 1:
                self._loop.call_later(server.at, server.stall)
            self.answer(began)
        elif server.requests % _MUTE_EVERY == 0:
            server.muted += 1
        else:
            self.answer(began)

    def answer(self, began: float) -> float:
        """Answer, and say when: at the end of the service time that the answer reports."""
        ended = time.monotonic()
        if not self._server.trace:
            self._write(_BARE)
            return ended
        passed = 1e3 * (ended - began)
        self._write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer-Timing: app;dur=%.3f\r\n"
            b"X-Worker: %d/1\r\nX-Started: %.6f\r\nContent-Length: 3\r\n\r\nok\n"
            % (passed, os.getpid(), began)
        )
        return ended

    def _write(self, answer: bytes) -> None:
        # Past the transport, which would hold the answer until the loop's next round.
        with contextlib.suppress(OSError):
            if self._fd >= 0:
                os.write(self._fd, answer)


async def _serve(server: _Server) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    loop = asyncio.get_running_loop()
    running = await loop.create_server(lambda: _Protocol(server), sock=listener, backlog=4096)
    print(listener.getsockname()[1], flush=True)
    await running.serve_forever()


def main() -> None:
    """Serve until killed, or until the parent is gone."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("null", "delay", "slots", "stall", "mute"))
    parser.add_argument("--hold", type=float, default=0.0)
    parser.add_argument("--at", type=float, default=0.0)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--pin", type=int)
    given = parser.parse_args()
    if given.pin is not None:
        os.sched_setaffinity(0, {given.pin})
    uvloop.run(_serve(_Server(given.mode, given.hold, given.at, given.slots, given.trace)))


@dataclass(frozen=True)
class NullServer:
    """A running one."""

    url: str
    pid: int

    def report(self) -> dict[str, Any]:
        """What it did so far."""
        report: dict[str, Any] = httpx.get(f"{self.url}/report", trust_env=False).json()
        return report


@contextlib.contextmanager
def null_server(
    mode: str = "null",
    *,
    hold: float = 0.0,
    at: float = 0.0,
    slots: int = 1,
    trace: bool = True,
    pin: int | None = None,
) -> Iterator[NullServer]:
    """Run a server in ``mode``, ready to be asked; it is gone afterwards."""
    command = [sys.executable, __file__, mode, f"--hold={hold}", f"--at={at}", f"--slots={slots}"]
    if trace:
        command.append("--trace")
    if pin is not None:
        command.append(f"--pin={pin}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield NullServer(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.kill()


if __name__ == "__main__":
    main()
