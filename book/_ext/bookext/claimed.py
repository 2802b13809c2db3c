"""On a notebook's page the card of a claim stands where the notebook states it, once.

What the cell prints about the claim is for those who run the notebook; the card says it again, and
more, so that output is taken out.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

from bookext.whose import own_notebook

_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n.*?^```$", re.MULTILINE | re.DOTALL)
_STATED = re.compile(r'^claim\(\s*"(\w+)"', re.MULTILINE)


def add_cards(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put a card under each cell that states a claim."""
    if own_notebook(app.env) is not None:
        source[0] = _CELL.sub(_with_card, source[0])


def _with_card(cell: re.Match[str]) -> str:
    stated = _STATED.findall(cell[0])
    return cell[0] + "".join(f"\n\n```{{claim-card}} {one}\n```" for one in stated)


def remove_lines(app: Sphinx, doctree: nodes.document) -> None:
    """Take the printed lines about claims off the page."""
    for node in list(doctree.findall(nodes.raw)):
        if 'class="claim-line' in node.astext():
            node.parent.remove(node)


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_cards)
    app.connect("doctree-read", remove_lines)
