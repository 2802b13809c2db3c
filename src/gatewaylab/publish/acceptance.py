"""What becomes of a fresh run: accepted, accepted as far as it goes, held, or turned down.

``decide`` is a pure function of the run, of what was accepted before it and of the claims' past;
``settle`` carries the decision out. The reasons that it gives are made for pages: they name claims
and rules and contain no number of a run that was not accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from gatewaylab.claims.rule import FEWEST_REPETITIONS
from gatewaylab.errors import ResultError
from gatewaylab.load.samples import Frozen
from gatewaylab.publish import history
from gatewaylab.publish.book import Book, usable
from gatewaylab.publish.history import History
from gatewaylab.records import evidence
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import ClaimRecord, Evidence
from gatewaylab.records.results import Finding
from gatewaylab.records.storage import save


class Reason(Frozen):
    """Why a run was not accepted, or not wholly.

    Attributes:
        kind: it was wrong; noise left something undecided; a number waits for a second run.
        text: for pages, without any number of the run.
    """

    kind: Literal["wrong", "noise", "held"]
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Decision:
    """What becomes of a run.

    Attributes:
        state: of the notebook, in the light of this run.
        kept: the run becomes the accepted evidence.
        reasons: why it is not whole, or not accepted; fit to be printed.
        far: the claims whose number lies far from all earlier ones.
        confirmed: those of them that the held run agrees with.
    """

    state: Literal["accepted", "unstable", "rejected"]
    kept: bool
    reasons: tuple[Reason, ...] = ()
    far: frozenset[str] = frozenset()
    confirmed: frozenset[str] = frozenset()


def decide(fresh: Evidence, old: Evidence | None, past: History, held: Evidence | None) -> Decision:
    """Judge a run.

    A run that is *wrong* (:func:`wrong_claims`) is rejected. One with a number far outside the
    claim's past is held, unless the held run before it agrees. One that noise kept incomplete
    (:func:`find_doubts`) is accepted only where no number is lost by it: when there is no evidence
    yet, or when that is incomplete as well and has no number that this run lacks.

    Args:
        old: the accepted evidence. past: earlier accepted numbers. held: the run that waits.
    """
    if wrong := wrong_claims(fresh.claims):
        return Decision("rejected", kept=False, reasons=wrong)
    sides = past.outside(fresh)
    far = frozenset(sides)
    confirmed = history.confirmed(fresh, held, far)
    waiting = tuple(
        Reason(kind="held", text=f"{name} lies far {side} its earlier numbers")
        for name, side in sides.items()
        if name not in confirmed
    )
    noisy = find_doubts(fresh)
    if not waiting and not noisy:
        return Decision("accepted", kept=True, far=far, confirmed=confirmed)
    kept = not waiting and (
        old is None or (bool(find_undecided(old)) and find_decided(fresh) >= find_decided(old))
    )
    return Decision("unstable", kept=kept, reasons=(*noisy, *waiting), far=far, confirmed=confirmed)


def settle(fresh: Evidence, old: Evidence | None, book: Book, console: Console) -> Decision:
    """Decide on a run and write down what follows: evidence, history, or the held run.

    Raises:
        ResultError: the run cannot be stored. OSError: nor can anything else.
    """
    name = fresh.notebook
    past = _history(book.history(name), name, console)
    ignored = f"the held run of {name} is unusable and ignored"
    held = usable(Evidence, book.held(name), console, ignored)
    decision = decide(fresh, old, past, held)
    if decision.kept:
        evidence.accept(fresh, book.evidence)
        save(past.extended(fresh, decision.confirmed), book.history(name))
        book.held(name).unlink(missing_ok=True)
    elif decision.far:
        save(fresh, book.held(name))
    return decision


def _history(path: Path, notebook: str, console: Console) -> History:
    try:
        return history.read(path, notebook)
    except ResultError as error:
        console.out(f"the history of {notebook} is unusable and begun anew: {error}")
        return History(notebook=notebook)


def wrong_claims(claims: Iterable[ClaimRecord]) -> tuple[Reason, ...]:
    """What is wrong with claims that a run has stated: refuted, or blind to their sabotage."""
    reasons: list[str] = []
    for record in claims:
        if record.verdict == "refuted":
            reasons.append(f"the data refute {record.id}")
        if record.sabotage is not None and record.sabotage.verdict == "supported":
            reasons.append(f"the sabotage of {record.id} went unnoticed")
    return tuple(Reason(kind="wrong", text=text) for text in reasons)


def find_doubts(found: Evidence) -> tuple[Reason, ...]:
    """Why a run is incomplete: one reason for all claims that share it."""
    shared: dict[str, list[str]] = {}
    for record in found.claims:
        reason = _doubt(record)
        if reason:
            shared.setdefault(reason, []).append(record.id)
    return tuple(
        Reason(kind="noise", text=f"{', '.join(names)}: {reason}")
        for reason, names in shared.items()
    )


def find_undecided(found: Evidence) -> frozenset[str]:
    """The claims that noise kept from being decided."""
    return frozenset(record.id for record in found.claims if _doubt(record))


def find_decided(found: Evidence) -> frozenset[str]:
    """The claims that have their number."""
    return frozenset(record.id for record in found.claims if record.effect) - find_undecided(found)


def _doubt(record: ClaimRecord) -> str:
    """Why noise left a claim undecided; empty when it did not, or when a system is missing."""
    if record.verdict != "inconclusive":
        return ""
    for effect in _effects(record):
        if effect.refused:
            return rules(effect.refused)
        if effect.kind == "behaviour" and effect.blocks < FEWEST_REPETITIONS:
            return "too few accepted repetitions"
    return ""


def _effects(record: ClaimRecord) -> Iterator[Effect]:
    """What a verdict rests on: the effect, and that of the sabotage."""
    if record.effect is not None:
        yield record.effect
    if record.sabotage is not None:
        yield record.sabotage.effect


def rules(refused: Sequence[Finding]) -> str:
    """The names of the rules that refused; not their messages, which quote what they refuse."""
    return ", ".join(dict.fromkeys(finding.rule for finding in refused))
