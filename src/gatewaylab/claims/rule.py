"""The rule that an effect must satisfy, and its verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gatewaylab.errors import ClaimError
from gatewaylab.measure.disturbance import MARGIN, QUIET
from gatewaylab.model.stats import EQUIVALENCE
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import Kind, Verdict

#: "No difference" means: the 90 % interval lies inside this range of ratios.
EQUIVALENT = (math.exp(EQUIVALENCE[0]), math.exp(EQUIVALENCE[1]))

#: A behaviour is repeated at least this often before it counts.
FEWEST_REPETITIONS = 5

#: The effects that a claim of each measured kind may rest on.
EFFECTS: dict[str, tuple[str, ...]] = {
    "ratio": ("ratio",),
    "equivalence": ("ratio",),
    "bound": ("ratio", "quantity"),
    "behaviour": ("behaviour",),
}


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


def describe(effect: Effect) -> str:
    """An effect in words: the number, its interval and what it rests on."""
    if effect.refused:
        reasons = "; ".join(dict.fromkeys(map(str, effect.refused)))
        return f"{effect.what}: no number ({reasons})"
    if effect.kind == "behaviour":
        told = f"held in {sum(effect.values):.0f} of {effect.blocks} repetitions"
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


def rule_for(
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
    if kind not in EFFECTS:
        raise ClaimError(
            f"{identifier}: a claim of kind {kind} is not stated by a measurement; "
            "declare another kind"
        )
    if at_most is not None and at_least is None and theory is None:
        return Rule("at most", at_most)
    if at_most is not None or kind == "bound":
        raise ClaimError(f"{identifier} is a {kind}: give `at_most`, and nothing beside it")
    if theory is not None:
        if math.isnan(theory):
            return Rule("at least", math.inf)  # no trial to predict: the effect is refused, too
        if theory <= 1:
            raise ClaimError(
                f"{identifier}: the model predicts {theory:.3g}, so there is no effect; "
                "choose a load that has one"
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
