from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import ValidationError

from gatewaylab.errors import InputError, ResultError
from gatewaylab.records import evidence, staging
from gatewaylab.records.evidence import Position, ValueRecord, accept, read
from gatewaylab.records.results import Readings
from gatewaylab.records.staging import Staging, cite
from tests import builders


def test_what_was_accepted_reads_back_the_same(tmp_path: Path) -> None:
    trials = [builders.trial("a", 0, [0.1, math.inf]), builders.trial("b", 0, [0.1])]
    given = builders.evidence(
        comparisons=(builders.comparison("c", trials, labels=["a", "b"]),),
        claims=(builders.claim_record(effect=builders.effect(math.inf, 9.0, math.inf)),),
    )
    found = read(accept(given, tmp_path))
    assert found.model_dump_json() == given.model_dump_json()
    assert found.claims[0].effect is not None
    assert found.claims[0].effect.high == math.inf
    assert found.comparisons[0].trials[0].samples.latency[1] == math.inf


def test_evidence_with_a_refuted_claim_leaves_the_old_in_place(tmp_path: Path) -> None:
    old = accept(builders.evidence(key="old"), tmp_path)
    bad = builders.evidence(key="new", claims=(builders.claim_record(verdict="refuted"),))
    with pytest.raises(ResultError, match="C05 refuted"):
        accept(bad, tmp_path)
    assert read(old).key == "old"


def test_a_failed_write_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = accept(builders.evidence(key="old"), tmp_path)
    monkeypatch.setattr(os, "fsync", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        accept(builders.evidence(key="new"), tmp_path)
    assert read(old).key == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["some.json"]


def _text(**changes: Any) -> str:
    fields = json.loads(builders.evidence().model_dump_json())
    return json.dumps({**fields, **changes})


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", _text()[:-30]),
        *(_text(schema_version=2), _text(surplus=1), _text(claims=[{}])),
        _text(values={"k": {"value": "much", "unit": "", "format": ""}}),
    ],
)
def test_a_malformed_file_is_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / "some.json").write_text(text)
    with pytest.raises(ResultError):
        read(tmp_path / "some.json")


def test_a_file_of_another_notebook_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(_text())
    with pytest.raises(ResultError, match="evidence of some"):
        read(tmp_path / "other.json")


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = accept(builders.evidence(key="one"), tmp_path)
    assert read(path).key == "one"
    accept(builders.evidence(key="another"), tmp_path)
    assert read(path).key == "another"


def test_a_measured_claim_needs_effect_and_sabotage() -> None:
    fields = builders.claim_record().model_dump()
    with pytest.raises(ValidationError, match="needs an effect and a sabotage"):
        evidence.ClaimRecord.model_validate({**fields, "sabotage": None})


def test_cited_numbers_are_staged_by_key(stage: Staging) -> None:
    assert cite("nginx-cost", 0.31, "ms", ".2f") == 0.31
    found = stage.parts()["values"]
    assert found == {"nginx-cost": ValueRecord(value=0.31, unit="ms", format=".2f")}


@pytest.mark.parametrize("key", ["Upper", "a b", "a/b", ""])
def test_a_key_is_lower_case_words(key: str) -> None:
    with pytest.raises(InputError, match="lower-case"):
        cite(key, 1.0)


def test_an_infinite_number_cannot_be_cited() -> None:
    with pytest.raises(ValidationError, match="finite"):
        cite("k", math.inf)


def test_a_refused_number_is_kept_as_refused(stage: Staging) -> None:
    cite("k", math.nan)
    assert stage.parts()["values"]["k"].value is None


@pytest.mark.usefixtures("stage")
def test_a_key_is_given_once() -> None:
    cite("k", 1.0)
    with pytest.raises(InputError, match="twice"):
        cite("k", 2.0)


def test_outside_a_build_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(staging.STAGING_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    cite("k", 1.0)
    assert list(tmp_path.iterdir()) == []


def test_series_are_comparisons_and_readings() -> None:
    comparison = builders.comparison("c", [builders.trial("a", 0, [0.1])], labels=["a"])
    readings = Readings(
        name="r", what="memory", unit="B", labels=("a",), twin="a", blocks=1, seed=1,
        values={"a": {0: 1.0}, "a (again)": {0: 1.0}},
    )  # fmt: skip
    found = builders.evidence(comparisons=(comparison,), readings=(readings,))
    assert [one.name for one in found.series] == ["c", "r"]


def test_what_was_at_work_is_in_each_part(stage: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.session, "systems", lambda: frozenset({"nginx", "django"}))
    monkeypatch.setattr(stage.session, "seconds", lambda: 12.5)
    monkeypatch.setattr(stage.session, "loaded", lambda: 7.5)
    assert stage.parts()["work"].seconds == 0
    stage.value("some-key", ValueRecord(value=1.0, unit="", format=".0f"))
    work = evidence.WorkRecord(systems=("django", "nginx"), seconds=12.5, loaded=7.5)
    assert stage.parts()["work"] == work


def test_claims_can_be_read_before_the_notebook_has_ended(stage: Staging) -> None:
    assert stage.claims() == ()
    stated = [builders.claim_record("C13", "refuted"), builders.claim_record("C05")]
    for record in stated:
        stage.claim(record)
    assert stage.claims() == tuple(sorted(stated, key=lambda record: record.id))
    assert stage.parts()["claims"] == stage.claims()


def test_what_a_claim_says_of_noise_reads_back_the_same(stage: Staging) -> None:
    shifts = (0.0, math.inf, 0.1, 0.0, 0.0, 0.0)
    noisy = builders.quieted(builders.effect(6.0, 5.0, 7.0), -math.inf, math.inf, shifts=shifts)
    more: dict[str, Any] = {"effect": noisy, "why": "w", "disturbed": 1, "versions": "v"}
    record = builders.claim_record(verdict="inconclusive", **more)
    stage.claim(record)
    assert stage.claims() == (record,)
    old = {"versions", "disturbed", "why"}  # of files that are older than these fields
    fields = builders.claim_record().model_dump(exclude=old)
    assert evidence.ClaimRecord.model_validate(fields) == builders.claim_record()


def test_what_made_a_trial_wrong_is_kept_before_its_error(stage: Staging) -> None:
    assert stage.faults() == ()
    wrong = (builders.finding("errors", "wrong data"), builders.finding("slots", "wrong data"))
    stage.fault(wrong)
    assert stage.faults() == wrong
    assert stage.parts()["claims"] == ()  # and is no part of the evidence


def test_the_position_is_told_and_is_no_part_of_the_evidence(stage: Staging) -> None:
    empty = stage.parts()
    stage.position(Position(cell=2, cells=7))
    stage.progress("waiting", 3, 18, 1)
    assert stage.where() == Position(cell=2, cells=7, series="waiting", done=3, total=18, again=1)
    assert stage.parts() == empty


WAITING = {"series": "waiting", "done": 3, "total": 18}


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"cell": 0, "cells": 0}, "its kernel starts"),
        ({}, "cell 2 of 7"),
        (WAITING, "cell 2 of 7, waiting: 3 of 18 trials"),
        (WAITING | {"again": 2}, "cell 2 of 7, waiting: 3 of 18 trials and 2 measured again"),
    ],
)
def test_a_position_names_the_cell_and_the_trial(where: dict[str, Any], told: str) -> None:
    assert str(Position(**{"cell": 2, "cells": 7, **where})) == told
