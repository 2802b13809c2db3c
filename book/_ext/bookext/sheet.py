"""One style sheet for all pages, with the rules that a page or a script can use.

The theme and its extensions bring seven sheets, most of whose rules are for parts that no page has,
and the book has five. They are joined in their order, behind the colours of the servers, and what
names an absent class or id is left out. The classes and ids that count are those of all pages
together and every word of the site's scripts.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from lightningcss import process_stylesheet

from gatewaylab.servers import palette

#: The one sheet, under ``_static``.
SHEET = "site.css"

#: What it is made of, in the order that the pages had them; a later rule wins over an earlier one.
SHEETS = (
    "basic.css",
    "styles/pydata-sphinx-theme.css",
    "pygments.css",
    "styles/sphinx-book-theme.css",
    "copybutton.css",
    "mystnb.css",
    "sphinx-design.min.css",
    "evidence-pages.css",
    "playground.css",
    "drawings.css",
    "book.css",
    "face.css",
)

#: Classes that Bootstrap's script sets; its other words are for parts that the book has not.
SAFE = frozenset(
    {"show", "fade", "tooltip", "tooltip-inner", "tooltip-arrow", "bs-tooltip-auto"}
    | {f"bs-tooltip-{side}" for side in ("top", "end", "bottom", "start")}
)

_LINK = re.compile(r'<link\b[^>]*?href="[^"]*?_static/([^"?]+\.css)[^"]*"[^>]*>\s*')
_ONE = re.compile(rf"(_static/{re.escape(SHEET)})(?:\?v=\w+)?\"")
_HASH = re.compile(r"\.[0-9a-f]{64}(?=\.css$)")
_ATTRIBUTE = re.compile(r'\b(?:class|id)="([^"]*)"')
_WORD = re.compile(r"[\w-]+")
_SELECTED = re.compile(r"[.#]([A-Za-z_-][\w-]*)")
_DECLARED = re.compile(r"(?<![\w-])(--[\w-]+)\s*:")
_ASKED = re.compile(r"var\(\s*(--[\w-]+)")
_FRAMES = re.compile(r"@(?:-webkit-)?keyframes\s+([\w-]+)")
_ANIMATED = re.compile(r"\banimation(?:-name)?:([^;}]*)")
_TRUETYPE = re.compile(r",\s*url\([^)]*\.ttf\)\s*format\(\"truetype\"\)")
_FACE = re.compile(r"url\([\"']?(fonts/[\w-]+\.woff2)[\"']?\)")
_ADDRESS = re.compile(r"url\((?![\"']?(?:data:|#|/|https?:))([\"']?)([^)\"']+)\1\)")


def links(page: str) -> list[str]:
    """The style sheets of this site that a page links to, without digests in their names."""
    return [_HASH.sub("", name) for name in _LINK.findall(page)]


def one_link(page: str) -> str:
    """The page without its links to the sheets that are joined, if it links to the one sheet."""
    if SHEET not in links(page):
        return page
    return _LINK.sub(lambda match: match[0] if match[1] == SHEET else "", page)


def publish(out: Path, store: Path) -> str:
    """Write the one sheet of a site, tell all its pages its digest, and return its text.

    The sheets and typefaces that it is made of are kept in ``store``: Sphinx writes them only when
    it writes a page, and nobody loads them.
    """
    static, sheets = out / "_static", store / "sheets"
    for path in sorted((*static.rglob("*.css"), *static.glob("fonts/*.woff2"))):
        if path != static / SHEET:
            kept = sheets / _HASH.sub("", path.relative_to(static).as_posix())
            kept.parent.mkdir(parents=True, exist_ok=True)
            path.replace(kept)
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(out.rglob("*.html"))}
    scripts = [p for p in static.rglob("*.js") if p.name not in {"bootstrap.js", "fontawesome.js"}]
    css = purge(
        joined(sheets),
        words(pages.values(), (path.read_text(encoding="utf-8") for path in scripts)),
    )
    (static / SHEET).write_text(css, encoding="utf-8")
    digest = hashlib.sha256(css.encode()).hexdigest()[:8]
    for path, text in pages.items():
        told = _ONE.sub(rf'\1?v={digest}"', text)
        if told != text:
            path.write_text(told, encoding="utf-8")
    return css


def joined(sheets: Path) -> str:
    """The servers' colours and those ``SHEETS`` that a folder has, one after the other.

    The typefaces are in the text, so that they come with it.
    """
    texts = (
        _moved((sheets / name).read_text(encoding="utf-8"), name)
        for name in SHEETS
        if (sheets / name).exists()  # a book without an extension is without its sheet
    )
    return _FACE.sub(
        lambda match: f"url(data:font/woff2;base64,{_base64(sheets / match[1])})",
        "\n".join((palette.stylesheet(), *texts)),
    )


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def words(pages: Iterable[str], scripts: Iterable[str]) -> set[str]:
    """Classes, ids and custom properties that pages have or that scripts may set or read."""
    found = set(SAFE)
    for text in pages:
        found.update(*map(str.split, _ATTRIBUTE.findall(text)), _ASKED.findall(text))
    return found.union(*(_WORD.findall(text) for text in scripts))


def purge(css: str, used: set[str]) -> str:
    """The sheet, minified, without rules for classes and ids that are not ``used``.

    Custom properties and animations that nothing asks for go too. One may be asked for by another
    that nobody asks for, so this is repeated until nothing is left to take.
    """
    unused = set(_SELECTED.findall(css)) - used - set(_FRAMES.findall(css))
    while True:
        css = process_stylesheet(css, unused_symbols=unused)
        animated = {word for value in _ANIMATED.findall(css) for word in _WORD.findall(value)}
        frames = set(_FRAMES.findall(css)) - animated - set(_SELECTED.findall(css))
        unused = set(_DECLARED.findall(css)) - set(_ASKED.findall(css)) - used | frames
        if not unused:
            return css


def _moved(css: str, name: str) -> str:
    """A sheet's text as it reads beside ``_static/site.css``, without fonts for old browsers."""
    folder = posixpath.dirname(name)
    return _ADDRESS.sub(
        lambda match: f"url({posixpath.normpath(posixpath.join(folder, match[2]))})",
        _TRUETYPE.sub("", css),
    )
