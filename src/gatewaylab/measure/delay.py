"""What a disturbed machine can have added to a time, and what may still be said of it.

Noise only lengthens: a neighbour or the host can keep a process waiting, and cannot hurry it. So
"it came sooner than x" stands as it was seen, while "it took x or more" stands only if it would
without everything that was lost meanwhile. What lies between is undecided: ``None``, which is
neither ``True`` nor ``False`` and makes no claim fail.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gatewaylab.errors import InputError
from gatewaylab.guard.procfs import machine_times, pressure_total, throttled

#: What an observation came to: it held, it did not, or noise can explain what was seen.
Held = bool | None


class Delay:
    """A ``with`` block, and the most that anything in it can have been held up.

    That is the time in which tasks waited for a processor, what the host took from the processors,
    and what a quota held back: a chain of events, through however many processes, cannot have
    waited for longer. The kernel gives the waiting as a mean over the busy processors, so it is
    taken times their number. A system that does not tell counts as undisturbed.

    Attributes:
        seconds: lost so far; after the block, lost in it.

    Source: Linux, Documentation/accounting/psi (the total of ``some``); proc_stat(5) (``steal``).
    """

    def __enter__(self) -> Delay:
        self._begin = _lost()
        self._end: float | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self._end = _lost()

    @property
    def seconds(self) -> float:
        """Seconds that can have been lost."""
        return max(0.0, (_lost() if self._end is None else self._end) - self._begin)

    def sooner(self, seconds: float, than: float) -> Held:
        """Whether a time that was measured in the block is below a bound.

        ``None`` when it is not, and would have been without what was lost.
        """
        return sooner(seconds, than, lost=self.seconds)

    def later(self, seconds: float, than: float) -> Held:
        """Whether a time that was measured in the block reaches a bound, noise taken off."""
        return opposite(self.sooner(seconds, than))

    def judge(self, held: bool, *, gap: float) -> Held:
        """An observation that only lateness of ``gap`` seconds or more can make fail.

        ``None`` when it failed and so much was lost. Not for what lateness could make hold.
        """
        return True if held else None if self.seconds >= gap else False


def sooner(seconds: float, than: float, *, lost: float) -> Held:
    """Whether ``seconds`` lie below ``than``, when up to ``lost`` of them may be noise."""
    if seconds < than:
        return True
    return None if seconds - lost < than else False


def opposite(told: Held) -> Held:
    """True for False, False for True; what is undecided stays so."""
    return None if told is None else not told


def every(*told: Held) -> Held:
    """Whether all hold: False if one does not, else undecided if one is."""
    if False in told:
        return False
    return None if None in told else True


def both_ways(*columns: Sequence[Held]) -> list[Held]:
    """:func:`every`, repetition by repetition, of several observations repeated equally often."""
    return [every(*row) for row in zip(*columns, strict=True)]


def repeated(observe: Callable[[], Held], times: int = 5) -> list[Held]:
    """An observation made ``times`` times, and a fifth as often again for those left undecided.

    Raises:
        InputError: it is to be made less than once.
    """
    if times < 1:
        raise InputError(f"an observation is made once or more often, not {times} times")
    found = [observe() for _ in range(times)]
    for _ in range(max(1, times // 5)):
        if None in found:
            found.remove(None)
            found.append(observe())
    return found


def until(condition: Callable[[], bool], *, within: float, every: float = 0.01) -> bool:
    """Wait until it is so, at most ``within`` seconds, and say whether it came to be.

    Args:
        every: seconds between two looks.
    """
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(every)
    return True


def _lost() -> float:
    """Seconds lost since the machine's start, as far as the system tells."""
    total = 0.0
    with contextlib.suppress(OSError, ValueError):
        cores = os.cpu_count() or 1
        total += cores * pressure_total(Path("/proc/pressure/cpu").read_text())
    with contextlib.suppress(OSError, ValueError):
        total += machine_times(Path("/proc/stat").read_text())["steal"]
    return total + throttled()
