"""The book's articles, read from the finished site in the order of its contents.

Taken from the site and not from Sphinx, the book in one file cannot differ from what it shows.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin
from xml.etree.ElementTree import Element, TreeBuilder, tostring

from gatewaylab.errors import BuildError

_ARTICLE = re.compile(r'<article class="bd-article">.*?</article>', re.DOTALL)
_CONTENTS = re.compile(r'<nav class="bd-links.*?</nav>', re.DOTALL)
_SHEET = re.compile(r'<link\b[^>]*\bhref="[./]*(_static/[^"?]*\.css)')
_ADDRESS = re.compile(r'<link rel="canonical" href="([^"]*?)(?:index\.html)?"')

#: What only a script or a pointer can use; so is whatever a script has yet to show.
_IDLE = frozenset({"script", "button", "form", "input", "noscript"})

#: Elements of another language than HTML, which XML wants to be told.
_SPACES = {"svg": "http://www.w3.org/2000/svg", "math": "http://www.w3.org/1998/Math/MathML"}

#: What HTML never closes.
_VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})

_NAME, _VALUE = re.compile(r"[A-Za-z_:][\w:.-]*"), re.compile(r"=\s*(\"[^\"]*\"|'[^']*')")

#: Of a link to another page, in front of the page's name.
PAGE = "page:"


@dataclass(frozen=True)
class Entry:
    """An entry of the contents: a page, or a part, which has a title and pages only.

    Args:
        page: its name as in ``_toc.yml``; None for a part.
    """

    title: str
    page: str | None
    below: tuple[Entry, ...]


@dataclass(frozen=True)
class Articles:
    """All that the site gives to read.

    Args:
        sheet: the style sheet of all pages, as a path in the site.
        bodies: the article of each page, in the order of the contents. A link to another page is
            ``page:`` and its name, as in ``page:book/wsgi#workers``.
        measured: when the newest of the numbers were measured, in UTC: ``2026-01-31T12:00:00``.
        address: of the published site, with a slash at its end; None while nobody has told it.
    """

    contents: tuple[Entry, ...]
    sheet: str
    bodies: dict[str, Element]
    measured: str
    address: str | None

    def nested(self, link: str, entries: Sequence[Entry] | None = None) -> str:
        """The contents as nested lists.

        Args:
            link: the tag that opens a link to a page, with ``{0}`` for the page's name.
        """
        items = []
        for one in self.contents if entries is None else entries:
            tag = "<span>" if one.page is None else link.format(one.page)
            title = f"{tag}{escape(one.title)}</{'span' if one.page is None else 'a'}>"
            below = self.nested(link, one.below) if one.below else ""
            items.append(f"<li>{title}{below}</li>\n")
        return f"<ol>\n{''.join(items)}</ol>"


def read(site: Path) -> Articles:
    """Every article of the contents, without what paper has no use for.

    Raises:
        BuildError: one has elements that overlap, or there is no style sheet.
    """
    front = (site / "index.html").read_text(encoding="utf-8")
    found, sheet = _ADDRESS.search(front), _SHEET.search(front)
    address = found[1] if found else None
    if sheet is None:
        raise BuildError("the book can't be printed: its front page has no style sheet")
    contents = tuple(_entries(_cut(_CONTENTS, front, "the contents").find("div")))
    pages = [entry.page for entry in _walk(contents) if entry.page is not None]
    bodies = {}
    for page in pages:
        body = _cut(_ARTICLE, (site / f"{page}.html").read_text(encoding="utf-8"), page)
        _strip(body)
        for link in body.iter("a"):
            _resolve(link, page, pages, address)
        bodies[page] = body
    runs = json.loads((site / "data" / "environment.json").read_text(encoding="utf-8"))["runs"]
    measured = max((run["finished_at"][:19] for run in runs), default="1980-01-01T00:00:00")
    return Articles(contents, sheet[1], bodies, measured, address)


class _Reader(HTMLParser):
    """Makes elements of HTML, which leaves things out that XML needs."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what, self._builder, self._open = what, TreeBuilder(), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The parser gives names in small letters; those of SVG also have capitals.
        names = _NAME.findall(_VALUE.sub("", self.get_starttag_text() or ""))
        spelled = {name.lower(): name for name in names}
        attributes = {spelled.get(name, name): value or "" for name, value in attrs}
        if tag in _SPACES:
            attributes["xmlns"] = _SPACES[tag]
        self._builder.start(spelled[tag], attributes)
        self._open.append(tag)
        if tag in _VOID:
            self.handle_endtag(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise BuildError(f"{self._what} can't be printed: </{tag}> closes another element")
        self._builder.end(tag)

    def handle_data(self, data: str) -> None:
        self._builder.data(data)

    def element(self) -> Element:
        self.close()
        return self._builder.close()


def written(body: Element) -> str:
    """An article as XHTML."""
    return tostring(body, encoding="unicode")


def _cut(part: re.Pattern[str], page: str, what: str) -> Element:
    found = part.search(page)
    if found is None:
        raise BuildError(f"{what} can't be printed: its page has no {part.pattern!r}")
    reader = _Reader(what)
    reader.feed(found[0])
    return reader.element()


def _entries(parts: Element | None) -> Iterator[Entry]:
    """What the theme's sidebar has: lists of pages, and captions in front of some of the lists."""
    caption = None
    for part in parts if parts is not None else ():
        if part.tag == "p":
            caption = _words(part)
        elif caption is not None:
            yield Entry(caption, None, tuple(_pages(part)))
            caption = None
        else:
            yield from _pages(part)


def _pages(items: Element) -> Iterator[Entry]:
    for item in items:
        link, below = item.find("a"), item.find("details/ul")
        assert link is not None  # the theme makes a list of nothing but links
        page = link.get("href", "").removesuffix(".html")
        nested = () if below is None else tuple(_pages(below))
        yield Entry(_words(link), "index" if page == "#" else page, nested)


def _walk(entries: Sequence[Entry]) -> Iterator[Entry]:
    for entry in entries:
        yield entry
        yield from _walk(entry.below)


def _words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _strip(element: Element) -> None:
    """Take out what only works on a screen, and open what is folded."""
    if "hide" in element.get("class", "").split():  # code that the site folds away
        element.tag, element.attrib = "div", {}
    if element.tag == "details":
        element.set("open", "")
    before: Element | None = None
    for child in list(element):
        if _is_idle(child) or (child.tag == "summary" and element.tag != "details"):
            tail = child.tail or ""
            if before is None:
                element.text = (element.text or "") + tail
            else:
                before.tail = (before.tail or "") + tail
            element.remove(child)
        else:
            _strip(child)
            before = child


def _is_idle(element: Element) -> bool:
    return (
        element.tag in _IDLE
        or "hidden" in element.attrib
        or "headerlink" in element.get("class", "").split()
    )


def _resolve(link: Element, page: str, pages: Sequence[str], address: str | None) -> None:
    """Let a link lead to a page of the book, to the published site, or nowhere."""
    href = link.get("href", "")
    if not href or href.startswith("#") or "//" in href or href.startswith("mailto:"):
        return
    path, fragment = urldefrag(href)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    name = path.removesuffix(".html")
    if name in pages and path != name:
        link.set("href", f"{PAGE}{name}" + (f"#{fragment}" if fragment else ""))
    elif address is not None:
        link.set("href", urljoin(address, path) + (f"#{fragment}" if fragment else ""))
    else:
        for attribute in ("href", "download"):
            link.attrib.pop(attribute, None)
