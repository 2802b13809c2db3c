"""The rules by which the instrument judges a trial: one function a rule, in one table.

Each reads a :class:`Seen` and yields what it found. Rules of the kinds *wrong data* and *generator*
have bounds of their own. A *disturbance* has none: what was lost is put into the slot model
(:mod:`gatewaylab.measure.disturbance`), and the bound is a quarter of the way from what is
predicted to where a claim would fail. Each rule has a mutant in the tests, a trial that only this
rule finds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gatewaylab.errors import RefusedError
from gatewaylab.load.samples import ERRORS, GeneratorReport, Samples
from gatewaylab.measure.disturbance import (
    MARGIN,
    QUIET,
    Loss,
    Window,
    loss_of,
    shift_of_latency,
    window_of,
)
from gatewaylab.model.quantiles import empirical, quantile_of
from gatewaylab.records.results import Finding

#: Largest share of planned requests that may be missing.
MAX_UNSENT = 0.01
#: Share of its core that the generator may use, and of the null-server ceiling it may send.
MAX_GENERATOR_CPU, MAX_OF_CEILING = 0.60, 0.50
#: Relative slack of the physical laws.
SLACK = 0.05
#: By how much the halves of the window may differ: the factor that equivalence allows, and below
#: a millisecond not at all, because there the clock and the scheduler have a say.
MAX_DRIFT, MAX_DRIFT_SECONDS = 1.25, 0.001
#: Fewest answers in each half for which they are compared.
_FEWEST_IN_HALF = 20
#: An event loop's timer may fire up to a millisecond early, and rounding adds to that.
_EARLY = 0.002

#: What a rule yields: measured, allowed, and a sentence without the rule's name.
Found = tuple[float, float, str]


@dataclass(frozen=True)
class Seen:
    """One trial as the rules see it.

    Attributes:
        report: how the generator fared. samples: all of them, warm-up too.
        health: what :class:`noise.NoiseWatch` read, and ``null_ceiling`` in requests/s if measured.
            What is missing is not judged.
        warmup, seconds: the measured window.
        expected_errors: the kinds of error that the claim expects.
        quantile: the level that will be stated.
        hold: seconds that each request holds its slot in the application.
        slots: how many requests the server can hold at once, None for no bound.
        steady: the load is one that the server can carry; False for overload and one-off stalls,
            where the number in flight is meant to change and Little's law has no steady state.
        planned: the arrivals were; False in the closed model.
        margin: the distance, as a logarithm, from what is predicted to where a claim would fail.
    """

    report: GeneratorReport
    samples: Samples
    health: Mapping[str, float]
    warmup: float
    seconds: float
    expected_errors: Collection[str] = ()
    quantile: float | None = None
    hold: float | None = None
    slots: int | None = None
    steady: bool = True
    planned: bool = True
    margin: float = MARGIN

    @property
    def end(self) -> float:
        """The end of the window, in seconds of the trial."""
        return self.warmup + self.seconds

    @cached_property
    def measured(self) -> Samples:
        return self.samples.rows(self.samples.scheduled_at >= self.warmup)

    @cached_property
    def loss(self) -> Loss:
        return loss_of(self.samples, self.report, self.health)

    @cached_property
    def window(self) -> Window:
        return window_of(
            self.samples, warmup=self.warmup, seconds=self.seconds, hold=self.hold,
            slots=self.slots, planned=self.planned,
        )  # fmt: skip

    @property
    def allowed(self) -> float:
        """The largest shift of a quiet trial, as a logarithm."""
        return QUIET * self.margin

    def shift(self, loss: Loss) -> float:
        """How far a loss can have moved the quantile that is asked for."""
        return shift_of_latency(self.window, loss, 0.5 if self.quantile is None else self.quantile)


@dataclass(frozen=True)
class TrialRule:
    """One rule.

    Attributes:
        name: by which findings name it.
        kind: as in :class:`results.Finding`.
        check: yields what it found, for every breach.
    """

    name: str
    kind: Literal["wrong data", "generator", "disturbance"]
    check: Callable[[Seen], Iterable[Found]]

    def findings(self, seen: Seen) -> Iterable[Finding]:
        for measured, allowed, words in self.check(seen):
            yield Finding(
                rule=self.name, kind=self.kind, measured=measured, allowed=allowed,
                message=f"{self.name}: {words}",
            )  # fmt: skip


def _sent(seen: Seen) -> Iterable[Found]:
    report = seen.report
    missing = (report.planned - report.sent) / max(report.planned, 1)
    if missing > MAX_UNSENT:
        words = (
            f"{report.sent} of {report.planned} planned requests, {missing:.1%} missing is above"
        )
        yield missing, MAX_UNSENT, f"{words} {MAX_UNSENT:.0%}"


def _client_bound(seen: Seen) -> Iterable[Found]:
    report = seen.report
    cpu = report.cpu_seconds / report.wall_seconds if report.wall_seconds else math.nan
    if not cpu <= MAX_GENERATOR_CPU:
        words = f"the generator used {cpu:.0%} of its core, above {MAX_GENERATOR_CPU:.0%}"
        yield cpu, MAX_GENERATOR_CPU, words


def _ceiling(seen: Seen) -> Iterable[Found]:
    ceiling, rate = seen.health.get("null_ceiling"), seen.report.planned / seen.end
    if ceiling is not None and not rate <= MAX_OF_CEILING * ceiling:
        yield (
            rate,
            MAX_OF_CEILING * ceiling,
            f"{rate:.0f} requests/s is above {MAX_OF_CEILING:.0%} of the {ceiling:.0f} that a "
            "server which does nothing was sent: the client may be the limit",
        )


def _moved(seen: Seen, loss: Loss, words: str) -> Iterable[Found]:
    """A disturbance, if it can have moved the quantile by more than is allowed."""
    shift = seen.shift(loss)
    if shift > seen.allowed:
        words += f", which can have moved the latency by a factor of {_factor(shift)}, above"
        yield shift, seen.allowed, f"{words} {_factor(seen.allowed)}"


def _factor(shift: float) -> str:
    return "∞" if shift > 20 else f"{math.exp(shift):.3g}"


def _send_lag(seen: Seen) -> Iterable[Found]:
    lag = seen.loss.lag
    if lag is None or not len(lag):
        return
    late = 1e3 * float(lag.max())
    yield from _moved(seen, Loss(lag=lag), f"requests were sent up to {late:.2f} ms late")


def _run_queue(seen: Seen) -> Iterable[Found]:
    waited = seen.loss.waited
    words = f"ready processes waited {1e3 * waited:.1f} ms while others had their core"
    yield from _moved(seen, Loss(waited=waited), words)


def _steal(seen: Seen) -> Iterable[Found]:
    stolen = seen.loss.stolen
    yield from _moved(seen, Loss(stolen=stolen), f"the host took {1e3 * stolen:.0f} ms")


def _quota(seen: Seen) -> Iterable[Found]:
    throttled = seen.loss.throttled
    words = f"a quota kept this group of processes from running for {1e3 * throttled:.0f} ms"
    yield from _moved(seen, Loss(throttled=throttled), words)


def _together(seen: Seen) -> Iterable[Found]:
    """What no rule of its own finds, and all losses together do."""
    alone = (_send_lag, _run_queue, _steal, _quota)
    if not any(True for rule in alone for _ in rule(seen)):
        yield from _moved(seen, seen.loss, "all that was lost comes to one disturbance")


def _errors(seen: Seen) -> Iterable[Found]:
    for code, kind in enumerate(ERRORS):
        count = int(np.count_nonzero(seen.samples.error == code))
        if code and count and kind not in seen.expected_errors:
            yield count, 0, f"{count} requests ended in {kind!r}; each must be answered (0 allowed)"


def _workers(seen: Seen) -> Iterable[Found]:
    for reading, what in (("workers_gone", "ended"), ("workers_stopped", "stood still")):
        count = seen.health.get(reading, 0)
        if count:
            words = f"{count:.0f} of the server's processes {what} meanwhile (0 allowed)"
            yield count, 0, words


def _order(seen: Seen) -> Iterable[Found]:
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
                yield by, 0, f"a request {what}, by {by:.0f} µs (0 allowed)"


def _thin_tail(seen: Seen) -> Iterable[Found]:
    if seen.quantile is None:
        return
    try:
        quantile_of(seen.measured.latency, seen.quantile)
    except RefusedError as refusal:
        yield len(seen.measured), math.nan, str(refusal)


def _too_fast(seen: Seen) -> Iterable[Found]:
    if seen.hold is None:
        return
    samples = seen.samples
    answered = (samples.error == 0) & ~np.isnan(samples.finished_at)
    took = (samples.finished_at - samples.sent_at)[answered]
    early = took < seen.hold - _EARLY
    if early.any():
        yield (
            float(took.min()),
            seen.hold,
            f"{int(early.sum())} answers came sooner than the hold, the fastest after "
            f"{1e3 * took.min():.2f} ms, below {1e3 * seen.hold:.2f} ms",
        )


def _inside(seen: Seen) -> NDArray[np.bool_]:
    """The requests that were answered within the window, whenever they were asked."""
    samples = seen.samples
    with np.errstate(invalid="ignore"):
        ended = (samples.finished_at >= seen.warmup) & (samples.finished_at < seen.end)
    inside: NDArray[np.bool_] = ended & (samples.error == 0)
    return inside


def _throughput(seen: Seen) -> Iterable[Found]:
    if seen.slots is None or not seen.hold:
        return
    count = int(_inside(seen).sum())
    # One more each: what ends in the window may have begun before it.
    most = seen.slots * (seen.seconds / seen.hold * (1 + SLACK) + 1)
    if count > most:
        words = f"{count} answers in {seen.seconds:g} s, above the {most:.1f} that {seen.slots}"
        yield count, most, f"{words} slots held {1e3 * seen.hold:g} ms can give"


def _slots(seen: Seen) -> Iterable[Found]:
    if seen.slots is None:
        return
    service = seen.samples.service[_inside(seen) & ~np.isnan(seen.samples.service)]
    if not len(service):
        return
    most = seen.slots * (seen.seconds * (1 + SLACK) + float(service.max()))
    if service.sum() > most:
        total = float(service.sum())
        yield (
            total,
            most,
            f"the app reports {total:.3f} s of service in {seen.seconds:g} s, above the "
            f"{most:.3f} s that {seen.slots} slots have",
        )


def _little(seen: Seen) -> Iterable[Found]:
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
        words = f"{in_flight / seen.seconds:.2f} requests in flight, and none ended"
        yield math.inf, seen.allowed, words
        return
    sojourn = (gone - begun)[ended]
    across = ((begun < warmup) & (gone > warmup)).sum() + ((begun < end) & (gone >= end)).sum()
    allowed = SLACK * in_flight + 3 * float(sojourn.mean()) * (math.sqrt(across) + 1)
    off = abs(in_flight - float(sojourn.sum()))
    if off > allowed:
        yield (
            math.log1p(off / in_flight),
            math.log1p(allowed / in_flight),
            f"{in_flight / seen.seconds:.2f} in flight on average, but throughput times latency "
            f"is {sojourn.sum() / seen.seconds:.2f}, off by {off / in_flight:.0%}, above "
            f"{allowed / in_flight:.0%}: the window is not steady",
        )


def _met(seen: Seen) -> bool:
    """Whether errors that were expected did occur, so that what is in flight may grow."""
    return any(ERRORS[code] in seen.expected_errors for code in np.unique(seen.samples.error))


def _warm_up(seen: Seen) -> Iterable[Found]:
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
    early, late = empirical(took[first], level), empirical(took[~first], level)
    low, high = sorted((early, late))
    if high > MAX_DRIFT * low and high - low > MAX_DRIFT_SECONDS:
        yield (
            math.log(high / low) if low > 0 else math.inf,
            math.log(MAX_DRIFT),
            f"a request took {1e3 * early:.2f} ms in the first half of the window and "
            f"{1e3 * late:.2f} ms in the second, a factor above {MAX_DRIFT:g}; warm up for longer",
        )


#: Every rule, in the order in which its findings are given.
RULES: tuple[TrialRule, ...] = (
    TrialRule("sent", "generator", _sent),
    TrialRule("client-bound", "generator", _client_bound),
    TrialRule("ceiling", "generator", _ceiling),
    TrialRule("samples", "generator", _thin_tail),
    TrialRule("send lag", "disturbance", _send_lag),
    TrialRule("run queue", "disturbance", _run_queue),
    TrialRule("steal", "disturbance", _steal),
    TrialRule("quota", "disturbance", _quota),
    TrialRule("together", "disturbance", _together),
    TrialRule("warm-up", "disturbance", _warm_up),
    TrialRule("Little's law", "disturbance", _little),
    TrialRule("errors", "wrong data", _errors),
    TrialRule("workers", "wrong data", _workers),
    TrialRule("time order", "wrong data", _order),
    TrialRule("impossible latency", "wrong data", _too_fast),
    TrialRule("throughput", "wrong data", _throughput),
    TrialRule("slots", "wrong data", _slots),
)

#: The rules whose measured number is itself a shift of the result, beside the modelled loss.
DRIFT = ("warm-up", "Little's law")
