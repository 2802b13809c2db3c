"""Where a running notebook writes its parts, and where the build reads them from."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gatewaylab.errors import InputError, ResultError
from gatewaylab.records.evidence import (
    ClaimRecord,
    FaultRecord,
    Position,
    SystemRecord,
    ValueRecord,
    WorkRecord,
)
from gatewaylab.records.results import Comparison, Finding, Readings
from gatewaylab.records.storage import load, save
from gatewaylab.servers.registry import servers_table
from gatewaylab.timeline import Session, session

#: Set by the build to the staging folder of the notebook that is being executed.
STAGING_VARIABLE = "GATEWAYLAB_STAGING"

#: Set by the build to the number of blocks that was asked for, ``quick`` or ``full``.
PROFILE_VARIABLE = "GATEWAYLAB_PROFILE"

#: Set by ``gatewaylab sabotage``: every claim meets its sabotage in the place of its effect.
SABOTAGE_VARIABLE = "GATEWAYLAB_SABOTAGE"


class Staging:
    """The folder into which a running notebook writes its parts, and what was at work in it."""

    def __init__(self, folder: Path, session: Session = session) -> None:
        self.folder = folder
        self.session = session

    def comparison(self, comparison: Comparison) -> None:
        self._once(comparison, f"comparison-{comparison.name}")

    def readings(self, readings: Readings) -> None:
        """Keep the values of a comparison of plain numbers."""
        self._once(readings, f"readings-{readings.name}")

    def claim(self, record: ClaimRecord) -> None:
        """Keep a claim; a second one of the same id would be a contradiction."""
        self._once(record, f"claim-{record.id}")

    def value(self, key: str, record: ValueRecord) -> None:
        self._once(record, f"value-{key}")

    def system(self, record: SystemRecord) -> None:
        save(record, self.folder / f"system-{record.name}.json")

    def fault(self, wrong: tuple[Finding, ...]) -> None:
        """Keep what made a trial's data wrong, before the error about it ends the notebook."""
        save(FaultRecord(findings=wrong), self.folder / "fault.json")

    def faults(self) -> tuple[Finding, ...]:
        """What made a trial's data wrong; empty when nothing did."""
        path = self.folder / "fault.json"
        return load(FaultRecord, path).findings if path.exists() else ()

    def position(self, position: Position) -> None:
        save(position, self.folder / "position.json")

    def progress(self, name: str, done: int, total: int, again: int) -> None:
        """Say how far a comparison is: trials that count, of how many, and beyond the plan."""
        update = {"series": name, "done": done, "total": total, "again": again}
        self.position(self.where().model_copy(update=update))

    def where(self) -> Position:
        """The last position that was told; the very start when there is none."""
        try:
            return load(Position, self.folder / "position.json")
        except ResultError:
            return Position()

    def _once(self, part: BaseModel, name: str) -> None:
        path = self.folder / f"{name}.json"
        if path.exists():
            raise InputError(f"{name} is given twice in this notebook; give each its own name")
        save(part, path)
        work = WorkRecord(
            systems=tuple(sorted(self.session.systems())),
            seconds=self.session.seconds(),
            loaded=self.session.loaded(),
        )
        save(work, self.folder / "work-systems.json")

    def claims(self) -> tuple[ClaimRecord, ...]:
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
            **{key: row[key] for key in ("name", "title", "interface", "slot_kind", "version")},
            measured=row["name"] in measured,
            hint=row["install_hint"],
        )
        for row in servers_table()
    )
    if (stage := staging()) is not None:
        for row in rows:
            stage.system(row)
    return rows
