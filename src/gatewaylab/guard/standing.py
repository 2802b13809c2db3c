"""Servers that start side by side and then stand still, each until its turn comes.

Every trial has a fresh server, and without this its start would be most of what a trial costs. So
the servers of one block start together, on all cores. Then their processes are stopped (SIGSTOP):
they take nothing from the one that is measured.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

from gatewaylab.guard import procfs
from gatewaylab.guard.serve import Running, serve
from gatewaylab.servers.registry import Server

#: Seconds for which a server may stand still. gunicorn replaces a worker that has not shown itself
#: for 30 s, and a server that stood for longer would not be the fresh one that it was.
LONGEST = 10.0


class Standing:
    """The servers of a comparison, one for each label of a block.

    Args:
        servers: what to run, by label.
        seconds: how long a block takes beside its starts. If that is longer than :data:`LONGEST`,
            each server starts when its turn comes.
    """

    def __init__(self, servers: Mapping[str, Server], *, seconds: float) -> None:
        self._servers = servers
        self._together = seconds <= LONGEST
        self._block: int | None = None
        self._waiting: dict[str, tuple[Running, ExitStack]] = {}

    @contextmanager
    def take(self, label: str, block: int, *, pin: frozenset[int] | None) -> Iterator[Running]:
        """Run the block's server of this label on the given CPUs; a second time it is a new one.

        Raises:
            ServerStartError: it, or one that starts with it, did not become ready.
        """
        if self._together and block != self._block:
            self.close()
            self._block, self._waiting = block, _start_all(self._servers)
        if label not in self._waiting:
            # Every answer is in when the load ends, so nobody is owed a graceful stop.
            with serve(self._servers[label], pin=pin, grace=0.0) as running:
                yield running
            return
        running, end = self._waiting.pop(label)
        with end:
            resume(running, pin)
            yield running

    def close(self) -> None:
        """End the servers that still wait."""
        with ExitStack() as ends:
            for _, end in self._waiting.values():
                ends.push(end)
            self._waiting = {}


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


def _start_all(servers: Mapping[str, Server]) -> dict[str, tuple[Running, ExitStack]]:
    """Each running server, paused, with what ends it; if one fails, none is left."""
    with ThreadPoolExecutor(len(servers)) as pool:
        starts = {label: pool.submit(_start, one) for label, one in servers.items()}
    with ExitStack() as ends:
        started, failed = {}, []
        for label, start in starts.items():
            if (error := start.exception()) is not None:
                failed.append(error)
            else:
                started[label] = start.result()
                ends.push(started[label][1])
        if failed:
            raise failed[0]
        ends.pop_all()
    return started


def _start(server: Server) -> tuple[Running, ExitStack]:
    with ExitStack() as stack:
        running = stack.enter_context(serve(server, grace=0.0))
        pause(running)
        return running, stack.pop_all()
