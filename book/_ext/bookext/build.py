"""Docutils nodes in one line each, for every builder alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from docutils import nodes

Piece = str | nodes.Node
Cell = Piece | Sequence[Piece]


def paragraph(*pieces: Piece, classes: Sequence[str] = ()) -> nodes.paragraph:
    return nodes.paragraph("", "", *inline(pieces), classes=list(classes))


def markup(html: str) -> nodes.raw:
    """Finished HTML. It has no class, or docutils would put it into a box of its own."""
    return nodes.raw("", html, format="html")


def inline(pieces: Iterable[Piece]) -> list[nodes.Node]:
    """Strings as text nodes; nodes as they are."""
    return [nodes.Text(piece) if isinstance(piece, str) else piece for piece in pieces]


def span(text: str, *classes: str) -> nodes.inline:
    return nodes.inline(text, text, classes=list(classes))


def box(*children: nodes.Node, classes: Sequence[str]) -> nodes.container:
    return nodes.container("", *children, classes=list(classes))


def fold(line: Iterable[Piece], *body: nodes.Node) -> list[nodes.Node]:
    """A line that is always there, and what a click on it opens."""
    return [
        markup("<details><summary>"), *inline(line),
        markup("</summary>"), *body,
        markup("</details>"),
    ]  # fmt: skip


def fields(rows: Iterable[tuple[str, Sequence[Piece]]], *classes: str) -> nodes.field_list:
    """A list of names and what belongs to them."""
    return nodes.field_list(
        "",
        *(
            nodes.field("", nodes.field_name(name, name), nodes.field_body("", paragraph(*pieces)))
            for name, pieces in rows
        ),
        classes=list(classes),
    )


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], *classes: str) -> nodes.table:
    """A table; every cell is a text, an inline node, or a sequence of these."""
    group = nodes.tgroup("", cols=len(head))
    group += [nodes.colspec("", colwidth=1) for _ in head]
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *(_row(row) for row in rows))
    return nodes.table("", group, classes=["book-table", *classes])


def _row(cells: Sequence[Cell]) -> nodes.row:
    pieces = ([cell] if isinstance(cell, str | nodes.Node) else cell for cell in cells)
    return nodes.row("", *(nodes.entry("", paragraph(*cell)) for cell in pieces))


def external(label: str, url: str) -> nodes.reference:
    """A link that leaves the book."""
    return nodes.reference(label, label, refuri=url, internal=False)
