"""``{slot-model-figure}`` and ``{slot-model}``: all measured points of the book, and the model.

``{slot-model}`` prints one number about the figure, for the text around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
from docutils import nodes
from matplotlib.axes import Axes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from bookext import wording
from bookext.build import Cell, box, markup, paragraph, span, table
from bookext.domain import book_of, depends_on_all, link
from bookext.points import Collection, Errors, Kind, PredictedPoint, collect, errors
from bookext.shelf import shelf_of
from bookext.whose import chapter
from gatewaylab.servers.palette import INK, WAITING
from gatewaylab.servers.specs import SERVERS
from gatewaylab.show.figures import SMALL, Picture, canvas, present, styled

LOGGER = logging.getLogger(__name__)

#: The figure's anchor.
ANCHOR = "slot-model"

#: How each interface is drawn: colour and marker, as the plainest server of each.
_LOOKS = {"wsgi": (SERVERS["gunicorn-sync"].color, "o"), "asgi": (SERVERS["uvicorn"].color, "D")}

#: By kind of point: its quantity, its unit, and how many of the unit a stored value is.
_AXES: Mapping[Kind, tuple[str, str, float]] = {
    "latency": ("median latency", "ms", 1000.0),
    "throughput": ("answers", "per second", 1.0),
}

NO_POINT = "No set-up that the model could predict has been measured on this machine"


def collected(env: BuildEnvironment) -> Collection:
    """The points of all evidence; computed once for the page that is being read."""
    depends_on_all(env)
    found: Collection | None = env.temp_data.get("bookext_points")
    if found is None:
        found = env.temp_data["bookext_points"] = collect(shelf_of(env).every())
    return found


class SlotModelFigure(SphinxDirective):
    """Predicted against measured, every set-up one point, and the same as a table."""

    def run(self) -> list[nodes.Node]:
        """The figure; without any point, what is missing."""
        found = collected(self.env)
        block = box(classes=["slot-model"])
        block["ids"].append(ANCHOR)
        book_of(self.env).anchors[ANCHOR] = (self.env.docname, ANCHOR)
        if not found.points:
            block += paragraph(span(NO_POINT, "measured-missing"), f". {_left_out(found)}".rstrip())
            return [block]
        block += markup(draw(found)._repr_html_())
        block += markup("<details><summary>Every point as a row</summary>")
        block += table(_HEAD, (self._row(point) for point in found.points), "model-points")
        block += markup("</details>")
        return [block]

    def _row(self, point: PredictedPoint) -> list[Cell]:
        _, unit, scale = _AXES[point.kind]
        predicted, measured = scale * point.predicted, scale * point.measured
        return [
            point.label,
            chapter(self.env, point.notebook),
            "no bound" if point.slots is None else str(point.slots),
            f"{wording.number(predicted)}\u00a0{unit}",
            f"{wording.number(measured)}\u00a0{unit}",
            percent(point.error, sign=True),
        ]


_HEAD = ("Set-up", "Chapter", "Slots", "Model", "Measured", "Difference")


def percent(share: float, *, sign: bool = False) -> str:
    """A share as "12 %"; with its sign if asked for.

    >>> percent(0.034), percent(-0.25, sign=True), percent(0.5, sign=True)
    ('3.4\u00a0%', '−25\u00a0%', '+50\u00a0%')
    """
    form = ".1f" if abs(share) < 0.0995 else ".0f"
    return f"{100 * share:{'+' if sign else ''}{form}}\u00a0%".replace("-", "−")


@styled
def draw(found: Collection) -> Picture:
    """The figure: one panel a kind of point."""
    kinds: list[Kind] = [kind for kind in _AXES if found.of(kind)]
    figure, axes = canvas(len(kinds), height=4.1 * len(kinds))
    sentences = []
    for ax, kind in zip(axes, kinds, strict=True):
        points = found.of(kind)
        far = errors(points)
        assert far is not None
        _panel(ax, kind, points, far)
        sentences.append(_described(kind, points, far))
    alt = (
        "Measured values over predicted ones, on logarithmic axes, with the diagonal on which "
        f"they would be equal. {' '.join(sentences)}"
    )
    return present(figure, alt=alt, caption=_caption(found, sentences))


def _caption(found: Collection, sentences: Sequence[str]) -> str:
    trials = sum(point.trials for point in found.points)
    chapters = len({point.notebook for point in found.points})
    parts = [
        "One point is one set-up. Across: what the slot model says for the very arrivals that "
        "were sent, from hold time and slots alone. Upwards: what was measured, the median over "
        f"the trials. {trials} trials of {wording.many(chapters, 'chapter')}.",
        *sentences,
        _left_out(found),
    ]
    return " ".join(part for part in parts if part)


def _described(kind: Kind, points: Sequence[PredictedPoint], far: Errors) -> str:
    quantity, *_ = _AXES[kind]
    what = {"latency": "Planned arrivals", "throughput": "A fixed number of clients"}[kind]
    return (
        f"{what}, {quantity}: {wording.many(len(points), 'set-up')}, typical deviation "
        f"{percent(far.median)}, largest {percent(far.largest)} ({far.worst.label}, in "
        f"{far.worst.notebook})."
    )


def _left_out(found: Collection) -> str:
    """How many set-ups are not shown, and why."""
    reasons = ", ".join(f"{n} {reason}" for reason, n in found.left_out)
    return f"Set-ups left out: {reasons}." if reasons else ""


def _panel(ax: Axes, kind: Kind, points: Sequence[PredictedPoint], far: Errors) -> None:
    quantity, unit, scale = _AXES[kind]
    values = [scale * value for p in points for value in (p.predicted, p.measured)]
    low, high = min(values) / 1.4, max(values) * 1.4
    ax.plot([low, high], [low, high], color=INK, linewidth=1.1, zorder=1)
    ax.annotate(
        "measured = predicted", (low * (high / low) ** 0.55, low * (high / low) ** 0.55),
        xytext=(8, -16), textcoords="offset points", fontstyle="italic", fontsize=SMALL,
    )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    shown = [name for name in _LOOKS if any(p.interface == name for p in points)]
    for row, interface in enumerate(shown):
        color, marker = _LOOKS[interface]
        mine = [p for p in points if p.interface == interface]
        ax.plot(
            [scale * p.predicted for p in mine], [scale * p.measured for p in mine], marker,
            color=color, markersize=7, markerfacecolor="none", markeredgewidth=1.6,
            linestyle="none", zorder=3,
        )  # fmt: skip
        # The names stand in the corner that the diagonal leaves free.
        ax.plot(0.04, 0.95 - 0.075 * row, marker, color=color, markersize=7,
                markerfacecolor="none", markeredgewidth=1.6, transform=ax.transAxes)  # fmt: skip
        ax.annotate(
            f"{interface.upper()} ({len(mine)})", (0.065, 0.95 - 0.075 * row),
            xycoords="axes fraction", va="center", color=color, fontweight="bold",
        )  # fmt: skip
    _name_the_worst(ax, far.worst, scale, len(shown))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(mpl.ticker.FuncFormatter(lambda v, _: f"{v:g}"))
        axis.set_minor_locator(mpl.ticker.NullLocator())
    ax.set_xlabel(f"the slot model: {quantity}, {unit}")
    ax.set_ylabel(f"measured: {quantity}, {unit}")


def _name_the_worst(ax: Axes, worst: PredictedPoint, scale: float, row: int) -> None:
    """Its name on the side of the diagonal on which it lies, with a line to the point."""
    above = worst.error > 0
    ax.annotate(
        f"{worst.label}: {percent(worst.error, sign=True)}",
        (scale * worst.predicted, scale * worst.measured),
        xytext=(0.03, 0.95 - 0.075 * row) if above else (0.97, 0.06), textcoords="axes fraction",
        ha="left" if above else "right", va="center", fontsize=SMALL, zorder=2,
        arrowprops={"arrowstyle": "-", "color": WAITING, "linewidth": 0.8, "shrinkB": 6},
    )  # fmt: skip


#: What the role can print.
_NUMBERS: Mapping[str, Callable[[Collection], str]] = {
    "points": lambda found: str(len(found.points)),
    "trials": lambda found: str(sum(point.trials for point in found.points)),
    "chapters": lambda found: str(len({point.notebook for point in found.points})),
    "median-error": lambda found: _error(found, "latency", lambda far: percent(far.median)),
    "largest-error": lambda found: _error(found, "latency", lambda far: percent(far.largest)),
    "worst": lambda found: _error(found, "latency", lambda far: far.worst.label),
    "throughput-median-error": lambda found: _error(
        found, "throughput", lambda far: percent(far.median)
    ),
    "throughput-largest-error": lambda found: _error(
        found, "throughput", lambda far: percent(far.largest)
    ),
}


def _error(found: Collection, kind: Kind, text: Callable[[Errors], str]) -> str:
    far = errors(found.of(kind))
    return wording.NOT_MEASURED if far is None else text(far)


class SlotModelRole(SphinxRole):
    """``{slot-model}`median-error```: a number about the figure, linked to it."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The linked number; an unknown name is a warning."""
        name = self.text.strip()
        if name not in _NUMBERS:
            known = ", ".join(_NUMBERS)
            words = f"slot-model: no number {name!r}; there are: {known}"
            LOGGER.warning(words, location=self.get_location())
            return [span(f"[{name}?]", "measured", "measured-missing")], []
        text = _NUMBERS[name](collected(self.env))
        missing = ("measured-missing",) if text == wording.NOT_MEASURED else ()
        return [link(span(text, "measured", *missing), ANCHOR)], []


def setup(app: Sphinx) -> None:
    app.add_directive("slot-model-figure", SlotModelFigure)
    app.add_role("slot-model", SlotModelRole())
