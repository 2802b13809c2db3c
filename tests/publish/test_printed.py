"""The book in one file: what an EPUB must be, and what becomes of links, anchors and folds."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from gatewaylab.errors import BuildError
from gatewaylab.publish import articles, epub, pdf, printed, site
from gatewaylab.publish.book import Book
from tests.support.one_file import PAGES, book_at, faults


def epub_of(book: Book) -> Path:
    path = book.root / "book.epub"
    epub.write(book, articles.read(book.html), path)
    return path


def links(body: ET.Element) -> list[str | None]:
    return [link.get("href") for link in body.iter("a")]


def test_an_epub_is_whole_and_in_the_order_of_the_contents(tmp_path: Path) -> None:
    path = epub_of(book_at(tmp_path))
    assert faults(path, ["index", "book/b", "notebooks/a"]) == []
    with zipfile.ZipFile(path) as whole:
        contents = whole.read("contents.xhtml").decode()
        package = whole.read("book.opf").decode()
    assert "<span>The part</span><ol>" in contents
    assert '<a href="book/b.xhtml">B &amp; C</a><ol>' in contents
    assert "T &amp; t" in package
    assert "2026-01-31T10:00:00Z" in package
    assert 'href="notebooks/a.xhtml" media-type="application/xhtml+xml" properties="svg"' in package


@pytest.mark.parametrize(
    ("page", "text", "fault"),
    [
        ("index", '<a href="book/b.html#gone">B</a>', "index.xhtml: nothing at book/b.xhtml#gone"),
        ("index", '<p id="x"></p><p id="x"></p>', "index.xhtml: #x twice"),
        ("book/b", '<p onclick="go()"></p>', "book/b.xhtml: p needs a script"),
    ],
)
def test_what_is_wrong_with_an_epub_is_found(
    tmp_path: Path, page: str, text: str, fault: str
) -> None:
    book = book_at(tmp_path, pages={**PAGES, page: PAGES[page] + text})
    assert faults(epub_of(book), ["index", "book/b", "notebooks/a"]) == [fault]


def test_the_same_site_makes_the_same_epub_on_another_day(tmp_path: Path) -> None:
    book = book_at(tmp_path)
    first = epub_of(book).read_bytes()
    for page in book.html.rglob("*"):
        page.touch()
    assert epub_of(book).read_bytes() == first


def test_what_only_works_on_a_screen_is_left_out_and_folds_are_open(tmp_path: Path) -> None:
    bodies = articles.read(book_at(tmp_path).html).bodies
    b, a = articles.written(bodies["book/b"]), articles.written(bodies["notebooks/a"])
    assert '<details open=""><summary>More</summary>' in b
    assert "</details> after</article>" in b
    assert "<div><pre>code</pre></div>" in a
    assert 'viewBox="0 0 1 1"' in a
    assert "headerlink" not in articles.written(bodies["index"])


@pytest.mark.parametrize(
    ("address", "data"),
    [("", None), ("https://example.org/b/", "https://example.org/b/data/a.json")],
)
def test_a_link_to_what_is_not_in_the_book_leads_to_the_published_site(
    tmp_path: Path, address: str, data: str | None
) -> None:
    bodies = articles.read(book_at(tmp_path, address).html).bodies
    assert links(bodies["notebooks/a"]) == [data, "page:index", "#a", "https://example.org/"]
    assert links(bodies["index"]) == ["page:book/b#deep"]


def test_elements_that_overlap_are_told_with_their_page(tmp_path: Path) -> None:
    book = book_at(tmp_path, pages={**PAGES, "book/b": "<p><b></p></b>"})
    with pytest.raises(BuildError, match="book/b can't be printed: </p>"):
        articles.read(book.html)


def test_both_files_join_the_site_with_their_links_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, console = book_at(tmp_path), Console(record=True)
    monkeypatch.setattr(pdf, "_printed", lambda document, tagged=True: document.encode())
    monkeypatch.setattr(pdf, "_first_pages", lambda pdf, names: dict.fromkeys(names, 7))
    before = (book.html / "index.html").read_text()
    assert "whole-book" not in before
    printed.add(book, console)
    after = (book.html / "index.html").read_text()
    for kind in ("epub", "pdf"):
        assert (book.html / f"{printed.NAME}.{kind}").stat().st_size > 0
        assert f'href="{printed.NAME}.{kind}"' in after
    assert site.made_from(book) == "key"
    document = (book.html / f"{printed.NAME}.pdf").read_text()
    assert '<a href="#notebooks/a" data-page="7">A</a>' in document
    assert 'href="#book/b#deep"' in document
    assert 'id="book/b#deep"' in document
    assert 'aria-labelledby="notebooks/a#a"' in document
    made = book.html.resolve()
    printed.add(book, console)
    assert book.html.resolve() == made
    assert "nothing to print" in console.export_text()


def test_without_a_site_there_is_nothing_to_print_from(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="scripts/build"):
        printed.add(Book(tmp_path), Console())


def test_without_chromium_the_site_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = book_at(tmp_path)
    made = book.html.resolve()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BuildError, match="Chromium is missing"):
        printed.add(book, Console())
    assert book.html.resolve() == made
    assert not list(book.html.glob(f"{printed.NAME}.*"))
