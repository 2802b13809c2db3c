"""One configuration, and what a finished comparison of several says: quantiles, ratios, the model.

Nothing is measured here. A ratio is taken block by block, because within a block all
configurations had the same plan and the same minute of the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatewaylab.errors import InputError, RefusedError
from gatewaylab.load.request import Request, get
from gatewaylab.load.samples import ERRORS
from gatewaylab.measure.disturbance import reach, shift
from gatewaylab.model import queueing, stats
from gatewaylab.model.arrivals import Arrivals, Closed
from gatewaylab.model.quantiles import quantile_of
from gatewaylab.records.effects import Bounds, Effect
from gatewaylab.records.results import AGAIN, Comparison, Finding, Touched, Trial
from gatewaylab.servers.registry import Server

#: A request that missed its deadline is an answer ("at least this long"), not a fault.
CENSORED = ("deadline",)


@dataclass(frozen=True)
class Setup:
    """One configuration: a server, what is asked of it, and how requests arrive.

    Attributes:
        hold: seconds a request holds its slot in the application, for the slot model and for
            the rule that no answer is faster than its hold; None when it is not known.
        slots: how many requests can be held at once; None when nothing bounds them.
        cpu_bound: the hold is computing, not waiting; for the record.
        errors: the kinds of error that belong to the experiment; any other makes a trial invalid.
    """

    server: Server
    request: Request
    arrivals: Arrivals
    hold: float | None = None
    slots: int | None = None
    cpu_bound: bool = False
    errors: tuple[str, ...] = CENSORED


def setup(
    server: Server,
    path: str | Request = "/hello",
    *,
    arrivals: Arrivals,
    hold: float | None = None,
    slots: int | None = None,
    cpu_bound: bool = False,
    errors: Collection[str] = CENSORED,
) -> Setup:
    """A configuration for :func:`compare`; ``path`` is a path to GET or a whole request.

    ``slots`` is needed where the application itself narrows what the server could hold, such as
    a view that blocks its event loop; otherwise it is the server's own number.

    Raises:
        InputError: a kind of error that does not exist.
    """
    request = get(path) if isinstance(path, str) else path
    if unknown := {*errors} - {*ERRORS}:
        raise InputError(f"unknown errors {sorted(unknown)}; known: {', '.join(ERRORS[1:])}")
    slots = slots or server.total_slots
    return Setup(server, request, arrivals, hold, slots, cpu_bound, tuple(errors))


@dataclass(frozen=True)
class Outcome:
    """A finished comparison, and the questions that may be asked of it."""

    comparison: Comparison
    setups: Mapping[str, Setup]

    def _per_block(self, label: str, quantity: Callable[[Trial], float]) -> dict[int, float]:
        if label not in {*self.setups, self.comparison.twin + AGAIN}:
            raise InputError(f"no configuration {label!r}; there are: {', '.join(self.setups)}")
        return {trial.block: quantity(trial) for trial in self.comparison.of(label)}

    def quantiles(self, label: str, p: float = 0.5) -> list[float]:
        """Latency at level ``p`` in seconds, one value a block."""
        return list(self._per_block(label, lambda trial: trial.quantile(p)).values())

    def throughputs(self, label: str) -> list[float]:
        """Answers per second, one value a block."""
        return list(self._per_block(label, lambda trial: trial.throughput).values())

    def trial(self, label: str) -> Trial | None:
        """The first accepted trial of ``label``; None when every one was refused."""
        return next(iter(self.comparison.of(label)), None)

    def peaks(self, label: str) -> dict[int, int]:
        """Most requests inside the application at one moment, by block."""
        return {t.block: t.measured.peak_overlap for t in self.comparison.of(label)}

    def sharing(self, label: str) -> dict[int, int]:
        """Most requests that one thread had inside the application at one moment, by block."""
        return {t.block: t.measured.peak_sharing for t in self.comparison.of(label)}

    def ratio(self, a: str, b: str, *, p: float = 0.5) -> Effect:
        """Latency at level ``p`` under ``a`` divided by that under ``b``."""
        name = "median" if p == 0.5 else f"p{100 * p:g}"
        what = f"{name} latency, {a} ÷ {b}"
        return self._ratio(a, b, lambda trial: trial.quantile(p), what, "time", p)

    def throughput_ratio(self, a: str, b: str) -> Effect:
        """Answers per second under ``a`` divided by those under ``b``."""
        what = f"answers per second, {a} ÷ {b}"
        return self._ratio(a, b, lambda trial: trial.throughput, what, "rate")

    def _ratio(
        self,
        a: str,
        b: str,
        quantity: Callable[[Trial], float],
        what: str,
        touched: Touched,
        p: float = 0.5,
    ) -> Effect:
        comparison = self.comparison
        trials = [trial for label in {a, b} for trial in comparison.of(label)]
        return ratio_of(
            lambda label: self._per_block(label, quantity),
            a,
            b,
            twin=comparison.twin,
            what=what,
            name=comparison.name,
            seed=comparison.seed,
            deadline=trials[0].deadline if touched == "time" and trials else None,
            weigh=lambda both: sum(len(t.measured) for t in trials if t.block in both),
            shifts=lambda label: self._per_block(label, lambda trial: shift(trial, touched, p)),
            touched=touched,
            broken=[
                finding
                for trial in comparison.rejected
                for finding in trial.findings
                if finding.kind == "generator"
            ],
        )

    def predicted(self, label: str, p: float = 0.5) -> float:
        """What the slot model says the quantile is, from the plans alone, in seconds.

        Lindley's or Kiefer and Wolfowitz's recursion on the very plans that were sent; no
        measured number enters. The median over the blocks.
        """
        one = self.setups[label]
        return predict(one, self.comparison, one.slots, p)

    def mean_error(self, label: str) -> float:
        """By how much the mean latency differs from the slot model's, as a share of the latter.

        The mean does not depend on the order in which waiting requests are served, as long as
        all are held equally long; a quantile does. The median over the blocks.
        """
        one = self.setups[label]
        errors = []
        for trial in self.comparison.of(label):
            model = float(_model(one, trial, one.slots).mean())
            errors.append(float(trial.measured.latency.mean()) / model - 1)
        return float(np.median(errors)) if errors else math.nan

    def predicted_ratio(self, a: str, b: str, *, p: float = 0.5) -> float:
        """The slot model's prediction for :meth:`ratio`."""
        return self.predicted(a, p) / self.predicted(b, p)


