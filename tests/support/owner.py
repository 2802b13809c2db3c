"""An owner that can be killed: a process that runs servers, as a notebook's kernel would.

``python -m tests.support.owner '[{"name": ...}, ...]'`` says when it begins, starts the servers,
prints one line of JSON about each, and obeys single words on its standard input. `Owner` is the
side of the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from gatewaylab.guard import ports, procfs, runs
from gatewaylab.guard.serve import serve, sweep
from gatewaylab.load.clients import together
from gatewaylab.servers.registry import server
from tests import ROOT

Process = tuple[int, int]  # pid and start time


def main(wanted: Sequence[Mapping[str, Any]]) -> None:
    """Serve until told otherwise, or killed."""
    signal.signal(signal.SIGINT, lambda *_: None)  # an interrupt ends a cell, not the kernel
    print("begins", flush=True)
    with ExitStack() as stack:
        for one in wanted:
            options = {**one}
            grace = options.pop("grace", GRACE)
            running = stack.enter_context(serve(server(**options), grace=grace))
            facts = {
                "identity": running.identity,
                "host": running.host,
                "port": running.port,
                "namespace": running.namespace,
                "pids": sorted(running.pids()),
                "guard": sorted(running.guard_pids()),
            }
            print(json.dumps(facts), flush=True)
        while True:
            word = sys.stdin.readline().strip()
            if word == "fork":
                child = os.fork()
                if child == 0:
                    time.sleep(300)
                print(child, flush=True)
            elif word == "ask":
                print(len(together(running, ["/whoami"] * 50)), flush=True)
            elif word == "alive":
                print(running.alive(), flush=True)
            else:
                return


GRACE = 3.0


@dataclass(frozen=True)
class Facts:
    """What the owner has said about one of its servers, with start times added."""

    identity: str
    host: str
    port: int
    namespace: bool
    processes: tuple[Process, ...]
    guard: tuple[Process, ...]

    def left(self) -> list[str]:
        """What is still there of it, in words."""
        known = {pid for pid, began in self.processes + self.guard if began == started(pid)}
        run = runs._run(self.identity)
        left = [procfs.describe(pid) for pid in sorted(known | set(runs.members(run)))]
        if not ports.bindable(self.host, self.port):
            left.append(f"port {self.port}")
        return left


def started(pid: int) -> int | None:
    """Start time of a living process."""
    return procfs.start_time(pid)


class Owner:
    """The owner's process and what it runs."""

    def __init__(self, process: subprocess.Popen[str], runs: list[Facts]) -> None:
        self.process = process
        self.runs = runs

    def say(self, word: str) -> str:
        """Give it a word, and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> float:
        """SIGKILL; the time of it."""
        self.process.kill()
        self.process.wait()
        return time.monotonic()


def begin(*wanted: Mapping[str, Any], namespace: bool = True) -> subprocess.Popen[str]:
    """The process of an owner that is about to start its first server."""
    env = {**os.environ, "GATEWAYLAB_NO_NAMESPACE": "" if namespace else "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.owner", json.dumps(wanted)],
        cwd=ROOT, env=env, text=True, process_group=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


@contextlib.contextmanager
def owner(*wanted: Mapping[str, Any], namespace: bool = True) -> Iterator[Owner]:
    """An owner of the given servers, killed at the latest when the block ends."""
    process = begin(*wanted, namespace=namespace)
    assert process.stdout is not None
    with process:
        try:
            runs = []
            for _ in wanted:
                said = json.loads(process.stdout.readline() or '"the owner failed"')
                pids, guard = said.pop("pids"), said.pop("guard")
                runs.append(Facts(**said, processes=_known(pids), guard=_known(guard)))
            yield Owner(process, runs)
        finally:
            process.kill()
            process.wait()
            sweep()  # a test that killed the guard has left the run's folder to the janitor


def _known(pids: Sequence[int]) -> tuple[Process, ...]:
    return tuple((pid, began) for pid in pids if (began := started(pid)) is not None)


def wait_until_gone(runs: Sequence[Facts], seconds: float) -> None:
    """Assert that nothing is left of `runs` within so many seconds."""
    until = time.monotonic() + seconds
    while left := [what for run in runs for what in run.left()]:
        assert time.monotonic() < until, f"after {seconds} s there is still: {left}"
        time.sleep(0.02)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
