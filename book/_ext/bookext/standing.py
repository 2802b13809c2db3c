"""``{states-table}``: the state of each chapter's measurement, its numbers and its claims."""

from __future__ import annotations

from collections import Counter, defaultdict

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bookext import wording
from bookext.build import Cell, Piece, paragraph, span, table
from bookext.domain import depends_on_all, link
from bookext.records import not_measured
from bookext.shelf import Origin, shelf_of
from bookext.whose import chapter, machine_of, state_badge

#: The verdicts of a measured claim, as the table lists them.
_VERDICTS = ("supported", "refuted", "inconclusive", "not measured")


class StatesTable(SphinxDirective):
    """One row a notebook: its state on this machine, whose numbers are shown, and its verdicts."""

    def run(self) -> list[nodes.Node]:
        """The table and where it is as data, or a remark when there is no notebook."""
        depends_on_all(self.env)
        shelf = shelf_of(self.env)
        chapters = shelf.chapters()
        if not chapters:
            return [not_measured()]
        verdicts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for record in filter(wording.is_measured, shelf.claims().values()):
            verdicts[record.notebook][record.verdict] += 1
        rows = (self._row(shelf.origin(name), verdicts[name]) for name in chapters)
        data = link(span("environment.json"), "environment.json", "data")
        return [
            table(("Chapter", "Here", "Numbers shown", "Claims"), rows, "states"),
            paragraph("The same for programs, with versions, seeds and noise: ", data, "."),
        ]

    def _row(self, origin: Origin, verdicts: Counter[str]) -> list[Cell]:
        stored, shown = origin.evidence, "–"
        if stored is not None:
            took = wording.duration(stored.measured_at, stored.finished_at)
            shown = f"{machine_of(origin)}, {wording.clock(stored.measured_at)}, took {took}"
        counts = [f"{verdicts[word]} {word}" for word in _VERDICTS if verdicts[word]]
        return [
            chapter(self.env, origin.notebook),
            [_state(origin), f" {_why(origin)}"],
            shown,
            ", ".join(counts) or "–",
        ]


def _state(origin: Origin) -> Piece:
    """The word for a state; a badge where it is an exception."""
    return state_badge(origin.state) if origin.marked else wording.state_of(origin.state)


def _why(origin: Origin) -> str:
    """Why a state is what it is, and why its numbers are another machine's; empty if plain."""
    record, stored = origin.state, origin.evidence
    reasons = [wording.why(record)] if record.reasons else []
    if record.at is not None and (stored is None or record.at != stored.measured_at):
        reasons = [f"attempt of {wording.clock(record.at)}: {wording.why(record)}"]
    if not record.current and not origin.reference:
        reasons.append("the code, a version or the machine has changed since")
    if origin.lacking and origin.reference:
        reasons.append(f"this machine lacks {', '.join(origin.lacking)}")
    if origin.reference and not origin.figures:
        reasons.append("its code has changed since the reference was measured")
    return "; ".join(reasons)


def setup(app: Sphinx) -> None:
    app.add_directive("states-table", StatesTable)
