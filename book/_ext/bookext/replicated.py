"""``{replicated} PART``: the reference, this machine and what others sent in, claim by claim.

The parts are ``summary``, ``sets``, ``forest``, ``claims`` and ``differences``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from bookext import wording
from bookext.build import Cell, Piece, box, markup, paragraph, span, table
from bookext.cards import ClaimDirective
from bookext.domain import depends_on_all, link
from bookext.forest import forest
from bookext.roles import anchor
from bookext.shelf import Shelf, shelf_of
from bookext.wording import many
from gatewaylab.claims.claim import MARKS
from gatewaylab.errors import ResultError
from gatewaylab.publish.differences import Contrast, contrast
from gatewaylab.publish.replications import of_folder, received
from gatewaylab.publish.sentences import python
from gatewaylab.records.replication import ReplicatedClaim, Replication

LOGGER = logging.getLogger(__name__)

_CITED = {"cited", "opinion"}


@dataclass(frozen=True)
class NamedSet:
    """A set of claims, and what the page calls it."""

    name: str
    found: Replication


@dataclass(frozen=True)
class ComparedSets:
    """All sets of the page, numbered from 1; the first is what the others are compared with.

    Attributes:
        here: whether this machine's own measurements are the second one.
        reference: whether the first is the reference of the book, rather than this machine's.
    """

    sets: tuple[NamedSet, ...]
    here: bool
    reference: bool

    @property
    def claims(self) -> dict[str, list[ReplicatedClaim | None]]:
        """Every measured claim by id, as each set has it."""
        ids = {
            name
            for one in self.sets
            for name, claim in one.found.claims.items()
            if claim.kind not in _CITED
        }
        every = [one.found.claims for one in self.sets]
        return {name: [claims.get(name) for claims in every] for name in sorted(ids)}

    def contrasts(self) -> list[tuple[NamedSet, Contrast]]:
        """Each further set against the first."""
        first = self.sets[0].found
        return [
            (other, contrast(first, other.found, ("in set 1", f"in set {number}")))
            for number, other in enumerate(self.sets[1:], 2)
        ]

    @property
    def machines(self) -> tuple[list[str], list[str]]:
        """The kinds of machine, and the Pythons, of all sets."""
        return _machines(one.found for one in self.sets)

    def held_on(self, claims: Sequence[ReplicatedClaim | None]) -> tuple[list[str], list[str]]:
        """The kinds of machine, and the Pythons, on which a claim held."""
        return _machines(
            one.found
            for one, claim in zip(self.sets, claims, strict=True)
            if claim is not None and claim.verdict == "supported"
        )


def _machines(sets: Iterable[Replication]) -> tuple[list[str], list[str]]:
    every = [chapter.machine for found in sets for chapter in found.chapters.values()]
    kinds = dict.fromkeys(f"{one.cpu} × {one.cores}" for one in every)
    return list(kinds), sorted(dict.fromkeys(map(python, every)))


def compared(shelf: Shelf) -> ComparedSets:
    """What there is to compare.

    Raises:
        ResultError: a file of the reference, or one that was sent in, is damaged.
    """
    reference = of_folder(shelf.reference)
    own = of_folder(shelf.folder, shelf.states.parent)
    others = [NamedSet(name, found) for name, found in received(shelf.replications).items()]
    first = [NamedSet("the reference of this book", reference)] if reference.chapters else []
    here = bool(own.chapters) and _runs(own) != _runs(reference)
    if here:
        first.append(NamedSet("this machine", own))
    both = bool(reference.chapters) and here
    return ComparedSets((*first, *others), here=both, reference=bool(reference.chapters))


def _runs(found: Replication) -> dict[str, str]:
    """When each chapter was measured: two sets of the same times are the same measurement."""
    return {name: chapter.measured_at for name, chapter in found.chapters.items()}


class Replicated(ClaimDirective):
    """A part of the page about replications."""

    required_arguments = 1
    _PARTS: ClassVar[dict[str, Callable[[Replicated, ComparedSets], list[nodes.Node]]]]

    def run(self) -> list[nodes.Node]:
        """The part; an unknown one, or a damaged file, is a warning."""
        depends_on_all(self.env)
        shelf = shelf_of(self.env)
        for file in shelf.compared():
            self.env.note_dependency(str(file))
        show = self._PARTS.get(self.arguments[0])
        if show is None:
            known = ", ".join(self._PARTS)
            words = f"replicated: no part {self.arguments[0]!r}; there are: {known}"
            LOGGER.warning(words, location=self.get_location())
            return []
        try:
            found = self.env.temp_data.get("bookext_compared") or compared(shelf)
        except ResultError as error:
            LOGGER.warning("replicated: %s", error, location=self.get_location())
            return []
        self.env.temp_data["bookext_compared"] = found
        if not found.sets:
            return [paragraph(span(wording.NOT_MEASURED.capitalize(), "measured-missing"), ".")]
        return show(self, found)

    def _summary(self, found: ComparedSets) -> list[nodes.Node]:
        """What there is, and in how many of the sets the claims held."""
        others = len(found.sets) - 1
        if not found.reference:
            first = (
                "This edition has no reference, so this machine’s own numbers stand in its place. "
            )
        elif not found.here:
            first = "Nothing but the reference was measured on this machine. "
        else:
            kept, own = (one.found for one in found.sets[:2])
            first = f"{contrast(kept, own, ('in the reference', 'here')).summary} "
        if not others:
            return [paragraph(first, "There is nothing to compare them with yet.")]
        opposed = [name for name, claims in found.claims.items() if _opposed(claims)]
        everywhere = sum(_wherever(claims) for claims in found.claims.values())
        kinds, pythons = found.machines
        second = (
            f"In {many(len(found.sets), 'set')} of measurements, from "
            f"{many(len(kinds), 'kind')} of machine with {' and '.join(pythons)}, "
            f"{everywhere} of {len(found.claims)} claims held wherever they were decided; "
        )
        end = f"in {', '.join(opposed)} the sets disagree." if opposed else "none was refuted."
        return [paragraph(nodes.strong("", first + second + end))]

    def _sets(self, found: ComparedSets) -> list[nodes.Node]:
        """The numbered sets: where and when each was measured, and what its owner says."""
        rows: list[list[Cell]] = []
        for number, one in enumerate(found.sets, 1):
            claims = [c for c in one.found.claims.values() if c.kind not in _CITED]
            held = sum(claim.verdict == "supported" for claim in claims)
            about: list[Piece] = [one.name, *([f": “{one.found.note}”"] if one.found.note else [])]
            rows.append(
                [
                    str(number),
                    about,
                    "; ".join(one.found.kinds),
                    wording.day(one.found.at) if one.found.at else "–",
                    f"{held} of {len(claims)}",
                ]
            )
        head = ("Set", "What it is", "Machine", "Measured", "Claims that hold")
        return [table(head, rows, "replication-sets")]

    def _forest(self, found: ComparedSets) -> list[nodes.Node]:
        """A block for each claim with a number: what it is, and a line for each set."""
        block = box(classes=["forest-plot"])
        for name, claims in found.claims.items():
            drawing = forest(name, claims)
            if drawing is None:
                continue
            claim = next(one for one in claims if one is not None and one.effect is not None)
            assert claim.effect is not None  # it has just been asked for
            block += box(
                paragraph(
                    self._claim(name), " ", *self.prose(f"{claim.effect.what}, {claim.rule}")
                ),
                markup(drawing),
                classes=["forest-row"],
            )
        return [block]

    def _claim(self, name: str) -> nodes.Node:
        label = span(name, "claim-id")
        declared = name in shelf_of(self.env).declarations()
        return link(label, anchor(name)) if declared else label

    def _claims(self, found: ComparedSets) -> list[nodes.Node]:
        """Every claim in one line: a mark for each set, and where it held."""
        rows: list[list[Cell]] = []
        for name, claims in found.claims.items():
            marks: list[Piece] = []
            for number, claim in enumerate(claims, 1):
                verdict = "not in this set" if claim is None else claim.verdict
                text = "·" if claim is None else MARKS[claim.verdict]
                about = f"set {number}: {verdict}"
                marks += [nodes.abbreviation(text, text, explanation=about), " "]
            statement = next(claim.statement for claim in claims[::-1] if claim is not None)
            about_it: list[Piece] = [self._claim(name), " ", *self.prose(statement)]
            rows.append([about_it, [*marks, self._held(found, claims)]])
        opened = f"<details><summary>All {many(len(rows), 'claim')}, one a row</summary>"
        return [
            markup(opened),
            table(
                ("Claim", "In each set, and where it holds if not everywhere"),
                rows,
                "replication-claims",
            ),
            markup("</details>"),
        ]

    def _held(self, found: ComparedSets, claims: Sequence[ReplicatedClaim | None]) -> str:
        kinds, pythons = found.held_on(claims)
        if not kinds:
            return "nowhere"
        of = sum(claim is not None for claim in claims)
        held = sum(claim is not None and claim.verdict == "supported" for claim in claims)
        every = found.machines
        where = [f"{many(len(kinds), 'kind')} of machine"] if kinds != every[0] else []
        where += pythons if pythons != every[1] else []
        return f"{held} of {of}" + (f": {', '.join(where)}" if where else "")

    def _differences(self, found: ComparedSets) -> list[nodes.Node]:
        """For each further set what changed, and one table of what differs between the machines."""
        parts: list[nodes.Node] = []
        said: dict[str, int] = {}
        first: dict[str, str] = {}
        others: list[dict[str, str]] = []
        for number, (other, seen) in enumerate(found.contrasts(), 2):
            parts.append(paragraph(nodes.strong("", f"Set {number}, {other.name}: {seen.summary}")))
            before: dict[int, list[str]] = {}
            told: list[str] = []
            for pair in seen.changed:
                there = said.setdefault(pair.sentence, number)
                if there == number:
                    told.append(pair.sentence)
                else:
                    before.setdefault(there, []).append(pair.id)
            told += [f"As in set {there}: {', '.join(ids)}." for there, ids in before.items()]
            told += seen.absent
            if told:
                items = (nodes.list_item("", paragraph(*self.prose(one))) for one in told)
                parts.append(nodes.bullet_list("", *items))
            first |= {row.what: row.one for row in seen.surroundings}
            others.append({row.what: row.other for row in seen.surroundings})
        if first:
            head = ("What differs", *(f"Set {number}" for number in range(1, len(others) + 2)))
            rows = [[w, one, *(seen.get(w, one) for seen in others)] for w, one in first.items()]
            parts.append(table(head, rows, "surroundings"))
        return parts or [paragraph("There is one set only, so there is no difference to tell.")]

    _PARTS = {  # noqa: RUF012
        "summary": _summary,
        "sets": _sets,
        "forest": _forest,
        "claims": _claims,
        "differences": _differences,
    }


def _opposed(claims: Sequence[ReplicatedClaim | None]) -> bool:
    return {"supported", "refuted"} <= {claim.verdict for claim in claims if claim is not None}


def _wherever(claims: Sequence[ReplicatedClaim | None]) -> bool:
    """Whether a claim held in every set that decided it, and in one at least."""
    verdicts = {claim.verdict for claim in claims if claim is not None}
    return "supported" in verdicts and "refuted" not in verdicts


def published(shelf: Shelf) -> dict[str, Any]:
    """The same as data: the sets, each claim's verdict in each, and every comparison.

    A damaged file is a warning, and leaves nothing to compare.
    """
    try:
        found = compared(shelf)
    except ResultError as error:
        LOGGER.warning("replications.json: %s", error)
        found = ComparedSets((), here=False, reference=False)
    return {
        "sets": [
            {"name": one.name, "kinds": one.found.kinds}
            | one.found.model_dump(mode="json", include={"at", "note", "version", "commit"})
            for one in found.sets
        ],
        "verdicts": {
            name: [None if claim is None else claim.verdict for claim in claims]
            for name, claims in found.claims.items()
        },
        "comparisons": [seen.as_dict() for _, seen in found.contrasts()] if found.sets else [],
    }


def setup(app: Sphinx) -> None:
    app.add_config_value("bookext_replications", "book/records/replications", "env", types=(str,))
    app.add_directive("replicated", Replicated)
