"""The page of the builds, and the drawing of a claim from build to build."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from bookext.sparkline import SHAPES, sparkline

from gatewaylab.publish.builds import BuildHead, BuildPoint
from gatewaylab.records import replication
from gatewaylab.records.replication import Replication, chapter_of
from gatewaylab.records.storage import save
from tests import builders
from tests.bookext import site

PAGES = {
    "index": "# Front\n\n```{toctree}\nbook/claims\nbook/fared\nbook/method\n```\n",
    "book/claims": "# Ledger\n\n```{claim-entries}\n```\n\n```{trials-table}\n```\n",
    "book/fared": "# Fared\n\n```{builds-record}\n```\n",
    "book/method": "# Method\n\nWords.\n",
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book" / "claims").mkdir(parents=True)
    (tmp_path / "book" / "claims" / "some.toml").write_text(builders.entry("C05", title="a `b`"))
    site.write(tmp_path, PAGES)
    return tmp_path


def put(book: Path, day: int, uvicorn: str = "0.38", **changes: Any) -> None:
    at = f"2026-01-{day:02d}T00:00:00+00:00"
    machine = builders.ENVIRONMENT.model_copy(update={"packages": {"uvicorn": uvicorn}})
    claims = (builders.claim_record(**changes),)
    stored = builders.evidence(claims=claims, measured_at=at, environment=machine)
    chapters = {"some": chapter_of(stored)}
    folder = book / "_build" / "builds"
    folder.mkdir(parents=True, exist_ok=True)
    made = Replication(version="1", commit=None, at=at, chapters=chapters)
    replication.save(made, folder / f"{day}.json")


def accept(book: Path, day: int) -> None:
    path = book / "_build" / "evidence" / "some.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(builders.evidence(measured_at=f"2026-01-{day:02d}T00:00:00+00:00"), path)


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(one) for one in re.findall(r'<svg class="spark".*?</svg>', page)]


def test_before_there_are_two_builds_a_sentence_says_when_there_will_be(book: Path) -> None:
    for day in (None, 3):
        if day:
            accept(book, day)
        page = site.html(site.clean(book), "book/fared")
        assert "no earlier build to compare with yet" in site.plain(page)
        assert drawings(page) == []


def test_each_claim_has_a_line_and_the_present_build_is_the_last_of_it(book: Path) -> None:
    put(book, 1)
    put(book, 2, uvicorn="0.40", verdict="refuted")
    accept(book, 3)
    app = site.clean(book)
    page = site.html(app, "book/fared")
    words = site.plain(page)
    assert "3 builds, 1 January 2026 to 3 January 2026." in words
    assert "C05 a b" in words
    assert (
        "2 supported, 1 refuted; last: 6\u00a0× (5–7), the rule is at least 2".replace(
            "\u00a0", " "
        )
        in words
    )
    assert site.rows(page, "fared-table") == [
        ["3 January 2026", "uvicorn 0.40 → absent"],
        ["2 January 2026", "uvicorn 0.38 → 0.40"],
    ]
    assert 'href="claims.html#c05"' in page
    line = drawings(page)[-1]
    assert line.get("aria-label", "").startswith("C05 in 3 builds: 2 supported, 1 refuted; last")
    assert [verdict for _, _, verdict in marks(line)] == ["supported", "refuted", "supported"]
    data = site.data(app, "builds")
    assert [point["verdict"] for point in data["claims"]["C05"]] == [
        "supported", "refuted", "supported",
    ]  # fmt: skip
    assert data["builds"][1]["changes"] == ["uvicorn 0.38 → 0.40"]


def test_the_page_follows_the_builds_and_survives_one_that_is_damaged(book: Path) -> None:
    site.clean(book)
    assert site.build(book)[1] == set()
    put(book, 1)
    put(book, 2)
    app, read = site.build(book)
    assert "book/fared" in read
    assert len(drawings(site.html(app, "book/fared"))) == 1
    (book / "_build" / "builds" / "torn.json").write_text("{")
    page = site.html(site.clean(book), "book/fared")
    assert "cannot read them: torn.json" in site.plain(page)


def test_a_claim_that_is_no_longer_declared_keeps_its_line_without_a_link(book: Path) -> None:
    put(book, 1, identifier="C99")
    put(book, 2, identifier="C99")
    page = site.html(site.clean(book), "book/fared")
    assert "C99" in page
    assert "#c99" not in page


# The drawing.


def head(*changes: str) -> BuildHead:
    return BuildHead(at="2026-01-01T00:00:00+00:00", version="1", commit=None, changes=changes)


def points(*estimates: float | None, **given: Any) -> list[BuildPoint]:
    places = count()
    return [
        BuildPoint(
            build=next(places),
            measured_at=f"2026-01-{i + 1:02d}",
            **{
                "machine": "m", "profile": "full", "verdict": "supported", "unit": "×",
                "estimate": number, "low": number, "high": number, "bounds": (2.0,), **given,
            },
        )
        for i, number in enumerate(estimates)
    ]  # fmt: skip


def drawn(found: list[BuildPoint], *heads: BuildHead) -> ElementTree.Element:
    shown = heads or tuple(head() for _ in found)
    return ElementTree.fromstring(sparkline("C05", found, shown))


def of(line: ElementTree.Element, style: str) -> list[str]:
    """The pieces that are drawn in one style, each from its absolute beginning."""
    paths = [part.get("d", "") for part in line if part.get("class") == f"spark-{style}"]
    return [piece for one in paths for piece in one.split("M") if piece]


def marks(line: ElementTree.Element) -> list[tuple[float, float, str]]:
    """Each mark from left to right: where it stands and which verdict it is."""
    found = []
    for verdict, shape in SHAPES.items():
        for piece in of(line, verdict.replace(" ", "-")):
            x, y = piece.removesuffix(shape).split()
            found.append((float(x), float(y), verdict))
    return sorted(found)


def heights(line: ElementTree.Element) -> list[float]:
    return [y for _, y, _ in marks(line)]


def test_equal_ratios_are_equal_steps_and_more_is_higher() -> None:
    low, middle, high = heights(drawn(points(2.0, 4.0, 8.0)))
    assert low > middle > high
    assert low - middle == pytest.approx(middle - high, abs=0.2)


def test_the_rule_is_drawn_at_the_height_of_its_number() -> None:
    line = drawn(points(2.0, 4.0))
    rules = [float(piece.partition(" ")[2].partition("m")[0]) for piece in of(line, "rule")]
    assert rules == [heights(line)[0]] * 2
    assert len(of(drawn(points(1.0, 1.0, bounds=(0.8, 1.25))), "rule")) == 4


def test_numbers_are_joined_only_on_one_kind_of_machine_and_one_profile() -> None:
    same = points(3.0, 4.0, 5.0)
    assert len(of(drawn(same), "line")) == 2
    for change in ({"machine": "another"}, {"profile": "quick"}, {"estimate": None}):
        other = [*same[:2], same[2].model_copy(update=change)]
        assert len(of(drawn(other), "line")) == 1


def test_a_tick_stands_where_something_changed() -> None:
    line = drawn(points(3.0, 3.0, 3.0), head(), head("a 1 → 2"), head())
    (tick,) = of(line, "tick")
    assert float(tick.split()[0]) == marks(line)[1][0]


def test_shares_of_repetitions_have_one_scale_for_all_claims() -> None:
    every, half = heights(drawn(points(1.0, 0.5, unit="", bounds=())))
    assert heights(drawn(points(1.0, 1.0, unit="", bounds=()))) == [every] * 2
    assert half > every


@pytest.mark.parametrize("number", [float("inf"), 0.0, -3.0, None, 2.0])
def test_every_number_lies_inside_the_drawing(number: float | None) -> None:
    line = drawn(points(3.0, number, bounds=()))
    assert all(0 < height < 40 for height in heights(line))


def test_a_year_of_weeks_fits_into_the_width() -> None:
    line = drawn(points(*[3.0] * 52))
    places = [x for x, _, _ in marks(line)]
    assert 0 < min(places) < max(places) < 280
    assert len(set(places)) == 52


def test_each_verdict_has_a_shape_of_its_own() -> None:
    assert len(set(SHAPES.values())) == len(SHAPES)
    for verdict in SHAPES:
        line = drawn(points(3.0, verdict=verdict))
        assert [seen for _, _, seen in marks(line)] == [verdict]
