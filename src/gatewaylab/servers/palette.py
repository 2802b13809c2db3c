"""The book's colours, defined here and nowhere else: each kind of server has one of them.

In a page a colour is a custom property, ``--book-red`` for red, whose value depends on the page's
mode. Lines and marks need a contrast of 3:1 with what lies behind them (WCAG 2.2, 1.4.11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

#: By name: on a light page, and on a dark one. They are Paul Tol's *bright* scheme, made darker or
#: lighter where it would fade into one of the backgrounds, and a brown in place of its grey.
PALETTE: Mapping[str, tuple[str, str]] = MappingProxyType({
    "blue": ("#4477AA", "#6699CC"),
    "red": ("#DD4E62", "#EE6677"),
    "yellow": ("#998822", "#CCBB44"),
    "green": ("#228833", "#44AA55"),
    "cyan": ("#2A94B8", "#66CCEE"),
    "purple": ("#AA3377", "#D26BA5"),
    "brown": ("#8C510A", "#C98F52"),
    "waiting": ("#7F8B98", "#7F8B98"),
})  # fmt: skip

BLUE, RED, YELLOW, GREEN, CYAN, PURPLE, BROWN, WAITING = (light for light, _ in PALETTE.values())

#: What has no colour of its own is drawn in the colour of the text.
INK = "#000000"

_NAMES = {light.lower(): name for name, (light, _) in PALETTE.items()}
_HEX = re.compile("|".join(_NAMES), re.IGNORECASE)


def variable(color: str) -> str:
    """The custom property of a colour of the light page, such as ``--book-red``."""
    return f"--book-{_NAMES[color.lower()]}"


def themed(drawing: str) -> str:
    """A drawing whose colours follow the page's mode; where there is none, it is the light one."""
    drawing = drawing.replace(INK, "currentColor")
    return _HEX.sub(lambda match: f"var({variable(match[0])}, {match[0]})", drawing)


def stylesheet() -> str:
    """The custom properties, for a light and for a dark page."""
    light, dark = (
        "".join(f"--book-{name}:{pair[mode]};" for name, pair in PALETTE.items()) for mode in (0, 1)
    )
    return f':root{{{light}}}html[data-theme="dark"]{{{dark}}}'
