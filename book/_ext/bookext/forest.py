"""A forest plot: how far one claim is from failing, in each set of evidence, on one axis for all.

Every number is divided by the bound that decides its claim, so that 1 is where the claim fails, and
what lies to the right holds: 2 is twice as far as needed. See :func:`margin`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from bookext.wording import effect, number
from gatewaylab.claims.rule import EQUIVALENT
from gatewaylab.records.replication import ReplicatedClaim

#: The axis, and what is written below it. An interval that leaves it ends in an arrow.
_LEAST, _MOST = 0.4, 64.0
_TICKS = (0.5, 1.0, 2.0, 5.0, 10.0, 50.0)
_WIDTH, _LEFT, _RIGHT, _ROW = 320, 22, 10, 16


def margin(claim: ReplicatedClaim) -> tuple[float, float, float] | None:
    """Estimate and bounds in units of what decides the claim; None where there is no number.

    - *at least t*: the number ÷ t, or ÷ its A/A noise where that is larger than t.
    - *at most t*: t ÷ the number; infinite for one that is not positive.
    - *equivalent*: the largest factor that counts as no difference ÷ the factor that was found,
      whichever of the two compared is larger, with the 90 % interval that decides there.
    """
    found = claim.effect
    if found is None or found.refused or found.kind == "behaviour":
        return None
    if claim.kind == "equivalence":
        low, high = found.low90, found.high90
        apart = sorted((_factor(low), _factor(high)))
        nearest = 1.0 if low <= 1 <= high else apart[0]
        return tuple(EQUIVALENT[1] / f for f in (_factor(found.estimate), apart[1], nearest))  # type: ignore[return-value]
    if claim.threshold is None or not math.isfinite(claim.threshold):
        return None
    if claim.rule.startswith("at most"):
        return tuple(  # type: ignore[return-value]
            claim.threshold / value if value > 0 else math.inf
            for value in (found.estimate, found.high, found.low)
        )
    bound = max(claim.threshold, found.floor)
    return found.estimate / bound, found.low / bound, found.high / bound


def _factor(ratio: float) -> float:
    return max(ratio, 1 / ratio) if ratio > 0 else math.inf


def forest(identifier: str, claims: Sequence[ReplicatedClaim | None]) -> str | None:
    """SVG in the text's colour: a line for each set, with its number; None without any."""
    margins = [None if claim is None else margin(claim) for claim in claims]
    if not any(margins):
        return None
    height = _ROW * len(claims) + 16
    parts = [_grid(tick, height) for tick in _TICKS]
    for row, found in enumerate(margins):
        y = _ROW * row + _ROW / 2 + 1
        parts.append(f'<text class="forest-set" x="6" y="{y + 4:g}">{row + 1}</text>')
        if found is not None:
            parts.append(_interval(*found, y))
    said = "; ".join(f"set {row}: {_told(claim)}" for row, claim in enumerate(claims, 1))
    return (
        f'<svg class="claim-strip forest" role="img" aria-label="{identifier}, '
        f'{html.escape(said)}." viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}">{"".join(parts)}</svg>'
    )


def _told(claim: ReplicatedClaim | None) -> str:
    if claim is None or claim.effect is None:
        return "no number"
    found = margin(claim)
    far = "" if found is None else f", {number(found[0])} times the bound"
    return f"{claim.verdict}, {effect(claim.effect)}{far}"


def _x(value: float) -> float:
    share = math.log(min(max(value, _LEAST), _MOST) / _LEAST) / math.log(_MOST / _LEAST)
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * share, 1)


def _grid(tick: float, height: int) -> str:
    style = "strip-rule" if tick == 1 else "forest-grid"
    x = _x(tick)
    return (
        f'<path class="{style}" d="M{x} 0V{height - 15}"/>'
        f'<text x="{x}" y="{height - 3}">{tick:g}</text>'
    )


def _interval(estimate: float, low: float, high: float, y: float) -> str:
    a, b = _x(low), _x(high)
    parts = [f'<path class="strip-interval" d="M{a} {y:g}H{b}"/>']
    if low < _LEAST:
        parts.append(f'<path class="forest-arrow" d="M{a} {y - 5:g}l-7 5 7 5z"/>')
    if high > _MOST:
        parts.append(f'<path class="forest-arrow" d="M{b} {y - 5:g}l7 5-7 5z"/>')
    if _LEAST <= estimate <= _MOST:
        parts.append(f'<circle class="strip-estimate" cx="{_x(estimate)}" cy="{y:g}" r="4.5"/>')
    return "".join(parts)
