"""The whole book as a PDF: the site's articles and style sheet, printed by Chromium."""

from __future__ import annotations

import copy
import io
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from html import escape
from pathlib import Path
from xml.etree.ElementTree import Element

from playwright.sync_api import Error, sync_playwright
from pypdf import PdfReader

from gatewaylab.errors import BuildError
from gatewaylab.publish.articles import PAGE, Articles, written
from gatewaylab.publish.book import Book

#: The attributes that name other elements.
_REFERENCES = ("aria-labelledby", "aria-describedby", "headers", "for")

_NUMBER = re.compile(r'\bdata-page="([^"]*)"')
_DATES = re.compile(rb"/(CreationDate|ModDate) \(D:\d{14}\+00'00'\)")

_DOCUMENT = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en" data-theme="light" data-mode="light">
<head><title>{title}</title>
<link rel="stylesheet" href="{sheet}"/><style>{paper}</style></head>
<body>
<section class="paper-cover"><h1>{title}</h1>
{cover}</section>
<div class="bd-main"><div class="bd-content"><div class="bd-article-container">
<nav class="paper-contents"><h1>Contents</h1>
{contents}</nav>
{bodies}
</div></div></div>
</body>
</html>
"""


def write(book: Book, articles: Articles, site: Path, path: Path) -> None:
    """Print the book to ``path``.

    Args:
        site: the folder with the style sheet.

    Raises:
        BuildError: there is no Chromium, or it fails.
    """
    document = _document(book, articles, site)
    # Chromium cannot count pages in the contents, so a first printing tells where each one begins.
    pages = _first_pages(_printed(document, tagged=False), articles.bodies)
    numbered = _NUMBER.sub(lambda found: f'data-page="{pages[found[1]]}"', document)
    path.write_bytes(_dated(_printed(numbered), articles.measured))


def _document(book: Book, articles: Articles, site: Path) -> str:
    title, author = book.title
    told = [author, f"Measured until {articles.measured[:10]}"]
    if articles.address is not None:
        told.append(f'<a href="{articles.address}">{articles.address}</a>')
    return _DOCUMENT.format(
        title=escape(title),
        sheet=(site / articles.sheet).absolute().as_uri(),
        paper=(book.root / "book" / "print" / "paper.css").read_text(encoding="utf-8"),
        cover="".join(f"<p>{one}</p>\n" for one in told),
        contents=articles.nested('<a href="#{0}" data-page="{0}">'),
        bodies="\n".join(_joined(page, body) for page, body in articles.bodies.items()),
    )


def _joined(page: str, article: Element) -> str:
    """An article whose anchors can stand in one document with those of all other pages.

    Inside a drawing the names stay: they say what they stand for, so two that are alike may meet.
    """
    body = copy.deepcopy(article)
    renamed = {}
    for element in _outside_drawings(body):
        if "id" in element.attrib:
            renamed[element.attrib["id"]] = element.attrib["id"] = f"{page}#{element.attrib['id']}"
    for element in body.iter():
        for name in _REFERENCES:
            if name in element.attrib:
                words = element.attrib[name].split()
                element.set(name, " ".join(renamed.get(word, word) for word in words))
        href = element.get("href", "")
        if href.startswith(PAGE):
            element.set("href", f"#{href.removeprefix(PAGE)}")
        elif href.startswith("#"):
            element.set("href", f"#{page}{href}")
    body.set("id", page)
    return written(body)


def _outside_drawings(element: Element) -> Iterator[Element]:
    if element.tag != "svg":
        yield element
        for child in element:
            yield from _outside_drawings(child)


def _printed(document: str, *, tagged: bool = True) -> bytes:
    """The PDF that Chromium prints of a document.

    Args:
        tagged: with bookmarks, and with what a screen reader needs.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise BuildError("Chromium is missing, which prints the book: scripts/install --system")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder, "book.xhtml")
        file.write_text(document, encoding="utf-8")
        try:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(java_script_enabled=False)
            page.goto(file.as_uri())
            printed = page.pdf(prefer_css_page_size=True, outline=tagged, tagged=tagged)
            browser.close()
        except Error as error:
            raise BuildError(f"Chromium could not print the book: {error.message}") from error
    return printed


def _first_pages(pdf: bytes, names: Collection[str]) -> dict[str, int]:
    """On which page each article begins; the first one is 1."""
    reader = PdfReader(io.BytesIO(pdf))
    places = reader.named_destinations
    found = {name: reader.get_destination_page_number(places[f"/{name}"]) for name in names}
    return {name: (number or 0) + 1 for name, number in found.items()}


def _dated(pdf: bytes, measured: str) -> bytes:
    """The same bytes from the same evidence: its date in place of today's, which is as long."""
    moment = re.sub(r"\D", "", measured).encode()
    return _DATES.sub(rb"/\1 (D:" + moment + rb"+00'00')", pdf)
