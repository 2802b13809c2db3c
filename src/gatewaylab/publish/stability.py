"""The stability record: what every claim came to in several rebuilds of the whole book.

A committed file that the book prints. It says how often the same code on the same machine changes
its mind, which no single build can.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from gatewaylab.claims.claim import MARKS
from gatewaylab.load.samples import Amount, Frozen, Number
from gatewaylab.records.evidence import ClaimRecord, Verdict

#: What one rebuild says of a claim; *missing* when its notebook failed before stating it.
Outcome = Verdict | Literal["missing"]

#: One character for each outcome, for rows of them.
OUTCOME_MARKS: dict[str, str] = {**MARKS, "missing": "!"}


class ClaimRun(Frozen):
    """One claim in one rebuild.

    Attributes:
        estimate, low, high, floor: of its effect; None where no number was stated.
        unit: of these; "×" for a ratio.
        refused: why no number was stated. sabotage: the verdict on its sabotage.
        error: why the claim is missing.
    """

    verdict: Outcome
    estimate: Number | None = None
    low: Number | None = None
    high: Number | None = None
    floor: Number | None = None
    unit: str = ""
    refused: tuple[str, ...] = ()
    sabotage: Verdict | None = None
    error: str = ""


class Rebuild(Frozen):
    """One measurement of the whole book: wall-clock times, and each declared claim by its id."""

    begun: str
    ended: str
    seconds: Amount
    claims: dict[str, ClaimRun]


class StabilityRecord(Frozen):
    """Several rebuilds of the same code on the same machine, oldest first.

    Attributes:
        machine: its kind. commit: of the checkout when the first rebuild began.
        profile: how many blocks a comparison had.
        keys: the staleness key of each notebook; other keys begin another record.
    """

    schema_version: Literal[1] = 1
    machine: str
    commit: str | None
    profile: str
    keys: dict[str, str]
    rebuilds: Annotated[tuple[Rebuild, ...], Field(min_length=1)]

    @property
    def at(self) -> str:
        """When the last rebuild ended, ISO 8601."""
        return self.rebuilds[-1].ended

    @property
    def seconds(self) -> float:
        """How long all rebuilds took together."""
        return sum(rebuild.seconds for rebuild in self.rebuilds)

    @property
    def claims(self) -> tuple[str, ...]:
        return tuple(sorted({name for rebuild in self.rebuilds for name in rebuild.claims}))

    def runs_of(self, identifier: str) -> tuple[ClaimRun, ...]:
        """One claim in every rebuild, in their order."""
        absent = ClaimRun(verdict="missing")
        return tuple(rebuild.claims.get(identifier, absent) for rebuild in self.rebuilds)

    def verdicts(self, identifier: str) -> tuple[Outcome, ...]:
        return tuple(seen.verdict for seen in self.runs_of(identifier))

    def counts(self, identifier: str | None = None) -> Counter[str]:
        """How often each outcome came up, for one claim or for all."""
        names = self.claims if identifier is None else (identifier,)
        return Counter(verdict for name in names for verdict in self.verdicts(name))

    def flips(self, identifier: str) -> int:
        """How often a claim changed between supported and refuted, whatever came between."""
        decided = [v for v in self.verdicts(identifier) if v in {"supported", "refuted"}]
        return sum(one != next_one for one, next_one in pairwise(decided))

    @property
    def all_flips(self) -> int:
        return sum(map(self.flips, self.claims))

    @property
    def steady(self) -> bool:
        """No claim flipped, and every rebuild stated every claim."""
        return self.all_flips == 0 and self.counts()["missing"] == 0

    def estimates(self, identifier: str) -> tuple[float, float] | None:
        """The lowest and the highest estimate; None when there is none."""
        found = [s.estimate for s in self.runs_of(identifier) if s.estimate is not None]
        return (min(found), max(found)) if found else None

    def unit(self, identifier: str) -> str:
        return next((s.unit for s in self.runs_of(identifier) if s.estimate is not None), "")

    def spread(self, identifier: str) -> float | None:
        """Highest ÷ lowest estimate; None where that says nothing (no number, zero, infinity)."""
        found = self.estimates(identifier)
        if found is None or found[0] <= 0 or math.isinf(found[1]):
            return None
        return found[1] / found[0]


def summarise(record: ClaimRecord) -> ClaimRun:
    effect = record.effect
    sabotage = None if record.sabotage is None else record.sabotage.verdict
    if effect is None or effect.refused:
        refused = () if effect is None else tuple(map(str, effect.refused))
        return ClaimRun(verdict=record.verdict, refused=refused, sabotage=sabotage)
    return ClaimRun(
        verdict=record.verdict,
        **effect.model_dump(include={"estimate", "low", "high", "floor"}),
        unit="×" if effect.kind == "ratio" else effect.unit,
        sabotage=sabotage,
    )
