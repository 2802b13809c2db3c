"""Small books, built by Sphinx with the book's extension."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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


def html(app: SphinxTestApp, name: str) -> str:
    return Path(app.outdir, f"{name}.html").read_text(encoding="utf-8")
