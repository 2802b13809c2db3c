"""Two sets of claims compared: which hold in both, which came out otherwise, and what differs.

Two verdicts *disagree* when one set supports the claim and the other refutes it; nothing else is a
disagreement. A claim that both decide alike has *another size* when both of these hold:

- the 95 % intervals do not overlap (:func:`gatewaylab.publish.history.agree`, the test by which a
  held number is confirmed). Each run's interval is from blocks of its own, so two runs of one truth
  fail it by chance in about one of 180 claims: with two equal standard errors s the estimates must
  be 3.92 s apart, and their difference has the standard error 1.41 s.
- the estimates are further apart than what counts as no difference: the factor of
  :data:`gatewaylab.claims.rule.EQUIVALENT`, and each side's own A/A noise. A number that is not
  positive has no factor; there the intervals alone decide.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, get_args

from gatewaylab.claims.rule import EQUIVALENT
from gatewaylab.publish.history import agree
from gatewaylab.publish.sentences import (
    Judgement,
    Places,
    by_version,
    sentence,
    tell_apart,
    title,
)
from gatewaylab.records.effects import Effect
from gatewaylab.records.replication import ReplicatedChapter, ReplicatedClaim, Replication

_NOISES = {
    "steal": "Taken by the host, share of the time",
    "psi_some": "Processes waiting for a core, share of the time",
    "foreign_cpu": "Cores that other programs used",
}


@dataclass(frozen=True)
class ClaimPair:
    """One claim in two sets.

    Attributes:
        one, other: None where a set has not got it.
        judgement: how the two relate. sentence: the same in plain words, with the numbers.
    """

    id: str
    notebook: str
    one: ReplicatedClaim | None
    other: ReplicatedClaim | None
    judgement: Judgement
    sentence: str


@dataclass(frozen=True)
class Surrounding:
    """Something that differs between the two sets besides the claims."""

    what: str
    one: str
    other: str


@dataclass(frozen=True)
class Contrast:
    """Two sets of claims beside each other.

    Attributes:
        summary: one sentence. surroundings: what differs between the machines.
        claims: every measured claim, those that disagree first.
        absent: a sentence for each chapter that one of them has not got, or has rejected, one for
            the claims that only one has, or that they word otherwise, and one for each claim that
            holds in both and by its text says another thing of their versions.
    """

    summary: str
    surroundings: tuple[Surrounding, ...]
    claims: tuple[ClaimPair, ...]
    absent: tuple[str, ...]

    @property
    def changed(self) -> tuple[ClaimPair, ...]:
        """The claims that both sets have and that are not the same in them."""
        unchanged = {"same", "on one side"}
        return tuple(pair for pair in self.claims if pair.judgement not in unchanged)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``; effects as in an evidence file."""
        return {
            "schema_version": 1,
            "summary": self.summary,
            "surroundings": [vars(one) for one in self.surroundings],
            "claims": [
                vars(pair) | {side: _dumped(getattr(pair, side)) for side in ("one", "other")}
                for pair in self.claims
            ],
            "absent": list(self.absent),
        }


def _dumped(claim: ReplicatedClaim | None) -> dict[str, Any] | None:
    # By way of the text: only that has infinite bounds as strings.
    return None if claim is None else json.loads(claim.model_dump_json())


def contrast(one: Replication, other: Replication, places: Places = ("in A", "in B")) -> Contrast:
    """Compare two sets.

    Args:
        places: how sentences name the two where neither Python nor the processor tells them apart.
    """
    pairs: list[ClaimPair] = []
    for name in sorted(one.chapters.keys() | other.chapters.keys()):
        left, right = one.chapters.get(name), other.chapters.get(name)
        pairs.extend(_pairs(name, left, right, places))
    order = get_args(Judgement)
    pairs.sort(key=lambda pair: (order.index(pair.judgement), pair.id))
    return Contrast(
        summary=_summary(pairs, places),
        surroundings=_surroundings(one, other),
        claims=tuple(pairs),
        absent=(
            *_absent(one, other, places),
            *_alone(pairs, one, other, places),
            *_reworded(pairs),
            *_by_version(pairs, one, other, places),
        ),
    )


def judge(one: ReplicatedClaim | None, other: ReplicatedClaim | None) -> Judgement:
    """How a claim's two outcomes relate; the module says by which criterion."""
    if one is None or other is None:
        return "on one side"
    if one.kind != other.kind or not _same_number(one.threshold, other.threshold):
        return "another claim"
    verdicts = {one.verdict, other.verdict}
    if "not measured" in verdicts:
        return "not measured"
    if "inconclusive" in verdicts:
        return "undecided"
    if len(verdicts) > 1:
        return "disagrees"
    return "another size" if _another_size(one.effect, other.effect) else "same"


