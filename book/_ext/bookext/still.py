"""The drawing in the playground's place until its script runs: the model's requests."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bookext.experiments import KINDS, Experiment, Lane
from gatewaylab.model.arrivals import Poisson
from gatewaylab.model.queueing import slots_and_cores

Floats = NDArray[np.float64]

#: The size of one drawing, and of a row of slots, of a waiting request, in its units.
WIDTH, SLOT, WAIT = 340.0, 12.0, 4.0


def slots_of(lane: Lane) -> int | None:
    """All slots of a set-up; None without a bound."""
    one = {"worker": 1, "threads": lane.slots, "blocking": 1, "greenlets": 1000}.get(lane.kind)
    return None if one is None else one * lane.cores


def name_of(lane: Lane) -> str:
    """A set-up in words, as the playground names it."""
    name, _ = KINDS[lane.kind]
    if lane.kind == "threads":
        name = f"{lane.slots} threads"
    return name if lane.cores == 1 else f"{name} × {lane.cores}"


def shown(every: Sequence[Experiment], found: Sequence[dict[str, Any]]) -> str:
    """The first experiment drawn, and all in words.

    Args:
        found: each as :func:`bookext.experiments.described` has it.
    """
    told = "".join(_told(one, each["lanes"]) for one, each in zip(every, found, strict=True))
    return (
        f'<div class="playground-still">{drawing(every[0], found[0]["seed"])}<ul>{told}</ul></div>'
    )


def drawing(one: Experiment, seed: int) -> str:
    """Both set-ups: a bar while a request holds a slot, above it a line while it waits."""
    plan = Poisson(one.rate).plan(one.seconds, seed)
    panels = [_panel(one, lane, plan) for lane in one.lanes]
    alt = html.escape(f"{one.story} Drawn by the model: bars are requests that hold a slot.")
    return (
        f'<div role="img" aria-label="{alt}">{"".join(panels)}</div>'
        "<p>Coloured: a request holds a slot. Grey: it waits for one. "
        "Time runs to the right. Drawn by the model.</p>"
    )


def _told(one: Experiment, lanes: Sequence[dict[str, Any]]) -> str:
    """Its story, and what its medians were."""
    medians = [
        f"{name_of(lane)} {_in_ms(found['measured']['median'])}"
        for lane, found in zip(one.lanes, lanes, strict=True)
        if found["measured"] is not None
    ]
    seen = f" Measured, half answered within: {', '.join(medians)}." if medians else ""
    return f"<li><b>{one.title}.</b> {one.story}{seen}</li>"


def _in_ms(time: float) -> str:
    return f"{time:.{0 if time >= 100 else 1}f} ms"


def _panel(one: Experiment, lane: Lane, plan: Floats) -> str:
    slots, hold, compute = slots_of(lane), one.hold / 1000, one.compute / 1000
    ends = plan + slots_and_cores(plan, hold, compute, slots, lane.cores)
    begun = ends - hold - compute
    svg = panel(plan, begun, ends, seconds=one.seconds, color=KINDS[lane.kind][1])
    return f"<figure><figcaption>{name_of(lane)}</figcaption>{svg}</figure>"


def panel(
    plan: Floats,
    begun: Floats,
    ends: Floats,
    *,
    seconds: float,
    color: str,
    shortest_wait: float = 1e-9,
) -> str:
    """Requests as SVG: those that wait above, those that hold a slot below; no text.

    Args:
        plan, begun, ends: of each request, when it came, got its slot and gave it back.
        seconds: what is drawn. shortest_wait: seconds below which a wait is not drawn.
    """
    waits = begun - plan > shortest_wait
    queue, slots = rows(plan[waits], begun[waits]), rows(begun, ends)
    deep, high = WAIT * (1 + max(queue, default=-1)), SLOT * (1 + max(slots, default=0))
    scale = WIDTH / seconds
    lines = _marks(plan[waits] * scale, begun[waits] * scale, deep - WAIT * np.array(queue))
    bars = _marks(begun * scale, ends * scale, deep + SLOT * (np.array(slots) + 0.7))
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {deep + high:g}" aria-hidden="true">'
        f'<path class="still-waits" d="{lines}"/>'
        f'<path class="still-holds" d="{bars}" style="stroke:var({color})"/></svg>'
    )


def _marks(left: Floats, right: Floats, heights: Floats) -> str:
    """Level strokes as one path."""
    pairs = zip(left.tolist(), right.tolist(), np.broadcast_to(heights, left.shape), strict=True)
    return "".join(f"M{a:.1f} {y:.0f}H{max(a, b - 1):.1f}" for a, b, y in pairs)


def rows(begin: Floats, end: Floats) -> list[int]:
    """For each span, in their order, the first row that no earlier one still occupies."""
    return list(_placed(begin, end))


def _placed(begin: Floats, end: Floats) -> Iterator[int]:
    free: list[float] = []
    for start, stop in zip(begin.tolist(), end.tolist(), strict=True):
        row = next((k for k, until in enumerate(free) if until <= start + 1e-9), len(free))
        free[row : row + 1] = [stop]
        yield row
