"""The book's style of figure, and its finished form: SVG with a caption and a text in its place.

The output is inline SVG that follows the page's text colour, so it works in light and dark.
Identical evidence gives identical bytes.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatewaylab.errors import InputError
from gatewaylab.servers.conditions import conditions_so_far

#: Colours that differ for every kind of sight, and markers that differ as they do. The colours of
#: the servers are in `servers`.
COLORS = ("#4477AA", "#EE6677", "#CCBB44", "#228833", "#66CCEE", "#AA3377", "#BBBBBB")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WAITING = "#999999"

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gatewaylab",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": False,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Picture:
    """A finished figure: SVG with its caption, and the text for those who do not see it."""

    svg: str
    alt: str
    caption: str
    conditions: str = ""

    def _repr_html_(self) -> str:
        alt = html.escape(self.alt)
        return (
            f'<figure class="fig"><div role="img" aria-label="{alt}" tabindex="0">'
            f"{self.svg}</div><figcaption>{html.escape(self.caption)}{self.conditions}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return f"[figure: {self.alt}]"


def canvas(
    rows: int = 1, *, height: float = 3.2, share_x: bool = False
) -> tuple[Figure, list[Axes]]:
    """An empty figure of ``rows`` panels in the book's style; ``height`` inches in all."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, height))
        axes = figure.subplots(rows, 1, sharex=share_x, squeeze=False)
    return figure, list(axes[:, 0])


def present(figure: Figure, *, alt: str, caption: str) -> Picture:
    """Finish a figure.

    Args:
        alt: what the figure shows, in a sentence, for readers who do not see it.
        caption: what to read from it. The conditions of the servers that were at work are added.
    """
    if not alt or not caption:
        raise InputError("a figure needs an alt text and a caption")
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(
            buffer, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
        )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace("#000000", "currentColor")
    # Text without an explicit fill is black by SVG's default; let it follow the page.
    svg = re.sub(r"<svg ", '<svg fill="currentColor" aria-hidden="true" ', svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    return Picture(_unique_ids(svg), alt, caption, conditions_so_far())


def _unique_ids(svg: str) -> str:
    """Prefix ids by a digest of the drawing, since several figures share one page."""
    prefix = "f" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{prefix}-\2"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
