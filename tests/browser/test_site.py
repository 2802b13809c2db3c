"""Every page of the built site, in a real browser."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from .conftest import barriers, toc_pages

pytestmark = pytest.mark.browser

PAGES = toc_pages()

#: Gzipped bytes that opening a page may cost, all its files together.
TEXT_BAR = 158 * 1024
#: A page with figures carries their drawings as well.
FIGURE_BAR = 183 * 1024


class Visit:
    """A page that was opened, and everything that it asked for and complained about.

    A ``quick`` visit does not wait for half a second of silence on the network; it is for those
    who look at what the page has brought along.
    """

    def __init__(self, context: BrowserContext, url: str, *, quick: bool = False) -> None:
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("request", lambda request: self.requests.append(request))
        self.page.on("requestfailed", lambda request: self._complain("failed", request.url))
        self.page.on("pageerror", lambda error: self._complain("error", str(error)))
        self.page.on("console", self._console)
        self.page.goto(url, wait_until="load" if quick else "networkidle")

    def _complain(self, kind: str, text: str) -> None:
        self.complaints.append(f"{kind}: {text}")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._complain(message.type, message.text)


@pytest.fixture(scope="module")
def visited(browser: Browser, address: str) -> Iterator[Callable[[str], Visit]]:
    """Opens a page at desktop size, each only once: these tests look and do not touch."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    seen: dict[str, Visit] = {}

    def visit(path: str) -> Visit:
        if path not in seen:
            seen[path] = Visit(context, address + path)
        return seen[path]

    yield visit
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_page_asks_nobody_else_and_complains_about_nothing(
    visited: Callable[[str], Visit], address: str, path: str
) -> None:
    visit = visited(path)
    strangers = [r.url for r in visit.requests if not r.url.startswith((address, "data:", "blob:"))]
    assert strangers == []
    assert visit.complaints == []


@pytest.mark.parametrize("path", PAGES)
def test_page_has_one_heading_a_language_and_names_for_its_images(
    visited: Callable[[str], Visit], path: str
) -> None:
    page = visited(path).page
    assert page.get_attribute("html", "lang") == "en"
    assert page.locator("article h1").count() == 1
    assert page.locator("article h1").inner_text().strip("# \n")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("main img, main svg, .navbar-brand img")]
        .filter(e => !e.closest("[aria-hidden=true], button, a[title]"))
        .filter(e => !e.closest("[role=img][aria-label]"))
        .filter(e => !(e.getAttribute("alt") || e.getAttribute("aria-label")) && e.alt !== "")
        .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


@pytest.mark.parametrize("path", PAGES)
def test_page_weight_stays_under_the_bar(
    visited: Callable[[str], Visit], address: str, path: str
) -> None:
    visit = visited(path)
    total = 0
    for request in visit.requests:
        response = request.response()
        if response is not None and request.url.startswith(address):
            body = response.body()
            packed = urlparse(request.url).path.endswith((".woff2", ".png"))
            total += len(body) if packed else len(gzip.compress(body, 6))
    figures = visit.page.locator("figure.fig").count()
    assert 20 * 1024 < total <= (FIGURE_BAR if figures else TEXT_BAR), f"{total / 1024:.0f} KiB"


@pytest.mark.parametrize("path", PAGES)
def test_only_the_one_style_sheet_blocks(visited: Callable[[str], Visit], path: str) -> None:
    blocking = visited(path).page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.renderBlockingStatus !== "
        "'non-blocking').map(e => new URL(e.name).pathname)"
    )
    assert blocking == ["/_static/site.css"]


@pytest.mark.parametrize("path", PAGES)
def test_links_and_anchors_inside_the_site_lead_somewhere(
    visited: Callable[[str], Visit], address: str, site: Path, path: str
) -> None:
    page = visited(path).page
    links: list[str] = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
    broken = []
    for link in set(links):
        target, fragment = urldefrag(link)
        if not target.startswith(address):
            continue
        file = site / unquote(urlparse(target).path.lstrip("/"))
        file = file / "index.html" if file.is_dir() else file
        if not file.exists():
            broken.append(link)
        elif fragment and file.suffix == ".html":
            text = file.read_text(encoding="utf-8")
            if f'id="{unquote(fragment)}"' not in text:
                broken.append(link)
    assert links
    assert broken == []


