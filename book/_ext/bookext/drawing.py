"""A drawing that a page makes of HTML: what it is made of in docutils, and its style sheet."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

#: Only pages that have such a drawing load it.
SHEET = "drawings.css"


def drawn(text: str) -> nodes.raw:
    """The drawing as a node; its page gets the style sheet."""
    return nodes.raw("", text, format="html", classes=["drawing"])


def load_sheet(app: Sphinx, *event: Any) -> None:
    """Give a page with a drawing its style sheet, and other pages nothing."""
    doctree: nodes.document | None = event[-1]
    if doctree and any("drawing" in node["classes"] for node in doctree.findall(nodes.raw)):
        app.add_css_file(SHEET)


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", load_sheet)
