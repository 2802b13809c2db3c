"""The page about other machines, and its drawing."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from bookext.forest import forest, margin

from gatewaylab.records import evidence, replication
from gatewaylab.records.evidence import ClaimRecord
from gatewaylab.records.replication import ReplicatedClaim, claim_of
from tests import builders
from tests.bookext import site

PARTS = ("summary", "sets", "forest", "claims", "differences")
PAGES = {
    "index": "# Front\n\n```{toctree}\nbook/claims\nbook/replicate\nbook/method\n```\n",
    "book/claims": "# Ledger\n\n```{claims-ledger}\n```\n\n```{claim-entries}\n```\n",
    "book/replicate": "# Page\n\n"
    + "".join(f"```{{replicated}} {part}\n```\n\n" for part in PARTS),
    "book/method": "# Method\n\n```{trials-table}\n```\n",
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book" / "claims").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    entries = builders.entry("C05") + builders.entry("C06")
    (tmp_path / "book" / "claims" / "some.toml").write_text(entries)
    site.write(tmp_path, PAGES)
    return tmp_path


def shown(book: Path) -> str:
    return site.html(site.clean(book), "book/replicate")


def behaviour(verdict: str = "supported") -> ClaimRecord:
    effect = builders.behaviour(5 if verdict == "supported" else 4)
    return builders.claim_record("C06", verdict, kind="behaviour", threshold=None, effect=effect)


NEW = builders.machine(python="CPython 3.13.1", kind="a processor × 2, Python 3.13")


def reference(book: Path) -> None:
    found = builders.evidence(claims=(builders.claim_record(), behaviour()))
    evidence.accept(found, book / "book" / "records" / "reference")


def send(book: Path, *claims: ClaimRecord, name: str = "sent") -> Path:
    path = book / "book" / "records" / "replications" / f"{name}.json"
    found = builders.replication(*claims, note="a laptop", environment=NEW)
    replication.save(found, path)
    return path


def test_without_any_measurement_nothing_is_claimed(book: Path) -> None:
    assert site.plain(shown(book)).count("Not measured on this machine .") == len(PARTS)


def test_a_machine_that_is_the_reference_says_so_and_has_nothing_to_compare(book: Path) -> None:
    reference(book)
    page = site.plain(shown(book))
    assert "Nothing but the reference was measured on this machine. There is nothing" in page
    # The same runs as accepted evidence are still nothing else.
    evidence.accept(
        builders.evidence(claims=(builders.claim_record(), behaviour())),
        book / "_build" / "evidence",
    )
    assert "Nothing but the reference was measured" in site.plain(shown(book))


def test_the_reference_stands_beside_this_machine_and_what_was_sent_in(book: Path) -> None:
    reference(book)
    mine = builders.evidence(
        claims=(builders.claim_record(effect=builders.effect(20, 15, 25)), behaviour()),
        measured_at="2026-02-01T00:00:00+00:00",
    )
    evidence.accept(mine, book / "_build" / "evidence")
    send(book, builders.claim_record(), behaviour("refuted"))
    app = site.clean(book)
    page = site.html(app, "book/replicate")
    words = site.plain(page)
    assert (
        "2 of 2 claims hold here too, 1 of them in another size; none disagrees. "
        "In 3 sets of measurements, from 1 kind of machine with Python 3.11 and Python 3.13, 1 of "
        "2 claims held wherever they were decided; in C06 the sets disagree."
    ) in words
    assert site.rows(page, "replication-sets")[1:] == [
        ["2", "this machine", "a processor × 2, Python 3.11", "1 February 2026", "2 of 2"],
        ["3", "sent: “a laptop”", "a processor × 2, Python 3.13", "1 January 2026", "1 of 2"],
    ]
    assert site.rows(page, "replication-claims") == [
        ["C05 the book says", "✓ ✓ ✓ 3 of 3"],
        ["C06 the book says", "✓ ✓ ✗ 2 of 3: Python 3.11"],
    ]
    assert 'title="set 3: refuted"' in page
    assert "C06 (Some) holds on Python 3.11 and was refuted on Python 3.13." in words
    assert "another size: 6 × (5–7) in set 1, 20 × (15–25) in set 2; the rule" in words
    assert ["Python", "CPython 3.11.7", "CPython 3.11.7", "CPython 3.13.1"] in site.rows(
        page, "surroundings"
    )
    assert page.count("<svg") == 1  # only one claim has a number
    assert 'href="claims.html#c05"' in page
    data = site.data(app, "replications")
    assert [one["name"] for one in data["sets"]][1:] == ["this machine", "sent"]
    assert data["verdicts"]["C06"] == ["supported", "supported", "refuted"]
    assert data["comparisons"][1]["summary"].endswith("1 disagrees: C06.")


def test_without_a_reference_this_machine_stands_in_its_place(book: Path) -> None:
    evidence.accept(builders.evidence(), book / "_build" / "evidence")
    page = site.plain(shown(book))
    assert "no reference, so this machine’s own numbers stand in its place. There is" in page


def test_a_claim_is_marked_where_it_was_undecided_missing_or_unknown(book: Path) -> None:
    reference(book)
    send(book, builders.claim_record(verdict="inconclusive"), name="a")
    send(book, builders.claim_record(verdict="not measured"), behaviour("inconclusive"), name="b")
    rows = site.rows(shown(book), "replication-claims")
    assert [row[1].partition(":")[0] for row in rows] == ["✓ ? – 1 of 3", "✓ · ? 1 of 2"]


def test_the_page_follows_what_is_sent_in(book: Path) -> None:
    reference(book)
    site.clean(book)
    assert site.build(book)[1] == set()
    path = send(book, builders.claim_record())
    app, read = site.build(book)
    assert "book/replicate" in read
    assert "a laptop" in site.html(app, "book/replicate")
    path.unlink()
    app, read = site.build(book)
    assert "book/replicate" in read
    assert "a laptop" not in site.html(app, "book/replicate")


def test_a_damaged_file_and_an_unknown_part_are_warnings(book: Path) -> None:
    path = send(book, builders.claim_record())
    path.write_text(path.read_text().replace("a laptop", "a server"))
    page = book / "book" / "replicate.md"
    page.write_text(page.read_text() + "```{replicated} everything\n```\n")
    app, _ = site.build(book)
    warnings = app.warning.getvalue()
    assert "sent.json was changed after it was written" in warnings
    assert "no part 'everything'; there are: summary, sets," in warnings
    assert site.data(app, "replications")["sets"] == []


def sized(estimate: float, low: float, high: float, **changes: Any) -> ReplicatedClaim:
    return claim_of(builders.claim_record(effect=builders.effect(estimate, low, high), **changes))


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (sized(6, 5, 7, threshold=2.0), (3, 2.5, 3.5)),
        (sized(4, 2, 8, threshold=16.0, rule="at most 16 ms"), (4, 2, 8)),
        (sized(4, -1, 8, threshold=16.0, rule="at most 16 ms"), (4, 2, math.inf)),
        (sized(1, 0.9, 1.0, kind="equivalence", threshold=None), (1.25, 1.125, 1.25)),
        (sized(1.5, 1.3, 2, kind="equivalence", threshold=None), (1.25 / 1.5, 0.625, 1.25 / 1.3)),
        (sized(0.5, 0.4, 0.8, kind="equivalence", threshold=None), (0.625, 0.5, 1)),
    ],
)
def test_the_bound_of_each_kind_of_claim_is_1(
    claim: ReplicatedClaim, expected: tuple[float, float, float]
) -> None:
    assert margin(claim) == pytest.approx(expected)


def test_a_ratio_must_also_stand_out_of_its_noise() -> None:
    noisy = builders.claim_record(effect=builders.effect(6, 5, 7, floor=3.0), threshold=2.0)
    assert margin(claim_of(noisy)) == pytest.approx((2, 5 / 3, 7 / 3))


def test_what_has_no_number_has_no_margin() -> None:
    refused = builders.effect(6, 5, 7, refused=(builders.finding(),))
    assert margin(claim_of(behaviour())) is None
    assert margin(claim_of(builders.claim_record(verdict="refuted"))) is None
    assert margin(claim_of(builders.claim_record(effect=refused))) is None
    assert margin(sized(6, 5, 7, threshold=math.inf)) is None
    assert forest("C06", [claim_of(behaviour())]) is None


def test_the_drawing_has_a_line_for_each_set_and_says_it_in_words() -> None:
    drawing = forest("C05", [sized(6, 5, 7), None, sized(900, 0.1, 999)])
    assert drawing is not None
    assert re.findall(r'class="forest-set"[^>]*>(\d)<', drawing) == ["1", "2", "3"]
    assert drawing.count("strip-interval") == 2
    assert drawing.count("forest-arrow") == 2
    assert drawing.count("strip-estimate") == 1  # the other one lies beyond the axis
    assert 'aria-label="C05, set 1: supported, 6\u00a0× (5–7), 3 times the bound; ' in drawing
    assert "set 2: no number; set 3: supported, 900" in drawing
    places = [float(x) for x in re.findall(r'd="M([\d.]+) [\d.]+H', drawing)]
    ends = [float(x) for x in re.findall(r"H([\d.]+)\"", drawing)]
    assert all(0 <= x <= 320 for x in (*places, *ends))
