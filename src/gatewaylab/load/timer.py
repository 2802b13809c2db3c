"""Waking up on time: a timerfd at absolute deadlines of the monotonic clock.

Event loops count in whole milliseconds (epoll's timeout, libuv's timers), which is coarser than
the lag that the instrument allows itself. A timerfd is a high-resolution kernel timer that shows
up as a readable descriptor, and an absolute deadline does not drift. Source: timerfd_create(2).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable

from gatewaylab.errors import LoadError

_TFD_TIMER_ABSTIME = 1


class _Timerspec(ctypes.Structure):
    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


class Timer:
    """A one-shot alarm whose descriptor becomes readable at the set time.

    Raises:
        LoadError: the system has no timerfd (it is not Linux).
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise LoadError("the load generator paces with timerfd, which only Linux has")
        self._libc = ctypes.CDLL(None, use_errno=True)
        flags = os.O_NONBLOCK | os.O_CLOEXEC  # TFD_NONBLOCK and TFD_CLOEXEC have the same values
        self.fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if self.fd < 0:
            raise LoadError(f"no timer from the kernel: {os.strerror(ctypes.get_errno())}")
        self._spec = _Timerspec()
        self._pointer = ctypes.byref(self._spec)
        self._settime: Callable[..., int] = self._libc.timerfd_settime

    def at(self, when: float) -> None:
        """Fire once at ``when`` (seconds of ``time.monotonic()``); a past time fires at once."""
        whole = int(when)
        self._spec.seconds = whole
        # Zero in both fields would disarm the timer instead.
        self._spec.nanoseconds = max(1, int((when - whole) * 1e9))
        self._settime(self.fd, _TFD_TIMER_ABSTIME, self._pointer, None)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


class Pacer:
    """The same alarm for code that awaits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer = Timer()
        self._waiting: asyncio.Future[None] | None = None
        loop.add_reader(self._timer.fd, self._fired)

    def _fired(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._timer.fd, 8)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def until(self, when: float) -> None:
        """Return at ``when``, or at once if that has passed."""
        while time.monotonic() < when:
            self._waiting = self._loop.create_future()
            self._timer.at(when)
            await self._waiting

    def close(self) -> None:
        """Stop listening and give the descriptor back."""
        self._loop.remove_reader(self._timer.fd)
        self._timer.close()
