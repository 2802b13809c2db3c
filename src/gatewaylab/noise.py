"""How disturbed a trial was, and the rules by which the instrument refuses to publish it.

:class:`Watch` reads the machine around a trial; :func:`refusals` is a pure function of what was
read and what was seen. The bounds are starting values from experience with shared machines:
throughput alone does not reveal a busy neighbour, the pressure and foreign-CPU readings do.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from gatewaylab.errors import RefusedError
from gatewaylab.results import ERRORS, GeneratorReport, Samples, quantile_of

#: Largest share of planned requests that may be missing.
MAX_UNSENT = 0.01
#: Send lag p99 may reach this, or this share of the effect that is looked for.
MAX_LAG, MAX_LAG_OF_EFFECT = 0.001, 0.05
#: Share of its core that the generator may use, and of the null-server ceiling it may send.
MAX_GENERATOR_CPU, MAX_OF_CEILING = 0.60, 0.50
#: Share of the time that the generator may be runnable without running.
MAX_RUN_QUEUE = 0.02
#: What the probes may read: shares, except ``foreign_cpu`` in cores.
MAX_HEALTH = {"spin_gap": 0.03, "psi_some": 0.10, "steal": 0.01, "foreign_cpu": 0.15}
#: Relative slack of the physical laws.
SLACK = 0.05
#: An event loop's timer may fire up to a millisecond early, and rounding adds to that.
_EARLY = 0.002

_GAP = 20e-6
_NAMES = {
    "spin_gap": "spin gap: a busy loop lost",
    "psi_some": "CPU pressure: some task waited for",
    "steal": "steal: the host took",
    "foreign_cpu": "foreign CPU: other processes used",
}


class Watch:
    """Reads the machine at both ends of a ``with`` block.

    Attributes:
        health: after the block, by name: ``psi_some``, ``steal`` and ``spin_gap`` as shares of
            the time, ``foreign_cpu`` in cores, ``window_seconds``. A reading that the system does
            not offer is left out.

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
        self.health = {"window_seconds": passed}
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
            roots = self._own() if callable(self._own) else self._own
            reading["own"] = tree_cpu({os.getpid(), *roots})
        return reading


def pressure_total(text: str) -> float:
    """Seconds in which at least one task waited for a CPU, from ``/proc/pressure/cpu``.

    The running total is read rather than the averages, because those look back ten seconds and
    more. Source: Linux, Documentation/accounting/psi.

    Raises:
        ValueError: the text has no such total.
    """
    for line in text.splitlines():
        if line.startswith("some "):
            return int(line.rpartition("total=")[2]) / 1e6
    raise ValueError("no line for 'some' in the pressure file")


def machine_times(text: str) -> dict[str, float]:
    """CPU seconds of the whole machine from ``/proc/stat``: ``busy``, ``steal`` and ``all``.

    Interrupt time is in ``all`` and not in ``busy``: no process is charged with it, so it could
    not be told apart from a stranger's. Source: proc_stat(5).

    Raises:
        ValueError: the text is something else.
    """
    fields = text.partition("\n")[0].split()
    if len(fields) < 9 or fields[0] != "cpu":
        raise ValueError("no summary line in the stat file")
    ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields[1:9]]
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = ticks
    return {"busy": user + nice + system, "steal": steal, "all": sum(ticks)}


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
    measured = samples.rows(samples.scheduled_at >= warmup)
    found = [
        *_generator(report, health, warmup + seconds),
        *_lag(measured, effect_seconds),
        *_health(health, cpu_bound),
        *_errors(samples, expected_errors),
        *_order(samples),
    ]
    if quantile is not None:
        try:
            quantile_of(measured.latency, quantile)
        except RefusedError as refusal:
            found.append(f"samples: {refusal}")
    if hold is not None:
        found += _hold(samples, hold)
    if slots is not None:
        found += _slots(samples, warmup, seconds, slots, hold)
    if steady and not _met(samples, expected_errors):
        found += _little(samples, warmup, seconds)
    return tuple(found)


def _generator(
    report: GeneratorReport, health: Mapping[str, float], duration: float
) -> Iterable[str]:
    missing = (report.planned - report.sent) / max(report.planned, 1)
    if missing > MAX_UNSENT:
        yield (
            f"sent: {report.sent} of {report.planned} planned requests, "
            f"{missing:.1%} missing is above {MAX_UNSENT:.0%}"
        )
    cpu = report.cpu_seconds / report.wall_seconds if report.wall_seconds else math.nan
    if not cpu <= MAX_GENERATOR_CPU:
        yield (
            f"client-bound: the generator used {cpu:.0%} of its core, above {MAX_GENERATOR_CPU:.0%}"
        )
    waited = report.run_queue_seconds / report.wall_seconds if report.wall_seconds else math.nan
    if waited > MAX_RUN_QUEUE:  # NaN where the system does not tell
        yield (
            f"run queue: the generator waited {waited:.1%} of the time for its core, "
            f"above {MAX_RUN_QUEUE:.0%}"
        )
    ceiling, rate = health.get("null_ceiling"), report.sent / duration
    if ceiling is not None and not rate <= MAX_OF_CEILING * ceiling:
        yield (
            f"client-bound: {rate:.0f} requests/s is above {MAX_OF_CEILING:.0%} of the "
            f"{ceiling:.0f} that a server which does nothing was sent"
        )


