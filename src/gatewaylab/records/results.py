"""What was seen: samples, trials, comparisons. Frozen, validated, versioned, saved atomically.

Times are float seconds. Within a trial they count from the trial's own start on the monotonic
clock; ``NaN`` means "did not happen", and a request that had not finished by the deadline has
``finished_at = NaN`` and therefore a latency of +∞: censored, never dropped.

JSON has no NaN and no infinity. A time that did not happen is stored as ``null``; a number that
may be infinite (a bound, a reading) as ``"Infinity"``, ``"-Infinity"`` or ``"NaN"``.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from gatewaylab.errors import RefusedError
from gatewaylab.load.samples import Amount, Count, Frozen, GeneratorReport, Length, Number, Samples
from gatewaylab.model.quantiles import quantile_of

#: Suffix of the label under which a twin's second trial is kept.
AGAIN = " (again)"


class Finding(Frozen):
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


class Digest(Frozen):
    """What a slim trial keeps in place of its samples.

    Attributes:
        requests: planned in the measured window. errors: those of them that ended with one.
        throughput: answers per second. median: latency in seconds; NaN without any request.
    """

    requests: Count
    errors: Count
    throughput: Amount
    median: Number


class Trial(Frozen):
    """One fresh server, one plan, one set of raw samples.

    A slim one has a digest where the samples were, and refuses what only samples can tell.

    Attributes:
        label: which configuration of the comparison this is.
        block: index of the block it was measured in.
        setup: the server and request as JSON values.
        arrivals: the arrival process as JSON values.
        seed: seed of the plan.
        warmup: seconds at the start that no statistic uses.
        seconds: length of the measured window.
        deadline: seconds after which an unanswered request is censored.
        recorded: the samples, or the digest of a slim trial; ``samples`` in JSON and when a trial
            is made.
        started: wall-clock time of the start, ISO 8601, for the record only.
        health: what was read of the machine, by name.
        findings: what the rules found. A trial with none but disturbances may be used; it is then
            marked by them.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    label: Annotated[str, Field(min_length=1)]
    block: Count
    setup: dict[str, Any]
    arrivals: dict[str, Any]
    seed: Count
    warmup: Amount
    seconds: Length
    deadline: Length
    started: str
    recorded: Samples | Digest = Field(alias="samples")
    generator: GeneratorReport
    health: dict[str, Number]
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether its load was the planned one and its data are right."""
        return all(finding.kind == "disturbance" for finding in self.findings)

    @property
    def slim(self) -> bool:
        """Whether a digest stands where its samples were."""
        return isinstance(self.recorded, Digest)

    @property
    def samples(self) -> Samples:
        """Every request of the trial.

        Raises:
            RefusedError: the trial is slim.
        """
        if isinstance(self.recorded, Digest):
            raise RefusedError(
                f"the trial {self.label!r} was stored without its samples; measure it here: "
                f"scripts/build"
            )
        return self.recorded

    @property
    def measured(self) -> Samples:
        return self.samples.rows(self.samples.scheduled_at >= self.warmup)

    @property
    def errors(self) -> int:
        """How many requests of the measured window ended with an error."""
        if isinstance(self.recorded, Digest):
            return self.recorded.errors
        return int((self.measured.error != 0).sum())

    @property
    def throughput(self) -> float:
        """Answers without error that arrived in the measured window, per second of it.

        Whenever they were asked for: leaving out those that were under way when the window
        opened would count a full queue as lost capacity.
        """
        if isinstance(self.recorded, Digest):
            return self.recorded.throughput
        finished = self.samples.finished_at[self.samples.error == 0]
        inside = (finished >= self.warmup) & (finished < self.warmup + self.seconds)
        return float(inside.sum()) / self.seconds

    def quantile(self, p: float) -> float:
        """Latency at level ``p`` in seconds, +∞ when censored samples reach that level.

        Raises:
            RefusedError: the window holds too few samples for that level, or the trial is slim
                and knows the median only.
        """
        if isinstance(self.recorded, Digest) and p == 0.5 and self.recorded.requests:
            return self.recorded.median
        return quantile_of(self.measured.latency, p)

    def slimmed(self) -> Trial:
        """The same trial with a digest in place of its samples."""
        if isinstance(self.recorded, Digest):
            return self
        digest = Digest(
            requests=len(self.measured),
            errors=self.errors,
            throughput=self.throughput,
            median=self.quantile(0.5) if len(self.measured) else math.nan,
        )
        return self.model_copy(update={"recorded": digest})


class Comparison(Frozen):
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


class Expected(Frozen):
    """What the slot model says of one label of readings, stated before they are taken.

    Attributes:
        interface: ``wsgi`` or ``asgi``. slots: None when nothing bounds them.
        value: in the unit of the readings, one of :data:`PREDICTED`.
    """

    interface: Literal["wsgi", "asgi"]
    slots: Annotated[int, Field(ge=1)] | None
    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Readings(Frozen):
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
    shifts: dict[str, dict[int, Number]] = Field(default_factory=dict)
    repeated: Count = 0
    expected: dict[str, Expected] = Field(default_factory=dict)

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


class LoadRecord(Frozen):
    """What ``gatewaylab load --json`` saves: one run and how it was made.

    Attributes:
        retry: whether a unix socket with a full backlog was asked again; how often is a number of
            the generator's.
    """

    schema_version: Literal[1] = 1
    url: str
    request: dict[str, Any]
    arrivals: dict[str, Any]
    seed: Count
    warmup: Amount
    seconds: Length
    deadline: Length
    retry: bool = False
    samples: Samples
    generator: GeneratorReport
