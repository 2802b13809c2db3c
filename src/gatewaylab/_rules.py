"""The rules by which the instrument refuses a trial: one function a rule, in one table.

Each reads a :class:`Seen` and yields what it found, a sentence that begins with the rule's name.
The bounds are starting values from experience with shared machines; each has a mutant in the
tests, a trial that only this rule catches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

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
#: By how much the halves of the window may differ: the factor that equivalence allows, and below
#: a millisecond not at all, because there the clock and the scheduler have a say.
MAX_DRIFT, MAX_DRIFT_SECONDS = 1.25, 0.001
#: Fewest answers in each half for which they are compared.
_FEWEST_IN_HALF = 20
#: An event loop's timer may fire up to a millisecond early, and rounding adds to that.
_EARLY = 0.002


@dataclass(frozen=True)
class Seen:
    """One trial as the rules see it; the fields are the arguments of :func:`noise.refusals`."""

    report: GeneratorReport
    samples: Samples
    health: Mapping[str, float]
    warmup: float
    seconds: float
    effect_seconds: float | None
    expected_errors: bool | Collection[str]
    quantile: float | None
    hold: float | None
    slots: int | None
    cpu_bound: bool
    steady: bool

    @property
    def end(self) -> float:
        """The end of the window, in seconds of the trial."""
        return self.warmup + self.seconds

    @cached_property
    def measured(self) -> Samples:
        """The samples of the window."""
        return self.samples.rows(self.samples.scheduled_at >= self.warmup)


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: what its messages begin with, before the colon.
        check: yields a message for every breach.
        validity: a breach means that the data are wrong, not that the machine was disturbed:
            repeating the trial until it does not show would hide it.
    """

    name: str
    check: Callable[[Seen], Iterable[str]]
    validity: bool = False


def _sent(seen: Seen) -> Iterable[str]:
    report = seen.report
    missing = (report.planned - report.sent) / max(report.planned, 1)
    if missing > MAX_UNSENT:
        yield (
            f"sent: {report.sent} of {report.planned} planned requests, "
            f"{missing:.1%} missing is above {MAX_UNSENT:.0%}"
        )


def _client_bound(seen: Seen) -> Iterable[str]:
    report = seen.report
    cpu = report.cpu_seconds / report.wall_seconds if report.wall_seconds else math.nan
    if not cpu <= MAX_GENERATOR_CPU:
        yield (
            f"client-bound: the generator used {cpu:.0%} of its core, above {MAX_GENERATOR_CPU:.0%}"
        )


def _ceiling(seen: Seen) -> Iterable[str]:
    ceiling, rate = seen.health.get("null_ceiling"), seen.report.planned / seen.end
    if ceiling is not None and not rate <= MAX_OF_CEILING * ceiling:
        yield (
            f"ceiling: {rate:.0f} requests/s is above {MAX_OF_CEILING:.0%} of the "
            f"{ceiling:.0f} that a server which does nothing was sent: the client may be the limit"
        )


def _run_queue(seen: Seen) -> Iterable[str]:
    report = seen.report
    waited = report.run_queue_seconds / report.wall_seconds if report.wall_seconds else math.nan
    if waited > MAX_RUN_QUEUE:  # NaN where the system does not tell
        yield (
            f"run queue: the generator waited {waited:.1%} of the time for its core, "
            f"above {MAX_RUN_QUEUE:.0%}"
        )


def _send_lag(seen: Seen) -> Iterable[str]:
    lag = seen.measured.send_lag[~np.isnan(seen.measured.send_lag)]
    if len(lag) == 0:
        yield "send lag: no request of the measured window was sent"
        return
    effect = seen.effect_seconds
    bound = MAX_LAG if effect is None else max(MAX_LAG, MAX_LAG_OF_EFFECT * effect)
    high = _quantile(lag, 0.99)
    if high > bound:
        yield f"send lag: p99 is {1e3 * high:.2f} ms, above {1e3 * bound:.2f} ms"


