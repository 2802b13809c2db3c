"""Earlier accepted numbers of each claim, and which new one is held until a second run agrees.

The rules of one trial see a disturbance while it lasts. They cannot see a machine that was another
one for the whole run, with a slower clock or another neighbour; the claim's own past can. A number
far outside it is not thrown away: it is held, and counts when the next run finds it again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

from gatewaylab.errors import ResultError
from gatewaylab.load.samples import Frozen, Number
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import ClaimRecord, Evidence
from gatewaylab.records.storage import load

#: Fewer earlier numbers than this say nothing about what is usual.
ENOUGH = 5

#: No more than so many count, the latest ones.
WINDOW = 30

#: The fence stands this many interquartile ranges outside the quartiles: Tukey's outer fence
#: (Exploratory Data Analysis, 1977, section 2C), which he calls "far out".
REACH = 3.0

Side = Literal["above", "below"]


class HistoryEntry(Frozen):
    """One claim's number in one accepted run.

    Attributes:
        at: when the run began. machine: its kind. profile: how many blocks it had.
        confirmed: the number had been held, and this run found it again: what came before is
            another level and no longer counts.
    """

    claim: str
    at: str
    machine: str
    profile: str
    estimate: Number
    confirmed: bool = False


class History(Frozen):
    """The accepted numbers of one notebook, oldest first."""

    schema_version: Literal[1] = 1
    notebook: str
    entries: tuple[HistoryEntry, ...] = ()

    def earlier(self, claim: str, machine: str, profile: str) -> list[float]:
        """A claim's comparable earlier numbers: same kind of machine, same number of blocks."""
        found: list[float] = []
        for entry in self.entries:
            if (entry.claim, entry.machine, entry.profile) == (claim, machine, profile):
                if entry.confirmed:
                    found.clear()
                found.append(entry.estimate)
        return found[-WINDOW:]

    def extended(self, fresh: Evidence, confirmed: Collection[str] = ()) -> History:
        """With the numbers of an accepted run, of which ``confirmed`` had been held before."""
        new = tuple(
            HistoryEntry(
                claim=record.id,
                at=fresh.measured_at,
                machine=fresh.environment.kind,
                profile=fresh.profile,
                estimate=effect.estimate,
                confirmed=record.id in confirmed,
            )
            for record in fresh.claims
            if (effect := number_of(record)) is not None
        )
        return History(notebook=self.notebook, entries=(*self.entries, *new))

    def outside(self, fresh: Evidence) -> dict[str, Side]:
        """The claims whose number is far from all earlier ones, and on which side of them."""
        found: dict[str, Side] = {}
        for record in fresh.claims:
            effect = number_of(record)
            if effect is None:
                continue
            past = self.earlier(record.id, fresh.environment.kind, fresh.profile)
            side = far_out(past, effect)
            if side is not None:
                found[record.id] = side
        return found


def number_of(record: ClaimRecord) -> Effect | None:
    """The effect whose size a claim rests on; None for a behaviour, or when it was refused."""
    effect = record.effect
    if effect is None or effect.refused or effect.kind == "behaviour":
        return None
    return effect


def far_out(earlier: Sequence[float], effect: Effect) -> Side | None:
    """On which side of [Q1 − 3·IQR, Q3 + 3·IQR] of the earlier numbers a new one lies, if any.

    Ratios, and quantities that are all positive, are compared by their logarithms, since a ratio
    and its inverse are equally far from 1. Earlier numbers that happen to agree would put the
    fence around a point, so its distance from the quartiles is at least half the width of the new
    number's own 95 % interval: what that interval calls noise is never held.
    """
    if len(earlier) < ENOUGH:
        return None
    values = [*earlier, effect.estimate, effect.low, effect.high]
    if effect.kind == "ratio" or min(values) > 0:
        values = [math.log(v) if v > 0 else -math.inf for v in values]
    *past, estimate, low, high = values
    first, third = _quantile(past, 0.25), _quantile(past, 0.75)
    distance = max(REACH * _length(first, third), _length(low, high) / 2)
    if estimate < first - distance:  # infinity minus infinity is NaN, which is outside of nothing
        return "below"
    return "above" if estimate > third + distance else None


def _length(low: float, high: float) -> float:
    return 0.0 if low == high else high - low  # also where both are infinite


def _quantile(values: Sequence[float], p: float) -> float:
    """Linear between order statistics, and one of them where a neighbour is infinite."""
    ordered = sorted(values)
    place = p * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    share = place - math.floor(place)
    if math.isinf(low) or math.isinf(high):
        return high if share >= 0.5 else low
    return low + share * (high - low)


def agree(one: Effect, other: Effect) -> bool:
    """Whether the 95 % intervals of two runs overlap."""
    return one.low <= other.high and other.low <= one.high


def confirmed(fresh: Evidence, held: Evidence | None, far: Collection[str]) -> frozenset[str]:
    """Those of the far-out claims that a held run on the same kind of machine agrees with."""
    if held is None or (held.environment.kind, held.profile) != (
        fresh.environment.kind,
        fresh.profile,
    ):
        return frozenset()
    then = {record.id: number_of(record) for record in held.claims}
    found = set()
    for record in fresh.claims:
        now, before = number_of(record), then.get(record.id)
        if record.id in far and now is not None and before is not None and agree(now, before):
            found.add(record.id)
    return frozenset(found)


def read(path: Path, notebook: str) -> History:
    """The history at ``path``; an empty one when there is none.

    Raises:
        ResultError: there is one, and it is unusable.
    """
    if not path.exists():
        return History(notebook=notebook)
    found = load(History, path)
    if found.notebook != notebook:
        raise ResultError(f"{path} holds the history of {found.notebook}; remove it")
    return found
