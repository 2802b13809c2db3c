"""The published builds beside each other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from gatewaylab.claims.rule import EQUIVALENT
from gatewaylab.publish import builds
from gatewaylab.records import replication
from gatewaylab.records.evidence import ClaimRecord
from gatewaylab.records.replication import Replication, chapter_of
from tests import builders


def build(day: int, *claims: ClaimRecord, uvicorn: str = "0.38", **environment: Any) -> Replication:
    """A build of one notebook, measured on a day of January."""
    at = f"2026-01-{day:02d}T00:00:00+00:00"
    machine = builders.ENVIRONMENT.model_copy(
        update={"packages": {"uvicorn": uvicorn}, **environment}
    )
    stored = builders.evidence(
        claims=claims or (builders.claim_record(),), measured_at=at, environment=machine
    )
    chapters = {"some": chapter_of(stored)}
    return Replication(version="1", commit="abc", at=at, chapters=chapters)


def put(folder: Path, *found: Replication) -> None:
    for one in found:
        replication.save(one, folder / f"publish-{hash(one.at)}.json")


def test_without_a_folder_there_is_the_present_build_or_nothing(tmp_path: Path) -> None:
    assert builds.gather(tmp_path / "none").builds == ()
    record = builds.gather(tmp_path / "none", build(3))
    assert [head.at[:10] for head in record.builds] == ["2026-01-03"]
    assert [point.build for point in record.claims["C05"]] == [0]


def test_builds_are_in_the_order_of_time_whatever_their_files_are_called(tmp_path: Path) -> None:
    put(tmp_path, build(9), build(2))
    refused = builders.claim_record(
        verdict="inconclusive",
        effect=builders.effect(math.nan, math.nan, math.nan, refused=(builders.finding(),)),
    )
    record = builds.gather(tmp_path, build(5, refused))
    assert [head.at[8:10] for head in record.builds] == ["02", "05", "09"]
    points = record.claims["C05"]
    assert [point.verdict for point in points] == ["supported", "inconclusive", "supported"]
    assert [point.estimate for point in points] == [6.0, None, 6.0]
    assert [point.unit for point in points] == ["×", "", "×"]


@pytest.mark.parametrize(
    ("kind", "threshold", "bounds"),
    [
        ("ratio", 2.0, (2.0,)),
        ("ratio", math.inf, ()),  # no trial gave it a number
        ("equivalence", None, EQUIVALENT),
        ("behaviour", 1.0, ()),
    ],
)
def test_the_numbers_of_a_rule_are_those_that_its_kind_has(
    tmp_path: Path, kind: str, threshold: float | None, bounds: tuple[float, ...]
) -> None:
    claim = builders.claim_record(kind=kind, threshold=threshold)
    (point,) = builds.gather(tmp_path, build(1, claim)).claims["C05"]
    assert point.bounds == bounds
    assert point.rule == "at least 2"


def test_a_file_that_cannot_be_read_is_named_and_stops_nothing(tmp_path: Path) -> None:
    put(tmp_path, build(1))
    (tmp_path / "bad.json").write_text("{")
    record = builds.gather(tmp_path, build(2))
    assert record.unreadable == ("bad.json",)
    assert len(record.builds) == 2


def test_what_is_new_since_the_build_before_stands_with_a_build(tmp_path: Path) -> None:
    put(tmp_path, build(1), build(2), build(3, uvicorn="0.40", kind="another × 4, Python 3.11"))
    heads = builds.gather(tmp_path).builds
    assert [head.changes for head in heads] == [
        (),
        (),
        ("machine a processor × 2, Python 3.11 → another × 4, Python 3.11", "uvicorn 0.38 → 0.40"),
    ]


def test_a_package_that_came_or_went_is_a_change() -> None:
    one, other = build(1), build(2, packages={"daphne": "4.2"})
    assert builds.changes(one, other) == ("daphne absent → 4.2", "uvicorn 0.38 → absent")


def test_a_measurement_that_two_builds_show_is_one_point(tmp_path: Path) -> None:
    put(tmp_path, build(1))
    again = build(1).model_copy(update={"at": "2026-01-02T00:00:00+00:00"})
    record = builds.gather(tmp_path, again)
    assert len(record.builds) == 2
    assert [point.build for point in record.claims["C05"]] == [0]


def test_a_refuted_claim_has_a_verdict_and_no_number(tmp_path: Path) -> None:
    put(tmp_path, build(1), build(2, builders.claim_record(verdict="refuted")))
    seen = builds.gather(tmp_path).claims["C05"][-1]
    assert (seen.verdict, seen.estimate) == ("refuted", None)


def test_cited_claims_have_no_line(tmp_path: Path) -> None:
    cited = builders.claim_record(
        kind="cited", verdict="not measured", effect=None, sabotage=None, threshold=None
    )
    assert builds.gather(tmp_path, build(1, cited)).claims == {}


def test_only_the_latest_are_shown(tmp_path: Path) -> None:
    many = [
        build(1).model_copy(update={"at": f"2026-02-01T00:{i:02d}:00+00:00"})
        for i in range(builds.WINDOW + 1)
    ]
    put(tmp_path, *many)
    record = builds.gather(tmp_path)
    assert len(record.builds) == builds.WINDOW
    assert record.builds[0].at == many[1].at
    assert record.builds[0].changes == ()
