"""The last touch to each page's HTML: labels, what it loads and when, and a content policy.

The policy allows this site's own files and, by their hashes, exactly the inline scripts that the
page has. Nothing can be loaded from elsewhere. Style attributes stay allowed, because SVG figures
carry them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from sphinx.jinja2glue import BuiltinTemplateLoader
from sphinx.util import logging

from bookext import sheet
from bookext.unscripted import linked

LOGGER = logging.getLogger(__name__)

_SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL | re.IGNORECASE)
_SEARCH = re.compile(
    r'<script src="[^"]*/?(?:searchtools|language_data|searchindex)\.js[^"]*"></script>\s*'
)
_SOURCE = re.compile(r'\bsrc="([^"]*)"')
_TYPE = re.compile(r'\btype="([^"]*)"')
_HANDLER = re.compile(r"<[a-z][^>]*\s(on[a-z]+)=[\"']", re.IGNORECASE)
_SUMMARY = re.compile(r"<summary>(?=\s*<span class=\"toctree-toggle\")")
_TITLE = re.compile(r"<title>(.+?) &#8212; \1</title>")
_SIDEBAR = '<div id="pst-primary-sidebar"'
_OPTION = re.compile(r"<script>DOCUMENTATION_OPTIONS\.\w+ = [^<]*</script>\s*")
_THEME = 'dataset.theme = localStorage.getItem("theme") || "auto";'
#: What the theme's own script decides too, but only after the page has been seen once.
_THEME_AT_ONCE = _THEME.replace(
    '"auto"', '(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'
)
_BLOCKING = re.compile(r"<script\b(?![^>]*\b(?:defer|async|type)\b)(?=[^>]*\bsrc=)")

#: Scripts of extensions, and what a page must have for them to find something to do.
_SERVED = {
    "clipboard.min.js": '<div class="highlight',
    "copybutton.js": '<div class="highlight',
    "design-tabs.js": "sd-tab-set",
}
_CHARSET = re.compile(r'<meta charset="[^"]*"\s*/?>')


class FinishedTemplates(BuiltinTemplateLoader):
    """Sphinx's template loader; every whole page that it renders gets the last touch."""

    def render(self, template: str, context: Mapping[str, Any]) -> str:  # type: ignore[override]
        """Render a template; pages are finished, fragments are left alone."""
        text: str = super().render(template, dict(context))
        if "<html" not in text[:600]:
            return text
        for handler in inline_handlers(text):
            LOGGER.warning("%s: the content policy blocks %s", context.get("pagename"), handler)
        for name in set(sheet.links(text)).difference((sheet.SHEET, *sheet.SHEETS)):
            LOGGER.warning("%s: bookext.sheet does not join %s", context.get("pagename"), name)
        return finish(text if context.get("pagename") == "search" else without_search(text))


def finish(page: str) -> str:
    """Name unnamed parts, load little and nothing that blocks, and add the content policy."""
    page = _SUMMARY.sub('<summary aria-label="Show or hide the pages below">', page)
    page = page.replace(_SIDEBAR, f'{_SIDEBAR} role="navigation" aria-label="Book"', 1)
    page = page.replace(_THEME, _THEME_AT_ONCE, 1)
    page = _TITLE.sub(r"<title>\1</title>", without_repeats(page))
    page = _BLOCKING.sub("<script defer", linked(sheet.one_link(without_idle(page))))
    policy = f'<meta http-equiv="Content-Security-Policy" content="{content_policy(page)}">'
    return _CHARSET.sub(lambda match: f"{match[0]}\n    {policy}", page, count=1)


def without_search(page: str) -> str:
    """The page without the search index and what reads it, which only the search page needs.

    The theme gives them to every page for a search as one types, which this book does not offer:
    its dialog opens the search page. The index grows with the book.
    """
    return _SEARCH.sub("", page)


def without_idle(page: str) -> str:
    """The page without scripts that have nothing to do on it, and options that none of them reads.

    The options are for a search as one types and for a list of versions.
    """

    def idle(match: re.Match[str]) -> str:
        source = _SOURCE.search(match[1])
        name = "" if source is None else source[1].partition("?")[0].rpartition("/")[2]
        return match[0] if _SERVED.get(name, "") in page else ""

    return _SCRIPT.sub(idle, _OPTION.sub("", page))


def without_repeats(page: str) -> str:
    """The page with only the first of several equal scripts, by file or by text."""
    seen: set[str] = set()

    def once(match: re.Match[str]) -> str:
        source = _SOURCE.search(match[1])
        script = match[2] if source is None else source[1].partition("?")[0]
        if script in seen:
            return ""
        seen.add(script)
        return match[0]

    return _SCRIPT.sub(once, page)


def content_policy(page: str) -> str:
    """The strictest policy under which this page works.

    ``file:`` stands beside ``'self'`` because browsers disagree on whether a page opened from a
    disk is of its own origin; on the web no page may load a file from a disk anyway.
    """
    hashes = " ".join(f"'sha256-{digest}'" for digest in script_hashes(page))
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' file: {hashes}".rstrip(),
            "style-src 'self' file: 'unsafe-inline'",
            "img-src 'self' file: data:",
            "font-src 'self' file: data:",
            "connect-src 'self'",
            "form-action 'self' file:",
            "base-uri 'none'",
        )
    )


def script_hashes(page: str) -> list[str]:
    """SHA-256 of each distinct inline script, as the policy writes it."""
    found: dict[str, None] = {}
    for attributes, body in _SCRIPT.findall(page):
        kind = _TYPE.search(attributes)
        runs = kind is None or kind[1] in {"text/javascript", "module"}
        if runs and _SOURCE.search(attributes) is None:
            digest = hashlib.sha256(body.encode()).digest()
            found[base64.b64encode(digest).decode()] = None
    return list(found)


def inline_handlers(page: str) -> list[str]:
    """Names of event attributes; none can work under the policy."""
    return sorted(set(_HANDLER.findall(_SCRIPT.sub("", page))))
