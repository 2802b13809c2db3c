"""A link that names a page names it as it is called: by its title, or as the contents list it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests import ROOT

PAGES = sorted((ROOT / "index.md", *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.md")))
_LINK = re.compile(r"\[([A-Z][^\]]*)\]\(([^)#\s]+\.md)\)")


def listed() -> dict[str, str]:
    """Page → its title in the table of contents, where it has one."""
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    todo, found = [yaml.safe_load(contents)], dict[str, str]()
    while todo:
        one = todo.pop()
        found |= {one["file"]: one["title"]} if "title" in one else {}
        todo += [each for key in ("parts", "chapters", "sections") for each in one.get(key, ())]
    return found


CONTENTS = listed()


def misnamed(text: str, page: Path) -> list[str]:
    """The links of a page that begin with a capital and don't say what the other page is called."""
    found = []
    for words, path in _LINK.findall(text):
        other = (page.parent / path).resolve().relative_to(ROOT)
        heading = re.search(r"^# (.+)$", (ROOT / other).read_text(encoding="utf-8"), re.MULTILINE)
        assert heading is not None
        names = f"{heading[1]}\n{CONTENTS.get(str(other.with_suffix('')), '')}".lower()
        if words.lower().removeprefix("the ") not in names:
            found.append(f"{words}: {other}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_link_that_names_a_page_names_it_as_it_is_called(page: Path) -> None:
    assert misnamed(page.read_text(encoding="utf-8"), page) == []


def test_a_former_title_is_found() -> None:
    page = ROOT / "book" / "which.md"
    text = "[Quicker](comparison.md), [WSGI or ASGI, compared](comparison.md), [so](a.md)"
    assert misnamed(text, page) == ["Quicker: book/comparison.md"]