def _reading(name: str, reading: str, words: str) -> Rule:
    """A rule that holds one reading of :class:`noise.Watch` against its bound."""

    def check(seen: Seen) -> Iterable[str]:
        value, bound = seen.health.get(reading), MAX_HEALTH[reading]
        if value is None or (seen.cpu_bound and reading == "psi_some"):
            return
        if not value <= bound:
            if reading == "foreign_cpu":
                yield f"{name}: {words} {value:.2f} cores, above {bound:.2f}"
            else:
                yield f"{name}: {words} {value:.1%} of the time, above {bound:.0%}"

    return Rule(name, check)


def _errors(seen: Seen) -> Iterable[str]:
    if seen.expected_errors is True:
        return
    allowed = () if seen.expected_errors is False else seen.expected_errors
    for code, kind in enumerate(ERRORS):
        count = int(np.count_nonzero(seen.samples.error == code))
        if code and count and kind not in allowed:
            yield f"errors: {count} requests ended in {kind!r}, which nobody expects (0 allowed)"


def _workers(seen: Seen) -> Iterable[str]:
    for reading, what in (("workers_gone", "ended"), ("workers_stopped", "stood still")):
        count = seen.health.get(reading, 0)
        if count:
            yield f"workers: {count:.0f} of the server's processes {what} meanwhile (0 allowed)"


def _order(seen: Seen) -> Iterable[str]:
    samples = seen.samples
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


def _thin_tail(seen: Seen) -> Iterable[str]:
    if seen.quantile is None:
        return
    try:
        quantile_of(seen.measured.latency, seen.quantile)
    except RefusedError as refusal:
        yield f"samples: {refusal}"


def _too_fast(seen: Seen) -> Iterable[str]:
    if seen.hold is None:
        return
    samples = seen.samples
    answered = (samples.error == 0) & ~np.isnan(samples.finished_at)
    took = (samples.finished_at - samples.sent_at)[answered]
    early = took < seen.hold - _EARLY
    if early.any():
        yield (
            f"impossible latency: {int(early.sum())} answers came sooner than the hold, the "
            f"fastest after {1e3 * took.min():.2f} ms, below {1e3 * seen.hold:.2f} ms"
        )


def _inside(seen: Seen) -> NDArray[np.bool_]:
    """The requests that were answered within the window, whenever they were asked."""
    samples = seen.samples
    with np.errstate(invalid="ignore"):
        ended = (samples.finished_at >= seen.warmup) & (samples.finished_at < seen.end)
    inside: NDArray[np.bool_] = ended & (samples.error == 0)
    return inside


def _throughput(seen: Seen) -> Iterable[str]:
    if seen.slots is None or not seen.hold:
        return
    count = int(_inside(seen).sum())
    # One more each: what ends in the window may have begun before it.
    most = seen.slots * (seen.seconds / seen.hold * (1 + SLACK) + 1)
    if count > most:
        yield (
            f"throughput: {count} answers in {seen.seconds:g} s, above the {most:.1f} "
            f"that {seen.slots} slots held {1e3 * seen.hold:g} ms can give"
        )


def _slots(seen: Seen) -> Iterable[str]:
    if seen.slots is None:
        return
    service = seen.samples.service[_inside(seen) & ~np.isnan(seen.samples.service)]
    if not len(service):
        return
    most = seen.slots * (seen.seconds * (1 + SLACK) + float(service.max()))
    if service.sum() > most:
        yield (
            f"slots: the app reports {service.sum():.3f} s of service in {seen.seconds:g} s, above "
            f"the {most:.3f} s that {seen.slots} slots have"
        )


