"""A small site to be printed, and a judge of EPUBs."""

from __future__ import annotations

import json
import posixpath
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urldefrag
from xml.etree import ElementTree as ET

from gatewaylab.publish import printed, site
from gatewaylab.publish.book import Book

_PACKAGE = "{http://www.idpf.org/2007/opf}"

_NAV = """<nav class="bd-links bd-docs-nav" aria-label="Main"><div class="bd-toc-item">
<ul><li><a href="#">Front</a></li></ul>
<p class="caption"><span>The part</span></p>
<ul><li><a href="book/b.html">B &amp; C</a><details><summary></summary>
<ul><li><a href="notebooks/a.html">A</a></li></ul></details></li></ul></div></nav>"""

PAGES = {
    "index": '<h1 id="front">Front<a class="headerlink" href="#front">#</a></h1>'
    f'<p>See <a href="book/b.html#deep">B</a>.</p>{printed.PLACE}',
    "book/b": '<h1 id="b">B<br></h1><details><summary>More</summary><p id="deep">In it</p>'
    '</details><form hidden><input name="x" required></form> after<script>1 < 2</script>',
    "notebooks/a": '<h1 id="a">A</h1><a href="../data/a.json">data</a>'
    '<a href="../index.html">front</a><a href="#a">up</a><a href="https://example.org/">out</a>'
    '<details class="admonition hide"><summary><p>Show code</p></summary><pre>code</pre></details>'
    '<figure aria-labelledby="a"><svg viewBox="0 0 1 1"><g id="a1"/></svg></figure>',
}


def book_at(root: Path, address: str = "", pages: Mapping[str, str] = PAGES) -> Book:
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
