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
from matplotlib.transforms import Bbox

from gatewaylab.errors import InputError
from gatewaylab.servers.conditions import conditions_so_far
from gatewaylab.servers.palette import themed

#: Markers that differ for every kind of sight. The colours are in `servers`: each means a server.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

#: Inches. On the narrowest phone a figure has 326 pixels; drawn this wide it needs to shrink by a
#: quarter there, and its smallest letters keep nine pixels.
WIDTH = 4.4
#: Points, of what stands beside a mark.
SMALL = 9.2

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gatewaylab",
    "font.family": "sans-serif",
    "font.size": 9.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.6,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": False,
    "xaxis.labellocation": "right",
    "figure.constrained_layout.use": True,
}


#: What draws in the book's style.
styled = mpl.rc_context(STYLE)


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


@styled
def canvas(
    rows: int = 1, *, height: float = 3.2, share_x: bool = False
) -> tuple[Figure, list[Axes]]:
    """An empty figure of ``rows`` panels in the book's style; ``height`` inches in all."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots(rows, 1, sharex=share_x, squeeze=False)
    return figure, list(axes[:, 0])


@styled
def present(figure: Figure, *, alt: str, caption: str) -> Picture:
    """Finish a figure.

    Args:
        alt: what the figure shows, in a sentence, for readers who do not see it.
        caption: what to read from it. The conditions of the servers that were at work are added.
    """
    if not alt or not caption:
        raise InputError("a figure needs an alt text and a caption")
    buffer = io.StringIO()
    figure.draw_without_rendering()
    # All figures are equally wide, so that letters are equally large; none is cut.
    whole = Bbox.union([figure.bbox_inches, figure.get_tightbbox()])
    figure.savefig(
        buffer, format="svg", transparent=True, bbox_inches=whole, metadata={"Date": None}
    )
    svg = buffer.getvalue()
    svg = themed(svg[svg.index("<svg") :])
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
