"""The load generator's process: ``python -m gatewaylab.load.generator OWNER``.

It imports what the timing path needs, reads a job from its standard input, runs it and writes the
raw columns to its standard output. It ends with its owner in either of two ways, because each has
a gap: the kernel's parent-death signal (lost when the owner's *thread* is not the one that
matters) and a lifeline pipe (kept open by a foreign process that inherited it).
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import resource
import signal
import sys
import threading
from typing import cast

from gatewaylab.load.wire import Columns, Job, Tally

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run one job; a failure is a traceback on standard error and exit status 1.

    SIGINT from the owner, while it sends, ends the job: what was seen until then is the answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing to tell yet
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[-1]):
        return  # the owner was gone before the signal was asked for
    import gatewaylab.load.raw  # noqa: F401  # ahead of the job; nearly all jobs need it

    if not cast(io.BufferedReader, sys.stdin.buffer).peek(1):
        return  # there is no job any more: the owner is gone, or has no use for one
    job = Job.read(sys.stdin.buffer)
    if os.getppid() != job.parent:
        raise SystemExit("the owner was gone before the generator began")
    threading.Thread(target=_hold, args=(job.lifeline,), daemon=True).start()
    if job.pin is not None:
        os.sched_setaffinity(0, {job.pin})
    _allow_descriptors()
    columns, tally = run(job)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for part in columns.parts(tally):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def run(job: Job) -> tuple[Columns, Tally]:
    """Hand the job to its transport; only that one's libraries are imported."""
    if job.transport == "raw":
        from gatewaylab.load import raw

        return raw.run(job, interruptible=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio makes it a cancellation
    if job.transport == "httpx":
        from gatewaylab.load import httpx

        return httpx.run(job)
    from gatewaylab.load import websocket

    return websocket.run(job)


def _hold(lifeline: int) -> None:
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)  # nothing is ever written: this returns when the owner is gone
    os._exit(1)


def _allow_descriptors() -> None:
    """As many sockets as this user may have; what is beyond becomes error samples."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
