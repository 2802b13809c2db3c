"""Every page for a reader whose browser runs no scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from .conftest import toc_pages

pytestmark = pytest.mark.browser

PAGES = toc_pages()

#: What a script computes from the reader's own numbers; the same page says without it what it can.
COMPUTED = ".playground-app, .chooser-form, .slots-form, [data-slots-changed]"

#: What a reader takes for something to press.
CONTROLS = "button, input, select, textarea, [role=button]"

#: The look of each kind of element in the article: its tag, its classes, its colours.
LOOKS = f"""() => [...document.querySelectorAll('html, body, article, article *')]
  .filter(e => !e.closest('.playground-stage, {COMPUTED}, .copybtn'))
  .map(e => {{
    const {{ color, backgroundColor, borderTopColor, fill }} = getComputedStyle(e);
    return [e.tagName, e.className, color, backgroundColor, borderTopColor, fill].join(' ');
  }})"""

#: The article's lines, with all that opens opened.
LINES = f"""() => {{
  for (const fold of document.querySelectorAll('details')) fold.open = true;
  for (const part of document.querySelectorAll('{COMPUTED}')) part.remove();
  return document.querySelector('article').innerText
    .split('\\n').map(line => line.trim()).filter(line => line);
}}"""

#: On a phone: how many entries the navigation has, and those that don't stand below the article and
#: inside the window.
NAVIGATION = """() => {
  const end = document.querySelector('article').getBoundingClientRect().bottom;
  const links = [...document.querySelectorAll('.bd-sidebar-primary .toctree-l1 > a')];
  return [links.length, links.filter(link => {
    const box = link.getBoundingClientRect();
    return !link.checkVisibility({visibilityProperty: true}) || box.width === 0
      || box.top <= end || box.left < 0 || box.right > 390;
  }).map(link => link.href)];
}"""


@pytest.fixture(scope="module", params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    """What the reader's browser prefers."""
    return str(request.param)


def look(scheme: str) -> dict[str, Any]:
    """A desktop on which no colour is under way to another one."""
    size = {"width": 1280, "height": 900}
    return {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}


@pytest.fixture(scope="module")
def unscripted(browser: Browser, scheme: str) -> Iterator[Page]:
    """A browser at desktop size that runs no script of a page."""
    context = browser.new_context(java_script_enabled=False, **look(scheme))
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def scripted(browser: Browser, scheme: str) -> Iterator[Page]:
    """The same with scripts."""
    context = browser.new_context(**look(scheme))
    yield context.new_page()
    context.close()


def visible(page: Page, selector: str) -> list[str]:
    """What can be seen of a kind, as HTML."""
    found: list[str] = page.evaluate(
        """s => [...document.querySelectorAll(s)]
        .filter(e => e.checkVisibility({visibilityProperty: true}))
        .map(e => e.outerHTML.slice(0, 120))""",
        selector,
    )
    return found


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_its_colours_and_all_its_words_and_no_dead_control(
    unscripted: Page, scripted: Page, address: str, path: str
) -> None:
    unscripted.goto(address + path)
    scripted.goto(address + path)
    assert visible(unscripted, CONTROLS) == []
    assert len(visible(unscripted, ".navbar-brand img")) == 1
    assert set(unscripted.evaluate(LOOKS)) == set(scripted.evaluate(LOOKS))
    without, words = unscripted.evaluate(LINES), scripted.evaluate(LINES)
    assert len(words) > 5
    assert [line for line in words if line not in without] == []


def test_the_search_page_says_that_it_needs_scripts(unscripted: Page, address: str) -> None:
    unscripted.goto(address + "search.html")
    assert visible(unscripted, CONTROLS) == []
    assert "JavaScript" in unscripted.locator("main").inner_text()


def test_the_dark_page_is_dark_and_paper_is_white(
    unscripted: Page, address: str, scheme: str
) -> None:
    unscripted.goto(address)
    back = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
    assert (max(unscripted.evaluate(back)) < 128) == (scheme == "dark")
    unscripted.emulate_media(media="print")
    assert min(unscripted.evaluate(back)) == 255
    unscripted.emulate_media(media="screen")


@pytest.fixture(scope="module")
def bare_phone(browser: Browser) -> Iterator[Page]:
    """A phone that runs no script."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, java_script_enabled=False
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_has_the_navigation_below_the_page(
    bare_phone: Page, address: str, path: str
) -> None:
    bare_phone.goto(address + path)
    assert bare_phone.evaluate("document.documentElement.scrollWidth") == 390
    count, astray = bare_phone.evaluate(NAVIGATION)
    assert count > 10
    assert astray == []
    contents = ".bd-sidebar-secondary a"
    assert bare_phone.locator(contents).count() == len(visible(bare_phone, contents))
