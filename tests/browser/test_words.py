"""No page says a sentence twice or shows a claim's badge twice; `scripts/sizes` counts alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import words

from .conftest import toc_pages

pytestmark = pytest.mark.browser

LONG = "Each worker needs the number for its own part."
CARD = (
    '<div class="claim-card"><details><summary><span class="claim-id">C05</span> '
    '<span class="claim-badge">supported</span></summary></details></div>'
)
BADGE = '<p><a href="#c05"><span class="claim-badge">C05 · supported</span></a></p>'


@pytest.mark.parametrize("path", toc_pages())
def test_no_page_says_a_sentence_twice(site: Path, path: str) -> None:
    assert words.repeats((site / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", toc_pages())
def test_no_page_shows_the_badge_of_a_claim_twice(site: Path, path: str) -> None:
    assert words.badged_twice((site / path).read_text(encoding="utf-8")) == []


def test_the_page_that_advises_has_few_badges(site: Path) -> None:
    assert len(words.badges((site / "book/which.html").read_text(encoding="utf-8"))) <= 30


@pytest.mark.parametrize(
    "twice",
    [
        f"<p>{LONG}</p><ul><li>So it is. {LONG}</li></ul>",
        f"<p>{LONG}</p><table><tfoot><tr><td><details><summary>More</summary>{LONG}",
        f"<p>Why: {LONG}</p><div hidden>{LONG}</div>",
        f"<li>{LONG}<ul><li>Other.</li></ul></li><figcaption>{LONG}</figcaption>",
        f"<p>{LONG} <span class='claim-badge'>C05 · supported</span></p><p>“{LONG}” And so on.</p>",
        f"<p>{LONG.replace('number', '<a>number</a>')}</p><td>{LONG}</td>",
    ],
)
def test_a_sentence_that_stands_twice_is_found(twice: str) -> None:
    assert words.repeats(f"<article>{twice}</article>") == [LONG]


@pytest.mark.parametrize(
    "once",
    [
        f"<h2>{LONG}</h2><p>{LONG}</p>",
        f"<p>{LONG}</p><td><a>{LONG}</a> · <a>data</a></td>",
        f"<pre>{LONG}</pre><p>{LONG}</p>",
        "<p>It has as many as slots.</p><p>It has as many as slots.</p>",
        f"<div class='cell_output'><table><tbody><tr><td>{LONG}</td><td>{LONG}</td>",
        f"<table class='states'><tbody><tr><td>{LONG}</td></tr><tr><td>{LONG}</td></tr>",
        f"<p class='choice-load'>{LONG}</p><p class='choice-load'>{LONG}</p>",
    ],
)
def test_names_code_and_what_a_program_saw_are_no_sentences_of_the_page(once: str) -> None:
    assert words.repeats(f"<article>{once}</article>") == []


def test_a_badge_that_stands_twice_is_found() -> None:
    assert words.badged_twice(f"<article>{CARD}{BADGE}</article>") == ["C05"]
    assert words.badged_twice(f"<article>{BADGE}{BADGE}</article>") == ["C05"]
    assert words.badged_twice(f"<article>{CARD}{BADGE.replace('C05', 'C06')}</article>") == []
