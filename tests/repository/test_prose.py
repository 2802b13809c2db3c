"""No number with a unit stands in prose on its own word.

It is glued to the evidence by a role, or stands in a sentence (a line, in this book's sources) that
links to its source, or is an input of the experiment, listed in the front matter's ``inputs``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests import ROOT

PAGES = sorted(
    path
    for path in (ROOT / "index.md", *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.md"))
    if path.name not in {"glossary.md", "claims.md"}
)

UNITS = (
    "ms|milliseconds?|s|seconds?|min|minutes?|hours?|µs|microseconds?|%|percent|kB|KiB|MB|MiB|GB|GiB"
    "|bytes|×|times|-fold|requests?|per second|a second|threads?|slots?|clients?|workers?"
    "|processes|connections?|cores?"
)
NUMBER = re.compile(rf"(?<![\w.:/–-])(\d[\d  ]*(?:\.\d+)?)[ \u00a0\u202f-]?({UNITS})(?!\w)")


def stray(text: str) -> list[str]:
    """Every number with a unit in the prose of a page that nothing answers for."""
    head, body = _front_matter(text), body_of(text)
    inputs = {" ".join(str(one).split()) for one in head.get("inputs", ())}
    found = []
    lines = _prose(body)
    for place, line in enumerate(lines):
        # A table is answered for by the first sentence after it.
        rest = (one for one in lines[place:] if one.strip() and not one.startswith("|"))
        witness = next(rest, "") if line.startswith("|") else line
        if re.search(r"\]\(https?://", witness):
            continue
        for number, unit in NUMBER.findall(
            re.sub(r"\{[\w-]+\}`[^`]*`|`[^`]*`|\$[^$]*\$", "", line)
        ):
            if not {f"{number} {unit}", f"{number}{unit}"} & inputs:
                found.append(f"{number} {unit}: {line.strip()[:90]}")
    return found


FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


def _front_matter(text: str) -> dict[str, list[str]]:
    head = FRONT_MATTER.match(text)
    return (yaml.safe_load(head[1]) if head else None) or {}


def body_of(text: str) -> str:
    """A page without its front matter."""
    return FRONT_MATTER.sub("", text)


def without_code(body: str) -> str:
    """A page's text outside of its blocks of code."""
    return re.sub(
        r"^(```+)(?!\{(?:note|tip|warning|admonition)).*?^\1`*$", "", body, flags=re.S | re.M
    )


def _prose(body: str) -> list[str]:
    """The lines outside of code blocks and of what directives contain as options."""
    lines = without_code(body).splitlines()
    return [line for line in lines if not re.match(r"\s*(:\w|\(|:::)", line)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_number_in_the_prose_is_glued_cited_or_an_input(path: Path) -> None:
    assert stray(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "The median was 52 ms.",
        "It takes 1.5 times as long.",
        "Memory grows by 98 MB.",
        "That is 30 % more.",
        "At 10 000 requests per second.",
        "| a | 5 s |\n\nThe table is nobody's.",
        "It takes 50 ms.\n\n```{code-cell} python\nHOLD = 50\n```",
        "---\ninputs: [52 ms]\n---\n\nThe view waits 52 s.",
    ],
)
def test_a_number_that_nothing_answers_for_is_found(line: str) -> None:
    assert len(stray(f"# Page\n\n{line}\n")) >= 1


@pytest.mark.parametrize(
    "text",
    [
        "The median was {measured}`C05.effect`.",
        "By default it is [30 seconds](https://gunicorn.org/reference/settings/).",
        "The option `--timeout 30 s` is shown.",
        "---\ninputs: [52 ms]\n---\n\nThe view waits 52 ms.",
        "```python\ntime.sleep(3)  # 3 seconds\n```",
        "Chapter 3 says more.",
        "| a | 5 s |\n\nThe table is [the manual's](https://example.org/).",
    ],
)
def test_what_is_glued_cited_or_an_input_is_left_alone(text: str) -> None:
    assert stray(text) == []
