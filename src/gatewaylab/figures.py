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
from numpy.typing import NDArray

from gatewaylab.errors import InputError
from gatewaylab.results import Samples, Trial

#: Colour-blind safe (Paul Tol's "bright"); a configuration keeps its colour across the book.
PALETTE = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WAITING = "#999999"

_STYLE: dict[Any, Any] = {
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
            f'<figure class="fig" role="group"><div role="img" aria-label="{alt}">'
            f"{self.svg}</div><figcaption>{html.escape(self.caption)}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return f"[figure: {self.alt}]"


def canvas(
    rows: int = 1, *, height: float = 3.2, share_x: bool = False
) -> tuple[Figure, list[Axes]]:
    """An empty figure of ``rows`` panels in the book's style; ``height`` inches in all."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, height))
        axes = figure.subplots(rows, 1, sharex=share_x, squeeze=False)
    return figure, list(axes[:, 0])


def show(figure: Figure, *, alt: str, caption: str) -> Picture:
    """Finish a figure.

    Args:
        alt: what the figure shows, in a sentence, for readers who do not see it.
        caption: what to read from it, with the conditions.
    """
    if not alt or not caption:
        raise InputError("a figure needs an alt text and a caption")
    buffer = io.StringIO()
    with mpl.rc_context(_STYLE):
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


def lanes(samples: Samples) -> NDArray[np.int64]:
    """Give each request a lane, so that no two in one lane were inside the application at once.

    Requests of one worker (process and thread) share a lane as long as they do not overlap: a
    lane is then a slot that the recording shows. Requests without a trace get -1.
    """
    began, ended = samples.started_at, samples.started_at + samples.service
    lane = np.full(len(samples), -1, dtype=np.int64)
    free_at: list[float] = []
    owner: list[int] = []
    for i in np.argsort(began, kind="stable"):
        if np.isnan(began[i]) or np.isnan(ended[i]):
            continue
        worker = int(samples.worker[i])
        for k, until in enumerate(free_at):
            if until <= began[i] + 1e-4 and owner[k] == worker:
                break
        else:
            k = len(free_at)
            free_at.append(0.0)
            owner.append(worker)
        free_at[k] = float(ended[i])
        lane[i] = k
    return lane


def waterfall(
    ax: Axes, trial: Trial, *, title: str, color: str, seconds: float | None = None
) -> None:
    """Requests over slots: a bar while a request holds a slot, a thin line while it waits.

    Time runs from the start of the measured window. Each bar is one recorded request, placed
    in the lane of the worker that answered it; the grey line before it starts when the plan
    wanted the request to start.
    """
    samples = trial.samples
    with np.errstate(invalid="ignore"):
        horizon = trial.warmup + (seconds or trial.seconds)
        alive = (samples.finished_at >= trial.warmup) & (samples.scheduled_at < horizon)
    shown = samples.rows(alive & ~np.isnan(samples.started_at) & ~np.isnan(samples.service))
    if not len(shown):
        raise InputError("a waterfall needs samples with a trace; run the trial with trace=True")
    lane, zero = lanes(shown), trial.warmup
    began, ended = shown.started_at - zero, shown.started_at + shown.service - zero
    # Waiting requests of one lane would lie on each other: fan them out inside the lane.
    for i in range(len(shown)):
        offset = 0.34 - 0.68 * ((i * 0.382) % 1.0)
        ax.plot(
            [shown.scheduled_at[i] - zero, began[i]],
            [lane[i] + offset] * 2,
            color=WAITING,
            linewidth=0.8,
            solid_capstyle="butt",
            zorder=1,
        )
    ax.barh(lane, ended - began, left=began, height=0.72, color=color, edgecolor="none", zorder=2)
    ax.vlines(began, lane - 0.36, lane + 0.36, color="#ffffff", linewidth=0.8, zorder=3)
    count = int(lane.max()) + 1
    ax.set_ylim(count - 0.4, -0.6)
    ax.set_yticks(range(count) if count <= 8 else [0, count - 1])
    ax.set_yticklabels([str(k + 1) for k in (range(count) if count <= 8 else (0, count - 1))])
    ax.set_xlim(0, (seconds or trial.seconds))
    ax.set_ylabel("slot")
    ax.set_title(title)


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
        jitter = np.linspace(-0.16, 0.16, len(finite)) if len(finite) > 1 else [0.0]
        ax.plot(
            finite,
            row + np.asarray(jitter),
            marker,
            color=colors[label],
            markersize=5.5,
            alpha=0.9,
            linestyle="none",
        )
        if finite:
            median = float(np.median(finite))
            ax.plot([median] * 2, [row - 0.32, row + 0.32], color="#000000", linewidth=1.6)
            ax.annotate(
                f"{median:.3g} {unit}",
                (median, row - 0.36),
                ha="center",
                va="bottom",
                fontsize=9.5,
            )
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.5, -0.75)
    ax.tick_params(axis="y", length=0)
    if log:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        ax.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    ax.margins(x=0.12)


def events(ax: Axes, rows: Mapping[str, Sequence[float]], *, colors: Mapping[str, str]) -> None:
    """One row a response: a mark where a piece of it arrived, seconds on the abscissa."""
    for row, (label, times) in enumerate(rows.items()):
        ax.plot([0, max(times, default=0)], [row, row], color=WAITING, linewidth=0.8, zorder=1)
        # Pieces that arrive together would hide each other: spread them a little, upwards.
        together = {
            t: sum(abs(t - other) < 0.01 for other in times[:i]) for i, t in enumerate(times)
        }
        ax.plot(
            times,
            [row - 0.09 * together[t] for t in times],
            MARKERS[row % len(MARKERS)],
            color=colors[label],
            markersize=8,
            linestyle="none",
            zorder=2,
        )
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.6)
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
    ax.plot(slots, predicted, color="#000000", linewidth=1.2, zorder=1)
    ax.annotate(
        "the model",
        (slots[0], predicted[0]),
        xytext=(10, 2),
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
        ax.annotate(label, (x, high), xytext=(0, 6), textcoords="offset points", ha="center")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(list(slots), [str(s) for s in slots])
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    ax.yaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    ax.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    ax.set_xlabel("slots")
    ax.set_ylabel(f"median latency, {unit}")
