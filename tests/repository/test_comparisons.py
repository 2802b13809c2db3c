"""No comparison without its conditions: a passage that compares says what it rests on.

A passage is a paragraph, a list item or a row of a table. One that says *faster*, *cheaper*, *twice
as*, *less … than* holds a number or a claim of the book, or a link to where it was measured or is
cited. In a notebook, which measures what it says, that is asked for words about speed and price
alone. Questions compare nothing, nor do the sections on what was not shown; ``EXEMPT`` is the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository.test_prose import PAGES, body_of, without_code

SPEED = r"faster|slower|quicker|cheaper"
#: "No more than", "more than one" and "more than 20 a second" are bounds and not comparisons.
MEASURE = r"(?:twice|half|\w+ times) as|(?<!no )(?:more|fewer|less)(?: \w+){0,3} than(?! one\b| \d)"
RESTS_ON = re.compile(r"\{(?:claim|measured)\}`|:claims:|\]\((?:https?://|[\w./-]*notebooks/)")
QUESTION = re.compile(r"[^.?!\n]*\?")
NOT_SHOWN = re.compile(
    r"^## What (?:this|it)[\w ]* (?:can't|cannot) show$.*?(?=^## |\Z)", re.M | re.S
)

EXEMPT = {
    ("asgi", "wonder why nothing became faster"): "what a reader may wonder",
    ("gateway-interface", "costs less than it saves"): "a condition for a layer, not a finding",
    ("mental-model", "without working faster"): "about a point of the figure, not about a server",
    (
        "mental-model",
        "of both interfaces lie along",
    ): "what the figure would show, and how to read it",
    ("method", "2.4 times as long"): "an example with invented numbers, and says so",
    ("method", "no answer faster than the work"): "a check of the instrument",
    ("wsgi", "more than the 20 that one slot can answer"): "arithmetic, with its numbers beside it",
}


def passages(text: str) -> Iterator[str]:
    """Paragraphs, list items and rows, without code and without what was not shown."""
    for paragraph in re.split(r"\n\s*\n", NOT_SHOWN.sub("", without_code(body_of(text)))):
        yield from re.split(r"\n(?=\||- |\d+\. )", paragraph)


def groundless(text: str, *, notebook: bool = False) -> list[str]:
    """Every passage that compares and rests on nothing."""
    words = re.compile(rf"\b(?:{SPEED if notebook else f'{SPEED}|{MEASURE}'})\b", re.IGNORECASE)
    return [
        one for one in passages(text)
        if words.search(QUESTION.sub("", one)) and not RESTS_ON.search(one)
    ]  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_compares_rests_on_something(path: Path) -> None:
    exempt = [phrase for page, phrase in EXEMPT if page == path.stem]
    found = groundless(path.read_text("utf-8"), notebook=path.parent.name == "notebooks")
    assert [one for one in found if not any(phrase in one for phrase in exempt)] == []
    assert [phrase for phrase in exempt if not any(phrase in one for one in found)] == []


@pytest.mark.parametrize(
    "text",
    [
        "ASGI is faster.",
        "It answers twice as\nmany requests.",
        "| uvicorn | needs less memory than gunicorn |\n| a | row {claim}`C09` |",
        "- It takes three times as long.\n- This item has a number: {measured}`C05.effect`.",
        "Why is it faster? It is faster.",
        "See [another page](page.md): it is cheaper.",
    ],
)
def test_a_comparison_without_conditions_is_found(text: str) -> None:
    assert len(groundless(f"# Page\n\n{text}\n")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "ASGI is faster. {claim}`C09`",
        "It was slower, by {measured}`C05.effect`.",
        "It is [cheaper](https://example.org/).",
        "Ask [the notebook](../notebooks/workers.md), it is faster there.",
        "Is it faster?",
        "With more than 20 a second a queue grows; no more than four wait, and more than one.",
        "```python\nfaster()\n```",
        "## What this chapter cannot show\n\nElsewhere it is slower.",
    ],
)
def test_a_comparison_with_its_conditions_is_left_alone(text: str) -> None:
    assert groundless(f"# Page\n\n{text}\n") == []


def test_in_a_notebook_the_words_of_an_experiment_are_no_finding() -> None:
    text = "# Page\n\nIt waits ten times as long. It is faster.\n"
    assert (
        groundless(text.replace("It is faster.", ""), notebook=True),
        len(groundless(text)),
    ) == ([], 1)
