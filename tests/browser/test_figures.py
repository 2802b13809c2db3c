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

#: How many drawings made of HTML a page has; others have none.
DRAWN = {
    "book/which.html": 3,
    "book/django.html": 1,
    "book/wsgi.html": 1,
    "book/production.html": 3,
}

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

#: Of a drawing made of HTML, the pieces of text with their lines as boxes; and what is wrong with
#: them.
_LINES = """figure => {
  const faults = [], lines = [], whole = figure.getBoundingClientRect();
  const beside = (a, b) => a.left < b.left - 1 || a.right > b.right + 1;
  const outside = (a, b) => beside(a, b) || a.top < b.top - 1 || a.bottom > b.bottom + 1;
  const walker = document.createTreeWalker(figure, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    if (!node.data.trim() || !node.parentElement.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const parent = node.parentElement.closest("p, a, li, svg, figcaption, .track");
    const home = parent.getBoundingClientRect();
    for (const box of range.getClientRects()) {
      if (outside(box, whole)) faults.push(`leaves the drawing: ${node.data}`);
      if (beside(box, home)) faults.push(`leaves its box: ${node.data}`);
      lines.push({ node, box });
    }
  }
  for (const [i, { node, box }] of lines.entries())
    for (const other of lines.slice(i + 1).filter((line) => line.node !== node)) {
      const wide = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
      const high = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
      // Boxes of lines touch; letters are smaller than their line.
      if (wide > 1 && high > 0.25 * Math.min(box.height, other.box.height))
        faults.push(`"${node.data}" lies on "${other.node.data}"`);
    }
  for (const part of figure.querySelectorAll("*"))
    if (part.checkVisibility() && part.getBoundingClientRect().right > whole.right + 1)
      faults.push(`leaves the drawing: ${part.outerHTML.slice(0, 80)}`);
  if (!lines.length) faults.push("has no text");
  const named = [figure, ...figure.querySelectorAll("[role=img]")].some((e) => e.ariaLabel);
  if (!named) faults.push("has no name");
  return faults;
}"""

#: What leaves the window, and stands in no box that scrolls or cuts it.
_OUTSIDE = """() => [...document.querySelectorAll("article *")].filter(e => {
  const box = e.getBoundingClientRect();
  if (box.width === 0 || box.right <= innerWidth + 1) return false;
  for (let p = e.parentElement; p; p = p.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(p).overflowX)
        && p.tagName !== "BODY" && p.tagName !== "HTML") return false;
  return true;
}).map(e => e.outerHTML.slice(0, 120))"""

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
    figures = page.locator("figure.drawing").all()
    assert len(figures) == DRAWN.get(path, 0)
    assert [fault for figure in figures for fault in figure.evaluate(_LINES)] == []
    assert page.evaluate(_TABLES) == []
    assert page.evaluate(_OUTSIDE) == []
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


def test_a_text_that_lies_on_another_is_found(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(
        "<figure aria-label=x style='margin:0;position:relative;width:9em'>"
        "<p style='margin:0'>one</p></figure>"
    )
    figure = page.locator("figure")
    assert figure.evaluate(_LINES) == []
    added = "(e, style) => e.insertAdjacentHTML('beforeend', `<p class=x style='${style}'>two</p>`)"
    for style, fault in {
        "position:absolute;margin:0;left:.5em;top:.2em": "lies on",
        "position:absolute;left:8em;top:4em": "leaves the drawing",
        "width:.5em": "leaves its box",
    }.items():
        figure.evaluate(added, style)
        assert any(fault in one for one in figure.evaluate(_LINES)), style
        page.locator(".x").evaluate("e => e.remove()")
    page.close()
