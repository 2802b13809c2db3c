"""Every drawing and table on a phone and on a desk: whole, with letters that can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from gatewaylab.servers.palette import stylesheet
from tests import ROOT
from tests.support.gallery import gallery

from .conftest import toc_pages

pytestmark = pytest.mark.browser

PAGES = toc_pages()

#: CSS pixels of the smallest letters, by width of the window: of the narrowest phone, of a desk.
SMALLEST = {360: 9.0, 1280: 11.0}

#: For each drawing with text: how large its letters are, which of them leave it or stand on others.
#: Of a letter's box the middle counts: above and below it is room for accents that nobody wrote.
_LOOK = """() => {
  for (const fold of document.querySelectorAll("article details")) fold.open = true;
  const drawings = [...document.querySelectorAll("article svg")];
  return drawings.filter(svg => svg.checkVisibility() && svg.querySelector("text")).map(svg => {
    const frame = svg.getBoundingClientRect();
    const words = [...svg.querySelectorAll("text")].filter(e => e.checkVisibility()).map(e => {
      const { a, b } = e.getScreenCTM(), box = e.getBoundingClientRect();
      const rest = 0.15 * Math.min(box.width, box.height);
      return {
        text: e.textContent.trim(),
        size: parseFloat(getComputedStyle(e).fontSize) * Math.hypot(a, b),
        left: box.left + rest, right: box.right - rest,
        top: box.top + rest, bottom: box.bottom - rest,
      };
    }).filter(one => one.text);
    const cut = words.filter(one => one.left < frame.left - 1 || one.right > frame.right + 1
      || one.top < frame.top - 1 || one.bottom > frame.bottom + 1);
    const met = words.flatMap((one, i) => words.slice(i + 1).filter(other =>
      Math.min(one.right, other.right) - Math.max(one.left, other.left) > 0.5
      && Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 0.5
    ).map(other => `${one.text} | ${other.text}`));
    let wide = svg.scrollWidth > svg.clientWidth + 1;
    for (let e = svg.parentElement; e && e.tagName !== "ARTICLE"; e = e.parentElement)
      wide ||= e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1;
    return {
      name: svg.getAttribute("aria-label") || svg.parentElement.getAttribute("aria-label") || "",
      size: Math.min(...words.map(one => one.size)), words: words.length,
      cut: cut.map(one => one.text), met, wide: wide || frame.right > innerWidth,
    };
  });
}"""


#: Tables of few columns that scroll, and wide ones whose edge does not show that they go on.
_TABLES = """() => [...document.querySelectorAll("article table.table")].map(table => {
  const box = table.parentElement, columns = Math.max(...[...table.rows].map(r => r.cells.length));
  const text = table.rows[0].innerText, hidden = box.scrollWidth > box.clientWidth;
  const opaque = [...table.querySelectorAll("tr, td, th")].some(
    e => getComputedStyle(e).backgroundColor !== "rgba(0, 0, 0, 0)");
  const told = getComputedStyle(box).backgroundImage.includes("gradient") && !opaque;
  return hidden && (columns <= 4 || !told) ? `${columns}: ${text}` : null;
}).filter(Boolean)"""


@pytest.fixture(scope="module", params=SMALLEST)
def window(browser: Browser, request: pytest.FixtureRequest) -> Iterator[tuple[Page, float]]:
    """A page of one width, and how large its smallest letters must be."""
    width: int = request.param
    context = browser.new_context(viewport={"width": width, "height": 800})
    context.set_default_timeout(15_000)
    yield context.new_page(), SMALLEST[width]
    context.close()


def _faults(drawings: list[dict[str, Any]], smallest: float) -> list[str]:
    found = []
    for one in drawings:
        name = one["name"][:60]
        if one["size"] < smallest:
            found.append(f"{name}: letters of {one['size']:.1f} px")
        found += [f"{name}: cut: {text}" for text in one["cut"]]
        found += [f"{name}: one on the other: {pair}" for pair in one["met"]]
        if one["wide"]:
            found.append(f"{name}: scrolls sideways")
    return found


@pytest.mark.parametrize("path", PAGES)
def test_drawings_and_tables_fit_and_can_be_read(
    window: tuple[Page, float], address: str, path: str
) -> None:
    page, smallest = window
    page.goto(address + path, wait_until="load")
    assert _faults(page.evaluate(_LOOK), smallest) == []
    assert page.evaluate(_TABLES) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(scope="module")
def hung() -> str:
    """A page with every kind of figure, however short the measured ones' words are."""
    style = (ROOT / "book" / "assets" / "book.css").read_text(encoding="utf-8") + stylesheet()
    figures = "".join(picture._repr_html_() for picture in gallery().values())
    return (
        f'<!doctype html><html data-theme="light"><style>{style} body {{ margin: 1rem; }}</style>'
        f'<div class="bd-content"><article class="bd-article">{figures}</article></div></html>'
    )


def test_every_kind_of_figure_fits_and_can_be_read(window: tuple[Page, float], hung: str) -> None:
    page, smallest = window
    page.set_content(hung)
    drawings = page.evaluate(_LOOK)
    assert len(drawings) == len(gallery())
    assert all(one["words"] > 3 for one in drawings)
    assert _faults(drawings, smallest) == []


_BOX = '<article><div style="width: 300px; overflow: auto"><svg {}>{}</svg></div></article>'


@pytest.mark.parametrize(
    ("drawing", "told"),
    [
        (_BOX.format('width="300"', '<text x="9" y="40" font-size="8">a</text>'), "8.0 px"),
        (_BOX.format('width="300"', '<text x="290" y="40">cut</text>'), "cut: cut"),
        (
            _BOX.format('width="300"', '<text y="40">one</text><text x="9" y="44">two</text>'),
            "one | two",
        ),
        (_BOX.format('width="310"', '<text x="9" y="40">wide</text>'), "scrolls sideways"),
    ],
)
def test_a_drawing_that_cannot_be_read_is_found(browser: Browser, drawing: str, told: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.set_content(drawing)
    (fault,) = _faults(page.evaluate(_LOOK), 9.0)
    page.close()
    assert told in fault