def test_dark_mode_switch_changes_the_page_and_is_remembered(
    context: BrowserContext, address: str
) -> None:
    page = Visit(context, address).page
    switch = page.locator(".theme-switch-button").first
    seen = {}
    for _ in range(3):
        mode = page.get_attribute("html", "data-mode")
        seen[mode] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        switch.click()
    assert set(seen) == {"auto", "light", "dark"}
    assert seen["light"] != seen["dark"]
    while page.get_attribute("html", "data-mode") != "dark":
        switch.click()
    page.goto(urljoin(address, PAGES[1]))
    assert page.get_attribute("html", "data-theme") == "dark"


def test_a_page_prints_in_the_light_unfolded_and_without_navigation(
    context: BrowserContext, address: str
) -> None:
    context.add_init_script("localStorage.setItem('mode', 'dark')")
    page = Visit(context, address + "notebooks/slow-requests-and-slots.html").page

    def seen(selector: str) -> list[bool]:
        visible: list[bool] = page.evaluate(
            "s => [...document.querySelectorAll(s)].map(e => e.checkVisibility())", selector
        )
        return visible

    folded = "article details:not([open]) > :not(summary)"
    around = "nav:not(#print-main-content nav), .bd-sidebar, .bd-header-article, article button"
    assert page.get_attribute("html", "data-theme") == "dark"
    assert seen(folded)
    assert not any(seen(folded))
    assert any(seen(around))
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert all(seen(folded))
    assert not any(seen(around))
    assert page.get_attribute("html", "data-theme") == "light"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.get_attribute("html", "data-theme") == "dark"


def test_search_finds_the_front_page_and_a_chapter(context: BrowserContext, address: str) -> None:
    page = Visit(context, urljoin(address, "search.html?q=slot")).page
    results = page.locator("#search-results li a")
    results.first.wait_for()
    page.wait_for_function("document.querySelectorAll('#search-results li a').length >= 3")
    links = {urldefrag(str(a))[0].partition("?")[0] for a in _hrefs(page)}
    assert urljoin(address, "index.html") in links
    assert urljoin(address, "book/wsgi.html") in links


def _hrefs(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('#search-results li a')].map(a => a.href)"
    )
    return found


def test_search_dialog_opens_by_keyboard(context: BrowserContext, address: str) -> None:
    page = Visit(context, address).page
    page.keyboard.press("Control+k")
    page.locator("#pst-search-dialog input").wait_for(state="visible")
    page.keyboard.type("coroutine")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=coroutine*")


def test_keyboard_reaches_the_content_first(context: BrowserContext, address: str) -> None:
    page = Visit(context, address).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main-content"


def test_content_policy_blocks_what_the_page_did_not_bring(
    context: BrowserContext, address: str
) -> None:
    visit = Visit(context, address)
    visit.page.evaluate(
        """() => { const s = document.createElement("script");
        s.textContent = "window.intruder = true"; document.head.append(s); }"""
    )
    assert visit.page.evaluate("window.intruder === undefined")
    assert any("Content Security Policy" in text for text in visit.complaints)


def test_pages_work_when_opened_from_the_disk(context: BrowserContext, site: Path) -> None:
    visit = Visit(context, (site / "index.html").as_uri())
    assert visit.complaints == []
    assert visit.page.evaluate("document.fonts.check('900 16px \"Font Awesome 6 Free\"')")


def test_reduced_motion_is_honoured(context: BrowserContext, address: str) -> None:
    page = Visit(context, address).page
    page.emulate_media(reduced_motion="reduce")
    durations = page.evaluate(
        "[...new Set([...document.querySelectorAll('*')].map("
        "e => getComputedStyle(e).transitionDuration))]"
    )
    assert durations == ["0s"]


@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_no_barrier(
    browser_context_without_policy: BrowserContext, address: str, path: str
) -> None:
    page = Visit(browser_context_without_policy, address + path, quick=True).page
    page.emulate_media(reduced_motion="reduce")  # no colour is on its way to another one
    for mode in ("light", "dark"):
        page.evaluate("mode => { document.documentElement.dataset.theme = mode; }", mode)
        assert barriers(page) == [], mode
