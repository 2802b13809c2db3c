"""The noise record: what every claim came to on machines that are disturbed on purpose.

A committed file that the book prints. It says what a reader whose machine is slow or busy may
expect of the book.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field

from gatewaylab.load.samples import Amount, Frozen
from gatewaylab.publish.stability import Outcome
from gatewaylab.records.evidence import Verdict


class Rehearsed(Frozen):
    """The whole book, measured once under one noise.

    Attributes:
        what: the noise does, in words.
        at: when it began, ISO 8601. seconds: it took. commit: of the checkout.
        claims: the verdict on each claim. sabotages: on each claim's sabotage.
        errors: by notebook, the cells that broke off.
    """

    what: str
    at: str
    seconds: Amount
    commit: str | None
    claims: dict[str, Outcome]
    sabotages: dict[str, Verdict]
    errors: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def count(self, verdict: Outcome) -> int:
        return Counter(self.claims.values())[verdict]

    @property
    def share(self) -> float:
        """Of the claims that could be measured here, those that were supported."""
        measured = len(self.claims) - self.count("not measured")
        return self.count("supported") / measured if measured else 0.0

    @property
    def caught(self) -> int:
        """Sabotages that came out refuted."""
        return Counter(self.sabotages.values())["refuted"]

    @property
    def unnoticed(self) -> int:
        """Sabotages that came out supported."""
        return Counter(self.sabotages.values())["supported"]

    @property
    def right(self) -> bool:
        """Nothing that is true was refuted, nothing false was supported, and no cell broke off."""
        wrong = self.count("refuted") + self.count("missing") + self.unnoticed + len(self.errors)
        return wrong == 0


class NoiseRecord(Frozen):
    """The book under every noise, by the noise's name.

    Attributes:
        machine: its kind. profile: how many blocks a comparison had.
    """

    schema_version: Literal[1] = 1
    machine: str
    profile: str
    noises: dict[str, Rehearsed]
