"""The slot model against everything that was measured: one point for each set-up.

The prediction uses nothing but what was fixed before a trial began: its plan of arrivals, the
time for which a request holds its slot, and the number of slots. For trials it is computed anew
from what was stored, by the functions that made the claims' thresholds; readings state theirs.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gatewaylab.errors import InputError, RefusedError
from gatewaylab.model import queueing
from gatewaylab.model.arrivals import Closed, parse_arrivals
from gatewaylab.model.quantiles import quantile_of
from gatewaylab.records.evidence import Evidence
from gatewaylab.records.results import AGAIN, Readings, Trial
from gatewaylab.servers.specs import SERVERS

Kind = Literal["latency", "throughput"]


@dataclass(frozen=True)
class PredictedPoint:
    """One set-up of one comparison, or one label of readings.

    Attributes:
        kind: ``latency`` (median, seconds) or ``throughput`` (answers per second, closed model).
        interface: of its server. slots: None when nothing bounds them.
        predicted: the model's value, the median over the trials' plans.
        measured: the median over the same trials or readings. trials: how many.
    """

    kind: Kind
    notebook: str
    comparison: str
    label: str
    interface: str
    slots: int | None
    predicted: float
    measured: float
    trials: int

    @property
    def error(self) -> float:
        """By how much the measurement differs from the model, as a share of the latter."""
        return self.measured / self.predicted - 1


@dataclass(frozen=True)
class Collection:
    """All points, and how many set-ups gave none, by reason."""

    points: tuple[PredictedPoint, ...]
    left_out: tuple[tuple[str, int], ...]

    def of(self, kind: Kind) -> list[PredictedPoint]:
        return [point for point in self.points if point.kind == kind]


class _LeftOutError(Exception):
    """The model has nothing to say about a set-up; the text says why."""


def collect(every: Iterable[Evidence]) -> Collection:
    """A point for each set-up that the model can predict."""
    points: list[PredictedPoint] = []
    left_out: Counter[str] = Counter()
    for evidence in every:
        for comparison in evidence.comparisons:
            groups: dict[str, list[Trial]] = {}
            for trial in comparison.trials:
                groups.setdefault(trial.label.removesuffix(AGAIN), []).append(trial)
            for label, trials in groups.items():
                try:
                    points.append(_point(evidence.notebook, comparison.name, label, trials))
                except _LeftOutError as reason:
                    left_out[str(reason)] += 1
        for readings in evidence.readings:
            points.extend(_read(evidence.notebook, readings))
    return Collection(tuple(points), tuple(left_out.most_common()))


def _point(notebook: str, comparison: str, label: str, trials: Sequence[Trial]) -> PredictedPoint:
    setup = trials[0].setup
    if "hold" not in setup:
        raise _LeftOutError("measured before set-ups were recorded in full")
    spec = SERVERS.get(setup["server"]["name"])
    if spec is None:
        raise _LeftOutError("of a server that this edition does not know")
    if setup["cpu_bound"]:
        raise _LeftOutError("limited by the processor")
    if not setup["hold"]:
        raise _LeftOutError("without a fixed hold time")
    try:
        pairs = [_pair(trial, float(setup["hold"]), setup["slots"]) for trial in trials]
    except (InputError, RefusedError) as error:
        raise _LeftOutError("whose trials the model cannot read") from error
    predicted = statistics.median(pair[0] for pair in pairs)
    measured = statistics.median(pair[1] for pair in pairs)
    if not (0 < measured < math.inf):
        raise _LeftOutError("whose typical request met the deadline")
    return PredictedPoint(
        kind="throughput" if trials[0].arrivals["kind"] == Closed.kind else "latency",
        notebook=notebook,
        comparison=comparison,
        label=label,
        interface=spec.interface.value,
        slots=setup["slots"],
        predicted=predicted,
        measured=measured,
        trials=len(trials),
    )


#: By unit of readings: what they are, and how many of Point's unit one is.
_READ: Mapping[str, tuple[Kind, float]] = {"ms": ("latency", 1e-3), "/s": ("throughput", 1.0)}


def _read(notebook: str, readings: Readings) -> Iterator[PredictedPoint]:
    """A point for each label with a prediction and an accepted reading."""
    for label, expected in readings.expected.items():
        kind, scale = _READ[readings.unit]
        again = readings.values.get(label + AGAIN, {})
        values = [*readings.values[label].values(), *again.values()]
        if values:
            yield PredictedPoint(
                kind=kind,
                notebook=notebook,
                comparison=readings.name,
                label=label,
                interface=expected.interface,
                slots=expected.slots,
                predicted=scale * expected.value,
                measured=scale * statistics.median(values),
                trials=len(values),
            )


def _pair(trial: Trial, hold: float, slots: int | None) -> tuple[float, float]:
    """What the model predicts for one trial, and what was measured in it."""
    arrivals = parse_arrivals(**trial.arrivals)
    if isinstance(arrivals, Closed):
        if arrivals.think:
            raise _LeftOutError("whose clients pause between requests")
        at_work = arrivals.clients if slots is None else min(slots, arrivals.clients)
        return queueing.throughput_limit(at_work, hold), trial.throughput
    plan = arrivals.plan(trial.warmup + trial.seconds, trial.seed)
    model = queueing.slot_model(plan, hold, slots)[plan >= trial.warmup]
    return quantile_of(model, 0.5), trial.quantile(0.5)


@dataclass(frozen=True)
class Errors:
    """How far points lie from the model.

    Attributes:
        median: of the absolute relative errors. largest: the greatest of them.
        worst: the point that has it.
    """

    median: float
    largest: float
    worst: PredictedPoint


def errors(points: Sequence[PredictedPoint]) -> Errors | None:
    """The typical and the greatest deviation; None without any point."""
    if not points:
        return None
    worst = max(points, key=lambda point: abs(point.error))
    typical = statistics.median(abs(point.error) for point in points)
    return Errors(typical, abs(worst.error), worst)