def _same_number(one: float | None, other: float | None) -> bool:
    """Thresholds follow from a plan and its seed, so only the last digits may differ."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-6)


def _another_size(one: Effect | None, other: Effect | None) -> bool:
    if one is None or other is None or one.refused or other.refused or one.kind == "behaviour":
        return False
    if agree(one, other):
        return False
    if min(one.estimate, other.estimate) <= 0:
        return True
    apart = abs(math.log(one.estimate) - math.log(other.estimate))
    return apart > max(math.log(EQUIVALENT[1]), math.log(one.floor), math.log(other.floor))


def _pairs(
    name: str,
    one: ReplicatedChapter | None,
    other: ReplicatedChapter | None,
    places: Places,
) -> Iterable[ClaimPair]:
    left, right = (chapter.claims if chapter else {} for chapter in (one, other))
    here = tell_apart(one, other, places)
    for identifier in left.keys() | right.keys():
        a, b = left.get(identifier), right.get(identifier)
        if {"cited", "opinion"} & {claim.kind for claim in (a, b) if claim}:
            continue
        judgement = judge(a, b)
        told = sentence(judgement, f"{identifier} ({title(name)})", (a, b), (one, other), here)
        yield ClaimPair(identifier, name, a, b, judgement, told)


def _summary(pairs: Sequence[ClaimPair], places: Places) -> str:
    """ "71 of 75 claims hold here too; 3 undecided; 1 disagrees: A12." """
    both = sum(
        p.one is not None
        and p.other is not None
        and p.one.verdict == p.other.verdict == "supported"
        for p in pairs
    )
    count = Counter(pair.judgement for pair in pairs)
    told = "here too" if places[1] == "here" else "in both"
    parts = [f"{both} of {len(pairs)} claims hold {told}"]
    if resized := count["another size"]:
        parts[0] += f", {resized} of them in another size"
    words: tuple[Judgement, ...] = ("another claim", "undecided", "not measured", "on one side")
    parts += [f"{count[word]} {word}" for word in words if count[word]]
    ids = [pair.id for pair in pairs if pair.judgement == "disagrees"]
    if ids:
        verb = "disagrees" if len(ids) == 1 else "disagree"
        parts.append(f"{len(ids)} {verb}: {', '.join(ids)}")
    else:
        parts.append("none disagrees")
    return "; ".join(parts) + "."


def _absent(one: Replication, other: Replication, places: Places) -> Iterable[str]:
    """A sentence for each chapter that a set has not got, or whose last attempt it rejected."""
    for found, whole, place in ((one, other, places[0]), (other, one, places[1])):
        for name in sorted(whole.chapters.keys() - found.chapters.keys()):
            yield f"{title(name)} was not measured {place}; none of its claims is compared."
        for name, chapter in found.chapters.items():
            if chapter.rejected:
                why = "; ".join(chapter.rejected)
                yield f"{title(name)} was rejected {place}: {why}."


def _alone(
    pairs: Sequence[ClaimPair], one: Replication, other: Replication, places: Places
) -> Iterable[str]:
    """The claims that one set lacks although it has their chapter: it is of another edition."""
    both = one.chapters.keys() & other.chapters.keys()
    found = [p for p in pairs if p.judgement == "on one side" and p.notebook in both]
    for place, ids in (
        (places[0], [p.id for p in found if p.other is None]),
        (places[1], [p.id for p in found if p.one is None]),
    ):
        if ids:
            yield f"Only {place}, of another edition of the chapter: {', '.join(ids)}."


def _reworded(pairs: Sequence[ClaimPair]) -> Iterable[str]:
    """The claims whose editions have other words for them."""
    ids = [p.id for p in pairs if p.one and p.other and p.one.statement != p.other.statement]
    if ids:
        names = ", ".join(sorted(ids))
        yield f"Worded otherwise in the two editions, and compared all the same: {names}."


def _by_version(
    pairs: Sequence[ClaimPair], one: Replication, other: Replication, places: Places
) -> Iterable[str]:
    for p in pairs:
        chapters = one.chapters.get(p.notebook), other.chapters.get(p.notebook)
        head = f"{p.id} ({title(p.notebook)})"
        if told := by_version(head, (p.one, p.other), chapters, places):
            yield told


def _surroundings(one: Replication, other: Replication) -> tuple[Surrounding, ...]:
    """What differs, from the machine to the version of each package."""
    wanted: list[tuple[str, Callable[[ReplicatedChapter], str]]] = [
        ("Processor", lambda c: c.machine.cpu),
        ("Cores", lambda c: str(c.machine.cores)),
        ("Memory", lambda c: f"{c.machine.memory_gib:g} GiB"),
        ("System", lambda c: c.machine.system),
        ("Kernel", lambda c: c.machine.kernel),
        ("Container", lambda c: c.machine.container),
        ("Python", lambda c: c.machine.python + ("" if c.machine.gil else ", GIL off")),
        ("Commit", lambda c: c.machine.commit or "no checkout"),
        ("Profile", lambda c: c.profile),
    ]
    names = {n for s in (one, other) for c in s.chapters.values() for n in c.machine.packages}
    for name in sorted(names):
        wanted.append((name, lambda c, name=name: c.machine.packages.get(name, "")))  # type: ignore[misc]
    rows = [(what, *(_joined(s, read) for s in (one, other))) for what, read in wanted]
    rows += [(words, _noise(one, key), _noise(other, key)) for key, words in _NOISES.items()]
    return tuple(Surrounding(*row) for row in rows if row[1] != row[2])


def _joined(found: Replication, read: Callable[[ReplicatedChapter], str]) -> str:
    """The distinct values over the chapters, which are mostly one."""
    values = dict.fromkeys(read(chapter) for chapter in found.chapters.values())
    return ", ".join(filter(None, values)) or "–"


def _noise(found: Replication, name: str) -> str:
    values = [c.noise[name] for c in found.chapters.values() if name in c.noise]
    return f"{median(values):.2g}" if values else "–"
