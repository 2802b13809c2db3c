"""The family of a server's processes: the first one, and the workers that it has started."""

from __future__ import annotations

from contextlib import suppress

import psutil

from gatewaylab.errors import ServerError
from gatewaylab.guard.serve import Running


def first_process(running: Running) -> psutil.Process:
    """The server's first process, the one that a process manager would know.

    Raises:
        ServerError: there is none; the server has ended.
    """
    pids = running.pids()
    roots = [process for process in map(psutil.Process, pids) if process.ppid() not in pids]
    for process in roots:
        if process.name() != "nginx":
            return process
    raise ServerError(f"{running.server.label} has no process: it has ended; start it again")


def workers_of(first: psutil.Process) -> list[psutil.Process]:
    """The children that it has now; where it has none it does the work itself."""
    return [child for child in first.children() if _works(child)] or [first]


def _works(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # it may end while we look
        if child.status() == psutil.STATUS_ZOMBIE:
            return False
        return "resource_tracker" not in " ".join(child.cmdline())
    return False
