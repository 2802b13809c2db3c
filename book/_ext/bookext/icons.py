"""The theme's icon fonts and their style sheet, cut down to the icons that the site shows."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

#: Icons that scripts put into a page, so that no page's HTML names them.
SAFE = frozenset({"fa-xmark", "fa-check", "fa-copy", "fa-angle-right", "fa-angle-down"})

_RULE = re.compile(
    r"(?P<names>\.fa-[a-z0-9-]+::?before(?:,\.fa-[a-z0-9-]+::?before)*)"
    r"\{content:\"\\(?P<code>[0-9a-f]{1,6})\"\}"
)
_CODE = re.compile(r"\\([ef][0-9a-f]{3,4})\b")
_NAME = re.compile(r"\.(fa-[a-z0-9-]+)")
_CLASS = re.compile(r"\bfa-[a-z0-9-]+")
_TRUETYPE = re.compile(r",url\([^)]*\.ttf\)\s*format\(\"truetype\"\)")
_COMMENT = re.compile(r"/\*# sourceMappingURL=[^*]*\*/")


def used(texts: Iterable[str]) -> set[str]:
    """The icon classes that pages and scripts name."""
    return set(SAFE).union(*(_CLASS.findall(text) for text in texts))


def trim(css: str, keep: set[str]) -> str:
    """The style sheet without the rules of icons that no page shows."""

    def shown(match: re.Match[str]) -> str:
        return match[0] if keep & set(_NAME.findall(match["names"])) else ""

    return _COMMENT.sub("", _TRUETYPE.sub("", _RULE.sub(shown, css)))


def codepoints(css: Iterable[str]) -> set[int]:
    """The icons' code points that style sheets (already trimmed) still draw."""
    return {int(code, 16) for text in css for code in _CODE.findall(text)}


def shrink(font: Path, codes: set[int], store: Path) -> bytes:
    """A WOFF2 font with only ``codes``, kept in ``store`` since subsetting takes a second."""
    wanted = ",".join(map(str, sorted(codes)))
    key = hashlib.sha256(font.read_bytes() + wanted.encode()).hexdigest()[:24]
    kept = store / f"{font.stem}-{key}.woff2"
    if kept.exists():
        return kept.read_bytes()
    options = subset.Options(flavor="woff2", desubroutinize=True, notdef_outline=False)
    options.layout_features = []
    loaded = TTFont(font, recalcTimestamp=False)  # the same bytes whenever it is cut
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=codes)
    cutter.subset(loaded)
    out = io.BytesIO()
    subset.save_font(loaded, out, options)
    store.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(out.getvalue())
    return out.getvalue()
