from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from gatewaylab.errors import ResultError
from gatewaylab.publish import history
from gatewaylab.publish.history import History, confirmed, far_out
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import Evidence
from gatewaylab.records.storage import save
from tests import builders

USUAL = [5.8, 5.9, 6.0, 6.1, 6.2]


def _effect(estimate: float, *, width: float = 1.01, kind: str = "ratio") -> Effect:
    return builders.effect(estimate, estimate / width, estimate * width, kind=kind)


def _run(estimate: float, *, width: float = 1.01, **changes: Any) -> Evidence:
    record = builders.claim_record(effect=_effect(estimate, width=width))
    return builders.evidence(claims=(record,), **changes)


def _past(*estimates: float) -> History:
    past = History(notebook="some")
    for estimate in estimates:
        past = past.extended(_run(estimate))
    return past


def test_the_fence_stands_three_interquartile_ranges_outside_the_quartiles() -> None:
    # By hand, on the logarithmic scale: quartiles log 5.9 and log 6.1, so the fence is at
    # 6.1 · (6.1 / 5.9)³ = 6.7416 and 5.9 / (6.1 / 5.9)³ = 5.3386.
    assert far_out(USUAL, _effect(6.74)) is None
    assert far_out(USUAL, _effect(6.75)) == "above"
    assert far_out(USUAL, _effect(5.34)) is None
    assert far_out(USUAL, _effect(5.33)) == "below"


def test_a_ratio_and_its_inverse_are_equally_far() -> None:
    around = [0.9, 0.95, 1.0, 1 / 0.95, 1 / 0.9]
    edge = next(e for e in (1 + k / 1000 for k in range(1000)) if far_out(around, _effect(e)))
    assert far_out(around, _effect(1 / edge)) == "below"
    assert far_out(around, _effect(1 / (edge - 0.002))) is None


def test_four_earlier_numbers_hold_nothing() -> None:
    assert far_out(USUAL[:4], _effect(100.0)) is None
    assert far_out(USUAL, _effect(100.0)) == "above"


@pytest.mark.parametrize(("width", "side"), [(1.15, None), (1.05, "above")])
def test_earlier_numbers_that_agree_hold_no_usual_noise(width: float, side: str | None) -> None:
    assert far_out([6.0] * 5, _effect(6.6, width=width)) == side


@pytest.mark.parametrize(
    ("earlier", "new", "side"),
    [
        (USUAL, math.inf, "above"),
        ([math.inf] * 5, math.inf, None),
        ([math.inf] * 5, 6.0, "below"),
        ([5.0, 6.0, 7.0, math.inf, math.inf], 6.0, None),
        ([0.0] * 5, 1.0, "above"),
        ([0.0] * 5, 0.0, None),
    ],
)
def test_infinity_and_zero_are_compared(earlier: list[float], new: float, side: str | None) -> None:
    assert far_out(earlier, _effect(new)) == side


def test_a_quantity_that_can_be_negative_is_compared_as_it_is() -> None:
    assert far_out([-2.0, -1.0, 0.0, 1.0, 2.0], _effect(7.5, kind="quantity")) == "above"
    assert far_out([-2.0, -1.0, 0.0, 1.0, 2.0], _effect(6.5, kind="quantity")) is None


def test_only_the_same_kind_of_machine_and_profile_count() -> None:
    past = _past(*USUAL)
    assert past.outside(_run(60.0)) == {"C05": "above"}
    other = builders.ENVIRONMENT.model_copy(update={"kind": "another"})
    assert past.outside(_run(60.0, environment=other)) == {}
    assert past.outside(_run(60.0, profile="full")) == {}


def test_a_behaviour_and_a_refused_effect_leave_no_trace() -> None:
    refused = builders.effect(6.0, 5.0, 7.0, refused=(builders.finding(),))
    seen = _effect(1.0, kind="behaviour")
    for effect in (refused, seen):
        run = builders.evidence(claims=(builders.claim_record(effect=effect),))
        assert History(notebook="some").extended(run).entries == ()
        assert _past(*USUAL).outside(run) == {}


def test_a_confirmed_number_begins_a_new_level() -> None:
    past = _past(*USUAL)
    assert past.outside(_run(60.0)) == {"C05": "above"}
    past = past.extended(_run(60.0), {"C05"})
    assert past.earlier("C05", builders.ENVIRONMENT.kind, "quick") == [60.0]
    assert past.outside(_run(61.0)) == {}


@pytest.mark.parametrize(
    ("then", "now", "found"), [(60.0, 60.5, {"C05"}), (60.0, 70.0, set()), (0.6, 60.0, set())]
)
def test_overlapping_intervals_confirm_a_number(then: float, now: float, found: set[str]) -> None:
    assert confirmed(_run(now), _run(then), {"C05"}) == found


def test_a_held_run_of_another_machine_confirms_nothing() -> None:
    other = builders.ENVIRONMENT.model_copy(update={"kind": "another"})
    assert confirmed(_run(60.0), _run(60.0, environment=other), {"C05"}) == set()
    assert confirmed(_run(60.0), None, {"C05"}) == set()


def test_what_was_written_reads_back(tmp_path: Path) -> None:
    past = _past(1.0, math.inf)
    save(past, tmp_path / "some.json")
    assert history.read(tmp_path / "some.json", "some") == past


@pytest.mark.parametrize("text", ["", "[]", '{"notebook": "other"}', '{"notebook": "some", "x":1}'])
def test_an_unusable_history_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "some.json").write_text(text)
    with pytest.raises(ResultError):
        history.read(tmp_path / "some.json", "some")
