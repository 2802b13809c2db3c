"""What the machine did to a trial, and what the rules find about it.

:class:`NoiseWatch` reads the machine around a trial; :func:`findings` is a pure function of what
was read and what was seen, by the :data:`RULES`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from gatewaylab.guard import procfs
from gatewaylab.guard.procfs import machine_times, pressure_total
from gatewaylab.measure.rules import DRIFT, RULES, Seen
from gatewaylab.records.results import Finding


class NoiseWatch:
    """Reads the machine at both ends of a ``with`` block.

    Attributes:
        health: after the block, by name. What was lost, in seconds: ``server_waited`` (threads of
            the processes in ``own`` were ready and others ran), ``stolen`` (by the host, from the
            cores that this process may use) and ``throttled`` (by a quota); ``others`` is the share
            of foreign processes in all computing. For the record: ``window_seconds``, ``psi_some``
            and ``steal`` as shares of the time, ``foreign_cpu`` in cores. Of the processes in
            ``own``: how many ended (``workers_gone``) or stood still (``workers_stopped``) at
            the end. A reading that the system does not offer is left out.

    Args:
        own: process ids (or a function that gives them) whose trees belong to the run, beside
            this process's own tree: the server under test.
    """

    def __init__(self, own: Iterable[int] | Callable[[], Iterable[int]] = ()) -> None:
        self.health: dict[str, float] = {}
        self._own = own

    def __enter__(self) -> NoiseWatch:
        self._workers = self._roots()
        self._begin = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        begin, end = self._begin, self._read()
        spent = {name: end[name] - begin[name] for name in begin.keys() & end.keys()}
        passed = spent.pop("at")
        self.health = {
            "window_seconds": passed,
            "server_waited": max(0.0, spent["waited"]),
            "throttled": max(0.0, spent["throttled"]),
            **self._missed(),
        }
        if "pressure" in spent:
            self.health["psi_some"] = spent["pressure"] / passed
        if "all" in spent:
            foreign = max(0.0, spent["busy"] - spent["own"])
            self.health["steal"] = spent["steal"] / max(spent["all"], 1e-9)
            self.health["stolen"] = max(0.0, spent["steal"])
            self.health["foreign_cpu"] = foreign / passed
            self.health["others"] = foreign / max(foreign + spent["own"], 1e-9)

    def _read(self) -> dict[str, float]:
        roots = self._roots()
        reading = {
            "at": time.monotonic(),
            "waited": procfs.waited(roots),
            "throttled": procfs.throttled(),
        }
        with contextlib.suppress(OSError, ValueError):
            reading["pressure"] = pressure_total(Path("/proc/pressure/cpu").read_text())
        with contextlib.suppress(OSError, ValueError):
            reading |= machine_times(Path("/proc/stat").read_text(), os.sched_getaffinity(0))
            reading["own"] = tree_cpu({os.getpid(), *roots})
        return reading

    def _roots(self) -> set[int]:
        return set(self._own() if callable(self._own) else self._own)

    def _missed(self) -> dict[str, float]:
        """How many processes of the run are not what they were at the start."""
        states = [procfs.state(pid) for pid in self._workers]
        return {
            "workers_gone": float(sum(state in {None, "Z", "X"} for state in states)),
            "workers_stopped": float(sum(state in {"T", "t"} for state in states)),
        }


def tree_cpu(roots: Collection[int]) -> float:
    """CPU seconds of the trees below ``roots``, with the children that they have waited for.

    Adding the waited-for children keeps the sum steady when a process of the tree ends.
    """
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may hold anything, so count from its end.
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        pid = int(entry.name)
        parents[pid] = int(fields[1])
        used[pid] = sum(int(field) for field in fields[11:15])
    total = 0
    for pid, ticks in used.items():
        ancestor = pid
        while ancestor not in roots and ancestor in parents:
            ancestor = parents[ancestor]
        if ancestor in roots:
            total += ticks
    return total / os.sysconf("SC_CLK_TCK")


def findings(seen: Seen) -> tuple[Finding, ...]:
    """What the rules find about one trial; empty when it is as it should be and quiet."""
    return tuple(found for rule in RULES for found in rule.findings(seen))


def drift(found: Iterable[Finding]) -> float:
    """By how much the window itself was unsteady, as a logarithm; 0 when it was not."""
    return max((one.measured for one in found if one.rule in DRIFT), default=0.0)


def of_kind(found: Iterable[Finding], kind: str) -> tuple[Finding, ...]:
    return tuple(one for one in found if one.kind == kind)