def _little(seen: Seen) -> Iterable[str]:
    """N = X·R, with N from the time in flight and X·R from what ended in the window.

    The two differ by what straddles the window's edges. In a steady state those parts cancel but
    for chance, for which three standard deviations are allowed; a queue that grows does not.
    """
    if not seen.steady or _met(seen):
        return
    samples, warmup, end = seen.samples, seen.warmup, seen.end
    begun = samples.scheduled_at
    gone = np.where(np.isnan(samples.finished_at), np.inf, samples.finished_at)
    ended: NDArray[np.bool_] = (gone >= warmup) & (gone < end)
    in_flight = float(np.clip(np.minimum(gone, end) - np.maximum(begun, warmup), 0, None).sum())
    if in_flight == 0:
        return
    if not ended.any():
        yield f"Little's law: {in_flight / seen.seconds:.2f} requests in flight, none ended (0 %)"
        return
    sojourn = (gone - begun)[ended]
    across = ((begun < warmup) & (gone > warmup)).sum() + ((begun < end) & (gone >= end)).sum()
    allowed = SLACK * in_flight + 3 * float(sojourn.mean()) * (math.sqrt(across) + 1)
    off = abs(in_flight - float(sojourn.sum()))
    if off > allowed:
        yield (
            f"Little's law: {in_flight / seen.seconds:.2f} in flight on average, but throughput "
            f"times latency is {sojourn.sum() / seen.seconds:.2f}, off by {off / in_flight:.0%}, "
            f"above {allowed / in_flight:.0%}: the window is not steady"
        )


def _met(seen: Seen) -> bool:
    """Whether errors that were expected did occur, so that what is in flight may grow."""
    kinds = {ERRORS[code] for code in np.unique(seen.samples.error) if code}
    if isinstance(seen.expected_errors, bool):
        return seen.expected_errors and bool(kinds)
    return bool(kinds & {*seen.expected_errors})


def _warm_up(seen: Seen) -> Iterable[str]:
    """The halves of the window agree, so that the warm-up was long enough.

    Compared is what a request takes without its wait, because a queue differs from one half to
    the other by chance: the median from the application's start to the last byte where the
    application tells its start, else the lower quartile of the latency.
    """
    if not seen.steady:
        return
    measured = seen.measured
    answered = (measured.error == 0) & ~np.isnan(measured.finished_at)
    traced = answered & ~np.isnan(measured.started_at)
    if 2 * traced.sum() >= answered.sum():
        rows, begun, level = traced, measured.started_at, 0.5
    else:
        rows, begun, level = answered, measured.scheduled_at, 0.25
    took = (measured.finished_at - begun)[rows]
    first = measured.scheduled_at[rows] < seen.warmup + seen.seconds / 2
    if min(first.sum(), (~first).sum()) < _FEWEST_IN_HALF:
        return
    early, late = _quantile(took[first], level), _quantile(took[~first], level)
    low, high = sorted((early, late))
    if high > MAX_DRIFT * low and high - low > MAX_DRIFT_SECONDS:
        yield (
            f"warm-up: a request took {1e3 * early:.2f} ms in the first half of the window and "
            f"{1e3 * late:.2f} ms in the second, a factor above {MAX_DRIFT:g}; warm up for longer"
        )


def _quantile(values: NDArray[np.float64], p: float) -> float:
    ordered = np.sort(values)
    return float(ordered[max(0, math.ceil(p * len(ordered) - 1e-9) - 1)])


#: Every rule, in the order in which its messages are given.
RULES: tuple[Rule, ...] = (
    Rule("sent", _sent),
    Rule("client-bound", _client_bound),
    Rule("run queue", _run_queue),
    Rule("ceiling", _ceiling),
    Rule("send lag", _send_lag),
    _reading("spin gap", "spin_gap", "a busy loop lost"),
    _reading("CPU pressure", "psi_some", "some task waited for"),
    _reading("steal", "steal", "the host took"),
    _reading("foreign CPU", "foreign_cpu", "other processes used"),
    Rule("errors", _errors, validity=True),
    Rule("workers", _workers, validity=True),
    Rule("time order", _order, validity=True),
    Rule("samples", _thin_tail),
    Rule("impossible latency", _too_fast, validity=True),
    Rule("throughput", _throughput, validity=True),
    Rule("slots", _slots, validity=True),
    Rule("Little's law", _little),
    Rule("warm-up", _warm_up),
)
