"""What was seen: samples, trials, comparisons. Frozen, validated, versioned, saved atomically.

Times are float seconds. Within a trial they count from the trial's own start on the monotonic
clock; ``NaN`` means "did not happen", and a request that had not finished by the deadline has
``finished_at = NaN`` and therefore a latency of +∞: censored, never dropped.

JSON has no NaN and no infinity. A time that did not happen is stored as ``null``; a number that
may be infinite (a bound, a reading) as ``"Infinity"``, ``"-Infinity"`` or ``"NaN"``.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from gatewaylab._columns import Integers, Seconds
from gatewaylab.errors import InputError, RefusedError, ResultError

#: Suffix of the label under which a twin's second trial is kept.
AGAIN = " (again)"

#: The error of a sample, by the index that :attr:`Samples.error` stores.
ERRORS = ("", "deadline", "connect", "reset", "protocol", "status", "body")

#: Fewest samples for which a quantile at or above this level is stated (method, section 2).
_NEEDED = ((0.999, 20_000), (0.99, 2_000), (0.95, 100), (0.9, 50))


#: A float that may be ±∞ or NaN; JSON has it as text then (``ser_json_inf_nan`` below).
Number = Annotated[
    float,
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"]}]}),
]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, ser_json_inf_nan="strings"
    )


class Finding(_Frozen):
    """What a rule found about a trial, a reading or an effect.

    Attributes:
        rule: the rule's name.
        kind: *wrong data* are never measured again, which would only look for a run that hides
            them. *generator*: the load was not the planned one. *disturbance*: others used the
            machine, by so much that it can have moved what is looked for.
        measured, allowed: in the unit that the message names; NaN where there is no number.
        message: a sentence for people.
    """

    rule: Annotated[str, Field(min_length=1)]
    kind: Literal["wrong data", "generator", "disturbance"]
    measured: Number
    allowed: Number
    message: str

    def __str__(self) -> str:
        return self.message


class Samples(_Frozen):
    """One column per measured quantity, one row per planned request, in the plan's order.

    Attributes:
        scheduled_at: when the plan wanted the request to start.
        sent_at: when its bytes were handed to the kernel or, where it needed a new connection,
            when that was asked for, so that a full backlog counts as latency.
        first_byte_at: when the first byte of the answer arrived.
        finished_at: when the last byte arrived; NaN if the deadline came first.
        status: HTTP status, 0 if none arrived.
        error: index into :data:`ERRORS`; 0 is "no error".
        service: seconds inside the application, from its ``Server-Timing`` header.
        started_at: when the application began, from its ``X-Started`` header.
        worker: index into :attr:`workers` of the process/thread that answered, -1 if unknown.
        workers: the distinct ``X-Worker`` values seen.
    """

    scheduled_at: Seconds
    sent_at: Seconds
    first_byte_at: Seconds
    finished_at: Seconds
    status: Integers
    error: Integers
    service: Seconds
    started_at: Seconds
    worker: Integers
    workers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        n = len(self.scheduled_at)
        for name in type(self).model_fields:
            if name != "workers" and len(getattr(self, name)) != n:
                raise ValueError(f"column {name} has {len(getattr(self, name))} rows, not {n}")
        if np.isnan(self.scheduled_at).any() or (self.scheduled_at < 0).any():
            raise ValueError("scheduled_at must be a non-negative number in every row")
        if n and (self.error.min() < 0 or self.error.max() >= len(ERRORS)):
            raise ValueError(f"error codes run from 0 to {len(ERRORS) - 1}")
        if n and not -1 <= self.worker.min() <= self.worker.max() < len(self.workers):
            raise ValueError("worker names an entry that the workers table does not have")
        if n and not 0 <= self.status.min() <= self.status.max() <= 999:
            raise ValueError("an HTTP status is 0 (none arrived) to 999")
        if (self.service < 0).any():  # False for NaN
            raise ValueError("a service time is negative")
        if (self.finished_at < self.scheduled_at - 1e-3).any():
            raise ValueError("a request finished before it was scheduled")
        if (np.isnan(self.finished_at) & (self.error == 0)).any():
            raise ValueError("a request that never finished must carry its error")
        if (~np.isnan(self.finished_at) & (self.error == ERRORS.index("deadline"))).any():
            raise ValueError("a request that missed the deadline has no finish time")
        return self

    def __eq__(self, other: object) -> bool:
        """Same columns, NaN equal to NaN."""
        if not isinstance(other, Samples):
            return NotImplemented
        return self.workers == other.workers and all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True)
            for name in type(self).model_fields
            if name != "workers"
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def __len__(self) -> int:
        return len(self.scheduled_at)

    @property
    def latency(self) -> NDArray[np.float64]:
        """Seconds from the scheduled start to the last byte; +∞ where it never came."""
        return np.where(np.isnan(self.finished_at), np.inf, self.finished_at - self.scheduled_at)

    @property
    def time_to_first_byte(self) -> NDArray[np.float64]:
        """Seconds from the scheduled start to the first byte; +∞ where it never came."""
        return np.where(
            np.isnan(self.first_byte_at), np.inf, self.first_byte_at - self.scheduled_at
        )

    @property
    def send_lag(self) -> NDArray[np.float64]:
        """Seconds that the generator was late; NaN where the request was never sent."""
        return self.sent_at - self.scheduled_at

    @property
    def peak_overlap(self) -> int:
        """Most requests that were inside the application at one moment, by its own trace."""
        traced = ~(np.isnan(self.started_at) | np.isnan(self.service))
        begin = np.sort(self.started_at[traced])
        end = np.sort((self.started_at + self.service)[traced])
        if not len(begin):
            return 0
        # At the start of each request: those begun so far, less those that have ended.
        inside = np.arange(1, len(begin) + 1) - np.searchsorted(end, begin, side="right")
        return int(inside.max())

    @property
    def peak_sharing(self) -> int:
        """Most requests that were inside the application at one moment on one and the same thread.

        Threads, and greenlets, are told apart by the answers' ``X-Worker``.
        """
        return max(
            (self.rows(self.worker == w).peak_overlap for w in {*self.worker} - {-1}), default=0
        )

    def rows(self, mask: NDArray[np.bool_]) -> Samples:
        """The samples where ``mask`` is true."""
        columns = {
            name: getattr(self, name)[mask] for name in type(self).model_fields if name != "workers"
        }
        return Samples(**columns, workers=self.workers)


class GeneratorReport(_Frozen):
    """How the load generator itself fared; the noise rules read it.

    Attributes:
        transport: which client was used.
        planned: requests in the plan.
        sent: requests whose bytes were written.
        connections: TCP (or unix) connections opened.
        reconnects: connections that had to be replaced after the server closed them.
        peak_in_flight: most requests that were unanswered at once.
        cpu_seconds: user and system time of the generator process while it sent.
        wall_seconds: how long it sent and waited.
        run_queue_seconds: time it was runnable and not running (``/proc/self/schedstat``); NaN
            where the system does not tell.
        monotonic_start: the trial's zero on ``time.monotonic()``.
    """

    transport: str
    planned: Count
    sent: Count
    connections: Count
    reconnects: Count
    peak_in_flight: Count
    cpu_seconds: Amount
    wall_seconds: Amount
    run_queue_seconds: Number
    monotonic_start: Amount

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sent > self.planned:
            raise ValueError(f"{self.sent} requests sent of {self.planned} planned")
        if self.run_queue_seconds < 0 or math.isinf(self.run_queue_seconds):
            raise ValueError("run_queue_seconds must be 0 or more and finite, or NaN if unknown")
        return self


class Trial(_Frozen):
    """One fresh server, one plan, one set of raw samples.

    Attributes:
        label: which configuration of the comparison this is.
        block: index of the block it was measured in.
        setup: the server and request as JSON values.
        arrivals: the arrival process as JSON values.
        seed: seed of the plan.
        warmup: seconds at the start that no statistic uses.
        seconds: length of the measured window.
        deadline: seconds after which an unanswered request is censored.
        started: wall-clock time of the start, ISO 8601, for the record only.
        health: what was read of the machine, by name.
        findings: what the rules found. A trial with none but disturbances may be used; it is then
            marked by them.
    """

    label: Annotated[str, Field(min_length=1)]
    block: Count
    setup: dict[str, Any]
    arrivals: dict[str, Any]
    seed: Count
    warmup: Amount
    seconds: Length
    deadline: Length
    started: str
    samples: Samples
    generator: GeneratorReport
    health: dict[str, Number]
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether its load was the planned one and its data are right."""
        return all(finding.kind == "disturbance" for finding in self.findings)

    @property
    def measured(self) -> Samples:
        """The samples of the measured window."""
        return self.samples.rows(self.samples.scheduled_at >= self.warmup)

    @property
    def throughput(self) -> float:
        """Answers without error that arrived in the measured window, per second of it.

        Whenever they were asked for: leaving out those that were under way when the window
        opened would count a full queue as lost capacity.
        """
        finished = self.samples.finished_at[self.samples.error == 0]
        inside = (finished >= self.warmup) & (finished < self.warmup + self.seconds)
        return float(inside.sum()) / self.seconds

    def quantile(self, p: float) -> float:
        """Latency at level ``p`` in seconds, +∞ when censored samples reach that level.

        Raises:
            RefusedError: the window holds too few samples for that level.
        """
        return quantile_of(self.measured.latency, p)


