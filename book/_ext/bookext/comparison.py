"""``{comparison-table}``: the quick comparison of both interfaces, every cell from a claim.

The rows stand in a TOML file. It says what people say, and what each cell may answer *if* its
claim stands; where the claim does not, the cell says that instead of an answer.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from docutils import nodes
from pydantic import ValidationError
from sphinx.application import Sphinx
from sphinx.util import logging

from bookext.build import Piece, inline, paragraph, span
from bookext.cards import ClaimDirective, common_badge
from bookext.domain import link
from bookext.roles import anchor, badge
from bookext.standings import consult, doubt, doubtful
from gatewaylab.load.samples import Frozen
from gatewaylab.records.evidence import ClaimRecord, CommonVerdict

LOGGER = logging.getLogger(__name__)

INTERFACES = ("wsgi", "asgi")


class Cell(Frozen):
    """One answer of the table.

    Attributes:
        people: what people put into this cell.
        answer: what the book puts there if the claim stands.
        claim: the claim that the answer rests on; the row's own when None.
    """

    people: str
    answer: str
    claim: str | None = None


class Row(Frozen):
    """One row: its name, the claim about the row as people tell it, and both answers.

    Attributes:
        verdict: on what people say; the claim's own when None, for the claim's common statement
            is mostly the row itself.
    """

    name: str
    claim: str
    verdict: CommonVerdict | None = None
    wsgi: Cell
    asgi: Cell


class Rows(Frozen):
    """The whole file."""

    row: tuple[Row, ...]


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of a file.

    Raises:
        ValueError: the file is missing or malformed.
    """
    try:
        return Rows.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).row
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ValueError(f"{path}: {error}") from error


class ComparisonTable(ClaimDirective):
    """WSGI and ASGI side by side; on a narrow screen, one below the other."""

    def run(self) -> list[nodes.Node]:
        """The table; a file that cannot be used is a warning."""
        path = Path(self.env.srcdir, self.config.bookext_comparison)
        self.env.note_dependency(str(path))
        try:
            rows = read_rows(path)
        except ValueError as error:
            LOGGER.warning("comparison-table: %s", error, location=self.get_location())
            return []
        group = nodes.tgroup("", cols=3)
        group += nodes.colspec("", colwidth=3, stub=1)  # its cells head their rows
        group += [nodes.colspec("", colwidth=4) for _ in INTERFACES]
        head = [nodes.entry("", paragraph(name)) for name in ("As people tell it", "WSGI", "ASGI")]
        group += nodes.thead("", nodes.row("", *head))
        group += nodes.tbody("", *map(self._row, rows))
        return [nodes.table("", group, classes=["book-table", "comparison-table"])]

    def _row(self, row: Row) -> nodes.row:
        where = self.get_location()
        record = consult(self.env, row.claim, where)
        answers = []
        for interface in INTERFACES:
            cell: Cell = getattr(row, interface)
            own = cell.claim is not None and cell.claim != row.claim
            found = consult(self.env, cell.claim or row.claim, where) if own else record
            answers.append(self._answer(interface, cell, found, own=own))
        return nodes.row("", self._head(row, record), *answers)

    def _head(self, row: Row, record: ClaimRecord | None) -> nodes.entry:
        """The row's name, what people say of it, and what that comes to."""
        entry = nodes.entry("", paragraph(nodes.strong("", row.name), classes=["row-name"]))
        people = f" {row.wsgi.people} / {row.asgi.people}"
        entry += paragraph(span("People say", "claim-label"), people, classes=["row-people"])
        reason = doubt([record])
        if record is None or reason:
            entry += paragraph(doubtful(reason), classes=["row-verdict"])
            return entry
        entry += paragraph(
            common_badge(row.verdict or record.common_verdict), classes=["row-verdict"]
        )
        if record.nuance:
            entry += paragraph(*self.prose(record.nuance), classes=["cell-nuance"])
        return entry

    def _answer(
        self, interface: str, cell: Cell, record: ClaimRecord | None, *, own: bool
    ) -> nodes.entry:
        """The interface's name for narrow screens, the answer or why there is none, the claim."""
        reason = doubt([record])
        said: list[Piece] = [doubtful(reason)] if reason else [*self.prose(cell.answer)]
        entry = nodes.entry(
            "", paragraph(span(interface.upper(), "cell-interface"), " ", *said, classes=["answer"])
        )
        if record is None:
            return entry
        marks = [link(badge(record), anchor(record.id)), *self.badges(record)[1:]]
        entry += nodes.paragraph("", "", *inline(marks), classes=["cell-claim"])
        if own and record.nuance and not reason:
            entry += paragraph(*self.prose(record.nuance), classes=["cell-nuance"])
        return entry


def setup(app: Sphinx) -> None:
    app.add_config_value("bookext_comparison", "book/comparison.toml", "env", types=(str,))
    app.add_directive("comparison-table", ComparisonTable)
