"""One function a kind of figure; each draws recorded samples on the ``Axes`` it is given.

The output is inline SVG that follows the page's text colour, so it works in light and dark.
Identical evidence gives identical bytes.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatewaylab.errors import InputError
from gatewaylab.load.samples import Samples

#: Markers differ as colours do; the colours of the servers are in `servers`.
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

    def _repr_html_(self) -> str:
        alt = html.escape(self.alt)
        return (
            f'<figure class="fig" role="group"><div role="img" aria-label="{alt}" tabindex="0">'
            f"{self.svg}</div><figcaption>{html.escape(self.caption)}</figcaption></figure>"
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
        caption: what to read from it, with the conditions.
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
    return Picture(svg=_unique_ids(svg), alt=alt, caption=caption)


def _unique_ids(svg: str) -> str:
    """Prefix ids by a digest of the drawing, since several figures share one page."""
    prefix = "f" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{prefix}-\2"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)


#: Heights in a waterfall, in units of one slot's row: a waiting request's row, and the margin.
WAIT_ROW, MARGIN = 0.22, 0.5


def strip(
    ax: Axes,
    values: Mapping[str, Sequence[float]],
    *,
    colors: Mapping[str, str],
    unit: str,
    log: bool = True,
) -> None:
    """One row a configuration: a dot per block, a bar at their median, the label at the left."""
    for row, (label, points) in enumerate(values.items()):
        finite = [v for v in points if np.isfinite(v)]
        marker = MARKERS[row % len(MARKERS)]
        jitter = np.linspace(-0.16, 0.16, len(finite)) if len(finite) > 1 else np.zeros(len(finite))
        ax.plot(
            finite,
            row + jitter,
            marker,
            color=colors[label],
            markersize=5.5,
            alpha=0.9,
            linestyle="none",
        )
        median = float(np.median(points)) if len(points) else np.nan  # censored ones count
        if np.isfinite(median):
            ax.plot([median] * 2, [row - 0.32, row + 0.32], color="#000000", linewidth=1.6)
            ax.annotate(
                f"{_brief(median)} {unit}",
                (median, row - 0.36),
                ha="center",
                va="bottom",
                fontsize=9.5,
            )
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.5, -0.75)
    ax.tick_params(axis="y", length=0)
    if log and any(np.isfinite(v) for points in values.values() for v in points):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        ax.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    ax.margins(x=0.12)


def _brief(value: float) -> str:
    """Three digits, or all those before the point, in groups of three."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}".replace(",", "\u202f")


def events(ax: Axes, rows: Mapping[str, Sequence[float]], *, colors: Mapping[str, str]) -> None:
    """One row a response: a mark where a piece of it arrived, seconds on the abscissa.

    Pieces that arrive within 10 ms of each other would hide one another; they are stacked.
    """
    for row, (label, times) in enumerate(rows.items()):
        ax.plot([0, max(times, default=0)], [row, row], color=WAITING, linewidth=0.8, zorder=1)
        stacked = [sum(abs(t - other) < 0.01 for other in times[:i]) for i, t in enumerate(times)]
        ax.plot(
            times,
            [row - 0.15 * level for level in stacked],
            MARKERS[row % len(MARKERS)],
            color=colors[label],
            markersize=7,
            linestyle="none",
            zorder=2,
        )
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.6, -0.6)
    ax.set_xlim(left=0)
    ax.tick_params(axis="y", length=0)


def model_line(
    ax: Axes,
    slots: Sequence[int],
    predicted: Sequence[float],
    points: Sequence[tuple[float, float, float, float, str, str]],
    *,
    unit: str = "ms",
) -> None:
    """The model's prediction over the number of slots, with measured points on it.

    Args:
        slots: abscissae of the line. predicted: its ordinates in ``unit``.
        points: (slots, median, low, high, label, colour); low and high span the blocks.
    """
    if not np.isfinite(predicted).any():
        ax.set_title("no trial was accepted", loc="left")
        return
    ax.plot(slots, predicted, color="#000000", linewidth=1.2, zorder=1)
    ax.annotate(
        "the model",
        (slots[0], predicted[0]),
        xytext=(14, -14),
        textcoords="offset points",
        fontstyle="italic",
    )
    for row, (x, middle, low, high, label, color) in enumerate(points):
        ax.errorbar(
            x,
            middle,
            yerr=[[middle - low], [high - middle]],
            fmt=MARKERS[row % len(MARKERS)],
            color=color,
            markersize=7,
            capsize=3,
            zorder=3,
        )
        ax.annotate(label, (x, high), xytext=(6, 6), textcoords="offset points", ha="left")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(list(slots), [str(s) for s in slots])
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    ax.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    ax.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    ax.set_xlabel("slots")
    ax.set_ylabel(f"median latency, {unit}")


def visitors(
    ax: Axes, samples: Samples, *, color: str, stall: tuple[float, float] | None = None
) -> None:
    """Every request as a stem: where it stands is when it was due, its height is its latency.

    Args:
        stall: begin and end of a time in which the server stood still, in the samples' seconds;
            it is shaded.
    """
    if stall is not None:
        ax.axvspan(*stall, color=WAITING, alpha=0.22, linewidth=0)
        ax.annotate(
            "the server stands still",
            (sum(stall) / 2, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9.5,
        )
    latency = 1e3 * samples.latency
    ax.vlines(samples.scheduled_at, 0, latency, color=color, linewidth=1.1)
    ax.plot(samples.scheduled_at, latency, "o", color=color, markersize=2.6)
    ax.set_ylim(bottom=0)
    ax.set_xlim(left=0)
    ax.set_ylabel("waited, ms")


def levels(
    ax: Axes,
    rows: Mapping[str, Mapping[str, float]],
    *,
    colors: Mapping[str, str],
    unit: str = "ms",
    smallest: float = 0.05,
) -> None:
    """One row a source, one marker a level of its latencies, on a logarithmic axis.

    The first row is the truth: its levels are drawn on as lines through all the others.

    Args:
        rows: by label, the values by name of the level; every row has the same levels.
        smallest: in ``unit``; what lies below is drawn there, because a logarithm has no zero.
    """
    truth = next(iter(rows))
    for row, (label, values) in enumerate(rows.items()):
        points = [max(value, smallest) for value in values.values()]
        ax.plot([min(points), max(points)], [row, row], color=colors[label], linewidth=1.2)
        for i, (name, point) in enumerate(zip(values, points, strict=True)):
            marker = MARKERS[i % len(MARKERS)]
            ax.plot(point, row, marker, color=colors[label], markersize=7.5, zorder=3)
            if label == truth:
                # Levels rise, and the last two are often close: their names lean apart.
                side = {0: "left", 1: "right"}.get(len(points) - 1 - i, "center")
                ax.axvline(point, color=WAITING, linewidth=0.9, linestyle=":", zorder=0)
                ax.annotate(name, (point, row - 0.3), ha=side, va="bottom", fontsize=9.5)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.95)
    ax.tick_params(axis="y", length=0)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    ax.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    ax.set_xlabel(f"latency, {unit}")
