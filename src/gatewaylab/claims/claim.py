"""Claims: a statement, the rule that decides it, its verdict, and the sabotage that must fail.

Every claim is declared once below ``book/claims/`` (what people say, what this book says, the
sources) and stated once in a notebook, where the measured effect meets the rule.
"""

from __future__ import annotations

import html
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gatewaylab.claims.catalogue import catalogue, startable
from gatewaylab.claims.rule import EFFECTS, FEWEST_REPETITIONS, Rule, describe, rule_for
from gatewaylab.errors import ClaimError
from gatewaylab.measure.delay import Held
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import ClaimRecord, SabotageRecord, Verdict
from gatewaylab.records.results import Finding
from gatewaylab.records.staging import SABOTAGE_VARIABLE, staging
from gatewaylab.timeline import session

_HELD = {bool, np.bool_, type(None)}
MARKS: dict[str, str] = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "not measured": "–"}


def behaviour(what: str, held: Sequence[Held], *, probe: str, seed: int = 0) -> Effect:
    """The effect of a yes/no observation repeated ``len(held)`` times.

    Args:
        what: a sentence naming what was observed.
        held: one entry a repetition; ``None`` for one that noise can explain
            (:mod:`gatewaylab.measure.delay`). None decided at all is a refused effect.
        probe: name of the experiment, as for a comparison.

    Raises:
        ClaimError: an entry is neither of these, for example a count.
    """
    if isinstance(held, str) or not isinstance(held, Sequence) or not {*map(type, held)} <= _HELD:
        raise ClaimError(f"give True, False or None for each repetition, not {held!r:.80}")
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


def claim(
    identifier: str,
    effect: Effect | Sequence[Held] | None,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    theory: float | None = None,
    sabotage: Effect | tuple[str, Sequence[Held] | None] | None,
    missing: Sequence[str] = (),
) -> Stated:
    """State a claim and have it decided.

    While ``gatewaylab sabotage`` runs, the sabotage takes the place of the effect, so the claim
    must come out refuted here just as it would in a build.

    Args:
        identifier: its entry below ``book/claims/``.
        effect: what was measured, or, of a behaviour, whether it held in each repetition (``None``
            for one that noise can explain); None together with ``missing`` when it could not be.
        at_least: the threshold of a ratio. at_most: that of a bound, or of a ratio.
        theory: the ratio that the model predicts for this very plan. It gives the threshold:
            half of the prediction on the log scale, ``sqrt(theory)``.
        sabotage: the same effect on a system changed so that the claim must fail; of a behaviour,
            what was changed, and whether it held in each repetition then.
        missing: systems that this machine lacks.

    Raises:
        ClaimError: the data refute it, or it cannot fail (its sabotage was not caught).
    """
    entries = catalogue()
    if identifier not in entries:
        raise ClaimError(f"{identifier} has no entry below book/claims/; declare it there first")
    entry = entries[identifier]
    if effect is not None and not isinstance(effect, Effect):
        effect = behaviour("repetitions", effect, probe=identifier.lower())
    rule = rule_for(identifier, entry.kind, at_least, at_most, theory)
    idle = {*entry.systems} & startable() - session.systems()
    if idle and not missing and not (effect is not None and effect.refused):
        raise ClaimError(
            f"{identifier} names {', '.join(sorted(idle))} among its systems, and nothing in this "
            "process has started it; measure with it, or take it off the list"
        )
    if isinstance(sabotage, tuple):
        changed, held = sabotage
        sabotage = None if held is None else behaviour(changed, held, probe=identifier.lower())
    verdict: Verdict = "not measured"
    tried: SabotageRecord | None = None
    if effect is not None:
        if sabotage is None:
            raise ClaimError(
                f"{identifier} has no sabotage: a claim must be able to fail; give one"
            )
        tried = SabotageRecord(what=sabotage.what, effect=sabotage, verdict=rule.decide(sabotage))
        if effect.kind != sabotage.kind or effect.kind not in EFFECTS[entry.kind]:
            raise ClaimError(
                f"{identifier} is declared as {entry.kind}, and is given {effect.kind} with a "
                f"sabotage of {sabotage.kind}; give both as {' or '.join(EFFECTS[entry.kind])}"
            )
        if os.environ.get(SABOTAGE_VARIABLE):
            effect = sabotage
        verdict = rule.decide(effect)
        if verdict == "supported" and tried.verdict != "refuted":
            verdict = "inconclusive"  # a test that does not catch its sabotage shows nothing
        if verdict == "supported" and missing:
            verdict = "not measured"  # it speaks of systems that are not all here
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
