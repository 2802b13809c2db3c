"""The site's one style sheet styles every part as all sheets of the theme together would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from bookext.sheet import SHEET, joined
from playwright.sync_api import Browser, BrowserContext, Page

from tests import ROOT

pytestmark = pytest.mark.browser

#: The sheets that the one was made of; the last rendering has left them.
SHEETS = ROOT / "_build/rendering/_build/.doctrees/bookext/sheets"
CHAPTER = "notebooks/blocking-in-a-coroutine.html"

#: Swaps the sheet for all of them; tells which elements then look otherwise, and in what. Of those
#: that have the same place among the same kinds of elements, one is looked at.
#: ``0% 0%`` and ``0px 0px`` are the same place of a background.
CHANGES = """async () => {
  const name = e => e.closest("svg") ? "" : e.id;
  const kind = e => e ? `${e.tagName}#${name(e)}.${e.getAttribute("class")}` : "";
  const place = e => [e, e.parentElement, e.parentElement?.parentElement].map(kind).join()
    + [!e.previousElementSibling, !e.nextElementSibling];
  const every = [...document.querySelectorAll("html, body, body *")];
  const elements = [...new Map(every.map(e => [place(e), e])).values()];
  const look = (e, part) => {
    const style = getComputedStyle(e, part);
    if (part && ["none", "normal"].includes(style.content)) return [];
    return [...style].filter(name => !name.startsWith("--")).map(name =>
      `${part || ""} ${name}: ${style.getPropertyValue(name).replaceAll("0% 0%", "0px 0px")}`);
  };
  const looks = async sheet => {
    const old = document.querySelector("link[rel=stylesheet]");
    const link = old.cloneNode();
    link.href += sheet;
    await new Promise(done => { link.onload = done; old.after(link); });
    old.remove();
    document.body.getBoundingClientRect(); // asks for the sheet's fonts
    await document.fonts.ready;
    return elements.map(e => [null, "::before", "::after"].flatMap(part => look(e, part)));
  };
  const one = await looks("&one"); // anew as well: Chromium tells old margins of a laid out page
  const all = await looks("&all");
  return all.flatMap((now, i) => now.join() === one[i].join() ? [] : [[
    elements[i].outerHTML.slice(0, 80),
    ...one[i].filter(value => !now.includes(value)).slice(0, 5), `${now.length - one[i].length}`]]);
}"""


@pytest.fixture
def sheets(site: Path) -> str:
    if not SHEETS.exists():
        pytest.skip(f"{SHEETS} is missing: build the site first (scripts/build)")
    every = joined(SHEETS)
    assert len((site / "_static" / SHEET).read_bytes()) < len(every) / 2
    return every


@pytest.fixture
def opened(context: BrowserContext, address: str, sheets: str) -> Callable[[str, str], Page]:
    """Opens a page, at rest and in a mode, whose sheet can be swapped for all sheets."""

    def opened(path: str, mode: str) -> Page:
        context.add_init_script(f"localStorage.setItem('mode', '{mode}')")
        page = context.new_page()
        page.emulate_media(reduced_motion="reduce")
        page.route("**/*&all", lambda route: route.fulfill(body=sheets, content_type="text/css"))
        page.goto(address + path, wait_until="networkidle")
        return page

    return opened


@pytest.mark.parametrize(
    "path", ["index.html", CHAPTER, "book/which.html", "book/claims.html", "search.html?q=slot"]
)
def test_a_page_looks_as_with_all_sheets(opened: Callable[[str, str], Page], path: str) -> None:
    assert opened(path, "light").evaluate(CHANGES) == []


def test_a_phone_and_paper_look_as_with_all_sheets(opened: Callable[[str, str], Page]) -> None:
    page = opened(CHAPTER, "light")
    page.emulate_media(media="print")
    assert page.evaluate(CHANGES) == []
    page = opened(CHAPTER, "light")
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator(".primary-toggle").first.click()
    page.locator("#pst-primary-sidebar-modal[open]").wait_for()
    assert page.evaluate(CHANGES) == []


def test_what_scripts_open_looks_as_with_all_sheets(opened: Callable[[str, str], Page]) -> None:
    page = opened(CHAPTER, "dark")
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog[open]").wait_for()
    assert page.evaluate(CHANGES) == []
    page = opened(CHAPTER, "light")
    page.locator(".dropdown-toggle").first.click()
    page.locator(".dropdown-menu.show").wait_for()
    assert page.evaluate(CHANGES) == []
    page = opened(CHAPTER, "light")
    page.locator(".theme-switch-button:visible").first.hover()
    page.locator(".tooltip.show").wait_for()
    assert page.evaluate(CHANGES) == []
    page = opened(CHAPTER, "light")
    page.locator("div.highlight").first.hover()
    page.evaluate("window.setTimeout = () => 0")  # the button says “Copied” and does not stop
    page.locator("button.copybtn").first.click()
    assert page.evaluate(CHANGES) == []


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_first_sight_of_a_page_has_its_mode_and_one_logo(
    browser: Browser, address: str, mode: Literal["light", "dark"]
) -> None:
    context = browser.new_context(color_scheme=mode)
    page = context.new_page()
    page.route("**/*.js*", lambda route: route.abort())  # as before any of them has come
    page.goto(address)
    assert page.get_attribute("html", "data-theme") == mode
    (logo,) = page.locator(".logo__image:visible").all()
    assert f"only-{mode}" in str(logo.get_attribute("class"))
    context.close()


def test_the_logo_moves_nothing_when_it_comes(browser: Browser, address: str) -> None:
    heights = []
    for blocked in ("", "**/*logo*.svg"):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        if blocked:
            page.route(blocked, lambda route: route.abort())
        page.goto(address)
        heights.append(page.locator(".navbar-brand").first.evaluate("e => e.offsetHeight"))
        context.close()
    assert heights[0] == heights[1] > 0
