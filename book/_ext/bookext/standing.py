"""``{states-table}``: the state of each chapter's measurement, and why."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bookext import wording
from bookext.banner import chapter, state_badge
from bookext.build import Cell, table
from bookext.domain import depends_on_all
from bookext.records import not_measured
from bookext.shelf import shelf_of


class StatesTable(SphinxDirective):
    """One row a notebook: its state, and when, where and how long its numbers were measured."""

    def run(self) -> list[nodes.Node]:
        """The table, or a remark when there is no notebook."""
        depends_on_all(self.env)
        chapters = shelf_of(self.env).chapters()
        if not chapters:
            return [not_measured()]
        head = ("Chapter", "State", "Measured", "Machine", "Took", "Why")
        return [table(head, map(self._row, chapters), "states")]

    def _row(self, notebook: str) -> list[Cell]:
        shelf = shelf_of(self.env)
        record, stored = shelf.state(notebook), shelf.evidence(notebook)
        row: list[Cell] = [chapter(self.env, notebook), state_badge(record)]
        if stored is None:
            row += ["–", "–", "–"]
        else:
            took = wording.duration(stored.measured_at, stored.finished_at)
            row += [wording.clock(stored.measured_at), stored.environment.kind, took]
        reasons = [wording.why(record)] if record.reasons else []
        if record.at is not None and (stored is None or record.at != stored.measured_at):
            reasons = [f"attempt of {wording.clock(record.at)}: {wording.why(record)}"]
        if not record.current:
            reasons.append("the code, a version or the machine has changed since")
        return [*row, "; ".join(reasons) or "–"]


def setup(app: Sphinx) -> None:
    app.add_directive("states-table", StatesTable)
