"""The whole site as an EPUB, and a small one as a PDF that Chromium prints."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from pypdf import PdfReader
from sphinx_external_toc.parsing import parse_toc_yaml

from gatewaylab.publish import articles, epub, pdf
from gatewaylab.publish.book import Book
from tests import ROOT
from tests.support.one_file import PAGES, book_at, faults

from .conftest import CHROMIUM

pytestmark = pytest.mark.browser


def test_the_site_is_an_epub_in_the_order_of_its_contents(site: Path, tmp_path: Path) -> None:
    found = articles.read(site)
    path = tmp_path / "book.epub"
    epub.write(Book(ROOT), found, path)
    pages = list(found.bodies)
    assert faults(path, pages) == []
    toc = list(parse_toc_yaml(ROOT / "_toc.yml"))
    decisions = sorted(f"book/decisions/{one.stem}" for one in ROOT.glob("book/decisions/*.md"))
    assert pages == [*toc, *decisions]  # which the table of contents has last, as a pattern


def test_a_reader_of_epubs_chooses_the_colours_itself() -> None:
    """Its page may be white, black or brown; only the text's own colour can be read on each."""
    sheet = (ROOT / "book" / "print" / "epub.css").read_text(encoding="utf-8")
    sheet = re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL)
    assert "fill: currentColor" in sheet
    assert not re.search(r"#[0-9a-f]{3,8}\b|rgb|hsl|(?:^|[ ;{])(?:color|background)", sheet)


@pytest.fixture(scope="module")
def printed_twice(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The small book with a long line and a long name in a table, printed two times."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    text = (
        f"<pre>{'word ' * 60}end-of-line</pre>"
        f'<table class="table"><tr><td>a</td><td><code>{"x" * 300}</code></td></tr></table>'
    )
    pages = {**PAGES, "notebooks/a": PAGES["notebooks/a"] + text}
    folder = tmp_path_factory.mktemp("book")
    book = book_at(folder, pages=pages)
    sheet = (ROOT / "book" / "print" / "paper.css").read_text(encoding="utf-8")
    (folder / "book" / "print" / "paper.css").write_text(sheet)
    made = []
    for name in ("one.pdf", "two.pdf"):
        pdf.write(book, articles.read(book.html), book.html, folder / name)
        made.append((folder / name).read_bytes())
    return made


def test_the_pdf_has_a_cover_contents_with_pages_and_a_chapter_on_each(
    printed_twice: list[bytes],
) -> None:
    reader = PdfReader(io.BytesIO(printed_twice[0]))
    texts = [page.extract_text() for page in reader.pages]
    assert len(texts) == 5
    assert "T & t" in texts[0]
    assert re.findall(r"(Front|B & C|A)\s*(\d)", texts[1]) == [
        ("Front", "3"), ("B & C", "4"), ("A", "5"),
    ]  # fmt: skip
    width, height = (float(side) for side in reader.pages[0].mediabox[2:])
    assert (round(width), round(height)) == (595, 842)  # A4 in points


def test_the_pdf_has_bookmarks_and_its_links_lead_inside(printed_twice: list[bytes]) -> None:
    reader = PdfReader(io.BytesIO(printed_twice[0]))
    titles = [entry.title for entry in reader.outline if not isinstance(entry, list)]
    assert titles == ["T & t", "Contents", "Front", "B", "A"]
    places = reader.named_destinations
    assert reader.get_destination_page_number(places["/book/b#deep"]) == 3


def test_nothing_is_cut_off_and_what_folds_is_there(printed_twice: list[bytes]) -> None:
    reader = PdfReader(io.BytesIO(printed_twice[0]))
    texts = [page.extract_text() for page in reader.pages]
    assert "In it" in texts[3]
    # A line that is cut off keeps all its letters in the file, and stays one line.
    assert max(len(line) for text in texts for line in text.splitlines()) < 160
    assert "end-of-line" in texts[4]
    assert texts[4].count("x") == 300


def test_the_same_site_makes_the_same_pdf(printed_twice: list[bytes]) -> None:
    assert printed_twice[0] == printed_twice[1]