def _lag(measured: Samples, effect: float | None) -> Iterable[str]:
    lag = measured.send_lag[~np.isnan(measured.send_lag)]
    if len(lag) == 0:
        yield "send lag: no request of the measured window was sent"
        return
    bound = max(MAX_LAG, MAX_LAG_OF_EFFECT * effect) if effect is not None else MAX_LAG
    high = _p99(lag)
    if high > bound:
        yield f"send lag: p99 is {1e3 * high:.2f} ms, above {1e3 * bound:.2f} ms"


def _health(health: Mapping[str, float], cpu_bound: bool) -> Iterable[str]:
    for name, bound in MAX_HEALTH.items():
        value = health.get(name)
        if value is None or (cpu_bound and name == "psi_some"):
            continue
        if not value <= bound:
            if name == "foreign_cpu":
                yield f"{_NAMES[name]} {value:.2f} cores, above {bound:.2f}"
            else:
                yield f"{_NAMES[name]} {value:.1%} of the time, above {bound:.0%}"


def _errors(samples: Samples, expected: bool | Collection[str]) -> Iterable[str]:
    if expected is True:
        return
    allowed = () if expected is False else expected
    for code, kind in enumerate(ERRORS):
        count = int(np.count_nonzero(samples.error == code))
        if code and count and kind not in allowed:
            yield f"errors: {count} requests ended in {kind!r}, which nobody expects (0 allowed)"


def _met(samples: Samples, expected: bool | Collection[str]) -> bool:
    """Whether errors that were expected did occur, so that what is in flight may grow."""
    kinds = {ERRORS[code] for code in np.unique(samples.error) if code}
    return bool(kinds) if expected is True else expected is not False and bool(kinds & {*expected})


def _order(samples: Samples) -> Iterable[str]:
    with np.errstate(invalid="ignore"):
        steps = (
            ("was sent before its schedule", samples.sent_at - samples.scheduled_at),
            ("was answered before it was sent", samples.first_byte_at - samples.sent_at),
            ("ended before it began to arrive", samples.finished_at - samples.first_byte_at),
            ("reached the app before it was sent", samples.started_at - samples.sent_at),
        )
        for what, step in steps:
            # The clock is one for all processes; the headers round to a microsecond.
            if len(step) and (step < -5e-6).any():
                by = -1e6 * float(np.nanmin(step))
                yield f"time order: a request {what}, by {by:.0f} µs (0 allowed)"


def _hold(samples: Samples, hold: float) -> Iterable[str]:
    answered = (samples.error == 0) & ~np.isnan(samples.finished_at)
    took = (samples.finished_at - samples.sent_at)[answered]
    early = took < hold - _EARLY
    if early.any():
        yield (
            f"impossible latency: {int(early.sum())} answers came sooner than the hold, the "
            f"fastest after {1e3 * took.min():.2f} ms, below {1e3 * hold:.2f} ms"
        )


def _slots(
    samples: Samples, warmup: float, seconds: float, slots: int, hold: float | None
) -> Iterable[str]:
    end = warmup + seconds
    with np.errstate(invalid="ignore"):
        inside = (samples.finished_at >= warmup) & (samples.finished_at < end)
    inside &= samples.error == 0
    if hold:
        # One more each: what ends in the window may have begun before it.
        most = slots * (seconds / hold * (1 + SLACK) + 1)
        if inside.sum() > most:
            yield (
                f"throughput: {int(inside.sum())} answers in {seconds:g} s, above the {most:.1f} "
                f"that {slots} slots held {1e3 * hold:g} ms can give"
            )
    service = samples.service[inside & ~np.isnan(samples.service)]
    if len(service):
        most = slots * (seconds * (1 + SLACK) + float(service.max()))
        if service.sum() > most:
            yield (
                f"slots: the app reports {service.sum():.3f} s of service in {seconds:g} s, above "
                f"the {most:.3f} s that {slots} slots have"
            )


def _little(samples: Samples, warmup: float, seconds: float) -> Iterable[str]:
    """N = X·R, with N from the time in flight and X·R from what ended in the window.

    The two differ by what straddles the window's edges. In a steady state those parts cancel but
    for chance, for which three standard deviations are allowed; a queue that grows does not.
    """
    end = warmup + seconds
    begun = samples.scheduled_at
    gone = np.where(np.isnan(samples.finished_at), np.inf, samples.finished_at)
    ended: NDArray[np.bool_] = (gone >= warmup) & (gone < end)
    in_flight = float(np.clip(np.minimum(gone, end) - np.maximum(begun, warmup), 0, None).sum())
    if in_flight == 0:
        return
    if not ended.any():
        yield f"Little's law: {in_flight / seconds:.2f} requests in flight and none ended (0 %)"
        return
    sojourn = (gone - begun)[ended]
    across = ((begun < warmup) & (gone > warmup)).sum() + ((begun < end) & (gone >= end)).sum()
    allowed = SLACK * in_flight + 3 * float(sojourn.mean()) * (math.sqrt(across) + 1)
    off = abs(in_flight - float(sojourn.sum()))
    if off > allowed:
        yield (
            f"Little's law: {in_flight / seconds:.2f} in flight on average, but throughput times "
            f"latency is {sojourn.sum() / seconds:.2f}, off by {off / in_flight:.0%}, above "
            f"{allowed / in_flight:.0%}: the window is not steady"
        )


def _p99(values: NDArray[np.float64]) -> float:
    ordered = np.sort(values)
    return float(ordered[max(0, math.ceil(0.99 * len(ordered) - 1e-9) - 1)])
