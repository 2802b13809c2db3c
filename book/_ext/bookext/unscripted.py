"""The style sheet that only readers without scripts load: their colours, and what can't work.

The theme and this book write each colour twice, once below ``[data-theme=light]`` and once below
``[data-theme=dark]``, and a script names the one that holds. Without it neither does. So the rules
of both are written once more, below the browser's own preference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: In ``_static``; the file of that name among the assets says what else changes without scripts.
SHEET = "unscripted.css"

#: For each theme, the media that it holds for. Paper is white.
_MEDIA = {
    "light": "print, (prefers-color-scheme: light)",
    "dark": "screen and (prefers-color-scheme: dark)",
}
_LINK = re.compile(r'<link\b[^>]*\bhref="([^"]*)_static/[^"?]+\.css\b')
_PART = re.compile(
    r"/\*.*?\*/" r"|\"(?:\\.|[^\"\\])*\"" r"|'(?:\\.|[^'\\])*'" r"|[{};]" r"|[^{};\"'/]+|/",
    re.DOTALL,
)
#: Rules that hold other rules.
_GROUPS = ("@media", "@supports", "@container", "@layer")


def linked(page: str) -> str:
    """A page that, without scripts, loads the sheet after all others."""
    found = _LINK.search(page)
    if found is None:
        return page
    link = f'<noscript><link rel="stylesheet" href="{found[1]}_static/{SHEET}"></noscript>'
    return page.replace("</head>", f"{link}\n</head>", 1)


def written(css: str, own: str) -> str:
    """The sheet's text: the colours of the site's one sheet, then ``own``."""
    rules = (f"@media {media} {{{colours(css, theme)}}}\n" for theme, media in _MEDIA.items())
    return f"{''.join(rules)}{own}"


def colours(css: str, theme: str) -> str:
    """The rules for one theme, for a page whose ``data-theme`` names none.

    Those for any theme are among them, so that what stood last stands last again.
    """
    named = re.compile(rf"\[data-theme(=[\"']?{theme}[\"']?)?\]")
    return "".join(named.sub("[data-theme]", rule) for rule in _rules(css, named))


def _rules(css: str, named: re.Pattern[str]) -> Iterator[str]:
    """Each rule whose selector names the theme; in the groups that they stand in."""
    for head, body in _blocks(css):
        if head.startswith(_GROUPS):
            inner = "".join(_rules(body, named))
            if inner:
                yield f"{head}{{{inner}}}"
        elif named.search(head):
            yield f"{head}{{{body}}}"


def _blocks(css: str) -> Iterator[tuple[str, str]]:
    """Each block of a sheet: what stands before its brace, and what stands within."""
    head, body, depth = "", "", 0
    for part in _PART.findall(css):
        if part.startswith("/*"):
            continue
        depth -= part == "}"
        if depth:
            body += part
        elif part == "}":
            yield head.strip(), body
            head = body = ""
        elif part == ";":
            head = ""
        elif part != "{":
            head += part
        depth += part == "{"
