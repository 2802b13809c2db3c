"""An open page loads again by itself when the site has changed, under its own content policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from bookext.page import finish
from playwright.sync_api import BrowserContext, expect

from gatewaylab.publish import site
from gatewaylab.publish.book import Book
from gatewaylab.publish.serving import serving

pytestmark = pytest.mark.browser

PAGE = '<html><head>\n<meta charset="utf-8"></head><body><h1>{}</h1></body></html>'


def exchange(book: Book, text: str) -> None:
    made = book.root / "made"
    made.mkdir(exist_ok=True)
    (made / "index.html").write_text(finish(PAGE.format(text)))
    (made / "favicon.ico").touch()  # a browser asks for it
    book.sites.mkdir(parents=True, exist_ok=True)
    site.exchange(book, site.assemble(book, made), text)


def test_an_open_page_shows_the_new_site_and_complains_about_nothing(
    context: BrowserContext, tmp_path: Path
) -> None:
    book = Book(tmp_path)
    complaints: list[str] = []
    exchange(book, "old")
    with serving(book, 0) as server:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(server.address)
        expect(page.locator("h1")).to_have_text("old")
        for text in ("new", "newer"):
            exchange(book, text)
            server.tell()
            expect(page.locator("h1")).to_have_text(text)
        page.close()
    assert "Content-Security-Policy" in (book.html / "index.html").read_text()
    assert complaints == []
