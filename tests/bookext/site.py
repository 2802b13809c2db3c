"""Small books, built by Sphinx with the book's extension."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

from sphinx.testing.util import SphinxTestApp


def write(root: Path, pages: Mapping[str, str], conf: str = "") -> None:
    """Write the pages and what every book is configured with."""
    for name, text in pages.items():
        (root / f"{name}.md").write_text(text)
    (root / "conf.py").write_text(
        "extensions = ['myst_parser', 'bookext']\n"
        "html_theme = 'basic'\nhtml_math_renderer = 'mathml'\n"
        f"exclude_patterns = ['_build', '.*']\nnitpicky = True\n{conf}"
    )


def build(book: Path) -> tuple[SphinxTestApp, set[str]]:
    """Build the book; returns the application and the pages that were read."""
    app = SphinxTestApp("html", srcdir=book, freshenv=False)
    read: set[str] = set()
    app.connect("source-read", lambda app, name, source: read.add(name))
    try:
        app.build()
    finally:
        app.cleanup()
    return app, read


def clean(book: Path) -> SphinxTestApp:
    """Build the book, which must go without a warning."""
    app, _ = build(book)
    assert app.warning.getvalue() == ""
    return app


def html(app: SphinxTestApp, name: str) -> str:
    return Path(app.outdir, f"{name}.html").read_text(encoding="utf-8")


def data(app: SphinxTestApp, name: str) -> Any:
    """What is published as data beside the pages."""
    return json.loads(Path(app.outdir, "data", f"{name}.json").read_text())


def plain(page: str) -> str:
    """The words of a page, with single spaces between them."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def rows(page: str, style: str) -> list[list[str]]:
    """The words in each cell of a table's body."""
    table = page.partition(f'class="book-table {style}')[2].partition("</table>")[0]
    return [
        [plain(cell.partition(">")[2]) for cell in re.split(r"<t[dh]\b", row)[1:]]
        for row in table.split("<tr")[2:]
    ]
