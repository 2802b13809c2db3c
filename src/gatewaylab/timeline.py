"""Which systems were at work in this process, and for how long altogether.

The claims check their declared systems against it, and the figures and tables say under which
conditions they were at work. The build prints which share of a notebook's time was spent on running
systems and not on starting kernels or drawing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_names: set[str] = set()
_spans: list[tuple[float, float]] = []
_loads: list[tuple[float, float]] = []
_open: dict[object, float] = {}
_under: list[Any] = []
_spoken = {"HTTP/1.1"}


@contextmanager
def at_work(*names: str, under: Any = None) -> Iterator[None]:
    """Note that the named systems are up, and being started and stopped, for this block.

    Args:
        under: the conditions of a server, for `conditions`.
    """
    key = object()
    _names.update(names)
    if under is not None:
        _under.append(under)
    _open[key] = time.monotonic()
    try:
        yield
    finally:
        _spans.append((_open.pop(key), time.monotonic()))


def conditions() -> list[Any]:
    """The conditions of all servers that have been started so far."""
    return [*_under]


def speak(protocol: str) -> None:
    """Note that a client speaks this version of HTTP; that one speaks HTTP/1.1 goes without it."""
    _spoken.add(protocol)


def spoken() -> list[str]:
    """The versions of HTTP that clients have spoken so far."""
    return sorted(_spoken)


def systems() -> frozenset[str]:
    """Every system that has been started so far."""
    return frozenset(_names)


@contextmanager
def under_load() -> Iterator[None]:
    """Note that requests are under way, or something else that is measured, for this block."""
    begun = time.monotonic()
    try:
        yield
    finally:
        _loads.append((begun, time.monotonic()))


def seconds() -> float:
    """Seconds in which at least one system was up; simultaneous ones count once."""
    now = time.monotonic()
    # A copy first: another thread may start or end a system meanwhile.
    return _union([*_spans, *((begun, now) for begun in [*_open.values()])])


def loaded() -> float:
    """Seconds in which something was measured; what happens at the same time counts once."""
    return _union([*_loads])


def _union(spans: list[tuple[float, float]]) -> float:
    total = last = 0.0
    for begun, ended in sorted(spans):
        total += max(0.0, ended - max(begun, last))
        last = max(last, ended)
    return total
