"""Claims: a statement, the rule that decides it, its verdict, and the sabotage that must fail.

Every claim is declared once below ``book/claims/`` (what people say, what this book says, the
sources) and stated once in a notebook, where the measured effect meets the rule.
"""

from __future__ import annotations

import html
import math
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from gatewaylab import timeline
from gatewaylab.delay import Told
from gatewaylab.disturbance import MARGIN, QUIET
from gatewaylab.errors import ClaimError
from gatewaylab.evidence import (
    SABOTAGE_VARIABLE,
    ClaimRecord,
    CommonVerdict,
    Kind,
    SabotageRecord,
    Source,
    Verdict,
    staging,
)
from gatewaylab.results import Effect, Finding
from gatewaylab.servers import project_root
from gatewaylab.stats import EQUIVALENCE

#: "No difference" means: the 90 % interval lies inside this range of ratios.
EQUIVALENT = (math.exp(EQUIVALENCE[0]), math.exp(EQUIVALENCE[1]))

#: A behaviour is repeated at least this often before it counts.
FEWEST_REPETITIONS = 5

#: The effects that a claim of each measured kind may rest on.
_EFFECTS: dict[str, tuple[str, ...]] = {
    "ratio": ("ratio",),
    "equivalence": ("ratio",),
    "bound": ("ratio", "quantity"),
    "behaviour": ("behaviour",),
}

MARKS: dict[str, str] = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "not measured": "–"}


