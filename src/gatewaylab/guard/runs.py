"""The private folder of runs, and the janitor that sweeps what an earlier owner left.

``<temp>/gatewaylab-<uid>/`` (0700) has ``ports/`` with the leases and ``runs/`` with one folder and
one entry, ``<run>.json``, per server that is up. An entry names the boot, the owner and the guard
by pid and start time. Whatever it says, a process is ended only if it carries the run's random
identity itself, so a stale or forged entry cannot point at a foreign process.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewaylab.errors import ServerError
from gatewaylab.guard import procfs

RUN_VARIABLE = "GATEWAYLAB_RUN"
_LONGEST_BASE = 40  # a unix socket's path has at most 107 bytes on Linux, 103 elsewhere
_SWEEP_SECONDS = 2.0


def home() -> Path:
    """The private folder, made if need be.

    Raises:
        ServerError: somebody else made it, or others may write to it.
    """
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) > _LONGEST_BASE:
        base = "/tmp"  # noqa: S108
    folder = Path(base) / f"gatewaylab-{os.getuid()}"
    for path in (folder, folder / "ports", folder / "runs"):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid != os.getuid()
            or stat.S_IMODE(found.st_mode) & 0o077
        ):
            raise ServerError(f"{path} must be a folder of your own with mode 0700; remove it")
    return folder


@dataclass(frozen=True)
class Run:
    """One start of one server: its random identity, its folder and its entry."""

    identity: str
    folder: Path
    entry: Path

    def record(self, guard: int | None) -> None:
        """Write the entry, atomically."""
        values = {
            "run": self.identity,
            "boot": procfs.boot_id(),
            "owner": [os.getpid(), procfs.start_time(os.getpid())],
            "guard": guard and [guard, procfs.start_time(guard)],
        }
        partial = self.entry.with_suffix(".partial")
        partial.write_text(json.dumps(values))
        partial.replace(self.entry)

    def remove(self) -> None:
        """Forget the run: folder first, so that an entry always covers a folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.entry.unlink(missing_ok=True)


def new_run() -> Run:
    """A fresh identity with its folder (0700) and an entry that names this process as owner."""
    run = _run(secrets.token_hex(8))
    run.record(None)
    run.folder.mkdir(mode=0o700)
    return run


def _run(identity: str) -> Run:
    runs = home() / "runs"
    return Run(identity, runs / identity, runs / f"{identity}.json")


def members(run: Run) -> list[int]:
    """Living processes that carry the run's identity.

    It is in their environment, or their working folder is the run's own: nginx overwrites the
    memory that its environment was in.
    """
    item = f"{RUN_VARIABLE}={run.identity}"
    return [
        pid
        for pid in procfs.all_pids()
        if pid != os.getpid()
        and procfs.start_time(pid) is not None
        and (procfs.has_in_environment(pid, item) or procfs.working_folder(pid) == str(run.folder))
    ]


def end_members(run: Run) -> int:
    """SIGKILL the run's processes until none is left (2 s at most); how many there were."""
    ended: set[int] = set()
    until = time.monotonic() + _SWEEP_SECONDS
    while (found := members(run)) and time.monotonic() < until:
        for pid in found:
            if _kill_exactly(pid, run):
                ended.add(pid)
        time.sleep(0.01)
    return len(ended)


def _kill_exactly(pid: int, run: Run) -> bool:
    """Kill through a pidfd that was opened before the last look: the number can't be reused."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if pid not in members(run):
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def sweep() -> list[str]:
    """End what dead owners left, and remove their folders; a sentence for each that had any."""
    said = []
    for entry in sorted((home() / "runs").glob("*.json")):
        run = _run(entry.stem)
        if not re.fullmatch(r"[0-9a-f]{16}", entry.stem):
            continue
        values = _read(entry)
        if values is None or values.get("run") != run.identity:
            entry.unlink(missing_ok=True)
            continue
        same_boot = values.get("boot") == procfs.boot_id()
        if same_boot and (_alive(values.get("owner")) or _at_work(values.get("guard"))):
            continue
        ended = end_members(run) if same_boot else 0
        run.remove()
        if ended:
            said.append(f"ended {ended} processes that run {run.identity} had left behind")
    return said


def _read(entry: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(entry.read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _alive(who: object) -> bool:
    """Whether ``[pid, start time]`` is a living process."""
    match who:
        case [int(pid), int(started)]:
            return procfs.start_time(pid) == started
    return False


def _at_work(guard: object) -> bool:
    """Whether a guard lives and is not stopped: then it is ending its run by itself."""
    match guard:
        case [int(pid), int(started)]:
            return procfs.start_time(pid) == started and procfs.state(pid) not in ("T", "t")
    return False
