"""The whole book as an EPUB 3: the site's articles in the same bytes every time."""

from __future__ import annotations

import uuid
import zipfile
from html import escape
from pathlib import Path

from gatewaylab.publish.articles import PAGE, Articles, written
from gatewaylab.publish.book import Book

_XHTML = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"
  lang="en" xml:lang="en">
<head><title>{title}</title><link rel="stylesheet" type="text/css" href="{up}book.css"/></head>
<body>
{body}
</body>
</html>
"""

_CONTAINER = """<?xml version="1.0" encoding="utf-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""

_PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">{identifier}</dc:identifier>
<dc:title>{title}</dc:title>
<dc:creator>{author}</dc:creator>
<dc:language>en</dc:language>
<dc:date>{day}</dc:date>
<meta property="dcterms:modified">{measured}Z</meta>
</metadata>
<manifest>
<item id="contents" href="contents.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="style" href="book.css" media-type="text/css"/>
{items}</manifest>
<spine>
{spine}</spine>
</package>
"""

#: What the package must say of a page that has such an element.
_PROPERTIES = {"svg": "svg", "math": "mathml"}


def write(book: Book, articles: Articles, path: Path) -> None:
    """Write the book at ``path``; identical articles make identical bytes."""
    title, author = book.title
    files = {
        "META-INF/container.xml": _CONTAINER,
        "book.css": (book.root / "book" / "print" / "epub.css").read_text(encoding="utf-8"),
    }
    items, spine = [], []
    for i, (page, body) in enumerate(articles.bodies.items()):
        up = "../" * page.count("/")
        for link in body.iter("a"):
            if link.get("href", "").startswith(PAGE):
                target, mark, fragment = link.get("href", "").removeprefix(PAGE).partition("#")
                link.set("href", f"{up}{target}.xhtml{mark}{fragment}")
        heading = body.find(".//h1")
        name = "" if heading is None else "".join(heading.itertext())
        files[f"{page}.xhtml"] = _XHTML.format(title=escape(name), up=up, body=written(body))
        has = " ".join(
            word for tag, word in _PROPERTIES.items() if body.find(f".//{tag}") is not None
        )
        properties = f' properties="{has}"' if has else ""
        items.append(
            f'<item id="page-{i}" href="{page}.xhtml" media-type="application/xhtml+xml"'
            f"{properties}/>\n"
        )
        spine.append(f'<itemref idref="page-{i}"/>\n')
    contents = articles.nested('<a href="{0}.xhtml">')
    nav = f'<nav epub:type="toc"><h1>Contents</h1>\n{contents}</nav>'
    files["contents.xhtml"] = _XHTML.format(title="Contents", up="", body=nav)
    files["book.opf"] = _PACKAGE.format(
        identifier=uuid.uuid5(uuid.NAMESPACE_URL, title).urn,
        title=escape(title),
        author=escape(author),
        day=articles.measured[:10],
        measured=articles.measured,
        items="".join(items),
        spine="".join(spine),
    )
    with zipfile.ZipFile(path, "w") as whole:
        # A reader knows the kind of the file by its first entry, which has to be stored as it is.
        whole.writestr(_entry("mimetype"), "application/epub+zip", zipfile.ZIP_STORED)
        for name, text in files.items():
            whole.writestr(_entry(name), text, zipfile.ZIP_DEFLATED, 9)


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry without a time, and with the rights of an ordinary file."""
    entry = zipfile.ZipInfo(name)  # of 1980, the first year that a zip can name
    entry.external_attr = 0o644 << 16
    return entry
