"""One plain sentence for each claim of two sets: where it holds, with which number and versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from gatewaylab.records.environment import Environment
from gatewaylab.records.replication import ReplicatedChapter, ReplicatedClaim
from gatewaylab.servers.specs import SERVERS

#: How a claim's two outcomes relate, from what most needs attention to what needs none.
Judgement = Literal[
    "disagrees", "another claim", "another size", "undecided", "not measured", "on one side", "same"
]

#: One claim in two sets; None where a set has not got it.
Two = tuple[ReplicatedClaim | None, ReplicatedClaim | None]
Chapters = tuple[ReplicatedChapter | None, ReplicatedChapter | None]

#: How a sentence names the two sets: "in A" and "in B", or "on Python 3.11" and "on Python 3.13".
Places = tuple[str, str]

#: The distribution of a claim's system, where its name is another one.
_DISTRIBUTIONS = {
    **{s.systems[0]: s.distribution for s in SERVERS.values() if s.distribution and not s.plugin},
    "drf": "djangorestframework",
}


def sentence(judgement: Judgement, head: str, pair: Two, chapters: Chapters, places: Places) -> str:
    """What became of a claim in two sets; of one that came out otherwise, its systems' versions.

    Args:
        head: the claim's id and chapter.
    """
    told = _SENTENCES[judgement](head, pair, places)
    if judgement in {"disagrees", "another claim", "another size"}:
        told += _versions(head.partition(" ")[0], pair[0], chapters, places)
    return told


def title(notebook: str) -> str:
    """The name of a chapter for a sentence: "When servers stop"."""
    return notebook.replace("-", " ").capitalize().replace(" asgi ", " ASGI ")


def tell_apart(
    one: ReplicatedChapter | None, other: ReplicatedChapter | None, places: Places
) -> Places:
    """What tells the two runs of a chapter apart: Python, else the processor, else their places."""
    if one is None or other is None:
        return places
    pythons = tuple(python(chapter.machine) for chapter in (one, other))
    kinds = tuple(f"{c.machine.cpu} × {c.machine.cores}" for c in (one, other))
    for first, second in (pythons, kinds):
        if first != second:
            return f"on {first}", f"on {second}"
    return places


def python(machine: Environment) -> str:
    """The interpreter without its patch level: "Python 3.13"."""
    name, _, version = machine.python.partition(" ")
    minor = ".".join(version.split(".")[:2])
    return f"{name.replace('CPython', 'Python')} {minor}" + ("" if machine.gil else " without GIL")


def by_version(head: str, pair: Two, chapters: Chapters, places: Places) -> str:
    """That a claim which holds in both says another thing of each; empty where it does not.

    It does where its ``versions`` name Python, or a system of its own, and the two have others.
    """
    one, other = chapters
    claim = pair[1]
    if claim is None or one is None or other is None or not all(map(_supported, pair)):
        return ""
    named = [name for name in claim.systems if name in claim.versions]
    differ = [name for name in named if _version(name, one) != _version(name, other)]
    if "Python" in claim.versions and python(one.machine) != python(other.machine):
        differ.append("Python")
    if not differ:
        return ""
    first, second = tell_apart(one, other, places)
    return (
        f"{head} holds {first} and {second}, and can say another thing of each: "
        f"{_ended(claim.versions)}"
    )


def _supported(claim: ReplicatedClaim | None) -> bool:
    return claim is not None and claim.verdict == "supported"


def _version(system: str, chapter: ReplicatedChapter) -> str | None:
    return chapter.machine.packages.get(_DISTRIBUTIONS.get(system, system))


def _disagrees(head: str, pair: Two, places: Places) -> str:
    a, b = pair
    assert a is not None
    assert b is not None
    held, failed = places if a.verdict == "supported" else places[::-1]
    return (
        f"{head} holds {held} and was refuted {failed}. It says: {_ended(a.statement)}"
        + _reworded(a, b)
    )


def _another(head: str, pair: Two, places: Places) -> str:
    a, b = (f"{c.kind}, {c.rule}" for c in pair if c is not None)
    return f"{head} is decided otherwise: {a} {places[0]}; {b} {places[1]}. It is not compared."


def _resized(head: str, pair: Two, places: Places) -> str:
    a, b = pair
    assert a is not None
    return (
        f"{head} holds in both, in another size: {_number(pair[0])} {places[0]}, "
        f"{_number(b)} {places[1]}; the rule is {a.rule}."
    )


def _undecided(head: str, pair: Two, places: Places) -> str:
    open_ones = [(c, p) for c, p in zip(pair, places, strict=True) if c and not _decided(c)]
    others = [(c, p) for c, p in zip(pair, places, strict=True) if c and _decided(c)]
    parts = [f"is undecided {p} ({c.why or 'no reason is recorded'})" for c, p in open_ones]
    parts += [f"{_holds(c)} {p}, {_number(c)}" for c, p in others]
    if not others and len({c.why for c, _ in open_ones}) == 1:
        parts = [f"is undecided in both ({open_ones[0][0].why or 'no reason is recorded'})"]
    return f"{head} {' and '.join(parts)}."


def _unmeasured(head: str, pair: Two, places: Places) -> str:
    parts = []
    for claim, place in zip(pair, places, strict=True):
        assert claim is not None
        lacks = f", where {' and '.join(claim.missing)} was missing" if claim.missing else ""
        told = "was not measured" if claim.verdict == "not measured" else _holds(claim)
        parts.append(f"{told} {place}{lacks}")
    return f"{head} {' and '.join(parts)}."


def _alone(head: str, pair: Two, places: Places) -> str:
    claim, place = next((c, p) for c, p in zip(pair, places, strict=True) if c is not None)
    return f"{head} {_holds(claim)} {place}; the other set has not got it."


def _same(head: str, pair: Two, places: Places) -> str:
    a, b = pair
    assert a is not None
    return f"{head} {_holds(a)} in both: {_number(a)} {places[0]}, {_number(b)} {places[1]}."


_SENTENCES: dict[Judgement, Callable[[str, Two, Places], str]] = {
    "disagrees": _disagrees,
    "another claim": _another,
    "another size": _resized,
    "undecided": _undecided,
    "not measured": _unmeasured,
    "on one side": _alone,
    "same": _same,
}


def _decided(claim: ReplicatedClaim) -> bool:
    return claim.verdict != "inconclusive"


def _holds(claim: ReplicatedClaim) -> str:
    return {
        "supported": "holds",
        "refuted": "was refuted",
        "inconclusive": "is undecided",
        "not measured": "was not measured",
    }[claim.verdict]


def _number(claim: ReplicatedClaim | None) -> str:
    """A claim's effect in the style of "6.1 × (5.8–6.4)", or "5 of 5 repetitions"."""
    effect = None if claim is None else claim.effect
    if effect is None or effect.refused:
        return "no number"
    if effect.kind == "behaviour":
        return f"{sum(effect.values):.0f} of {effect.blocks} repetitions"
    unit = "×" if effect.kind == "ratio" else effect.unit
    return f"{effect.estimate:.3g} {unit} ({effect.low:.3g}–{effect.high:.3g})"


def _reworded(one: ReplicatedClaim, other: ReplicatedClaim) -> str:
    same = one.statement == other.statement
    return "" if same else f" The other edition says: {_ended(other.statement)}"


def _ended(statement: str) -> str:
    return statement if statement.endswith(".") else f"{statement}."


def _versions(name: str, claim: ReplicatedClaim | None, chapters: Chapters, places: Places) -> str:
    """The claim's own systems that have other versions in the two sets, as a sentence."""
    one, other = chapters
    if claim is None or one is None or other is None:
        return ""
    parts = []
    for system in claim.systems:
        a, b = (_version(system, chapter) for chapter in (one, other))
        if a != b:
            parts.append(f"{system} is {a or 'absent'} {places[0]}, {b or 'absent'} {places[1]}")
    return f" For {name}, {'; '.join(parts)}." if parts else ""
