"""``{where-it-runs}``: on which thread or event loop Django runs each part of a request, drawn.

``tests/bookext/test_lanes.py`` holds the drawing against Django itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby, pairwise

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bookext.build import markup

#: The parts of a request in their order; the view asks the ORM once, in its middle.
PARTS = (
    "request", "middleware", "find view", "view", "query", "view", "check", "middleware", "answer",
)  # fmt: skip

LOOP, THREAD = "L", "T"

#: Heights in CSS pixels: the names of the lanes, one part; and where the lanes stand.
_HEAD, _ROW, _WIDTH = 22, 28, 72
_AT = {LOOP: 18, THREAD: 54}
_NAMES = {LOOP: "loop", THREAD: "thread"}


@dataclass(frozen=True)
class Way:
    """One request's way through Django.

    Attributes:
        view: the kind of view, and of middleware where it matters.
        runs: for each of the parts, where it runs.
        taken: a lane and the first and last part between which this request keeps it, working or
            waiting; other lanes are taken only for the parts that they run.
    """

    view: str
    runs: str
    taken: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Door:
    """An interface, whose lanes these are, and the ways through it."""

    interface: str
    lanes: str
    ways: tuple[Way, ...]


DOORS = (
    Door(
        "WSGI", "The thread is the server’s; a loop is made for one async view.",
        (Way("def view", "TTTTTTTTT", ((THREAD, 0, 8),)),
         Way("async def view", "TTTLTLTTT", ((THREAD, 0, 8), (LOOP, 3, 5)))),
    ),
    Door(
        "ASGI", "The loop is the server’s, for all requests; the thread is made for this one.",
        (Way("def view", "LTLTTTLTL"),
         Way("async def view", "LTLLTLLTL"),
         Way("the same, sync-only middleware", "LTLLTLLTL", ((THREAD, 1, 7),))),
    ),
)  # fmt: skip


class WhereItRuns(SphinxDirective):
    """The drawing of all ways; the content is its caption."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Raw HTML: names as text around one small SVG a way."""
        return [markup(draw(escape(" ".join(self.content))))]


def draw(caption: str) -> str:
    """The figure as HTML."""
    rows = "".join(f"<li>{part}</li>" for part in PARTS)
    doors = "".join(
        f'<div class="lanes-door"><p><b>{door.interface}</b> {door.lanes}</p>'
        f'<div class="lanes-ways"><ul aria-hidden="true">{rows}</ul>'
        f"{''.join(_drawn(door, way) for way in door.ways)}</div></div>"
        for door in DOORS
    )
    return (
        '<figure class="drawing lanes" role="group" aria-label="Where the parts of a request run">'
        f"{doors}<figcaption>{caption}</figcaption></figure>"
    )


def told(door: Door, way: Way) -> str:
    """The way in words, for those who do not see it."""
    stops = [
        f"{', '.join(PARTS[i] for i, _ in group)} on the {_NAMES[lane]}"
        for lane, group in groupby(enumerate(way.runs), key=lambda part: part[1])
    ]
    kept = "".join(
        f"; the {_NAMES[lane]} is taken from {PARTS[first]} to {PARTS[last]}"
        for lane, first, last in way.taken
    )
    return f"{door.interface}, {way.view}: {'; '.join(stops)}{kept}."


def _drawn(door: Door, way: Way) -> str:
    names = "".join(f'<text x="{_AT[lane]}" y="11">{_NAMES[lane]}</text>' for lane in _lanes(way))
    high = _HEAD + _ROW * len(PARTS)
    return (
        f'<div class="lanes-way"><p>{way.view}</p><svg role="img" viewBox="0 0 {_WIDTH} {high}" '
        f'width="{_WIDTH}" height="{high}" aria-label="{escape(told(door, way))}">{names}'
        f"{''.join(_bars(way))}{_line(way)}</svg></div>"
    )


def _lanes(way: Way) -> list[str]:
    return [lane for lane in _AT if lane in way.runs]


def _bars(way: Way) -> Iterator[str]:
    """Each lane as long as it is there, dotted, and over it a bar while it is taken."""
    kept = {lane: set(range(first, last + 1)) for lane, first, last in way.taken}
    for lane in _lanes(way):
        ran = {part for part, here in enumerate(way.runs) if here == lane}
        taken = sorted(ran | kept.get(lane, set()))
        x, kind = _AT[lane], f"lanes-{_NAMES[lane]}"
        # A loop of the server was there before and stays; what is made for a request is not.
        ends = (0, len(PARTS) - 1) if 0 in ran else (taken[0], taken[-1])
        last = len(PARTS) - 1 if lane == THREAD else ends[1]
        yield f'<path class="lanes-there" d="M{x} {_y(ends[0])}V{_y(last)}"/>'
        for _, group in groupby(enumerate(taken), key=lambda item: item[1] - item[0]):
            rows = [part for _, part in group]
            top, bottom = _y(rows[0]) - 11, _y(rows[-1]) + 11
            yield (
                f'<rect class="{kind}" x="{x - 11}" y="{top}" width="22" '
                f'height="{bottom - top}" rx="11"/>'
            )


def _line(way: Way) -> str:
    """The request itself: a line from part to part, and a dot at each."""
    stops = [(_AT[lane], _y(part)) for part, lane in enumerate(way.runs)]
    line = f"M{stops[0][0]} {stops[0][1]}"
    for (x, y), (to, below) in pairwise(stops):
        middle = (y + below) // 2
        line += f"V{below}" if x == to else f"C{x} {middle} {to} {middle} {to} {below}"
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="4"/>' for x, y in stops)
    return f'<path class="lanes-request" d="{line}"/>{dots}'


def _y(part: int) -> int:
    return _HEAD + _ROW * part + _ROW // 2


def setup(app: Sphinx) -> None:
    app.add_directive("where-it-runs", WhereItRuns)
