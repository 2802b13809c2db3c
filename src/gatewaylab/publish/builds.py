"""The published builds beside each other: each claim's verdict and effect in one after another.

Their files come from the branch ``builds``, where ``scripts/builds`` keeps one replication file a
build. They are for readers, and decide nothing: what holds a number back is the claim's past in
this working copy (:mod:`gatewaylab.publish.history`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from gatewaylab.claims.rule import EQUIVALENT
from gatewaylab.errors import ResultError
from gatewaylab.load.samples import Frozen, Number
from gatewaylab.records import replication
from gatewaylab.records.evidence import Verdict
from gatewaylab.records.replication import ReplicatedChapter, ReplicatedClaim, Replication

#: No more than so many are shown, the latest: a year of weekly builds.
WINDOW = 52


class BuildHead(Frozen):
    """One build.

    Attributes:
        at: when it was written, ISO 8601. version, commit: of the book.
        changes: what ran in other versions, or on another machine, than in the build before.
    """

    at: str
    version: str
    commit: str | None
    changes: tuple[str, ...]


class BuildPoint(Frozen):
    """One claim in one build.

    Attributes:
        build: its place among the builds, from 0. measured_at: when the run began, ISO 8601.
        machine: its kind. profile: how many blocks it had. Only points that agree in both differ
            by time alone.
        estimate, low, high: of the effect, with its 95 % interval; None where there is no number.
        unit: of these; "×" for a ratio, empty for the share of a behaviour.
        rule: what is asked of these, in words. bounds: its numbers; two for an equivalence, and
            none for a behaviour.
    """

    build: int
    measured_at: str
    machine: str
    profile: str
    verdict: Verdict
    estimate: Number | None = None
    low: Number | None = None
    high: Number | None = None
    unit: str = ""
    rule: str = ""
    bounds: tuple[Number, ...] = ()

    @property
    def level(self) -> tuple[str, str]:
        return self.machine, self.profile


class BuildsRecord(Frozen):
    """The builds, oldest first, and every measured claim in them.

    Attributes:
        unreadable: files that are damaged, or of a format that this edition does not read.
    """

    schema_version: Literal[1] = 1
    builds: tuple[BuildHead, ...]
    claims: dict[str, tuple[BuildPoint, ...]]
    unreadable: tuple[str, ...] = ()


def gather(folder: Path, present: Replication | None = None) -> BuildsRecord:
    """What the files in ``folder`` say, which need not exist.

    A file that cannot be read is left out and named, so that one bad build in the past stops none
    in the future.

    Args:
        present: what this build has measured itself.
    """
    found: list[Replication] = [] if present is None else [present]
    unreadable = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(replication.read(path))
        except ResultError:
            unreadable.append(path.name)
    builds = sorted(found, key=lambda build: build.at)[-WINDOW:]
    return BuildsRecord(
        builds=tuple(
            BuildHead(
                at=build.at,
                version=build.version,
                commit=build.commit,
                changes=changes(builds[i - 1], build) if i else (),
            )
            for i, build in enumerate(builds)
        ),
        claims=_points(builds),
        unreadable=tuple(unreadable),
    )


def _points(builds: Iterable[Replication]) -> dict[str, tuple[BuildPoint, ...]]:
    found: dict[str, list[BuildPoint]] = {}
    for i, build in enumerate(builds):
        for chapter in build.chapters.values():
            for name, claim in chapter.claims.items():
                if claim.kind not in {"cited", "opinion"}:
                    found.setdefault(name, []).append(_point(i, chapter, claim))
    return {name: tuple(_once(points)) for name, points in sorted(found.items())}


def _point(build: int, chapter: ReplicatedChapter, claim: ReplicatedClaim) -> BuildPoint:
    effect = claim.effect
    numbers: dict[str, object] = {}
    if effect is not None and not effect.refused:
        numbers = effect.model_dump(include={"estimate", "low", "high"})
        numbers["unit"] = "×" if effect.kind == "ratio" else effect.unit
    return BuildPoint.model_validate(
        {
            "build": build,
            "measured_at": chapter.measured_at,
            "machine": chapter.machine.kind,
            "profile": chapter.profile,
            "verdict": claim.verdict,
            "rule": claim.rule,
            "bounds": _bounds(claim),
            **numbers,
        }
    )


def _bounds(claim: ReplicatedClaim) -> tuple[float, ...]:
    if claim.kind == "equivalence":
        return EQUIVALENT
    if claim.kind == "behaviour" or claim.threshold is None or not math.isfinite(claim.threshold):
        return ()
    return (claim.threshold,)


def _once(points: Iterable[BuildPoint]) -> list[BuildPoint]:
    """Without points that repeat the measurement before them."""
    kept: list[BuildPoint] = []
    for one in points:
        if not kept or (kept[-1].measured_at, kept[-1].verdict) != (one.measured_at, one.verdict):
            kept.append(one)
    return kept


def changes(before: Replication, after: Replication) -> tuple[str, ...]:
    """What ran in other versions, or elsewhere: "uvicorn 0.38 → 0.40"."""
    old, new = _versions(before), _versions(after)
    return tuple(
        f"{name} {old.get(name, 'absent')} → {new.get(name, 'absent')}"
        for name in dict.fromkeys([*new, *old])
        if old.get(name) != new.get(name)
    )


def _versions(build: Replication) -> Mapping[str, str]:
    """By name; where chapters differ, because some are older, all that there were."""
    found: dict[str, dict[str, None]] = {}
    for chapter in build.chapters.values():
        machine = chapter.machine
        parts = {"machine": machine.kind, "system": machine.system, "Python": machine.python}
        for name, version in {**parts, **dict(sorted(machine.packages.items()))}.items():
            found.setdefault(name, {})[version] = None
    return {name: ", ".join(versions) for name, versions in found.items()}
