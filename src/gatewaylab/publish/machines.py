"""Machines that a reader may have, made on this one: each noise is a ``with`` block.

What starts here is foreign to the book: a process of its own on each core, or a limit that the
kernel sets. It ends with the block, and with the process that began it.

``python -m gatewaylab.publish.machines KIND CORE PARENT`` is one such process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gatewaylab.errors import InputError
from gatewaylab.guard.serve import SITE_VARIABLE

#: Seconds that a foreign process computes, and then rests: half a core.
_BURN = 0.01
#: Interruptions a second, and the seconds that each takes.
_INTERRUPTS, _INTERRUPT = 2000.0, (30e-6, 50e-6)
#: Seconds of a burst, and its share of the time.
_BURST, _BURST_SHARE = (0.005, 0.020), 0.05
#: Seconds for which the quota is counted: short, so that a throttled process waits briefly.
_PERIOD = 0.02
#: Seconds that every application takes longer to be imported.
_SLOW_START = 1.5
_PR_SET_PDEATHSIG = 1


def _spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def _burner() -> None:
    while True:
        begun = time.thread_time()
        while time.thread_time() - begun < _BURN:
            pass
        time.sleep(_BURN)


def _interrupts() -> None:
    while True:
        took = random.uniform(*_INTERRUPT)  # noqa: S311
        _spin(took)
        time.sleep(max(0.0, 1 / _INTERRUPTS - took))


def _bursts() -> None:
    while True:
        took = random.uniform(*_BURST)  # noqa: S311
        time.sleep(random.uniform(0.5, 1.5) * took * (1 / _BURST_SHARE - 1))  # noqa: S311
        _spin(took)


def _half() -> None:
    while True:
        _spin(_PERIOD / 2)
        time.sleep(_PERIOD / 2)


#: What a process of each kind does, and whether it has real-time priority.
_WORK: dict[str, tuple[Callable[[], None], bool]] = {
    "burner": (_burner, False),
    "interrupts": (_interrupts, True),
    "bursts": (_bursts, True),
    "half": (_half, True),
}


@contextlib.contextmanager
def _foreign_processes(kind: str) -> Iterator[None]:
    """One process of a kind on each core that this process may use."""
    if _WORK[kind][1] and not _may_be_real_time():
        raise InputError(
            "this noise needs real-time priority: run as root, or with the capability CAP_SYS_NICE"
        )
    with contextlib.ExitStack() as stack:
        for core in sorted(os.sched_getaffinity(0)):
            orders = [kind, str(core), str(os.getpid())]
            command = [sys.executable, "-m", "gatewaylab.publish.machines", *orders]
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.kill)
        yield


def _may_be_real_time() -> bool:
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except (OSError, AttributeError):
        return False
    os.sched_setscheduler(0, *before)
    return True


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _slow() -> Iterator[None]:
    """Half of the machine's computing time: by a quota, else by others that take the rest."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_quota())
        except OSError:
            stack.enter_context(_foreign_processes("half"))
        yield


@contextlib.contextmanager
def _quota() -> Iterator[None]:
    """This process and its children may use half of the cores' time.

    Raises:
        OSError: this system has no such control group, or this user may not make one.
    """
    period = round(1e6 * _PERIOD)
    quota = period * len(os.sched_getaffinity(0)) // 2
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    groups = {name: path for _, name, path in (line.split(":", 2) for line in lines)}
    first = next((path for names, path in groups.items() if "cpu" in names.split(",")), None)
    if first is not None:  # version 1
        home = Path("/sys/fs/cgroup/cpu") / first.lstrip("/")
        limits = {"cpu.cfs_period_us": str(period), "cpu.cfs_quota_us": str(quota)}
    else:
        home = Path("/sys/fs/cgroup") / groups.get("", "/").lstrip("/")
        limits = {"cpu.max": f"{quota} {period}"}
    for left in home.glob("gatewaylab-*"):  # of an owner that was killed
        with contextlib.suppress(OSError):
            left.rmdir()  # refused while a process is in it
    group = home / f"gatewaylab-{os.getpid()}"
    group.mkdir()
    try:
        for name, value in limits.items():
            (group / name).write_text(value)
        (group / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (home / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        _remove(group, home)


def _remove(group: Path, home: Path) -> None:
    """Take a group away; a child that is still ending is moved out of it first."""
    end = time.monotonic() + 5
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > end:
                return
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (home / "cgroup.procs").write_text(pid)
            time.sleep(0.05)
        else:
            return


_SITE = f"""import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "demo_apps":
            sys.meta_path.remove(self)
            time.sleep({_SLOW_START})
sys.meta_path.insert(0, Slow())
"""


@contextlib.contextmanager
def _slow_start() -> Iterator[None]:
    """Every server sleeps before it imports its application."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(_SITE)
        os.environ[SITE_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[SITE_VARIABLE]


#: By name: the block, and what it does in words.
NOISES: dict[str, tuple[Callable[[], contextlib.AbstractContextManager[None]], str]] = {
    "none": (contextlib.nullcontext, "nothing is done to the machine"),
    "interrupts": (
        lambda: _foreign_processes("interrupts"),
        "a process of real-time priority on each core takes 30–50 µs some two thousand times a "
        "second",
    ),
    "bursts": (
        lambda: _foreign_processes("bursts"),
        "a process of real-time priority on each core takes 5–20 ms at a time, 5 % in all",
    ),
    "burner": (
        lambda: _foreign_processes("burner"),
        "a foreign process computes for half of each core",
    ),
    "one-core": (_one_core, "everything shares one core"),
    "slow": (_slow, "half of the machine's computing time is taken away"),
    "slow-start": (_slow_start, "every application takes 1.5 s longer to be imported"),
}


def main() -> None:
    """Be a foreign process until the process that wanted it is gone."""
    kind, core, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner is interrupted, and then ends us
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("whoever wanted this noise has gone")
    os.sched_setaffinity(0, {core})
    work, real_time = _WORK[kind]
    if real_time:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    work()


if __name__ == "__main__":
    main()
