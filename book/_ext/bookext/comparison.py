"""``{comparison-table}``: the quick comparison of both interfaces, every cell from a claim.

The rows stand in a TOML file. It says what people say, and what each cell may answer *if* its
claim stands, in a word; where the claim does not, the cell says that instead. Below each row a
line with what people say opens the whole answers.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from docutils import nodes
from pydantic import ValidationError
from sphinx.application import Sphinx
from sphinx.util import logging

from bookext.build import Piece, fold, markup, paragraph, span
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
        word: what the book puts there if the claim stands.
        answer: the same as a sentence, which a click opens.
        claim: the claim that the answer rests on; the row's own when None.
    """

    people: str
    word: str
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
    """WSGI and ASGI side by side, a word a cell."""

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
        head = [nodes.entry("", paragraph(name)) for name in ("What", "WSGI", "ASGI")]
        group += nodes.thead("", nodes.row("", *head))
        group += nodes.tbody("", *(node for row in rows for node in self._row(row)))
        return [nodes.table("", group, classes=["book-table", "comparison-table"])]

    def _row(self, row: Row) -> list[nodes.Node]:
        """The row of words, and below it the line that opens the rest."""
        where = self.get_location()
        record = consult(self.env, row.claim, where)
        words = [nodes.entry("", paragraph(row.name))]
        answers = [paragraph(*nuance)] if (nuance := self._nuance(record)) else []
        for interface in INTERFACES:
            cell: Cell = getattr(row, interface)
            own = cell.claim is not None and cell.claim != row.claim
            found = consult(self.env, cell.claim or row.claim, where) if own else record
            reason = doubt([found])
            word: list[Piece] = [doubtful(reason)] if reason else [*self.prose(cell.word)]
            words.append(nodes.entry("", paragraph(*word)))
            answers.append(self._answer(interface, cell, found, own=own))
        opened, closed = '<tr class="row-more"><td colspan="3">', "</td></tr>"
        return [
            nodes.row("", *words),
            markup(opened),  # docutils would make it a heading
            *fold(self._people(row, record), *answers),
            markup(closed),
        ]

    def _people(self, row: Row, record: ClaimRecord | None) -> list[Piece]:
        """What people put into the row, and what that comes to."""
        reason = doubt([record])
        judged = common_badge(row.verdict or record.common_verdict) if record else None
        said = f"People say {row.wsgi.people} / {row.asgi.people} "
        named = span(f"{row.name}: ", "visually-hidden")
        return [named, said, judged if judged and not reason else doubtful(reason)]

    def _nuance(self, record: ClaimRecord | None) -> list[nodes.Node]:
        """A claim's nuance, if the claim stands and has one."""
        stands = record is not None and not doubt([record])
        return self.prose(record.nuance) if record is not None and stands else []

    def _answer(
        self, interface: str, cell: Cell, record: ClaimRecord | None, *, own: bool
    ) -> nodes.paragraph:
        """An interface's whole answer with its claim, or the claim alone if it does not stand."""
        pieces: list[Piece] = [span(interface.upper(), "claim-label"), " "]
        if not doubt([record]):
            pieces += [*self.prose(cell.answer), " "]
        if record is not None:
            pieces += [link(badge(record), anchor(record.id)), *self.badges(record)[1:]]
        if own and self._nuance(record):
            pieces += [" ", *self._nuance(record)]
        return paragraph(*pieces)


def setup(app: Sphinx) -> None:
    app.add_config_value("bookext_comparison", "book/comparison.toml", "env", types=(str,))
    app.add_directive("comparison-table", ComparisonTable)
