"""Which systems were at work in a session, and for how long altogether.

The claims check their declared systems against it, and the figures and tables say under which
conditions they were at work. The build prints which share of a notebook's time was spent on running
systems and not on starting kernels or drawing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Session:
    """What one process, such as a notebook's kernel, has had at work so far."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._spans: list[tuple[float, float]] = []
        self._loads: list[tuple[float, float]] = []
        self._open: dict[object, float] = {}
        self._under: list[Any] = []
        self._spoken = {"HTTP/1.1"}

    @contextmanager
    def at_work(self, *names: str, under: Any = None) -> Iterator[None]:
        """Note that the named systems are up, and being started and stopped, for this block.

        Args:
            under: the conditions of a server, for `conditions`.
        """
        key = object()
        self._names.update(names)
        if under is not None:
            self._under.append(under)
        self._open[key] = time.monotonic()
        try:
            yield
        finally:
            self._spans.append((self._open.pop(key), time.monotonic()))

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Note that requests are under way, or something else is measured, for this block."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._loads.append((begun, time.monotonic()))

    def conditions(self) -> list[Any]:
        """The conditions of all servers that have been started so far."""
        return [*self._under]

    def speak(self, protocol: str) -> None:
        """Note that a client speaks this version of HTTP; HTTP/1.1 goes without it."""
        self._spoken.add(protocol)

    def spoken(self) -> list[str]:
        """The versions of HTTP that clients have spoken so far."""
        return sorted(self._spoken)

    def systems(self) -> frozenset[str]:
        """Every system that has been started so far."""
        return frozenset(self._names)

    def seconds(self) -> float:
        """Seconds in which at least one system was up; simultaneous ones count once."""
        now = time.monotonic()
        # A copy first: another thread may start or end a system meanwhile.
        return _union([*self._spans, *((begun, now) for begun in [*self._open.values()])])

    def loaded(self) -> float:
        """Seconds in which something was measured; what happens at the same time counts once."""
        return _union([*self._loads])


def _union(spans: list[tuple[float, float]]) -> float:
    total = last = 0.0
    for begun, ended in sorted(spans):
        total += max(0.0, ended - max(begun, last))
        last = max(last, ended)
    return total


#: The session of this process. What is staged takes it along (`records.staging`).
session = Session()
