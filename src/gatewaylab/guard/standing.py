"""Servers that start side by side and then stand still, each until its turn comes.

Every trial has a fresh server, and without this its start would be most of what a trial costs. So
the servers of one block start together, on all cores. Then their processes are stopped (SIGSTOP):
they take nothing from the one that is measured.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from gatewaylab.guard import procfs
from gatewaylab.guard.serve import Running, serve
from gatewaylab.servers.registry import Server

#: Seconds for which a server may stand still. gunicorn replaces a worker that has not shown itself
#: for 30 s, and a server that stood for longer would not be the fresh one that it was. It decides
#: only when a server starts, and no number.
LONGEST = 10.0


class Standing:
    """The servers of a comparison, one for each label of a block.

    Args:
        servers: what to run, by label. One with options of its own starts when its turn comes:
            they may tell its supervisor to be less patient than usual.
        seconds: how long a block takes beside its starts. If that is longer than :data:`LONGEST`,
            every server starts when its turn comes.
    """

    def __init__(self, servers: Mapping[str, Server], *, seconds: float) -> None:
        self._servers = servers
        self._together = {
            label: one
            for label, one in servers.items()
            if seconds <= LONGEST and not one.extra and not one.command
        }
        self._block: int | None = None
        self._waiting: dict[str, _Waiting] = {}

    @contextmanager
    def take(self, label: str, block: int, *, pin: frozenset[int] | None) -> Iterator[Running]:
        """Run the block's server of this label on the given CPUs, for a ``with`` block.

        It is a new one the second time, and if the one that waited has stood still for too long, as
        it can on a slow machine.

        Raises:
            ServerStartError: it, or one that starts with it, did not become ready.
        """
        if self._together and block != self._block:
            self.close()
            self._block, self._waiting = block, _start_all(self._together)
        waited = self._waiting.pop(label, None)
        if waited is not None:
            with waited.end:
                if time.monotonic() - waited.since <= LONGEST:
                    resume(waited.running, pin)
                    yield waited.running
                    return
        # Every answer is in when a load ends, so nobody is owed a graceful stop.
        with serve(self._servers[label], pin=pin, grace=0.0) as running:
            yield running

    def close(self) -> None:
        """End the servers that still wait."""
        waiting, self._waiting = self._waiting, {}
        with ExitStack() as ends:
            for one in waiting.values():
                ends.push(one.end)


@dataclass(frozen=True)
class _Waiting:
    """A server that stands still, what ends it, and since when it stands."""

    running: Running
    end: ExitStack
    since: float


def pause(running: Running) -> None:
    """Stop every process of a server where it stands; none takes processor time until `resume`."""
    stopped: set[int] = set()
    while new := running.pids() - stopped:  # a process may have been made meanwhile
        _signal(new, signal.SIGSTOP)
        stopped |= new


def resume(running: Running, pin: frozenset[int] | None) -> None:
    """Let the processes go on, from now on on the CPUs of ``pin``, and the guard with them."""
    if pin is not None:
        for pid in running.pids() | running.guard_pids():
            procfs.pin(pid, pin)
    _signal(running.pids(), signal.SIGCONT)


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _start_all(servers: Mapping[str, Server]) -> dict[str, _Waiting]:
    """Each server started and paused; if one fails, or somebody interrupts, none is left."""
    with ThreadPoolExecutor(len(servers)) as pool:
        starts = {label: pool.submit(_start, one) for label, one in servers.items()}
        try:
            return {label: start.result() for label, start in starts.items()}
        except BaseException:
            with ExitStack() as ends:
                for start in starts.values():
                    if start.exception() is None:
                        ends.push(start.result().end)
            raise


def _start(server: Server) -> _Waiting:
    with ExitStack() as stack:
        running = stack.enter_context(serve(server, grace=0.0))
        pause(running)
        return _Waiting(running, stack.pop_all(), time.monotonic())
