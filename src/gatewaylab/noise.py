"""How disturbed a trial was, and whether the instrument refuses it.

:class:`Watch` reads the machine around a trial; :func:`refusals` is a pure function of what was
read and what was seen, by the :data:`RULES`. Throughput alone does not reveal a busy neighbour;
the pressure and foreign-CPU readings do.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType

from gatewaylab import _procfs
from gatewaylab._procfs import machine_times, pressure_total
from gatewaylab._rules import MAX_HEALTH, RULES, Rule, Seen
from gatewaylab.results import GeneratorReport, Samples

_GAP = 20e-6


class Watch:
    """Reads the machine at both ends of a ``with`` block.

    Attributes:
        health: after the block, by name: ``psi_some``, ``steal`` and ``spin_gap`` as shares of
            the time, ``foreign_cpu`` in cores, ``window_seconds``, and of the processes in ``own``
            how many ended (``workers_gone``) or stood still at the end (``workers_stopped``). A
            reading that the system does not offer is left out.

    Args:
        own: process ids (or a function that gives them) whose trees belong to the run, beside
            this process's own tree: the server under test.
        spin: seconds that the busy-loop probe takes on each core, before and after; 0 omits it.
    """

    def __init__(
        self, own: Iterable[int] | Callable[[], Iterable[int]] = (), *, spin: float = 0.02
    ) -> None:
        self.health: dict[str, float] = {}
        self._own = own
        self._spin = spin

    def __enter__(self) -> Watch:
        self._gap = settled_gap(self._spin) if self._spin else math.nan
        self._workers = self._roots()
        self._begin = self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        begin, end = self._begin, self._read()
        passed = end["at"] - begin["at"]
        self.health = {"window_seconds": passed, **self._missed()}
        if "pressure" in begin and "pressure" in end:
            self.health["psi_some"] = (end["pressure"] - begin["pressure"]) / passed
        if "all" in begin and "all" in end:
            share = (end["steal"] - begin["steal"]) / max(end["all"] - begin["all"], 1e-9)
            busy = end["busy"] - begin["busy"] - (end["own"] - begin["own"])
            self.health["steal"] = share
            self.health["foreign_cpu"] = max(0.0, busy / passed)
        if self._spin:
            self.health["spin_gap"] = max(self._gap, settled_gap(self._spin))

    def _read(self) -> dict[str, float]:
        reading = {"at": time.monotonic()}
        with contextlib.suppress(OSError, ValueError):
            text = Path("/proc/pressure/cpu").read_text()
            reading["pressure"] = pressure_total(text)
        with contextlib.suppress(OSError, ValueError):
            reading |= machine_times(Path("/proc/stat").read_text())
            reading["own"] = tree_cpu({os.getpid(), *self._roots()})
        return reading

    def _roots(self) -> set[int]:
        return set(self._own() if callable(self._own) else self._own)

    def _missed(self) -> dict[str, float]:
        """How many processes of the run are not what they were at the start."""
        states = [_procfs.state(pid) for pid in self._workers]
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


def spin_gap(seconds: float = 0.02, cores: Iterable[int] | None = None) -> float:
    """Share of the time that a busy loop lost to others, the worst of the cores.

    Reads the clock in a loop; a step that took longer than 20 µs was an interruption.
    """
    before = os.sched_getaffinity(0)
    worst = 0.0
    try:
        for core in sorted(before if cores is None else cores):
            os.sched_setaffinity(0, {core})
            worst = max(worst, _spin(seconds))
    finally:
        os.sched_setaffinity(0, before)
    return worst


def settled_gap(seconds: float = 0.02) -> float:
    """The spin gap, looked at again if it breaks the rule, and then the smaller of the two.

    The probe runs just outside the window. There a single time slice that went to the server's
    own start or end says nothing about the trial; a neighbour that stays takes both looks, and
    the readings inside the window (pressure, foreign CPU, run queue) see one that comes later.
    """
    first = spin_gap(seconds)
    return first if first <= MAX_HEALTH["spin_gap"] else min(first, spin_gap(seconds))


def _spin(seconds: float) -> float:
    clock = time.monotonic
    begin = last = clock()
    end = begin + seconds
    lost = 0.0
    while last < end:
        now = clock()
        if now - last > _GAP:
            lost += now - last
        last = now
    return lost / (last - begin)


def refusals(
    report: GeneratorReport,
    samples: Samples,
    health: Mapping[str, float],
    *,
    warmup: float = 0.0,
    seconds: float | None = None,
    effect_seconds: float | None = None,
    expected_errors: bool | Collection[str] = False,
    quantile: float | None = None,
    hold: float | None = None,
    slots: int | None = None,
    cpu_bound: bool = False,
    steady: bool = True,
) -> tuple[str, ...]:
    """The rules that one trial broke, each with its value and bound; empty when it may be used.

    Args:
        report: how the generator fared. samples: all of them, warm-up too.
        health: what :class:`Watch` read, and ``null_ceiling`` in requests/s if it was measured.
            What is missing is not judged.
        warmup, seconds: the measured window; its end is the last scheduled start if not given.
        effect_seconds: the difference in latency that is looked for.
        expected_errors: True, or the kinds of error that the claim expects.
        quantile: the level that will be stated.
        hold: seconds that each request holds its slot in the application.
        slots: how many requests the server can hold at once, None for no bound.
        cpu_bound: the server is meant to compute, so tasks wait for CPUs without any stranger.
        steady: the load is one that the server can carry; False for overload and one-off stalls,
            where the number in flight is meant to change and Little's law has no steady state.
    """
    if seconds is None:
        last = float(samples.scheduled_at.max()) if len(samples) else warmup
        seconds = max(last - warmup, 1e-9)
    seen = Seen(
        report=report,
        samples=samples,
        health=health,
        warmup=warmup,
        seconds=seconds,
        effect_seconds=effect_seconds,
        expected_errors=expected_errors,
        quantile=quantile,
        hold=hold,
        slots=slots,
        cpu_bound=cpu_bound,
        steady=steady,
    )
    return tuple(message for rule in RULES for message in rule.check(seen))


def breaks_validity(refusal: str) -> bool:
    """Whether a message of :func:`refusals` says that the data are wrong.

    Otherwise the machine was disturbed, or the load was not the planned one; such a trial may be
    repeated, while repeating one with wrong data would only look for a run that hides it.
    """
    name = refusal.partition(":")[0]
    return any(rule.validity and rule.name == name for rule in RULES)


__all__ = [
    "MAX_HEALTH", "RULES", "Rule", "Seen", "Watch", "breaks_validity", "machine_times",
    "pressure_total", "refusals", "settled_gap", "spin_gap", "tree_cpu",
]  # fmt: skip
