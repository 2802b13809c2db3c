"""The book in one file: what an EPUB must be, and what becomes of links, anchors and folds."""

from __future__ import annotations

import json
import posixpath
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urldefrag
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from gatewaylab.errors import BuildError
from gatewaylab.publish import articles, epub, pdf, printed, site
from gatewaylab.publish.book import Book

_PACKAGE = "{http://www.idpf.org/2007/opf}"

_NAV = """<nav class="bd-links bd-docs-nav" aria-label="Main"><div class="bd-toc-item">
<ul><li><a href="#">Front</a></li></ul>
<p class="caption"><span>The part</span></p>
<ul><li><a href="book/b.html">B &amp; C</a><details><summary></summary>
<ul><li><a href="notebooks/a.html">A</a></li></ul></details></li></ul></div></nav>"""

_PAGES = {
    "index": '<h1 id="front">Front<a class="headerlink" href="#front">#</a></h1>'
    f'<p>See <a href="book/b.html#deep">B</a>.</p>{printed.PLACE}',
    "book/b": '<h1 id="b">B<br></h1><details><summary>More</summary><p id="deep">In it</p>'
    '</details><form hidden><input name="x" required></form> after<script>1 < 2</script>',
    "notebooks/a": '<h1 id="a">A</h1><a href="../data/a.json">data</a>'
    '<a href="../index.html">front</a><a href="#a">up</a><a href="https://example.org/">out</a>'
    '<details class="admonition hide"><summary><p>Show code</p></summary><pre>code</pre></details>'
    '<figure aria-labelledby="a"><svg viewBox="0 0 1 1"><g id="a1"/></svg></figure>',
}


def book_at(root: Path, address: str = "", pages: dict[str, str] = _PAGES) -> Book:
    """A book with a finished site of three pages."""
    book = Book(root)
    (root / "_config.yml").write_text("title: T & t\nauthor: someone\n")
    (root / "book" / "print").mkdir(parents=True)
    for name in ("epub", "paper"):
        (root / "book" / "print" / f"{name}.css").write_text("p { margin: 0 }\n")
    half = book.sites / "made"
    canonical = f'<link rel="canonical" href="{address}index.html" />' if address else ""
    for page, text in pages.items():
        path = half / f"{page}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * page.count("/")
        sheet = f'<link rel="stylesheet" href="{up}_static/book.css?v=1" />'
        path.write_text(
            f"<html><head>{canonical}{sheet}</head><body>{_NAV}"
            f'<article class="bd-article">{text}</article></body></html>'
        )
    (half / "_static").mkdir()
    (half / "_static" / "book.css").write_text("h1 { color: red }")
    (half / "data").mkdir()
    runs = [{"finished_at": f"2026-01-{day}T10:00:00+00:00"} for day in ("30", "31", "02")]
    (half / "data" / "environment.json").write_text(json.dumps({"runs": runs}))
    site.exchange(book, half, "key")
    return book


def epub_of(book: Book) -> Path:
    path = book.root / "book.epub"
    epub.write(book, articles.read(book.html), path)
    return path


def faults(path: Path, pages: Sequence[str]) -> list[str]:
    """What is wrong with an EPUB whose spine should be these pages.

    The first entry, well-formed files, the manifest, unique ids, no script, links that lead
    somewhere.
    """
    with zipfile.ZipFile(path) as whole:
        infos = whole.infolist()
        files = {info.filename: whole.read(info) for info in infos}
    wrong = []
    if (infos[0].filename, infos[0].compress_type) != ("mimetype", zipfile.ZIP_STORED):
        wrong.append("the first entry is not the stored kind of the file")
    trees = {
        name: ET.fromstring(data)
        for name, data in files.items()
        if name.endswith((".xhtml", ".opf", ".xml"))
    }
    package = trees["book.opf"]
    hrefs = {item.attrib["id"]: item.attrib["href"] for item in package.iter(f"{_PACKAGE}item")}
    if {*hrefs.values()} != {*files} - {"mimetype", "META-INF/container.xml", "book.opf"}:
        wrong.append("the manifest is not the list of the files")
    spine = [hrefs[ref.attrib["idref"]] for ref in package.iter(f"{_PACKAGE}itemref")]
    if spine != [f"{page}.xhtml" for page in pages]:
        wrong.append(f"the spine is {spine}")
    ids = {
        name: [e.attrib["id"] for e in tree.iter() if "id" in e.attrib]
        for name, tree in trees.items()
    }
    for name, tree in trees.items():
        wrong += [f"{name}: #{one} twice" for one in {*ids[name]} if ids[name].count(one) > 1]
        for element in tree.iter():
            tag = element.tag.rpartition("}")[2]
            if tag in {"script", "form", "button", "input"} or any(
                key.startswith("on") for key in element.attrib
            ):
                wrong.append(f"{name}: {tag} needs a script")
            href = element.attrib.get("href", "")
            if tag != "a" or not href or "://" in href or href.startswith("mailto:"):
                continue
            target, fragment = urldefrag(href)
            found = (
                posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
                if target
                else name
            )
            if found not in files or (fragment and fragment not in ids[found]):
                wrong.append(f"{name}: nothing at {href}")
    return wrong


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
    book = book_at(tmp_path, pages={**_PAGES, page: _PAGES[page] + text})
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
    book = book_at(tmp_path, pages={**_PAGES, "book/b": "<p><b></p></b>"})
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
