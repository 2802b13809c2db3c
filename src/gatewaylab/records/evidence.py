"""The evidence file: everything one notebook measured and claimed, in one JSON document.

While a notebook runs, its parts are written one by one into a staging folder, so that a crash
shows how far it came. Only when the notebook has finished does the build join the parts into
``<evidence>/<notebook>.json`` with a single atomic replace: readers see the old evidence or
the new, never a mixture. The published site is made from these files and nothing else.
"""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError, model_validator

from gatewaylab.errors import ResultError
from gatewaylab.load.samples import Frozen
from gatewaylab.records.effects import Effect
from gatewaylab.records.environment import Environment
from gatewaylab.records.results import Comparison, Finding, Readings
from gatewaylab.records.storage import load, write_atomically

Verdict = Literal["supported", "refuted", "inconclusive", "not measured"]
CommonVerdict = Literal["true", "true with a nuance", "outdated", "false"]
Kind = Literal["ratio", "equivalence", "behaviour", "bound", "cited", "opinion"]


class Source(Frozen):
    """Where a statement can be read: a label and an https address."""

    label: str
    url: str


class SabotageRecord(Frozen):
    """The claim's hypothesis tried on a system that was changed so that it must not hold."""

    what: str
    effect: Effect
    verdict: Verdict


class ClaimRecord(Frozen):
    """One claim with its verdicts.

    Attributes:
        title: the common statement, as people say it.
        statement: what this book states and measures.
        common_verdict, nuance: what the common statement comes to.
        verdict: what this measurement says of ``statement``.
        rule: the hypothesis in words. threshold: its number. theory: what the model predicts.
        missing: the systems that kept it from being measured here.
        versions: for which versions the statement holds, where that matters.
        disturbed: blocks or repetitions that noise can have moved by more than a quarter of the
            way from what is expected to the threshold.
        why: what left the claim inconclusive.
    """

    id: str
    title: str
    statement: str
    kind: Kind
    verdict: Verdict
    common_verdict: CommonVerdict
    nuance: str
    effect: Effect | None
    threshold: float | None
    theory: float | None
    rule: str
    sabotage: SabotageRecord | None
    sources: tuple[Source, ...]
    notebook: str
    missing: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    versions: str = ""
    disturbed: int = 0
    why: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        measured = self.kind not in {"cited", "opinion"} and self.verdict != "not measured"
        if measured and (self.effect is None or self.sabotage is None):
            raise ValueError(f"{self.id} is measured, so it needs an effect and a sabotage")
        return self


class ValueRecord(Frozen):
    """A number that prose may cite: its value in ``unit`` and how to print it.

    None stands for a number that the instrument refused to state.
    """

    value: float | None
    unit: str
    format: str

    @model_validator(mode="after")
    def _finite(self) -> Self:
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"a published value is a finite number, not {self.value}")
        return self


class SystemRecord(Frozen):
    """One server of the book: whether it was measured here and, if not, how it would be."""

    name: str
    title: str
    interface: str
    slot_kind: str
    version: str | None
    measured: bool
    hint: str


class FaultRecord(Frozen):
    """What the rules found wrong about the trial that ended a notebook."""

    findings: tuple[Finding, ...]


class Position(Frozen):
    """How far a running notebook is.

    Attributes:
        cell, cells: the code cell that runs, from 1, and how many there are.
        series: the comparison that is measured in it; empty when there is none.
        done, total: its trials that count, of how many planned. again: trials beyond the plan.
    """

    cell: int = 0
    cells: int = 0
    series: str = ""
    done: int = 0
    total: int = 0
    again: int = 0

    def __str__(self) -> str:
        if not self.cell:
            return "its kernel starts"
        told = f"cell {self.cell} of {self.cells}"
        if self.series:
            told += f", {self.series}: {min(self.done, self.total)} of {self.total} trials"
            if self.again:
                told += f" and {self.again} measured again"
        return told


class WorkRecord(Frozen):
    """What a notebook spent its time on.

    Attributes:
        systems: which were at work. seconds: for how long at least one was up.
        loaded: seconds in which a trial, a reading or an observation was under way in them.
    """

    systems: tuple[str, ...] = ()
    seconds: float = 0.0
    loaded: float = 0.0


class Evidence(Frozen):
    """What one notebook measured, when, where, under which key, and its executed form.

    Attributes:
        key: the staleness key (decision 0005); another key means "measure again".
        executed: the executed notebook as nbformat JSON.
    """

    schema_version: Literal[1] = 1
    notebook: str
    key: str
    profile: str
    measured_at: str
    finished_at: str
    claims: tuple[ClaimRecord, ...]
    values: dict[str, ValueRecord]
    systems: tuple[SystemRecord, ...]
    comparisons: tuple[Comparison, ...]
    readings: tuple[Readings, ...] = ()
    environment: Environment
    work: WorkRecord = WorkRecord()
    executed: dict[str, Any]

    @property
    def series(self) -> tuple[Comparison | Readings, ...]:
        """All that was measured in blocks: comparisons of trials, and of plain readings."""
        return (*self.comparisons, *self.readings)


def read(path: Path) -> Evidence:
    """One evidence file; a render reads the same file for every page, so it is kept in memory.

    Raises:
        ResultError: truncated, malformed, of an unknown schema, or named for another notebook.
    """
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise ResultError(f"{path} does not exist; measure first: scripts/build") from error
    return _read(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int, size: int) -> Evidence:
    evidence = load(Evidence, path)
    if evidence.notebook != path.stem:
        raise ResultError(f"{path} holds the evidence of {evidence.notebook}; measure it again")
    return evidence


def schema() -> str:
    """The JSON Schema of an evidence file, as published with the site."""
    return json.dumps(Evidence.model_json_schema(), indent=1) + "\n"


def accept(evidence: Evidence, folder: Path) -> Path:
    """Make ``evidence`` the accepted one of its notebook; the old one stays until this is whole.

    Raises:
        ResultError: a claim in it was refuted, so the prose around it would be wrong.
    """
    refuted = [record.id for record in evidence.claims if record.verdict == "refuted"]
    if refuted:
        raise ResultError(f"{', '.join(refuted)} refuted: correct the prose or the claim")
    path = folder / f"{evidence.notebook}.json"
    text = evidence.model_dump_json() + "\n"
    try:
        Evidence.model_validate_json(text)  # what cannot be read back is not worth keeping
    except ValidationError as error:
        raise ResultError(f"the new evidence of {evidence.notebook} is invalid: {error}") from error
    write_atomically(path, text)
    return path
