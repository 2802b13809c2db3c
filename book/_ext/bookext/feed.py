"""The changelog as an Atom feed; only where the site's address is known, since a feed needs ids."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

from bookext.build import paragraph

LOGGER = logging.getLogger(__name__)

_PAGE, _FILE = "CHANGELOG", "changelog.xml"
_ATOM, _TYPE = "http://www.w3.org/2005/Atom", "application/atom+xml"

#: A section's heading: the version, words, and the day of its newest line.
_HEADING = re.compile(r"(\d+\.\d+\.\d+)\b.*\((\d{4}-\d\d-\d\d)\)")


def is_wanted(app: Sphinx) -> bool:
    """Whether this build makes a feed."""
    known = bool(app.config.html_baseurl) and _PAGE in app.env.found_docs
    return known and isinstance(app.builder, StandaloneHTMLBuilder)


def announce(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let each page name the feed, for the programs that look for one."""
    if doctree is not None and is_wanted(app):
        address = context["pathto"](_FILE, 1)
        link = f'<link rel="alternate" type="{_TYPE}" title="Changelog" href="{address}">\n'
        context["metatags"] += link


def offer(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Let the changelog's page link to the feed, before its first section."""
    if page != _PAGE or not is_wanted(app):
        return
    address = relative_uri(app.builder.get_target_uri(page), _FILE)
    link = nodes.reference("", "Follow it as a feed", refuri=address, internal=True)
    for section in _sections(doctree):
        section.parent.insert(section.parent.index(section), paragraph(link, "."))
        break


def write(app: Sphinx, failure: Exception | None) -> None:
    """Write the feed beside the pages, or take an old one away."""
    path = Path(app.outdir, _FILE)
    path.unlink(missing_ok=True)
    if failure is not None or not is_wanted(app):
        return
    site, page = app.config.html_baseurl, app.builder.get_target_uri(_PAGE)
    entries = list(_entries(app.env.get_doctree(_PAGE), site + page))
    if not entries:
        return
    ET.register_namespace("", _ATOM)
    feed, author = _element("feed"), _element("author")
    author.append(_element("name", app.config.author))
    feed.extend(
        (
            _element("id", site + _FILE),
            _element("title", f"{app.config.project}: what has changed"),
            _element("updated", max(one.findtext(_name("updated"), "") for one in entries)),
            _element("link", rel="self", type=_TYPE, href=site + _FILE),
            _element("link", rel="alternate", type="text/html", href=site + page),
            author,
            *entries,
        )
    )
    ET.indent(feed)
    ET.ElementTree(feed).write(path, encoding="utf-8", xml_declaration=True)


def _sections(doctree: nodes.document) -> list[nodes.section]:
    """The sections of versions: those below the page's title."""
    whole = next(doctree.findall(nodes.section), doctree)
    return [one for one in whole.children if isinstance(one, nodes.section)]


def _entries(doctree: nodes.document, address: str) -> Iterator[ET.Element]:
    """One entry a version; it keeps its id when its heading gets another day."""
    for section in _sections(doctree):
        title = section[0].astext()
        heading = _HEADING.match(title)
        if heading is None:
            LOGGER.warning("%s: a feed wants headings like “0.1.0 (2026-11-30)”: %s", _PAGE, title)
            continue
        version, day = heading.groups()
        lines = (html.escape(item.astext()) for item in section.findall(nodes.list_item))
        entry = _element("entry")
        entry.extend(
            (
                _element("id", f"{address}#{version}"),
                _element("title", title),
                _element("updated", f"{day}T00:00:00Z"),
                _element("link", rel="alternate", type="text/html", href=address),
                _element("content", "".join(f"<p>{line}</p>" for line in lines), type="html"),
            )
        )
        yield entry


def _name(tag: str) -> str:
    return f"{{{_ATOM}}}{tag}"


def _element(tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.Element(_name(tag), attributes)
    element.text = text
    return element


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", announce)
    app.connect("doctree-resolved", offer)
    app.connect("build-finished", write)
