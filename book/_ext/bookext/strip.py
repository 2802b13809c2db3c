"""A small drawing of a ratio: its interval against "no difference", the rule and the model."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

from bookext import wording
from gatewaylab.records.evidence import ClaimRecord

_WIDTH, _HEIGHT, _EDGE = 320, 46, 14


def strip(record: ClaimRecord) -> str | None:
    """SVG in the text's colour, on a logarithmic axis; None where there is no ratio to draw."""
    effect = record.effect
    if effect is None or effect.kind != "ratio" or effect.refused:
        return None
    marks = [1.0, effect.low, effect.high, effect.estimate]
    marks += [m for m in (record.threshold, record.theory) if m is not None]
    if record.kind == "equivalence":
        marks += [0.8, 1.25]
    if not all(math.isfinite(m) and m > 0 for m in marks):
        return None
    low, high = math.log(min(marks)), math.log(max(marks))
    span = max(high - low, 0.2)

    def x(value: float) -> float:
        return round(_EDGE + (_WIDTH - 2 * _EDGE) * (math.log(value) - low) / span, 1)

    parts = [f'<path class="strip-axis" d="M{_EDGE} 20H{_WIDTH - _EDGE}"/>']
    if record.kind == "equivalence":
        parts.append(
            f'<rect class="strip-band" x="{x(0.8)}" y="8" width="{x(1.25) - x(0.8):.1f}" '
            f'height="24"/>'
        )
    names = {"1": x(1.0)}
    parts.append(_tick(x(1.0), "strip-one"))
    if record.threshold is not None:
        names["rule"] = x(record.threshold)
        parts.append(_tick(x(record.threshold), "strip-rule"))
    if record.theory is not None:
        names["model"] = t = x(record.theory)
        parts.append(f'<path class="strip-theory" d="M{t} 13l7 7-7 7-7-7z"/>')
    parts += (f'<text x="{at:g}" y="43">{name}</text>' for name, at in _apart(names).items())
    parts.append(f'<path class="strip-interval" d="M{x(effect.low)} 20H{x(effect.high)}"/>')
    parts.append(f'<circle class="strip-estimate" cx="{x(effect.estimate)}" cy="20" r="4.5"/>')
    return (
        f'<svg class="claim-strip" role="img" aria-label="{html.escape(_alt(record))}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">'
        f"{''.join(parts)}</svg>"
    )


def _tick(x: float, style: str) -> str:
    return f'<path class="{style}" d="M{x} 8V32"/>'


def _apart(names: Mapping[str, float]) -> dict[str, float]:
    """Where the names below the axis stand: at their marks, or as near as the others let them."""
    room = {name: 3.5 * len(name) for name in names}  # half of a name's width
    ordered = sorted(names, key=lambda name: names[name])
    placed: dict[str, float] = {}
    left = 0.0
    for name in ordered:
        placed[name] = max(names[name], left + room[name])
        left = placed[name] + room[name]
    right = float(_WIDTH)
    for name in reversed(ordered):
        placed[name] = round(min(placed[name], right - room[name]), 1)
        right = placed[name] - room[name]
    return placed


def _alt(record: ClaimRecord) -> str:
    assert record.effect is not None
    words = [f"Measured {wording.effect(record.effect)} on a logarithmic axis, 1 is no difference"]
    if record.threshold is not None:
        words.append(f"the rule asks for {record.rule}")
    if record.kind == "equivalence":
        words.append("the band is 0.8 to 1.25")
    if record.theory is not None:
        words.append(f"the model predicts {wording.number(record.theory)}")
    return "; ".join(words) + "."
