"""The owner's side of a guard: starting it, hearing its news, counting its tree, ending it."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gatewaylab.guard import guard, procfs, runs

_STOP_PATIENCE = 2.0  # seconds beyond the grace period after which the guard itself is killed
_TAIL_BYTES = 128 * 1024
_PASSED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH")

#: uWSGI keeps memory for each descriptor that it may have, used or not.
_DESCRIPTORS = 65_536


@contextmanager
def _more_descriptors() -> Iterator[None]:
    """For what is started meanwhile, as many open files as this user may have.

    A shell often gives 1024, which is too few for a proxy.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def passed_on() -> dict[str, str]:
    """The owner's variables that the guard and the servers get; all others stay here."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


class Guarded:
    """A guard and the processes that it keeps.

    Attributes:
        exits: exit codes of the commands that have ended, by their place in `commands`.
        done: the guard has said, or shown by ending, that nothing is left.
        namespace: whether the processes are in a PID namespace of their own.
    """

    def __init__(
        self,
        run: runs.Run,
        commands: Sequence[Mapping[str, Any]],
        *,
        leases: Sequence[int],
        ttl: float,
        grace: float,
        pin: frozenset[int] | None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.exits: dict[int, int] = {}
        self.done = False
        self.namespace = False
        self._run = run
        self._grace = grace
        self._secrets = secrets
        self._inner: int | None = None
        self._inner_fd: int | None = None
        self._pending = b""
        self._cpu = 0.0
        lifeline, self._lifeline = os.pipe()
        self.news_fd, status = os.pipe()
        orders_read, orders_write = os.pipe()
        os.set_blocking(self.news_fd, False)
        orders = {
            "run": run.identity, "folder": str(run.folder), "entry": str(run.entry),
            "owner": os.getpid(), "owner_started": procfs.start_time(os.getpid()),
            "lifeline": lifeline, "status": status, "leases": list(leases),
            "commands": list(commands), "ttl": ttl, "grace": grace, "pin": sorted(pin or ()),
            "namespace": os.environ.get("GATEWAYLAB_NO_NAMESPACE") != "1",
        }  # fmt: skip
        try:
            with os.fdopen(orders_write, "w") as file:
                json.dump(orders, file)
            with (run.folder / "guard.log").open("wb") as errors, _more_descriptors():
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", guard.__file__],
                    stdin=orders_read, stdout=errors, stderr=errors,
                    pass_fds=(lifeline, status, *leases), start_new_session=True,
                    env=passed_on() | {runs.RUN_VARIABLE: run.identity},
                )  # fmt: skip
        finally:
            for fd in (lifeline, status, orders_read):
                os.close(fd)
        run.record(self._process.pid)

    def read_news(self) -> None:
        """Take in what the guard has said since the last time; never waits."""
        while not self.done:
            try:
                data = os.read(self.news_fd, 65536)
            except BlockingIOError:
                return
            if not data:
                self.done = True
            *lines, self._pending = (self._pending + data).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))

    def _hear(self, news: Mapping[str, Any]) -> None:
        match news["event"]:
            case "started":
                self._inner, self.namespace = news["inner"], news["namespace"]
                if hasattr(os, "pidfd_open"):
                    with suppress(OSError):
                        self._inner_fd = os.pidfd_open(news["inner"])
            case "exit":
                self.exits[news["index"]] = news["code"]
            case "done":
                self.done = True

    def pids(self) -> set[int]:
        """The servers' processes, by the host's numbers; neither half of the guard is among them.

        Should the outer half be dead, they are below the inner one, for as long as that takes.
        """
        if self._process.poll() is None:
            return procfs.below(self._process.pid) - {self._inner or 0}
        return procfs.below(self._inner) if self._inner else set()

    def guard_pids(self) -> set[int]:
        """The two halves of the guard."""
        return {self._process.pid} | ({self._inner} if self._inner else set())

    def cpu_seconds(self) -> float:
        """User and system seconds of `pids`, ended ones included."""
        living = sum(procfs.cpu_seconds(pid) for pid in self.pids())
        ended = procfs.cpu_seconds(self._inner, own=False) if self._inner else 0.0
        # An ended process may be missing for a moment, between its parent and the guard.
        self._cpu = max(self._cpu, living + ended)
        return self._cpu

    def log(self) -> str:
        """The end of what the servers and the guard itself have written, without known secrets."""
        text = "".join(_tail(self._run.folder / name) for name in ("log.1", "log", "guard.log"))
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return re.sub(r"://[^/\s@]+@", "://***@", text)

    def wait(self, until: float) -> bool:
        """Wait until nothing is left; False when `until` (monotonic) has come first."""
        self.read_news()
        while not self.done:
            left = until - time.monotonic()
            if left <= 0:
                return False
            select.select([self.news_fd], [], [], left)
            self.read_news()
        return True

    def stop(self, *, at_once: bool) -> None:
        """End everything and wait for it; `at_once` leaves out the grace period."""
        self.cpu_seconds()
        self.read_news()
        if at_once and self._inner_fd is not None:
            # Without its inner half the guard kills all that is left, with no grace.
            with suppress(OSError):
                signal.pidfd_send_signal(self._inner_fd, signal.SIGKILL)
        # A byte as well as the end of the pipe: a forked child may hold the pipe open.
        with suppress(OSError):
            os.write(self._lifeline, b".")
        if not self.wait(time.monotonic() + self._grace + _STOP_PATIENCE):
            self._process.kill()
            self.wait(time.monotonic() + self._grace + _STOP_PATIENCE)
        if self._process.wait() != 0:  # it was killed, so its word that nothing is left is missing
            runs.end_members(self._run)

    def close(self) -> None:
        """Let go of the guard's pipes, which by itself makes it end what is left."""
        for fd in (self._lifeline, self.news_fd, self._inner_fd):
            if fd is not None:
                os.close(fd)


def _tail(path: Path) -> str:
    """The last part of a log file; nothing when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
