"""The reference in the repository: what a reader sees before the own machine has measured.

A change of code makes nothing red here: the page then says so and leaves the figures out. What is
red is mended on the reference machine, by a build and ``gatewaylab evidence export --reference``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bookext.roles import describe
from bookext.shelf import Shelf, UnknownReferenceError

from gatewaylab.claims.catalogue import catalogue
from gatewaylab.publish.book import Book
from gatewaylab.publish.reference import DRAWN, slimmed
from gatewaylab.records.evidence import Evidence, read
from tests import ROOT

BOOK = Book(ROOT)

#: Bytes that it may have in the repository.
MOST = 3_000_000

#: So many claims may be newer than it; with more, it is time to renew it.
NEWER = 5

RENEW = "renew it: scripts/build && .venv/bin/gatewaylab evidence export --reference"

NAMES = [path.stem for path in BOOK.notebooks()]


@pytest.fixture(scope="module")
def reference() -> dict[str, Evidence]:
    return {path.stem: read(path) for path in sorted(BOOK.reference.iterdir())}


def test_it_has_every_chapter_and_no_other(reference: dict[str, Evidence]) -> None:
    assert set(reference) == set(NAMES), RENEW


def test_it_is_slim(reference: dict[str, Evidence]) -> None:
    assert sum(path.stat().st_size for path in BOOK.reference.iterdir()) <= MOST
    assert [name for name, found in reference.items() if slimmed(found) != found] == []
    whole = {name: [one.name for one in found.comparisons] for name, found in reference.items()}
    assert all(comparison in whole[name] for name, (comparison, _) in DRAWN.items())


def test_it_is_of_one_machine_and_names_its_code(reference: dict[str, Evidence]) -> None:
    assert len({found.environment.kind for found in reference.values()}) == 1
    for found in reference.values():
        assert re.fullmatch(r"[0-9a-f]{12}(\+dirty)?", found.environment.commit or ""), RENEW


def test_it_has_no_claim_that_the_book_has_not_and_few_are_newer(
    reference: dict[str, Evidence],
) -> None:
    declared = {
        (name, entry.notebook)
        for name, entry in catalogue(ROOT / "book" / "claims").items()
        if entry.kind not in {"cited", "opinion"}
    }
    stated = {(one.id, name) for name, found in reference.items() for one in found.claims}
    assert stated - declared == set(), RENEW
    assert len(declared - stated) <= NEWER, RENEW


def test_every_number_in_the_prose_can_be_printed_from_it() -> None:
    """Else a fresh clone could not be read before it has measured."""
    nothing = Path("nowhere")
    shelf = Shelf(
        nothing, BOOK.reference, ROOT / "book" / "claims", ROOT / "notebooks", nothing, nothing
    )
    pages = [ROOT / "index.md", *(ROOT / "book").rglob("*.md"), *(ROOT / "notebooks").glob("*.md")]
    unknown, found = [], 0
    for page in pages:
        for quoted in re.findall(r"\{measured\}`([^`]+)`", page.read_text(encoding="utf-8")):
            try:
                describe(quoted, shelf)
                found += 1
            except UnknownReferenceError as error:
                if "decisions" not in page.parts:  # which show what a role looks like
                    unknown.append(f"{page.relative_to(ROOT)}: {error}")
    assert found > 0
    assert unknown == [], RENEW