class Entry(BaseModel):
    """A claim's entry in ``book/claims/<its notebook>.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    statement: str
    kind: Kind
    common_verdict: CommonVerdict
    nuance: str
    notebook: str
    sources: tuple[Source, ...]
    systems: tuple[str, ...] = ()
    versions: str = ""


@dataclass(frozen=True)
class Rule:
    """What an effect must satisfy.

    ``at least``: the 95 % interval lies above the threshold and above the comparison's own A/A
    noise; refuted when it lies below the threshold. ``at most``: the interval lies below the
    threshold; refuted when it lies above it. ``equivalent``: the 90 % interval lies in
    :data:`EQUIVALENT`; refuted when the 95 % interval lies outside it. ``always``: every
    repetition held; refuted when one did not.
    """

    kind: Literal["at least", "at most", "equivalent", "always"]
    threshold: float | None = None

    def __str__(self) -> str:
        if self.threshold is not None:
            return f"{self.kind} {_number(self.threshold)}"
        if self.kind == "equivalent":
            return f"within {EQUIVALENT[0]:g} and {EQUIVALENT[1]:g}"
        return "in every repetition"

    def decide(self, effect: Effect) -> Verdict:
        """The verdict of this rule on ``effect``.

        It is the same on all trials as they were measured and on what is left when noise is taken
        off them; where the two differ, and where an effect is refused, there is only a doubt.
        """
        if effect.refused:
            return "inconclusive"
        seen, quiet = self._of(effect), self._of(effect.quieted)
        return seen if seen == quiet else "inconclusive"

    def _of(self, effect: Effect) -> Verdict:
        """The verdict on the bounds of ``effect`` as they stand."""
        if self.kind == "at least":
            assert self.threshold is not None
            if effect.low > max(self.threshold, effect.floor):
                return "supported"
            return "refuted" if effect.high < self.threshold else "inconclusive"
        if self.kind == "at most":
            assert self.threshold is not None
            if effect.high < self.threshold:
                return "supported"
            return "refuted" if effect.low > self.threshold else "inconclusive"
        if self.kind == "equivalent":
            low, high = EQUIVALENT
            if low <= effect.low90 and effect.high90 <= high:
                return "supported"
            return "refuted" if effect.low > high or effect.high < low else "inconclusive"
        if not all(value == 1.0 for value in effect.values):
            return "refuted"
        return "supported" if effect.blocks >= FEWEST_REPETITIONS else "inconclusive"

    def margin(self, expected: float) -> float:
        """The distance, as a logarithm, from what is expected to where the claim would fail."""
        if self.kind == "equivalent":
            return MARGIN
        threshold = self.threshold or math.inf
        if not (0 < expected < math.inf and threshold < math.inf):
            return math.inf
        return abs(math.log(expected / threshold))

    def disturbed(self, effect: Effect, theory: float | None) -> int:
        """How many blocks noise can have moved by more than a quarter of that distance.

        Of a behaviour: how many repetitions it left undecided.
        """
        if self.kind == "always":
            return effect.undecided
        expected = effect.estimate if theory is None or math.isnan(theory) else theory
        allowed = QUIET * self.margin(expected)
        return sum(shift > allowed for shift in effect.shifts)

    def doubt(self, effect: Effect) -> str:
        """Why this rule does not decide about ``effect``; empty when it does."""
        if effect.refused:
            return "; ".join(dict.fromkeys(finding.rule for finding in effect.refused))
        if self.decide(effect) != "inconclusive":
            return ""
        if self._of(effect) != "inconclusive":
            return "what was lost to others can explain it"
        if self.kind == "always":
            return f"only {effect.blocks} of at least {FEWEST_REPETITIONS} repetitions are decided"
        if self.kind == "at least" and self.threshold is not None and effect.low > self.threshold:
            return "it does not stand out of the A/A noise"
        return "its interval reaches both sides of the threshold"


def catalogue(folder: Path | None = None) -> dict[str, Entry]:
    """Every declared claim, by id, in the order of ids.

    Args:
        folder: of the declarations, one file a notebook; the book's own when None.

    Raises:
        ClaimError: there is no such folder, an entry is malformed, or an id is declared twice.
    """
    folder = folder or project_root() / "book" / "claims"
    if not folder.is_dir():
        raise ClaimError(f"{folder} does not exist: claims are declared there")
    found: dict[str, Entry] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
            entries = {identifier: Entry.model_validate(entry) for identifier, entry in raw.items()}
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise ClaimError(f"{path}: {error}") from error
        if twice := sorted(found.keys() & entries.keys()):
            raise ClaimError(f"{path} declares {', '.join(twice)} a second time")
        found |= entries
    return dict(sorted(found.items()))


def behaviour(what: str, held: Sequence[Told], *, probe: str, seed: int = 0) -> Effect:
    """The effect of a yes/no observation repeated ``len(held)`` times.

    Args:
        what: a sentence naming what was observed.
        held: one entry a repetition; ``None`` for one that noise can explain
            (:mod:`gatewaylab.delay`). None decided at all is a refused effect.
        probe: name of the experiment, as for a comparison.
    """
    values = tuple(float(h) for h in held if h is not None)
    share = sum(values) / len(values) if values else math.nan
    undecided = len(held) - len(values)
    refused: tuple[Finding, ...] = ()
    if not values:
        words = (
            f"noise can explain all {undecided} repetitions" if undecided
            else "no repetition was made"
        )  # fmt: skip
        refused = (
            Finding(
                rule="repetitions", kind="disturbance", measured=0, allowed=FEWEST_REPETITIONS,
                message=words,
            ),
        )  # fmt: skip
    return Effect(
        kind="behaviour",
        what=what,
        estimate=share,
        low=min(values, default=math.nan),
        high=max(values, default=math.nan),
        low90=min(values, default=math.nan),
        high90=max(values, default=math.nan),
        n=len(values),
        blocks=len(values),
        seed=seed,
        values=values,
        comparison=probe,
        undecided=undecided,
        refused=refused,
    )


@dataclass(frozen=True)
class Stated:
    """A claim as a notebook shows it: one line with its verdict and its number."""

    record: ClaimRecord

    def __str__(self) -> str:
        record = self.record
        parts = [f"{MARKS[record.verdict]} {record.id} {record.verdict}: {record.statement}"]
        if record.effect is not None:
            parts.append(f"{describe(record.effect)}; required: {record.rule}")
        if record.sabotage is not None:
            parts.append(f"sabotage ({record.sabotage.what}): {record.sabotage.verdict}")
        if record.disturbed and record.effect is not None and record.effect.kind != "behaviour":
            parts.append(
                f"disturbed: {record.disturbed} of {record.effect.blocks} blocks; the verdict "
                "holds with all that noise can have done taken off"
                if record.verdict == "supported"
                else f"disturbed: {record.disturbed} of {record.effect.blocks} blocks"
            )
        if record.why:
            parts.append(f"inconclusive, because {record.why}")
        if record.missing:
            parts.append("missing here: " + "; ".join(record.missing))
        return "\n  ".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = (html.escape(line.strip()) for line in str(self).splitlines())
        head, *rest = (re.sub(r"`([^`]+)`", r"<code>\1</code>", line) for line in lines)
        tail = "".join(f"<br>{line}" for line in rest)
        state = self.record.verdict.replace(" ", "-")
        return (
            f'<div class="claim-line verdict-{state}"><strong>{head}</strong>'
            f"<small>{tail}</small></div>"
        )


def describe(effect: Effect) -> str:
    """An effect in words: the number, its interval and what it rests on."""
    if effect.refused:
        reasons = "; ".join(dict.fromkeys(map(str, effect.refused)))
        return f"{effect.what}: no number ({reasons})"
    if effect.kind == "behaviour":
        told = f"{effect.what}: {sum(effect.values):.0f} of {effect.blocks} repetitions"
        return told + (f", {effect.undecided} undecided for noise" if effect.undecided else "")
    interval = f"{_number(effect.low)}–{_number(effect.high)}"
    if effect.kind == "quantity":
        number = f"{_number(effect.estimate)} {effect.unit}".rstrip()
        return f"{effect.what}: {number} ({interval}; {effect.n} readings)"
    # A comparison of trials has many requests a block; one of readings has one pair.
    seen = "requests" if effect.n > effect.blocks else "pairs of readings"
    basis = f"{effect.n} {seen} in {effect.blocks} blocks, A/A within {_number(effect.floor)}"
    return f"{effect.what}: {_number(effect.estimate)} ({interval}; {basis})"


def _number(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def claim(
    identifier: str,
    effect: Effect | None,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    theory: float | None = None,
    sabotage: Effect | None,
    missing: Sequence[str] = (),
) -> Stated:
    """State a claim and have it decided.

    While ``gatewaylab sabotage`` runs, the sabotage takes the place of the effect, so the claim
    must come out refuted here just as it would in a build.

    Args:
        identifier: its entry below ``book/claims/``.
        effect: what was measured; None together with ``missing`` when it could not be.
        at_least: the threshold of a ratio. at_most: that of a bound, or of a ratio.
        theory: the ratio that the model predicts for this very plan. It gives the threshold:
            half of the prediction on the log scale, ``sqrt(theory)``.
        sabotage: the same effect on a system changed so that the claim must fail.
        missing: systems that this machine lacks.

    Raises:
        ClaimError: the data refute it, or it cannot fail (its sabotage was not caught).
    """
    entries = catalogue()
    if identifier not in entries:
        raise ClaimError(f"{identifier} has no entry below book/claims/; declare it there first")
    entry = entries[identifier]
    rule = _rule(identifier, entry.kind, at_least, at_most, theory)
    idle = {*entry.systems} & timeline.STARTED_HERE - timeline.systems()
    if idle and not missing and not (effect is not None and effect.refused):
        raise ClaimError(
            f"{identifier} names {', '.join(sorted(idle))} among its systems, and nothing in this "
            "process has started it; measure with it, or take it off the list"
        )
    verdict: Verdict = "not measured"
    tried: SabotageRecord | None = None
    if effect is not None:
        if sabotage is None:
            raise ClaimError(f"{identifier} has no sabotage: a claim must be able to fail")
        tried = SabotageRecord(what=sabotage.what, effect=sabotage, verdict=rule.decide(sabotage))
        if effect.kind != sabotage.kind or effect.kind not in _EFFECTS[entry.kind]:
            raise ClaimError(f"{identifier} is declared as {entry.kind}; its effects are not")
        if os.environ.get(SABOTAGE_VARIABLE):
            effect = sabotage
        verdict = rule.decide(effect)
        if verdict == "supported" and tried.verdict != "refuted":
            verdict = "inconclusive"  # a test that does not catch its sabotage shows nothing
        if verdict == "supported" and missing:
            verdict = "not measured"  # what it says of all was seen of some
    elif not missing:
        raise ClaimError(f"{identifier} has no effect; name the missing systems in `missing`")
    record = ClaimRecord(
        id=identifier,
        title=entry.title,
        statement=entry.statement,
        kind=entry.kind,
        verdict=verdict,
        common_verdict=entry.common_verdict,
        nuance=entry.nuance,
        effect=effect,
        threshold=rule.threshold,
        theory=theory,
        rule=str(rule) if effect is None else f"{rule} {effect.unit}".rstrip(),
        sabotage=tried,
        sources=entry.sources,
        notebook=entry.notebook,
        missing=tuple(missing),
        systems=entry.systems,
        versions=entry.versions,
        disturbed=0 if effect is None or effect.refused else rule.disturbed(effect, theory),
        why=_why(verdict, rule, effect, tried),
    )
    if (stage := staging()) is not None:
        stage.claim(record)
    stated = Stated(record)
    if verdict == "refuted":
        raise ClaimError(f"the data refute {identifier}:\n{stated}")
    if tried is not None and tried.verdict == "supported":
        raise ClaimError(f"the sabotage of {identifier} went unnoticed:\n{stated}")
    return stated


def _why(verdict: Verdict, rule: Rule, effect: Effect | None, tried: SabotageRecord | None) -> str:
    """What left a claim inconclusive; empty when it is anything else."""
    if verdict != "inconclusive" or effect is None or tried is None:
        return ""
    if doubt := rule.doubt(effect):
        return doubt
    if tried.verdict == "supported":
        return "its sabotage was not noticed"
    return f"its sabotage is undecided: {rule.doubt(tried.effect)}"


def _rule(
    identifier: str,
    kind: Kind,
    at_least: float | None,
    at_most: float | None,
    theory: float | None,
) -> Rule:
    if kind == "behaviour":
        return Rule("always")
    if kind == "equivalence":
        return Rule("equivalent")
    if kind not in _EFFECTS:
        raise ClaimError(f"{identifier}: a claim of kind {kind} is not stated by a measurement")
    if at_most is not None and at_least is None and theory is None:
        return Rule("at most", at_most)
    if at_most is not None or kind == "bound":
        raise ClaimError(f"{identifier} is a {kind}: give `at_most`, and nothing beside it")
    if theory is not None:
        if math.isnan(theory):
            return Rule("at least", math.inf)  # no trial to predict: the effect is refused, too
        if theory <= 1:
            raise ClaimError(
                f"{identifier}: the model predicts {theory:.3g}, so there is no effect"
            )
        half = math.sqrt(theory)
        if at_least is not None and at_least > half:
            raise ClaimError(
                f"{identifier}: {at_least:.3g} is more than half of what theory predicts "
                f"({half:.3g}); a threshold that close to it fails by chance"
            )
        return Rule("at least", half if at_least is None else at_least)
    if at_least is None:
        raise ClaimError(f"{identifier} is a ratio: give `theory`, `at_least` or `at_most`")
    return Rule("at least", at_least)
