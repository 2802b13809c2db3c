"""The drawings of Production in a browser: no text meets another, leaves its drawing or is tiny."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

#: For each drawing, the boxes of its pieces of text: line by line, with words and font size.
TEXTS = """() => [...document.querySelectorAll("figure:is(.way, .tracks)")].map(figure => {
  const walk = document.createTreeWalker(figure, NodeFilter.SHOW_TEXT), found = [];
  while (walk.nextNode()) {
    const text = walk.currentNode, range = document.createRange();
    if (!text.data.trim()) continue;
    range.selectNodeContents(text);
    const size = parseFloat(getComputedStyle(text.parentElement).fontSize);
    for (const b of range.getClientRects())
      if (b.width > 1) found.push([b.left, b.top, b.right, b.bottom, size, text.data.trim()]);
  }
  const b = figure.getBoundingClientRect();
  return [[b.left, b.top, b.right, b.bottom], found];
})"""


@pytest.mark.parametrize(("width", "least"), [(1280, 11), (390, 10), (360, 10)])
def test_texts_of_a_drawing_keep_apart_and_inside(
    browser: Browser, address: str, width: int, least: float
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(address + "book/production.html")
    drawings = page.evaluate(TEXTS)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    assert drawings
    for (left, top, right, bottom), texts in drawings:
        assert len(texts) > 10
        assert [t for t in texts if t[4] < least] == []
        assert [
            t for t in texts
            if t[0] < left - 1 or t[1] < top - 1 or t[2] > right + 1 or t[3] > bottom + 1
        ] == []  # fmt: skip
        assert [
            (a[5], b[5])
            for k, a in enumerate(texts)
            for b in texts[k + 1 :]
            # Lines of one paragraph may touch: a box is as high as the font, not as its letters.
            if min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 3
        ] == []
