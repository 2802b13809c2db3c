"""One function a kind of figure: each draws what was recorded and returns the figure.

``present(strip(values, unit="ms"), alt="…", caption="…")`` finishes it for the page. A colour means
a server, by label or one for all; what is given none is drawn in that of the text.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gatewaylab.load.samples import Samples
from gatewaylab.servers.palette import INK, WAITING
from gatewaylab.show.figures import MARKERS, SMALL, canvas, styled

#: More rows than this are drawn without air between them.
_FEW = 20
#: Inches, of a row that has its name above it.
_ROW = 0.44


@styled
def strip(
    values: Mapping[str, Sequence[float]],
    *,
    unit: str,
    x: str = "",
    colors: Mapping[str, str] | str = INK,
    log: bool = True,
) -> Figure:
    """One row a configuration: dots for the blocks, a bar at their median, which is told."""
    figure, (ax,) = canvas(height=0.6 + _ROW * len(values))
    colors = _colors(values, colors)
    for row, (label, points) in enumerate(values.items()):
        finite = [v for v in points if np.isfinite(v)]
        jitter = np.linspace(-0.12, 0.12, len(finite)) if len(finite) > 1 else np.zeros(len(finite))
        ax.plot(
            finite, row + jitter, MARKERS[row % len(MARKERS)], color=colors[label],
            markersize=5.5, alpha=0.9, linestyle="none",
        )  # fmt: skip
        median = float(np.median(points)) if len(points) else np.nan  # censored ones count
        if np.isfinite(median):
            ax.plot([median] * 2, [row - 0.2, row + 0.2], color=INK, linewidth=1.6)
            _beside(ax, row, f"{_brief(median)} {unit}", x=1.0, ha="right")
    _rows(ax, list(values))
    if log and any(np.isfinite(v) for points in values.values() for v in points):
        ax.set_xscale("log")
        ax.margins(x=0.08)
        _plain_numbers(ax.xaxis)
    else:
        ax.margins(x=0.08)
        ax.set_xlim(left=0)
    ax.set_xlabel(x)
    return figure


@styled
def events(rows: Mapping[str, Sequence[float]], *, colors: Mapping[str, str] | str = INK) -> Figure:
    """One row a response: a mark where a piece of it arrived, seconds on the abscissa.

    Pieces that arrive within 10 ms of each other would hide one another; they are stacked.
    """
    figure, (ax,) = canvas(height=0.6 + _ROW * len(rows))
    colors = _colors(rows, colors)
    for row, (label, times) in enumerate(rows.items()):
        ax.plot([0, max(times, default=0)], [row, row], color=WAITING, linewidth=0.8, zorder=1)
        stacked = [sum(abs(t - other) < 0.01 for other in times[:i]) for i, t in enumerate(times)]
        ax.plot(
            times, [row - 0.13 * level for level in stacked], MARKERS[row % len(MARKERS)],
            color=colors[label], markersize=7, linestyle="none", zorder=2,
        )  # fmt: skip
    _rows(ax, list(rows))
    ax.set_xlim(left=0)
    ax.set_xlabel("seconds since the request was sent")
    return figure


class Point(NamedTuple):
    """A measured point: its median, and the least and the most over the blocks."""

    x: float
    median: float
    low: float
    high: float
    label: str
    color: str


@styled
def model_line(
    slots: Sequence[int], predicted: Sequence[float], points: Sequence[Point], *, unit: str = "ms"
) -> Figure:
    """The model's prediction over the number of slots, with measured points on it.

    Args:
        slots: abscissae of the line. predicted: its ordinates in ``unit``.
    """
    figure, (ax,) = canvas(height=3.0)
    if not np.isfinite(predicted).any():
        ax.set_title("no trial was accepted")
        return figure
    ax.plot(slots, predicted, color=INK, linewidth=1.2, zorder=1)
    ax.annotate(
        "the model", (slots[0], predicted[0]), xytext=(14, -14), textcoords="offset points",
        fontstyle="italic",
    )  # fmt: skip
    for row, point in enumerate(points):
        _point(ax, point, MARKERS[row % len(MARKERS)])
        ax.annotate(
            point.label, (point.x, point.high), xytext=(0, 5), textcoords="offset points",
            ha="left" if point.x**2 < slots[-1] else "center", fontsize=SMALL,
        )  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.margins(x=0.14)
    ax.set_yscale("log")
    ax.set_xticks(list(slots), [str(s) for s in slots])
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    _plain_numbers(ax.yaxis)
    ax.set_xlabel("slots")
    ax.set_ylabel(f"median latency, {unit}")
    return figure


@styled
def sweep(
    curves: Mapping[str, tuple[Sequence[float], Sequence[Sequence[float]]]],
    at: Sequence[int],
    *,
    x: str,
    y: str,
    color: str = INK,
    mark: tuple[float, str] | None = None,
) -> Figure:
    """Lines that a model predicts over a number, with what was measured at each step.

    Args:
        curves: by label, the prediction at each step, and the blocks' numbers at each step.
        at: the steps. mark: a step to point out, and the words for it.
        color: of the server on which all was measured.
    """
    figure, (ax,) = canvas(height=3.0)
    for row, (label, (predicted, measured)) in enumerate(curves.items()):
        ax.plot(at, predicted, color=INK, linewidth=1.0, zorder=1)
        for step, found in zip(at, measured, strict=True):
            if found:
                low, middle, high = min(found), float(np.median(found)), max(found)
                _point(ax, Point(step, middle, low, high, label, color), MARKERS[row])
        ax.annotate(
            label, (at[-1], predicted[-1]), xytext=(-8, 8), textcoords="offset points",
            ha="right", fontweight="bold",
        )  # fmt: skip
    if mark is not None:
        ax.axvline(mark[0], color=WAITING, linewidth=0.9, linestyle=":", zorder=0)
        ax.annotate(
            mark[1], (mark[0], 0), xytext=(4, 4), textcoords="offset points", fontsize=SMALL
        )
    ax.set_xticks(at)
    ax.set_ylim(0, 1.4 * max(max(predicted) for predicted, _ in curves.values()))
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return figure


@styled
def visitors(panels: Mapping[str, tuple[Samples, tuple[float, float]]]) -> Figure:
    """Every request as a stem: where it stands is when it was due, its height is its latency.

    Args:
        panels: by title, the samples, and begin and end of a time in which the server stood
            still, in the samples' seconds; it is shaded.
    """
    figure, axes = canvas(len(panels), height=2.2 * len(panels), share_x=True)
    for ax, (title, (samples, stall)) in zip(axes, panels.items(), strict=True):
        ax.axvspan(*stall, color=WAITING, alpha=0.22, linewidth=0)
        ax.annotate(
            "the server stands still", (sum(stall) / 2, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=SMALL,
        )  # fmt: skip
        latency = 1e3 * samples.latency
        ax.vlines(samples.scheduled_at, 0, latency, color=INK, linewidth=1.1)
        ax.plot(samples.scheduled_at, latency, "o", color=INK, markersize=2.6)
        ax.set_ylim(bottom=0)
        ax.set_xlim(left=0)
        ax.set_ylabel("waited, ms")
        ax.set_title(title, pad=20)
    axes[-1].set_xlabel("when the request was due, in seconds")
    return figure


@styled
def levels(
    rows: Mapping[str, Mapping[str, float]], *, unit: str = "ms", smallest: float = 0.05
) -> Figure:
    """One row a source, one marker a level of its latencies, on a logarithmic axis.

    The first row is the truth: its levels are drawn on as lines through all the others. Above it
    stands which marker is which level.

    Args:
        rows: by label, the values by name of the level; every row has the same levels.
        smallest: in ``unit``; what lies below is drawn there, because a logarithm has no zero.
    """
    figure, (ax,) = canvas(height=0.9 + _ROW * len(rows))
    truth = next(iter(rows))
    for row, (label, values) in enumerate(rows.items()):
        points = [max(value, smallest) for value in values.values()]
        ax.plot([min(points), max(points)], [row, row], color=WAITING, linewidth=1.2)
        for i, (name, point) in enumerate(zip(values, points, strict=True)):
            marker = MARKERS[i % len(MARKERS)]
            ax.plot(point, row, marker, color=INK, markersize=7, zorder=3)
            if label == truth:
                ax.axvline(point, color=WAITING, linewidth=0.9, linestyle=":", zorder=0)
                # Levels are often close to each other; their names stand apart.
                place = (0.02 + i / len(points), 1.0)
                ax.plot(*place, marker, color=INK, markersize=6, transform=ax.transAxes,
                        clip_on=False)  # fmt: skip
                ax.annotate(
                    name, place, xycoords="axes fraction", xytext=(8, 0),
                    textcoords="offset points", va="center", fontsize=SMALL,
                )  # fmt: skip
    _rows(ax, list(rows), above=0.9)
    ax.set_xscale("log")
    _plain_numbers(ax.xaxis)
    ax.set_xlabel(f"latency, {unit}")
    return figure


@styled
def spans(
    panels: Mapping[str, Sequence[tuple[float, float, float]]],
    *,
    x: str,
    ends: tuple[str, str] = ("first", "last"),
    colors: Mapping[str, str] | str = INK,
) -> Figure:
    """One bar a request or a part of one, over time: grey while it waits, coloured from then on.

    Args:
        panels: by title, for each row the moments at which it began to wait, got in, and ended.
        ends: what the first and the last row are called.
    """
    heights = [0.5 + 0.9 * min(1.6, max(0.6, len(rows) / 12)) for rows in panels.values()]
    figure, axes = canvas(len(panels), height=0.5 + sum(heights), share_x=True)
    colors = _colors(panels, colors)
    for ax, (title, rows) in zip(axes, panels.items(), strict=True):
        ordered = sorted(rows, key=lambda row: row[1:])
        places, thick = range(len(rows)), 1.0 if len(rows) > _FEW else 0.7
        zero = min((row[0] for row in ordered), default=0.0)
        began, got_in, ended = (np.array([row[k] - zero for row in ordered]) for k in range(3))
        thin = thick if len(rows) > _FEW else 0.12
        ax.barh(places, got_in - began, left=began, height=thin, color=WAITING)
        ax.barh(places, ended - got_in, left=got_in, height=thick, color=colors[title])
        ax.set_title(title)
        ax.set_yticks([0, len(rows) - 1] if rows else [], ends if rows else [])
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(rows) - 0.4, -0.6)
    axes[-1].set_xlim(left=0)
    axes[-1].set_xlabel(x)
    return figure


@styled
def marks(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    looks: Mapping[str, tuple[str, str]],
    *,
    x: str,
    line: tuple[float, str],
) -> Figure:
    """One mark an observation, one row a configuration, with a line that parts them.

    Args:
        panels: by title, by label, the numbers. looks: by label, colour and marker.
        line: where it stands, and the words beside it; what lies far beyond is drawn at the edge.
    """
    edge, (where, words) = 1.7 * line[0], line
    count = max(len(rows) for rows in panels.values())
    figure, axes = canvas(len(panels), height=1.2 + 0.24 * count * len(panels), share_x=True)
    for ax, (title, rows) in zip(axes, panels.items(), strict=True):
        for row, (label, values) in enumerate(rows.items()):
            color, marker = looks[label]
            heights = [row + 0.12 * (k - (len(values) - 1) / 2) for k in range(len(values))]
            shown = [min(value, 0.97 * edge) for value in values]
            ax.plot(shown, heights, marker, color=color, markersize=5.5)
        ax.axvline(where, color=WAITING, linewidth=1, linestyle=":")
        ax.set_yticks(range(len(rows)), list(rows))
        ax.set_ylim(len(rows) - 0.5, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.set_xlim(-0.03 * edge, edge)
        ax.set_title(title, pad=6 if ax is not axes[0] else 20)
    axes[0].annotate(
        words, (where, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
        textcoords="offset points", ha="center", va="bottom", fontsize=SMALL,
    )  # fmt: skip
    axes[-1].set_xlabel(textwrap.fill(x, 40))
    return figure


@styled
def reach(
    rows: Mapping[str, Mapping[int, bool]], *, x: str, colors: Mapping[str, str] | str = INK
) -> Figure:
    """How far each configuration goes: a dot at each number where it works, a cross where not."""
    figure, (ax,) = canvas(height=0.6 + 0.62 * len(rows))
    colors = _colors(rows, colors)
    numbers = sorted({number for found in rows.values() for number in found})
    places = {number: place for place, number in enumerate(numbers)}
    for row, (label, found) in enumerate(rows.items()):
        for number, works in found.items():
            place, color = places[number], colors[label] if works else WAITING
            if works:
                ax.plot([0, place], [row, row], color=color, linewidth=3, zorder=1)
            ax.plot(place, row, "o" if works else "X", markersize=10, zorder=2, color=color)
            ax.annotate(
                "answered" if works else "no answer", (place, row + 0.16), ha="center",
                va="top", fontsize=SMALL,
            )  # fmt: skip
    _rows(ax, list(rows), below=0.6)
    ax.set_xlim(-0.45, len(numbers) - 0.55)
    ax.set_xticks(list(places.values()), [str(number) for number in places])
    ax.set_xlabel(x)
    return figure


def _colors(labels: Iterable[str], given: Mapping[str, str] | str) -> Mapping[str, str]:
    return dict.fromkeys(labels, given) if isinstance(given, str) else given


def _rows(ax: Axes, labels: Sequence[str], *, above: float = 0.7, below: float = 0.4) -> None:
    """A name above each row, the first one at the top, so that a row has the whole width."""
    for row, label in enumerate(labels):
        _beside(ax, row, label, fontweight="bold")
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(labels) - 1 + below, -above)


def _beside(ax: Axes, row: int, words: str, *, x: float = 0.0, **look: Any) -> None:
    """Words above a row, at the left or at the right end of the axis."""
    ax.annotate(words, (x, row - 0.26), xycoords=("axes fraction", "data"), va="bottom", **look)


def _point(ax: Axes, point: Point, marker: str) -> None:
    ax.errorbar(
        point.x, point.median, yerr=[[point.median - point.low], [point.high - point.median]],
        fmt=marker, color=point.color, markersize=7, capsize=3, zorder=3,
    )  # fmt: skip


def _plain_numbers(axis: mpl.axis.Axis) -> None:
    """Numbers of a logarithmic axis as they are said, and only as many as have room."""
    low, high = axis.get_view_interval()
    steps = (1.0, 2.0, 5.0) if high < 300 * low else (1.0,)
    axis.set_major_locator(mpl.ticker.LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(mpl.ticker.NullFormatter())


def _brief(value: float) -> str:
    """Three digits, or all those before the point, in groups of three."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}".replace(",", "\u202f")
