"""By how much what others took from a trial can have moved its result, through the slot model.

A disturbance has no bound of its own in milliseconds or per cent. What was lost while a trial was
under way (the time in which its processes were ready and others ran, what the host took, how late
each request was sent) is put into the slot model with the very plan that was sent, and the model
says by how much the quantity moves. That shift, a logarithm, is in the unit of the claim.

Nobody knows where in the window the loss fell, so the worst of several places counts: spread over
all requests alike, or one stall that begins at any of :data:`PLACES` moments. Noise only lengthens,
so the truth lies at most the shift below a latency, or above a rate. Pure functions: no clock, no
I/O.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatewaylab.load.samples import GeneratorReport, Samples
from gatewaylab.model import queueing
from gatewaylab.model.quantiles import empirical
from gatewaylab.model.stats import EQUIVALENCE
from gatewaylab.records.results import Touched, Trial

Floats = NDArray[np.float64]

#: At how many moments of the plan a stall is tried. With 16 the bound missed the truth in 1.2 % of
#: simulated trials whose whole loss was real, most by a hundredth.
PLACES = 16

#: The distance from a prediction to a threshold when nothing narrower is said: that of "no
#: difference", a ratio of 1.25.
MARGIN = EQUIVALENCE[1]

#: A trial is quiet if its shift is at most this share of that distance.
QUIET = 0.25


@dataclass(frozen=True)
class Loss:
    """What others took from one trial.

    Attributes:
        waited: seconds in which processes of the server or the generator were ready and others
            had their core.
        stolen: seconds that the host took from the cores in use.
        throttled: seconds that a quota kept this group of processes from running.
        lag: seconds by which each request was sent late, one a sample; empty to leave it out.
    """

    waited: float = 0.0
    stolen: float = 0.0
    throttled: float = 0.0
    lag: Floats | None = None

    @property
    def seconds(self) -> float:
        """All that was lost but for the lag of the sending, in seconds."""
        return self.waited + self.stolen + self.throttled


def loss_of(samples: Samples, report: GeneratorReport, health: Mapping[str, float]) -> Loss:
    """What the generator and the machine (:class:`noise.NoiseWatch`) say a trial has lost.

    A process that is ready waits for its own like as well as for others. Of the waiting, theirs is
    at least as much as they computed, if there was so much, and at least their share in all
    computing of the window.
    """
    queued = 0.0 if math.isnan(report.run_queue_seconds) else report.run_queue_seconds
    queued += health.get("server_waited", 0.0)
    foreign = health.get("foreign_cpu", 0.0) * health.get("window_seconds", 0.0)
    return Loss(
        waited=max(health.get("others", 0.0) * queued, min(queued, foreign)),
        stolen=health.get("stolen", 0.0),
        throttled=health.get("throttled", 0.0),
        lag=np.nan_to_num(samples.send_lag, nan=0.0),
    )


@dataclass(frozen=True)
class Window:
    """One trial as the model sees it.

    Attributes:
        plan: scheduled starts, shape ``(n,)``. measured: which of them count, shape ``(n,)``.
        seconds: length of the measured window.
        hold: seconds a request holds its slot. slots: how many; None for no bound.
        planned: the arrivals were; in the closed model there is no plan to put a loss into.
        seen: the latencies of the measured window where the hold is known and not inferred. No
            request takes less than its hold, so noise can have added at most what is above it.
    """

    plan: Floats
    measured: NDArray[np.bool_]
    seconds: float
    hold: float
    slots: int | None
    planned: bool = True
    seen: Floats | None = None


def window_of(
    samples: Samples,
    *,
    warmup: float,
    seconds: float,
    hold: float | None,
    slots: int | None,
    planned: bool,
) -> Window:
    """The trial of these samples.

    A hold that is not known is taken to be the lower quartile of the latency: what a request takes
    that meets no other.
    """
    measured = samples.scheduled_at >= warmup
    latency = samples.rows(measured).latency
    seen = None if hold is None else latency
    if hold is None:
        finite = latency[np.isfinite(latency)]
        hold = float(np.quantile(finite, 0.25)) if len(finite) else math.inf
    return Window(samples.scheduled_at, measured, seconds, hold, slots, planned, seen)


def shift_of_latency(window: Window, loss: Loss, p: float = 0.5) -> float:
    """How far a loss can have moved the ``p`` quantile of the latency up, as a logarithm.

    Nothing lost moves nothing; otherwise infinite when no latency is known to begin with.
    """
    most = _most(window, p)
    if not window.planned:
        return min(most, share_lost(loss, window.seconds))
    lost = loss.seconds
    plan, count = window.plan, len(window.plan)
    if lost <= 0 and (loss.lag is None or not (loss.lag > 0).any()):
        return 0.0
    if not count or not 0 < window.hold < math.inf or not window.measured.any():
        return math.inf
    lag = np.zeros(count) if loss.lag is None else np.clip(loss.lag, 0.0, None)
    sent = np.maximum.accumulate(plan + lag)

    def quantile(finished: Floats) -> float:
        return empirical((finished - plan)[window.measured], p)

    undisturbed = quantile(plan + queueing.slot_model(plan, window.hold, window.slots))
    spread = quantile(sent + queueing.slot_model(sent, window.hold + lost / count, window.slots))
    worst = spread
    if lost > 0:
        for begin in np.linspace(float(plan[0]), float(plan[-1]), PLACES, endpoint=False):
            stalled = queueing.stall_latencies(sent, float(begin), lost, window.hold, window.slots)
            worst = max(worst, quantile(sent + stalled))
    return min(most, max(0.0, math.log(worst / undisturbed)))


def _most(window: Window, p: float) -> float:
    """By how much the quantile exceeds the hold, as a logarithm; infinite where it is not known."""
    if window.seen is None or not len(window.seen) or not window.hold > 0:
        return math.inf
    return max(0.0, math.log(empirical(window.seen, p) / window.hold))


def share_lost(loss: Loss, seconds: float) -> float:
    """How far a loss can have moved what is in proportion to the ``seconds`` that were left.

    So it lowers the answers per second, and the rate of a closed load, as a logarithm.
    """
    lost = max(0.0, loss.seconds)
    return math.inf if lost >= seconds else -math.log1p(-lost / seconds)


def shift(trial: Trial, touched: Touched = "time", p: float = 0.5) -> float:
    """How far noise can have moved what a trial is asked for, as a logarithm, 0 or more.

    Args:
        touched: ``time`` for the ``p`` quantile of its latency, ``rate`` for its throughput.
    """
    window = window_of(
        trial.samples,
        warmup=trial.warmup,
        seconds=trial.seconds,
        hold=trial.setup.get("hold"),
        slots=trial.setup.get("slots"),
        planned=trial.arrivals.get("kind") != "closed",
    )
    loss = loss_of(trial.samples, trial.generator, trial.health)
    drift = trial.health.get("drift", 0.0)
    if touched == "rate":
        return min(_room(trial), share_lost(loss, window.seconds)) + drift
    return shift_of_latency(window, loss, p) + drift


def _room(trial: Trial) -> float:
    """By how much a rate stays below what its slots and clients can give, as a logarithm.

    Infinite where that is not known. Source: Little's law, :func:`queueing.throughput_limit`.
    """
    hold, slots = trial.setup.get("hold"), trial.setup.get("slots")
    held = min(slots or math.inf, trial.arrivals.get("clients") or math.inf)
    if not hold or math.isinf(held) or not trial.throughput:
        return math.inf
    return max(0.0, math.log(held / hold / trial.throughput))


def reach(shift: float, touched: Touched) -> tuple[float, float]:
    """How far below and above a number the truth may lie, as logarithms: noise has one direction.

    What lengthens a time leaves the truth below it; what lowers a rate leaves it above.
    """
    if touched == "nothing":
        return 0.0, 0.0
    return (shift, 0.0) if touched == "time" else (0.0, shift)
