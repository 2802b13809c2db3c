"""``{states-table}``: the state of each chapter's measurement, and why."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bookext import wording
from bookext.build import Cell, table
from bookext.domain import depends_on_all
from bookext.records import not_measured
from bookext.shelf import shelf_of
from bookext.whose import chapter, state_badge


class StatesTable(SphinxDirective):
    """One row a notebook: its state on this machine, whose numbers are shown, and their origin."""

    def run(self) -> list[nodes.Node]:
        """The table, or a remark when there is no notebook."""
        depends_on_all(self.env)
        chapters = shelf_of(self.env).chapters()
        if not chapters:
            return [not_measured()]
        head = ("Chapter", "Here", "Shown", "Measured", "Machine", "Took", "Why")
        return [table(head, map(self._row, chapters), "states")]

    def _row(self, notebook: str) -> list[Cell]:
        shelf = shelf_of(self.env)
        origin = shelf.origin(notebook)
        record, stored = origin.state, origin.evidence
        row: list[Cell] = [chapter(self.env, notebook), state_badge(record)]
        if stored is None:
            row += ["–"] * 4
        else:
            took = wording.duration(stored.measured_at, stored.finished_at)
            row += ["reference" if origin.reference else "this machine"]
            row += [wording.clock(stored.measured_at), stored.environment.kind, took]
        reasons = [wording.why(record)] if record.reasons else []
        if record.at is not None and (stored is None or record.at != stored.measured_at):
            reasons = [f"attempt of {wording.clock(record.at)}: {wording.why(record)}"]
        if not record.current and not origin.reference:
            reasons.append("the code, a version or the machine has changed since")
        if origin.lacking and origin.reference:
            reasons.append(f"this machine lacks {', '.join(origin.lacking)}")
        if origin.reference and not origin.figures:
            reasons.append("its code has changed since the reference was measured")
        return [*row, "; ".join(reasons) or "–"]


def setup(app: Sphinx) -> None:
    app.add_directive("states-table", StatesTable)
