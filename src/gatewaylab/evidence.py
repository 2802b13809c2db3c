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
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from gatewaylab import timeline
from gatewaylab.environment import Environment
from gatewaylab.errors import InputError, ResultError
from gatewaylab.results import (
    Comparison,
    Effect,
    Finding,
    Readings,
    load,
    save,
    write_atomically,
)
from gatewaylab.servers import servers_table

#: Set by the build to the staging folder of the notebook that is being executed.
STAGING_VARIABLE = "GATEWAYLAB_STAGING"

#: Set by the build to the number of blocks that was asked for, ``quick`` or ``full``.
PROFILE_VARIABLE = "GATEWAYLAB_PROFILE"

#: Set by ``gatewaylab sabotage``: every claim meets its sabotage in the place of its effect.
SABOTAGE_VARIABLE = "GATEWAYLAB_SABOTAGE"

Verdict = Literal["supported", "refuted", "inconclusive", "not measured"]
CommonVerdict = Literal["true", "true with a nuance", "outdated", "false"]
Kind = Literal["ratio", "equivalence", "behaviour", "bound", "cited", "opinion"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Source(_Record):
    """Where a statement can be read: a label and an https address."""

    label: str
    url: str


class SabotageRecord(_Record):
    """The claim's hypothesis tried on a system that was changed so that it must not hold."""

    what: str
    effect: Effect
    verdict: Verdict


class ClaimRecord(_Record):
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


class ValueRecord(_Record):
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


class SystemRecord(_Record):
    """One server of the book: whether it was measured here and, if not, how it would be."""

    name: str
    title: str
    interface: str
    slot_kind: str
    version: str | None
    measured: bool
    hint: str


class FaultRecord(_Record):
    """What the rules found wrong about the trial that ended a notebook."""

    findings: tuple[Finding, ...]


class Position(_Record):
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


class WorkRecord(_Record):
    """What a notebook spent its time on.

    Attributes:
        systems: which were at work. seconds: for how long at least one was up.
        loaded: seconds in which a trial, a reading or an observation was under way in them.
    """

    systems: tuple[str, ...] = ()
    seconds: float = 0.0
    loaded: float = 0.0


class Evidence(_Record):
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

    def claim(self, identifier: str) -> ClaimRecord:
        """The claim of that id, or :class:`ResultError`."""
        for record in self.claims:
            if record.id == identifier:
                return record
        raise ResultError(f"{self.notebook} has no claim {identifier}")


class Staging:
    """The folder into which a running notebook writes its parts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def comparison(self, comparison: Comparison) -> None:
        """Keep a comparison with its raw samples."""
        self._once(comparison, f"comparison-{comparison.name}")

    def readings(self, readings: Readings) -> None:
        """Keep the values of a comparison of plain numbers."""
        self._once(readings, f"readings-{readings.name}")

    def claim(self, record: ClaimRecord) -> None:
        """Keep a claim; a second one of the same id would be a contradiction."""
        self._once(record, f"claim-{record.id}")

    def value(self, key: str, record: ValueRecord) -> None:
        """Keep a number for the prose."""
        self._once(record, f"value-{key}")

    def system(self, record: SystemRecord) -> None:
        """Keep one row of the table of servers."""
        save(record, self.folder / f"system-{record.name}.json")

    def fault(self, wrong: tuple[Finding, ...]) -> None:
        """Keep what made a trial's data wrong, before the error about it ends the notebook."""
        save(FaultRecord(findings=wrong), self.folder / "fault.json")

    def faults(self) -> tuple[Finding, ...]:
        """What made a trial's data wrong; empty when nothing did."""
        path = self.folder / "fault.json"
        return load(FaultRecord, path).findings if path.exists() else ()

    def position(self, position: Position) -> None:
        """Say how far the notebook is."""
        save(position, self.folder / "position.json")

    def progress(self, name: str, done: int, total: int, again: int) -> None:
        """Say how far a comparison is: trials that count, of how many, and beyond the plan."""
        last = self.where()
        self.position(
            last.model_copy(
                update={"series": name, "done": done, "total": total, "again": again}
            )
        )  # fmt: skip

    def where(self) -> Position:
        """The last position that was told; the very start when there is none."""
        path = self.folder / "position.json"
        try:
            return load(Position, path)
        except ResultError:
            return Position()

    def _once(self, part: BaseModel, name: str) -> None:
        path = self.folder / f"{name}.json"
        if path.exists():
            raise InputError(f"{name} is given twice in this notebook; give each its own name")
        save(part, path)
        work = WorkRecord(
            systems=tuple(sorted(timeline.systems())),
            seconds=timeline.seconds(),
            loaded=timeline.loaded(),
        )
        save(work, self.folder / "work-systems.json")

    def claims(self) -> tuple[ClaimRecord, ...]:
        """The claims that have been stated so far."""
        return tuple(load(ClaimRecord, path) for path in sorted(self.folder.glob("claim-*.json")))

    def parts(self) -> dict[str, Any]:
        """All parts, validated, as the fields of :class:`Evidence`."""

        def every(kind: type[Any], prefix: str) -> list[Any]:
            return [load(kind, path) for path in sorted(self.folder.glob(f"{prefix}-*.json"))]

        return {
            "claims": self.claims(),
            "comparisons": tuple(every(Comparison, "comparison")),
            "readings": tuple(every(Readings, "readings")),
            "systems": tuple(every(SystemRecord, "system")),
            "work": next(iter(every(WorkRecord, "work")), WorkRecord()),
            "values": {
                path.stem.removeprefix("value-"): load(ValueRecord, path)
                for path in sorted(self.folder.glob("value-*.json"))
            },
        }


def staging() -> Staging | None:
    """The staging folder of the current build, or None when a notebook is run by hand."""
    folder = os.environ.get(STAGING_VARIABLE)
    return Staging(Path(folder)) if folder else None


def cite(key: str, value: float, unit: str = "", format: str = ".3g") -> float:
    """Publish a number under ``key`` for the prose of any page, and return it.

    Args:
        key: lower-case words joined by hyphens, unique in the notebook.
        value: the number, in ``unit``; NaN for one that was refused: prose then says so.
        unit: printed behind it, for example ``"ms"``.
        format: a format specification, for example ``".1f"``.
    """
    if not key.replace("-", "").isalnum() or key != key.lower():
        raise InputError(f"{key!r} is not a key: use lower-case words joined by hyphens")
    number = None if math.isnan(value) else float(value)
    record = ValueRecord(value=number, unit=unit, format=format)
    if (stage := staging()) is not None:
        stage.value(key, record)
    return float(value)


def inventory(measured: Collection[str]) -> tuple[SystemRecord, ...]:
    """Publish the table of servers: each with its version, and whether it was measured.

    Args:
        measured: names of the servers that this notebook started and asked.
    """
    rows = tuple(
        SystemRecord(
            name=row["name"],
            title=row["title"],
            interface=row["interface"],
            slot_kind=row["slot_kind"],
            version=row["version"],
            measured=row["name"] in measured,
            hint=row["install_hint"],
        )
        for row in servers_table()
    )
    if (stage := staging()) is not None:
        for row in rows:
            stage.system(row)
    return rows


def read(path: Path) -> Evidence:
    """One evidence file; a render reads the same file for every page, so it is kept in memory.

    Raises:
        ResultError: truncated, malformed, of an unknown schema, or named for another notebook.
    """
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise ResultError(f"{path} does not exist") from error
    return _read(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int, size: int) -> Evidence:
    evidence = load(Evidence, path)
    if evidence.notebook != path.stem:
        raise ResultError(f"{path} holds the evidence of {evidence.notebook}")
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
