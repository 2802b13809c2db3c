"""The drawings made of HTML: each is described, and no text leaves it or lies on another."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

#: How many drawings a page has.
DRAWN = {
    "book/which.html": 3,
    "book/django.html": 1,
    "book/wsgi.html": 1,
    "book/production.html": 3,
}

#: Of each drawing, the pieces of text with their lines as boxes; and what is wrong with them.
_FAULTS = """figure => {
  const faults = [], lines = [], whole = figure.getBoundingClientRect();
  const beside = (a, b) => a.left < b.left - 1 || a.right > b.right + 1;
  const outside = (a, b) => beside(a, b) || a.top < b.top - 1 || a.bottom > b.bottom + 1;
  const walker = document.createTreeWalker(figure, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    if (!node.data.trim() || !node.parentElement.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const home = node.parentElement.closest("p, a, li, svg, figcaption").getBoundingClientRect();
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
  return faults;
}"""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("path", DRAWN)
def test_no_text_leaves_a_drawing_or_lies_on_another(
    browser: Browser, address: str, path: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(address + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    figures = page.locator("figure.drawing")
    assert figures.count() == DRAWN[path]
    for figure in figures.all():
        assert figure.evaluate(_FAULTS) == []
        name = figure.evaluate(
            "e => [e, ...e.querySelectorAll('[role=img]')].map(i => i.ariaLabel)"
        )
        assert any(name)
    context.close()


def test_a_text_that_lies_on_another_is_found(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(
        "<figure style='margin:0;position:relative;width:9em'><p style='margin:0'>one</p></figure>"
    )
    figure = page.locator("figure")
    assert figure.evaluate(_FAULTS) == []
    added = "(e, style) => e.insertAdjacentHTML('beforeend', `<p class=x style='${style}'>two</p>`)"
    for style, fault in {
        "position:absolute;margin:0;left:.5em;top:.2em": "lies on",
        "position:absolute;left:8em;top:4em": "leaves the drawing",
        "width:.5em": "leaves its box",
    }.items():
        figure.evaluate(added, style)
        assert any(fault in one for one in figure.evaluate(_FAULTS)), style
        page.locator(".x").evaluate("e => e.remove()")
    page.close()
