"""The record of the book under noise, and what it comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gatewaylab.errors import ResultError
from gatewaylab.publish.noise_record import NoiseRecord, Rehearsed
from gatewaylab.records.storage import load, save


def rehearsed(**changes: Any) -> Rehearsed:
    fields: dict[str, Any] = {
        "what": "half of the machine's computing time is taken away",
        "at": "2026-11-22T08:00:00+00:00",
        "seconds": 600.0,
        "commit": "abc123",
        "claims": {"C01": "supported", "C02": "inconclusive", "C03": "not measured"},
        "sabotages": {"C01": "refuted", "C02": "inconclusive"},
    }
    return Rehearsed(**{**fields, **changes})


def test_verdicts_and_sabotages_are_counted() -> None:
    found = rehearsed()
    counts = {v: found.count(v) for v in ("supported", "inconclusive", "refuted", "missing")}
    assert counts == {"supported": 1, "inconclusive": 1, "refuted": 0, "missing": 0}
    assert (found.caught, found.unnoticed) == (1, 0)


def test_the_share_is_of_the_claims_that_could_be_measured() -> None:
    assert rehearsed().share == 0.5
    assert rehearsed(claims={"C03": "not measured"}).share == 0.0
    assert rehearsed(claims={}).share == 0.0
    assert rehearsed(claims={"C01": "supported", "C02": "missing"}).share == 0.5


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({}, True),
        ({"claims": {"C01": "inconclusive", "C02": "inconclusive"}}, True),
        ({"sabotages": {"C01": "inconclusive"}}, True),
        ({"claims": {}, "sabotages": {}}, True),
        ({"claims": {"C01": "supported", "C02": "refuted"}}, False),
        ({"claims": {"C01": "missing"}}, False),
        ({"sabotages": {"C01": "supported"}}, False),
        ({"errors": {"some": ("ValueError: x",)}}, False),
    ],
)
def test_noise_may_leave_anything_undecided_but_not_change_what_is_true(
    changes: dict[str, Any], right: bool
) -> None:
    assert rehearsed(**changes).right is right


def test_a_record_reads_back_the_same_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    path = tmp_path / "records" / "noise.json"
    errors = {"some": ("ValueError: x",)}
    record = NoiseRecord(
        machine="m",
        profile="quick",
        noises={"slow": rehearsed(), "bursts": rehearsed(errors=errors)},
    )
    save(record, path)
    assert load(NoiseRecord, path) == record
    assert path.read_text().endswith("}\n")  # committed, so a text file as all are
    path.write_text(path.read_text().replace('"machine"', '"surprise"'))
    with pytest.raises(ResultError, match="not a valid NoiseRecord"):
        load(NoiseRecord, path)


@pytest.mark.parametrize("verdict", ["fine", "", None])
def test_an_unknown_outcome_is_no_record(verdict: Any) -> None:
    with pytest.raises(ValueError, match="claims"):
        rehearsed(claims={"C01": verdict})
