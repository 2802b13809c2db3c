"""A small drawing of one claim from build to build: its effect, its rule and its verdicts."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from bookext import wording
from gatewaylab.publish.builds import BuildHead, BuildPoint

_WIDTH, _HEIGHT, _EDGE = 280, 40, 7
_TOP, _BOTTOM = 12, 31  # of the numbers; above them are the ticks of what changed
_GROUND = 36.5  # for marks without a number

#: By verdict, a shape around a point; none is told from another by its colour alone.
SHAPES = {
    "supported": "m-2.6 0a2.6 2.6 0 1 0 5.2 0a2.6 2.6 0 1 0-5.2 0z",
    "refuted": "m-3-3l6 6m-6 0l6-6",
    "inconclusive": "m-3 0l3-3 3 3-3 3z",
    "not measured": "m-2.5 0h5",
}


def sparkline(identifier: str, points: Sequence[BuildPoint], builds: Sequence[BuildHead]) -> str:
    """SVG in the text's colour; what is always positive is drawn on a logarithmic axis.

    Numbers of unlike machines or profiles are not joined by a line. All lines of one style are one
    path, which keeps a page of many claims and builds small.
    """
    step = min(16.0, (_WIDTH - 2 * _EDGE) / max(len(builds) - 1, 1))
    height = _Height(points)

    def x(build: int) -> str:
        return f"{round(_WIDTH - _EDGE - (len(builds) - 1 - build) * step, 1):g}"

    def place(point: BuildPoint) -> str:
        return f"{x(point.build)} {height.of(point.estimate):g}"

    ends = [(p, p.low, p.high) for p in points if p.unit and p.estimate is not None]
    lines = {
        "tick": (f"M{x(i)} 1v6" for i, build in enumerate(builds) if build.changes),
        "rule": (
            f"M{x(point.build)} {height.of(bound):g}m{-step / 2:.3g} 0h{step:.3g}"
            for point in points
            for bound in point.bounds
        ),
        "line": (
            f"M{place(one)}L{place(other)}"
            for one, other in pairwise(points)
            if one.level == other.level and None not in (one.estimate, other.estimate)
        ),
        "interval": (
            f"M{x(point.build)} {height.of(low):g}V{height.of(high):g}" for point, low, high in ends
        ),
    }
    drawn = {style: "".join(parts) for style, parts in lines.items()}
    for verdict, shape in SHAPES.items():
        seen = (point for point in points if point.verdict == verdict)
        drawn[verdict] = "".join(f"M{place(point)}{shape}" for point in seen)
    return (
        f'<svg class="spark" role="img" aria-label="{html.escape(alt(identifier, points))}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">'
        f"{''.join(path(style, d) for style, d in drawn.items() if d)}</svg>"
    )


def path(style: str, d: str) -> str:
    """What is drawn in the style of a verdict, or of a kind of line."""
    return f'<path class="spark-{style.replace(" ", "-")}" d="{d}"/>'


def alt(identifier: str, points: Sequence[BuildPoint]) -> str:
    """The drawing in words."""
    count = Counter(point.verdict for point in points)
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in count.most_common())
    return f"{identifier} in {wording.many(len(points), 'build')}: {verdicts}; {last(points)}."


def last(points: Sequence[BuildPoint]) -> str:
    """The last number with its interval, and what the rule compares it with."""
    point = points[-1]
    if point.estimate is None or point.low is None or point.high is None:
        return f"last: {point.verdict}, no number"
    if not point.unit:
        return f"last: seen in {100 * point.estimate:.0f} % of repetitions"
    low, high = wording.number(point.low), wording.number(point.high)
    told = f"last: {wording.number(point.estimate)}\u00a0{point.unit} ({low}–{high})"
    return f"{told}, the rule is {point.rule}" if point.rule else told


class _Height:
    """From numbers to heights; what is infinite lies at an end, and no number on the ground."""

    def __init__(self, points: Sequence[BuildPoint]) -> None:
        numbers = [n for p in points for n in (p.estimate, p.low, p.high, *p.bounds)]
        finite = [n for n in numbers if n is not None and math.isfinite(n)]
        shares = all(p.estimate is None or not p.unit for p in points)
        if shares:  # of a behaviour, whose ends are known
            finite = [0.0, 1.0]
        self._log = bool(finite) and min(finite) > 0
        ends = [self._scaled(n) for n in finite]
        self._low, self._span = (min(ends), max(ends) - min(ends)) if ends else (0.0, 0.0)

    def _scaled(self, number: float) -> float:
        if not self._log:
            return number
        return math.log(number) if number > 0 else -math.inf

    def of(self, number: float | None) -> float:
        if number is None:
            return _GROUND
        if self._span == 0 and math.isfinite(number):
            return (_TOP + _BOTTOM) / 2
        share = (self._scaled(number) - self._low) / (self._span or 1.0)
        return round(_BOTTOM - (_BOTTOM - _TOP) * min(max(share, 0.0), 1.0), 1)
