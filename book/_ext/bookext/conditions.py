"""The conditions of a chapter's servers: said once, at the foot, to which every output links.

Each figure and table that a cell prints opens to the conditions of all servers so far, which is
right for those who run the cells. On the page the last of them has them all.
"""

from __future__ import annotations

import html
import re

from docutils import nodes
from sphinx.application import Sphinx

from bookext.build import box, paragraph, span

#: What :func:`gatewaylab.servers.conditions.conditions_so_far` prints.
_FOLD = re.compile(r"<details><summary>Conditions of [^<]*</summary>(.*?)</details>", re.DOTALL)
_LINK = ' <a href="#conditions">Conditions</a>'


def gather(app: Sphinx, doctree: nodes.document) -> None:
    """Put a link in the place of each output's conditions, and the last of them at the foot."""
    told: list[str] = []
    for node in doctree.findall(nodes.raw):
        text = node.astext()
        if found := _FOLD.findall(text):
            told += found
            text = _FOLD.sub(_LINK, text).replace(f"{_LINK} <span", f"{_LINK} · <span")
            node.children = [nodes.Text(text)]
    if not told:
        return
    label = span("Conditions of the servers on this page:", "claim-label")
    said = paragraph(label, " ", html.unescape(told[-1]), classes=["conditions"])
    said["ids"].append("conditions")
    page: nodes.Element = next(iter(doctree.findall(nodes.section)), doctree)
    feet = [one for one in page.findall(nodes.container) if "numbers-foot" in one["classes"]]
    if feet:
        feet[0].append(said)
    else:
        page.append(box(said, classes=["numbers-foot"]))


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", gather, priority=600)  # whose signs figures and makes the foot
