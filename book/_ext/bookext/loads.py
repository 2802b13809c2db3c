"""A load as the form of *Which should you use?* asks for it, and what a command makes of it.

``slots.js`` computes and says the same for a visitor's own numbers; tests hold the two against each
other, and the commands of the page against the numbers that they are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gatewaylab.model.queueing import slots_needed

#: At most this share of the requests may find every slot busy.
SHARE = 0.05


@dataclass(frozen=True)
class Load:
    """What comes at the busiest time, and where to. The defaults are the book's own example.

    Attributes:
        rate: requests a second. hold: milliseconds that one holds its slot, on average.
        slowrate: slow requests a second, in addition. slowhold: their milliseconds.
        streams: open at once, on average; each holds a slot.
        compute: milliseconds of its time in which a request computes, on average.
        cores: of the machine; a worker process on each.
        share: of the requests, those that may find every slot busy.
    """

    rate: float = 60
    hold: float = 120
    slowrate: float = 0
    slowhold: float = 2000
    streams: float = 0
    compute: float = 10
    cores: int = 2
    share: float = SHARE

    @property
    def busy(self) -> float:
        """Slots that are busy, on average."""
        return (self.rate * self.hold + self.slowrate * self.slowhold) / 1000 + self.streams

    @property
    def computing(self) -> float:
        """Cores that compute, on average."""
        return (self.rate + self.slowrate) * self.compute / 1000

    @property
    def threads(self) -> int:
        """Threads of each worker, which is a pool of its own."""
        return slots_needed(self.busy / self.cores, self.share)


def duration(milliseconds: float) -> str:
    """A hold time as "20 ms" or "2 s"."""
    long = milliseconds >= 1000
    return f"{milliseconds / 1000:g}\u00a0s" if long else f"{milliseconds:g}\u00a0ms"


def told(load: Load, command: str) -> str:
    """Which load a path's command is for, and how many database connections gunicorn can open."""
    sentences = [f"For {', '.join(_parts(load, command))}."]
    if load.computing >= load.cores:
        sentences.append("The computing alone keeps all cores busy: take more.")
    if "gunicorn" in command:
        slots = load.cores * (threads_for(load, command) if "--threads" in command else 1)
        sentences.append(
            f"gunicorn opens at most {_many(slots, 'database connection')}, "
            f"and up to {2 * slots} while a reload replaces its workers."
        )
    return " ".join(sentences)


def threads_for(load: Load, command: str) -> int:
    """The threads of gunicorn's workers; with uvicorn beside it, that one has the streams."""
    if "uvicorn" in command:
        load = Load(**{**vars(load), "streams": 0})
    return load.threads


def _parts(load: Load, command: str) -> Iterator[str]:
    if load.rate:
        yield f"{_many(load.rate, 'request')} a second of {duration(load.hold)}"
    if load.slowrate:
        yield f"{_many(load.slowrate, 'slow one')} a second of {duration(load.slowhold)}"
    if load.streams:
        yield _many(load.streams, "open stream")
    yield _many(load.cores, "core")
    if "--threads" in command:
        yield f"at most {share(load.share)} waiting"


def share(value: float) -> str:
    """A share as "1 in 20"."""
    return f"1 in {1 / value:g}"


def _many(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
