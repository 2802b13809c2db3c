"""A load generator that stands by: started ahead, so that a trial need not wait for its imports.

Each job has a process of its own all the same. The one for the next job starts when a job is done,
and does its imports while the next server starts.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from types import TracebackType

_COMMAND = (sys.executable, "-m", "gatewaylab.load.generator")


@dataclass(frozen=True)
class Generator:
    """A generator's process, waiting for its job; a ``with`` block closes its lifeline.

    Attributes:
        lifeline: the end of a pipe that it inherited; it ends when our end is closed.
    """

    process: subprocess.Popen[bytes]
    lifeline: int
    _ends: tuple[int, int]

    def __enter__(self) -> Generator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for end in self._ends:
            os.close(end)


_lock = threading.Lock()
_waiting: dict[int, Generator] = {}  # by the process that started it, which a fork is not


def take() -> Generator:
    """The generator that stands by, or a new one."""
    with _lock:
        found = _waiting.pop(os.getpid(), None)
    if found is not None and found.process.poll() is None:
        return found
    if found is not None:  # it was ended by somebody
        _dismiss(found)
    return _started()


def prepare() -> None:
    """Have one stand by for the next job; only the main thread does.

    A process gets its death signal when the thread that started it ends, and another thread may
    have taken it for a job by then.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    with _lock:
        if os.getpid() not in _waiting:
            _waiting[os.getpid()] = _started()


def _started() -> Generator:
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            (*_COMMAND, str(os.getpid())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(reader,),
            process_group=0,  # a kernel that ends waits for whoever is left in its own group
        )
    except BaseException:
        os.close(reader)
        os.close(writer)
        raise
    return Generator(process, reader, (reader, writer))


def _dismiss(one: Generator) -> None:
    with one, one.process:
        one.process.kill()


@atexit.register
def _end() -> None:
    found = _waiting.pop(os.getpid(), None)
    if found is not None:
        with contextlib.suppress(OSError):
            _dismiss(found)