def predict(one: Setup, comparison: Comparison, slots: int | None, p: float = 0.5) -> float:
    """The slot model's quantile in seconds for the plans of ``comparison`` and ``slots``.

    NaN when no trial was accepted, so that there is nothing to hold it against.

    Raises:
        InputError: the arrivals were not planned, or the hold time is not known.
    """
    by_plan = {trial.seed: trial for trial in comparison.trials}
    found = [quantile_of(_model(one, trial, slots), p) for trial in by_plan.values()]
    return float(np.median(found)) if found else math.nan


def _model(one: Setup, trial: Trial, slots: int | None) -> NDArray[np.float64]:
    """The model's latency of each request of the measured window of ``trial``'s plan."""
    if isinstance(one.arrivals, Closed) or one.hold is None:
        raise InputError("the model needs planned arrivals and a hold time; give setup() both")
    plan = one.arrivals.plan(trial.warmup + trial.seconds, trial.seed)
    return queueing.slot_model(plan, one.hold, slots)[plan >= trial.warmup]


def no_number(reason: Exception, measured: float = math.nan) -> Finding:
    return Finding(
        rule="blocks", kind="generator", measured=measured, allowed=math.nan, message=str(reason)
    )


def ratio_of(
    per_block: Callable[[str], Mapping[int, float]],
    a: str,
    b: str,
    *,
    twin: str,
    what: str,
    name: str,
    seed: int,
    deadline: float | None = None,
    weigh: Callable[[Collection[int]], int] = len,
    shifts: Callable[[str], Mapping[int, float]] = lambda _: {},
    touched: Touched = "nothing",
    broken: Sequence[Finding] = (),
) -> Effect:
    """The ratio A / B over the blocks that have both, with the twins' ratio as its noise floor.

    Args:
        per_block: gives the values of a label by block.
        twin: the label that was measured twice in each block.
        what, name, seed: for the record, as in :class:`Effect`.
        deadline: seconds after which values were censored, if they can be.
        weigh: how many samples the given blocks hold.
        shifts: gives, by block, how far noise can have moved the values of a label.
        touched: in which direction it moves them.
        broken: what was found about trials that are missing, told when no number can be given.
    """

    def blocks(x: str, y: str) -> list[int]:
        both = sorted(per_block(x).keys() & per_block(y).keys())
        if not both:
            raise RefusedError(f"no block has an accepted trial of both {x!r} and {y!r}")
        return both

    def estimate(x: str, y: str, **more: Sequence[float]) -> stats.RatioEstimate:
        both = blocks(x, y)
        values = [per_block(x)[k] for k in both], [per_block(y)[k] for k in both]
        if min(map(min, values)) <= 0:
            raise RefusedError(f"{x!r} or {y!r} has a block without any answer")
        return stats.ratio_estimate(*values, deadline=deadline, **more)

    try:
        found, floor = estimate(a, b), estimate(twin, twin + AGAIN)
    except RefusedError as reason:
        numbers = ("estimate", "low", "high", "low90", "high90", "floor")
        none: dict[str, Any] = dict.fromkeys(numbers, math.nan)
        return Effect(
            **none, kind="ratio", what=what, n=0, blocks=0, seed=seed, values=(), comparison=name,
            refused=(no_number(reason), *broken),
        )  # fmt: skip
    both, above, below = blocks(a, b), per_block(a), per_block(b)
    first, second = shifts(a), shifts(b)
    moved = [(first.get(k, 0.0), second.get(k, 0.0)) for k in both]
    quiet = None
    if touched != "nothing" and any(map(any, moved)):
        # Noise in A moves the ratio as it moves A's value, noise in B against it.
        reaches = [(reach(x, touched), reach(y, touched)) for x, y in moved]
        freed = estimate(
            a, b, below=[x[0] + y[1] for x, y in reaches], above=[x[1] + y[0] for x, y in reaches]
        )
        quiet = Bounds(low=freed.low, high=freed.high, low90=freed.low90, high90=freed.high90)
    return Effect(
        **asdict(found) | {"n": weigh(both)},
        kind="ratio",
        what=what,
        floor=max(floor.high, 1 / floor.low if floor.low else math.inf),
        blocks=found.n,
        seed=seed,
        values=tuple(above[k] / below[k] for k in both),
        comparison=name,
        shifts=tuple(max(pair) for pair in moved),
        quiet=quiet,
    )
