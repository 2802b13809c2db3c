"""One style sheet for all pages, and what a page loads besides."""

from __future__ import annotations

from pathlib import Path

import pytest
from bookext import page, sheet

PAGE = (
    '<html><head><meta charset="utf-8"><link rel="stylesheet" href="../_static/{}" /></head></html>'
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    static = tmp_path / "html" / "_static"
    for name in sheet.SHEETS:
        (static / name).parent.mkdir(parents=True, exist_ok=True)
        (static / name).write_text(f".here {{ --{name.partition('.')[0].replace('/', '-')}: 1 }}")
    (static / "basic.css").write_text("/* words */ .here { color: red } .gone { color: blue }")
    (static / "styles/sphinx-book-theme.css").write_text(
        '@font-face { font-family: F; src: url(../f/a.woff2), url(../f/a.ttf) format("truetype") }'
    )
    (static / "book.css").write_text(".here { color: green } .set { top: 0 } .card { color: red }")
    (static / "mystnb.css").rename(static / f"mystnb.{'a' * 64}.css")
    (static / "site.js").write_text("x.classList.add('set')")
    (static / "bootstrap.js").write_text("x.classList.add('card')")
    (tmp_path / "html" / "index.html").write_text(
        '<link rel="stylesheet" href="_static/site.css" /><p class="there here">'
    )
    return tmp_path / "html"


def test_the_sheets_are_one_in_their_order_without_what_nothing_uses(out: Path) -> None:
    css = sheet.publish(out, out.parent / "store")
    assert "green" in css
    assert "red" not in css  # a later rule has won
    assert ".set" in css
    for absent in (".gone", ".card", "words", "truetype", "--"):
        assert absent not in css
    assert "url(f/a.woff2)" in css
    assert [path.name for path in out.rglob("*.css")] == [sheet.SHEET]


def test_a_second_rendering_makes_the_same_bytes(out: Path) -> None:
    sheet.publish(out, out.parent / "store")
    files = {path: path.read_bytes() for path in out.rglob("*.*")}
    assert b"site.css?v=" in files[out / "index.html"]
    sheet.publish(out, out.parent / "store")
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == files


def test_another_text_of_the_sheet_has_another_address(out: Path) -> None:
    sheet.publish(out, out.parent / "store")
    first = (out / "index.html").read_text()
    (out / "_static/book.css").write_text(".here { color: blue }")
    sheet.publish(out, out.parent / "store")
    assert (out / "index.html").read_text() != first


def test_properties_and_animations_go_when_nothing_asks_for_them() -> None:
    css = (
        ".a{--x:1px;--y:var(--x);--z:2px;--read:3px;width:var(--z);animation:turn 1s}"
        "@keyframes turn{to{left:0}}@keyframes lost{to{left:1px}}"
    )
    kept = sheet.purge(css, {"a", "--read"})
    assert [name for name in ("--x", "--y", "lost") if name in kept] == []
    assert [name for name in ("--z", "--read", "@keyframes turn") if name not in kept] == []


def test_negations_and_alternatives_of_absent_classes_keep_their_rules() -> None:
    css = ".a:not(.gone){top:0}:is(.a,.gone){left:0}.a.gone{right:0}"
    kept = sheet.purge(css, {"a"})
    assert "top:0" in kept
    assert "left:0" in kept
    assert "right:0" not in kept


def test_a_page_links_to_the_one_sheet_only() -> None:
    hashed = f"mystnb.{'a' * 64}.css?v=1"
    both = PAGE.format("site.css") + PAGE.format(hashed)
    assert sheet.links(both) == ["site.css", "mystnb.css"]
    assert sheet.links(sheet.one_link(both)) == ["site.css"]
    alone = PAGE.format("basic.css")
    assert sheet.one_link(alone) == alone


def test_scripts_wait_for_the_page_and_those_without_work_are_not_loaded() -> None:
    scripts = (
        '<script src="a.js"></script><script async src="b.js"></script>'
        "<script>now()</script><script>DOCUMENTATION_OPTIONS.pagename = 'a';</script>"
        '<script src="_static/copybutton.js?v=1"></script>'
    )
    done = page.finish(f'<html><meta charset="utf-8">{scripts}</html>')
    assert '<script defer src="a.js">' in done
    assert '<script async src="b.js"></script><script>now()</script></html>' in done
    code = page.finish(
        f'<html><meta charset="utf-8">{scripts}<div class="highlight">x</div></html>'
    )
    assert '<script defer src="_static/copybutton.js?v=1">' in code