def quantile_of(latency: NDArray[np.float64], p: float) -> float:
    """Empirical ``p`` quantile (inverted distribution function), refusing thin tails.

    Raises:
        RefusedError: fewer samples than the level needs.
        InputError: the level is not between 0 and 1, or a latency is NaN.
    """
    if not 0 <= p <= 1:
        raise InputError(f"a quantile level lies between 0 and 1, so not {p!r} (p99 is 0.99)")
    if np.isnan(latency).any():
        raise InputError("a latency is NaN; what never finished has latency +∞")
    needed = next((n for level, n in _NEEDED if p >= level), 1)
    if len(latency) < needed:
        raise RefusedError(
            f"p{100 * p:g} needs at least {needed} samples and this trial has {len(latency)}; "
            f"measure longer, or ask for a lower quantile"
        )
    return empirical(latency, p)


def empirical(values: NDArray[np.float64], p: float) -> float:
    """The ``p`` quantile (inverted distribution function) of however few values, ∞ among them.

    By hand, because numpy's method interpolates through infinity with a warning.
    """
    ordered = np.sort(values)
    return float(ordered[max(0, math.ceil(p * len(ordered) - 1e-9) - 1)])


class Comparison(_Frozen):
    """Several configurations measured in randomised, interleaved blocks.

    Attributes:
        name: file-safe name, unique in its notebook.
        labels: the configurations in the order they were declared.
        twin: the label that each block measured twice (A/A).
        blocks: how many blocks were asked for.
        seed: seed of the permutations and, with block and label, of every plan.
        trials: those that count; the twin's second one is labelled ``twin + " (again)"``.
        rejected: trials that were measured again, kept for the record.
    """

    name: str
    labels: tuple[str, ...]
    twin: str
    blocks: Annotated[int, Field(ge=1)]
    seed: Count
    trials: tuple[Trial, ...]
    rejected: tuple[Trial, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label is declared twice")
        if self.twin not in self.labels:
            raise ValueError(f"the twin {self.twin!r} is not one of the labels")
        known = {*self.labels, self.twin + AGAIN}
        for trial in (*self.trials, *self.rejected):
            if trial.label not in known:
                raise ValueError(f"a trial is labelled {trial.label!r}, which is not declared")
        if not all(trial.usable for trial in self.trials):
            raise ValueError("a trial that broke a rule stands among the accepted ones")
        if not all(trial.findings for trial in self.rejected):
            raise ValueError("a rejected trial does not say which rule it broke")
        return self

    def of(self, label: str) -> list[Trial]:
        """The accepted trials of one configuration, in block order."""
        return sorted((t for t in self.trials if t.label == label), key=lambda t: t.block)


#: The units in which the slot model predicts readings: a median latency, answers per second.
PREDICTED = ("ms", "/s")


#: What noise does to a number: it lengthens a time, lowers a rate, and leaves others alone.
Touched = Literal["time", "rate", "nothing"]


class Expected(_Frozen):
    """What the slot model says of one label of readings, stated before they are taken.

    Attributes:
        interface: ``wsgi`` or ``asgi``. slots: None when nothing bounds them.
        value: in the unit of the readings, one of :data:`PREDICTED`.
    """

    interface: Literal["wsgi", "asgi"]
    slots: Annotated[int, Field(ge=1)] | None
    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Readings(_Frozen):
    """Numbers that are read one at a time, in randomised, interleaved blocks.

    For what is not a trial of requests: CPU per request of a tool, what a tool reports, memory.

    Attributes:
        name: file-safe name, unique in its notebook.
        what: the quantity in words. unit: of the values.
        labels, twin, blocks, seed: as in :class:`Comparison`.
        values: by label, by block; the twin's second value is labelled ``twin + " (again)"``.
        touched: what noise does to a value: lengthens a time, lowers a rate, or nothing (memory,
            computing time).
        shifts: by label, by block: how far noise can have moved the value, as a logarithm.
        repeated: readings that were taken again because noise could have moved them.
        expected: by label, what the slot model predicts, where it can.
    """

    name: str
    what: str
    unit: str
    labels: tuple[str, ...]
    twin: str
    blocks: Annotated[int, Field(ge=1)]
    seed: Count
    values: dict[str, dict[int, float]]
    touched: Touched = "nothing"
    shifts: dict[str, dict[int, Number]] = {}
    repeated: Count = 0
    expected: dict[str, Expected] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.expected and self.unit not in PREDICTED:
            raise ValueError(f"the slot model predicts {' or '.join(PREDICTED)}, not {self.unit!r}")
        if strange := self.expected.keys() - {*self.labels}:
            raise ValueError(f"predictions for {sorted(strange)}, declared are {self.labels}")
        known = {*self.labels, self.twin + AGAIN}
        if self.twin not in self.labels or set(self.values) != known:
            raise ValueError(f"values for {sorted(self.values)}, declared are {sorted(known)}")
        if not all(math.isfinite(v) for row in self.values.values() for v in row.values()):
            raise ValueError("a reading is a finite number")
        return self


class Bounds(_Frozen):
    """The bounds of an effect's intervals: ``low`` and ``high`` at 95 %, the others at 90 %."""

    low: Number
    high: Number
    low90: Number
    high90: Number


class Effect(_Frozen):
    """A number with its uncertainty, and what it was computed from.

    Attributes:
        kind: ``ratio``, ``quantity`` (a number with a unit) or ``behaviour``.
        what: a sentence naming the quantity, for tables.
        estimate: the point estimate (for a behaviour: the share of repetitions that held).
        low, high: bounds of the 95 % interval.
        low90, high90: bounds of the 90 % interval, for equivalence.
            Bounds and estimate may be infinite (censoring); NaN only stands in a refused effect.
        floor: the A/A ratio's distance from 1 in the same comparison, as a factor ≥ 1.
        a12: Vargha–Delaney probability that a value of the first exceeds one of the second.
        n: samples, blocks: replications, seed: of the comparison.
        values: the per-block (per-repetition) values.
        comparison: name of the comparison, or of the probe.
        unit: of a quantity.
        undecided: repetitions of a behaviour that noise can explain, so that they say nothing.
        shifts: by block, how far noise can have moved the value, as a logarithm, 0 or more.
        quiet: the bounds that are left when in every block what noise can have done is taken off;
            None when nothing was lost.
        refused: why no number may be stated; empty for an accepted effect.
    """

    kind: Literal["ratio", "quantity", "behaviour"]
    what: str
    estimate: Number
    low: Number
    high: Number
    low90: Number
    high90: Number
    floor: Number = 1.0
    a12: Annotated[float, Field(ge=0, le=1)] = 0.5
    n: Count
    blocks: Count
    seed: Count
    values: tuple[Number, ...]
    comparison: str
    unit: str = ""
    undecided: Count = 0
    shifts: tuple[Number, ...] = ()
    quiet: Bounds | None = None
    refused: tuple[Finding, ...] = ()

    @property
    def quieted(self) -> Effect:
        """The effect with the bounds that noise leaves."""
        if self.quiet is None:
            return self
        return self.model_copy(update={**self.quiet.model_dump(), "quiet": None})

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.refused:
            return self  # then no number is stated, and NaN may stand in its place
        if not self.low <= self.estimate <= self.high or not self.low90 <= self.high90:
            raise ValueError(f"{self.estimate} with bounds {self.low} and {self.high}")
        if not self.floor >= 1 or any(math.isnan(value) for value in self.values):
            raise ValueError("the floor is a factor of at least 1, and no value may be NaN")
        return self


class LoadRecord(_Frozen):
    """What ``gatewaylab load --json`` saves: one run and how it was made."""

    schema_version: Literal[1] = 1
    url: str
    request: dict[str, Any]
    arrivals: dict[str, Any]
    seed: Count
    warmup: Amount
    seconds: Length
    deadline: Length
    samples: Samples
    generator: GeneratorReport


Model = TypeVar("Model", bound=BaseModel)


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` so that a reader or a crash sees the old or the new, whole.

    A process that is killed half-way leaves a hidden ``.<name>.*`` beside the file, no more.

    Raises:
        OSError: the disk is full or not writable; what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)  # a temporary file is born private; results are read
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def save(model: BaseModel, path: Path) -> None:
    """Write a result as JSON, atomically."""
    write_atomically(path, model.model_dump_json() + "\n")


def load(kind: type[Model], path: Path) -> Model:
    """Read a result back.

    Raises:
        ResultError: the file is missing, unreadable, truncated, or fails validation.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ResultError(f"{path} does not exist") from error
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        raise ResultError(f"{path} is not a valid {kind.__name__}: {error}") from error
