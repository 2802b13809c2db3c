"""An effect: what a comparison, readings or repetitions say, with its uncertainty."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gatewaylab.load.samples import Count, Frozen, Number
from gatewaylab.records.results import Finding


class Bounds(Frozen):
    """The bounds of an effect's intervals: ``low`` and ``high`` at 95 %, the others at 90 %."""

    low: Number
    high: Number
    low90: Number
    high90: Number


class Effect(Frozen):
    """A number with its uncertainty, and what it was computed from.

    Attributes:
        kind: ``ratio``, ``quantity`` (a number with a unit) or ``behaviour``.
        what: a sentence naming the quantity, for tables.
        estimate: the point estimate (for a behaviour: the share of repetitions that held).
        low, high: bounds of the 95 % interval.
        low90, high90: bounds of the 90 % interval, for equivalence.
            Bounds and estimate may be infinite (censoring); NaN only stands in a refused effect.
        floor: the A/A ratio's distance from 1 in the same comparison, as a factor ≥ 1.
        a12: Vargha–Delaney probability that a value of the first exceeds one of the second.
        n: samples, blocks: replications, seed: of the comparison.
        values: the per-block (per-repetition) values.
        comparison: name of the comparison, or of the probe.
        unit: of a quantity.
        undecided: repetitions of a behaviour that noise can explain, so that they say nothing.
        shifts: by block, how far noise can have moved the value, as a logarithm, 0 or more.
        quiet: the bounds that are left when in every block what noise can have done is taken off;
            None when nothing was lost.
        refused: why no number may be stated; empty for an accepted effect.
    """

    kind: Literal["ratio", "quantity", "behaviour"]
    what: str
    estimate: Number
    low: Number
    high: Number
    low90: Number
    high90: Number
    floor: Number = 1.0
    a12: Annotated[float, Field(ge=0, le=1)] = 0.5
    n: Count
    blocks: Count
    seed: Count
    values: tuple[Number, ...]
    comparison: str
    unit: str = ""
    undecided: Count = 0
    shifts: tuple[Number, ...] = ()
    quiet: Bounds | None = None
    refused: tuple[Finding, ...] = ()

    @property
    def quieted(self) -> Effect:
        """The effect with the bounds that noise leaves."""
        if self.quiet is None:
            return self
        return self.model_copy(update={**self.quiet.model_dump(), "quiet": None})

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.refused:
            return self  # then no number is stated, and NaN may stand in its place
        if not self.low <= self.estimate <= self.high or not self.low90 <= self.high90:
            raise ValueError(f"{self.estimate} with bounds {self.low} and {self.high}")
        if not self.floor >= 1 or any(math.isnan(value) for value in self.values):
            raise ValueError("the floor is a factor of at least 1, and no value may be NaN")
        return self
