"""The theme's icon fonts, cut down to the icons that the site shows."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont


def codepoints(css: str) -> set[int]:
    """The icons' code points that a style sheet draws: those of Unicode's private use area."""
    return {ord(character) for character in css if "\ue000" <= character <= "\uf8ff"}


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
