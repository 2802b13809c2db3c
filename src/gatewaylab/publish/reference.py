"""The reference: the whole book as one named machine measured it, slim enough for the repository.

It is evidence like any other, in ``book/records/reference/``. A chapter shows it until this machine
has measured that chapter itself (decision 0012).
"""

from __future__ import annotations

from pathlib import Path

from gatewaylab.publish.acceptance import find_undecided
from gatewaylab.publish.book import Book
from gatewaylab.records import evidence
from gatewaylab.records.evidence import Evidence

#: The trials that are drawn again whenever the README's figure is made: by notebook, the comparison
#: and its labels, the first trial of each. A slim trial has nothing to draw, so these stay whole.
DRAWN = {"slow-requests-and-slots": ("blocking", ("one sync worker", "one event loop"))}


def chosen(notebook: str, own: Path, reference: Path) -> Path | None:
    """The file of evidence that pages show of a notebook; None when there is none at all.

    That of this machine where it is whole: noise has left no claim undecided, and not every claim
    wanted a system that is missing. Else the reference, and without one what this machine has.

    Args:
        own: the folder of this machine's accepted evidence. reference: that of the reference.

    Raises:
        ResultError: a file cannot be read.
    """
    mine, theirs = (folder / f"{notebook}.json" for folder in (own, reference))
    if not theirs.exists():
        return mine if mine.exists() else None
    return mine if mine.exists() and _whole(evidence.read(mine)) else theirs


def shown(book: Book, notebook: str) -> Evidence | None:
    """The evidence that pages show of a notebook; None when there is none.

    Raises:
        ResultError: it cannot be read.
    """
    path = chosen(notebook, book.evidence, book.reference)
    return None if path is None else evidence.read(path)


def _whole(found: Evidence) -> bool:
    tried = [record for record in found.claims if record.kind not in {"cited", "opinion"}]
    missing = tried and all(record.verdict == "not measured" for record in tried)
    return not missing and not find_undecided(found)


def slimmed(full: Evidence) -> Evidence:
    """The same evidence without the samples that no page reads; each trial keeps a digest."""
    name, labels = DRAWN.get(full.notebook, ("", ()))
    comparisons = []
    for one in full.comparisons:
        drawn = (
            {id(t) for label in labels for t in one.of(label)[:1]} if one.name == name else set()
        )
        trials = tuple(t if id(t) in drawn else t.slimmed() for t in one.trials)
        rejected = tuple(t.slimmed() for t in one.rejected)
        comparisons.append(one.model_copy(update={"trials": trials, "rejected": rejected}))
    return full.model_copy(update={"comparisons": tuple(comparisons)})
