"""The book's colours are defined once, and can be seen on a light page and on a dark one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from gatewaylab.servers.palette import PALETTE, themed, variable
from tests import ROOT

#: Drawn from the palette, for places without a style sheet; and signs, which draw no server.
_DRAWN = (
    "book/records/",
    *(f"book/assets/{name}.svg" for name in ("readme-figure", "logo", "logo-dark", "favicon")),
    "book/assets/social-card.svg",
)
_HOME = "src/gatewaylab/servers/palette.py"
#: Of Paul Tol's *bright* scheme, as it is: what one types from memory.
_BRIGHT = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB")

#: By mode, what is behind a figure: the page, a card and a soft box.
_BEHIND = ("--pst-color-background", "--book-card", "--book-soft")


def _luminance(color: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted(_luminance(color) + 0.05 for color in (one, other))
    return lighter / darker


def _behind(mode: str) -> set[str]:
    css = (ROOT / "book" / "assets" / "face.css").read_text(encoding="utf-8")
    (block,) = re.findall(rf'^html\[data-theme="{mode}"\] \{{(.*?)^\}}', css, re.M | re.S)
    return {
        color
        for name in _BEHIND
        for color in re.findall(rf"{name}: (#[0-9a-f]{{6}});", block, re.IGNORECASE)
    }


def test_contrast_is_computed_as_the_guideline_does() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("name", PALETTE)
@pytest.mark.parametrize(("place", "mode"), [(0, "light"), (1, "dark")])
def test_a_line_in_each_colour_can_be_seen(name: str, place: int, mode: str) -> None:
    behind = _behind(mode)
    assert len(behind) == len(_BEHIND)
    faint = {color: _contrast(PALETTE[name][place], color) for color in behind}
    assert min(faint.values()) >= 3, faint


def test_no_file_but_the_palette_says_which_colour_a_server_has() -> None:
    """Style sheets may: a property of theirs is a state's colour, which is no server's."""
    known = {color for pair in PALETTE.values() for color in pair} | set(_BRIGHT)
    typed = re.compile("|".join(sorted(known)), re.IGNORECASE)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    here = Path(__file__).relative_to(ROOT).as_posix()
    found = [
        f"{name}: {line.strip()[:80]}"
        for name in listed
        if name.endswith((".py", ".md", ".js", ".css", ".html", ".svg", ".toml"))
        and not name.startswith((*_DRAWN, "tests/", _HOME, here))
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if typed.search(re.sub(r"--[\w-]+:[^;]*;", "", line))
    ]
    assert found == []


def test_a_drawing_takes_the_colours_of_the_page() -> None:
    assert variable("#4477AA") == "--book-blue"
    assert themed("fill: #4477aa; stroke: #000000") == (
        "fill: var(--book-blue, #4477aa); stroke: currentColor"
    )
