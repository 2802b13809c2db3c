"""The whole book in one file, twice: an EPUB and a PDF, beside the pages of the finished site."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from gatewaylab.errors import BuildError
from gatewaylab.publish import articles, epub, pdf, site
from gatewaylab.publish.book import Book

#: The files' name, without its end.
NAME = "wsgi-vs-asgi-measured"

#: Where the front page names the two files, once they are there.
PLACE = "<!-- the whole book in one file -->"


def add(book: Book, console: Console) -> None:
    """Make both files from the present site, add them to it, and link them on its front page.

    The next site that is rendered has neither files nor links, so they are never of other evidence
    than the pages.

    Raises:
        BuildError: there is no site, or Chromium is missing or fails; the site stays as it was.
    """
    began = time.monotonic()
    key = site.made_from(book)
    if key is None:
        raise BuildError("there is no site to print yet; make it first: scripts/build")
    files = [f"{NAME}.epub", f"{NAME}.pdf"]
    if all((book.html / name).exists() for name in files):
        console.out("nothing to print")
        return
    half = site.assemble(book, book.html)
    found = articles.read(half)
    pdf.write(book, found, half, half / files[1])
    epub.write(book, found, half / files[0])
    front = half / "index.html"
    text = front.read_text(encoding="utf-8").replace(PLACE, _links(half, files))
    front.write_text(text, encoding="utf-8")
    site.exchange(book, half, key)
    for name in files:
        console.out(f"{book.html / name}")
    console.out(f"printed in {time.monotonic() - began:.0f} s")


def _links(site: Path, files: list[str]) -> str:
    """A sentence for the front page, with each file's size in millions of bytes."""
    links = (
        f'<a href="{name}" download="">{name.rpartition(".")[2].upper()}</a> '
        f"({(site / name).stat().st_size / 1e6:.1f} MB)"
        for name in files
    )
    return f'<p class="whole-book">The whole book in one file: {", ".join(links)}.</p>'
