from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gatewaylab import compare as module
from gatewaylab import evidence, load, noise
from gatewaylab.arrivals import ConstantRate, Poisson
from gatewaylab.compare import AGAIN, ATTEMPTS, SPARE_BLOCKS, Outcome, Setup, compare, setup
from gatewaylab.errors import InputError, InvalidTrialError
from gatewaylab.results import Trial
from gatewaylab.servers import Server, server
from gatewaylab.tables import Table, latencies, shown
from tests import builders

SYNC = setup(server("gunicorn-sync", slots=1), "/hold", arrivals=Poisson(20), hold=0.1)
LOOP = setup(server("uvicorn"), "/hold", arrivals=Poisson(20), hold=0.1)
Measure = Callable[[str, Setup, int, int, object], Trial]


def _outcome(slow: list[float], fast: list[float], again: list[float] | None = None) -> Outcome:
    """One value a block; ``fast`` is the twin."""
    trials = []
    for block in range(len(slow)):
        trials += [
            builders.trial("slow", block, [slow[block]]),
            builders.trial("fast", block, [fast[block]]),
            builders.trial("fast" + AGAIN, block, [(again or fast)[block]]),
        ]
    return Outcome(
        builders.comparison("c", trials, labels=["fast", "slow"]), {"fast": LOOP, "slow": SYNC}
    )


def test_the_ratio_pairs_the_trials_of_a_block() -> None:
    # The machine doubles its speed between blocks; within a block the ratio is 4.
    drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    found = _outcome([4 * d for d in drift], drift).ratio("slow", "fast")
    assert found.estimate == pytest.approx(4.0)
    assert [found.low, found.high] == pytest.approx([4.0, 4.0])
    assert (found.blocks, found.n, found.refused) == (6, 12, ())
    assert found.a12 is not None


def test_the_floor_is_the_distance_between_the_twins() -> None:
    found = _outcome([4.0] * 6, [1.0] * 6, again=[1.1] * 6).ratio("slow", "fast")
    assert found.floor == pytest.approx(1.1)


def test_five_blocks_carry_no_interval_and_the_effect_says_so() -> None:
    found = _outcome([4.0] * 5, [1.0] * 5).ratio("slow", "fast")
    assert "measure at least 6" in found.refused[0]


def test_a_side_that_never_finished_makes_the_ratio_infinite_and_not_missing() -> None:
    found = _outcome([math.inf] * 6, [1.0] * 6).ratio("slow", "fast")
    assert found.low == pytest.approx(10.0)  # at least the deadline
    assert found.high == math.inf


def test_an_unknown_label_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="fast, slow"):
        _outcome([1.0] * 6, [1.0] * 6).ratio("slow", "medium")


def test_the_prediction_uses_plan_hold_and_slots_and_no_measured_number() -> None:
    fast = _outcome([1.0] * 6, [1.0] * 6)
    slow = _outcome([9.0] * 6, [7.0] * 6)
    assert fast.predicted("slow") == slow.predicted("slow") > 0.1
    assert fast.predicted("fast") == pytest.approx(0.1)


def _fake(
    monkeypatch: pytest.MonkeyPatch, refuse: Callable[[str, int, int], bool]
) -> list[tuple[str, int, int]]:
    """Replace the measuring of one trial; returns the list of (label, block, seed) asked for."""
    asked: list[tuple[str, int, int]] = []

    def measure(label: str, one: Setup, block: int, seed: int, window: object) -> Trial:
        asked.append((label, block, seed))
        refusals = ("steal",) if refuse(label, block, len(asked)) else ()
        return builders.trial(label, block, [0.1], refusals=refusals)

    monkeypatch.setattr(module, "_trial", measure)
    return asked


SETUPS = {"fast": LOOP, "slow": SYNC}


def test_each_block_measures_every_configuration_once_and_the_twin_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _fake(monkeypatch, lambda *_: False)
    compare("name", SETUPS, blocks=8)
    orders = [[label for label, block, _ in asked if block == b] for b in range(8)]
    assert all(sorted(order) == ["fast", "fast" + AGAIN, "slow"] for order in orders)
    assert len({tuple(order) for order in orders}) > 1  # randomised


def test_within_a_block_all_get_the_same_plan_and_between_blocks_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _fake(monkeypatch, lambda *_: False)
    compare("name", SETUPS, blocks=6)
    seeds = {b: {seed for _, block, seed in asked if block == b} for b in range(6)}
    assert all(len(one) == 1 for one in seeds.values())
    assert len(set.union(*seeds.values())) == 6


def test_the_same_name_repeats_the_same_order_and_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    first = _fake(monkeypatch, lambda *_: False)
    compare("name", SETUPS, blocks=6)
    second = _fake(monkeypatch, lambda *_: False)
    compare("name", SETUPS, blocks=6)
    assert first == second


def test_a_refused_trial_is_repeated_in_its_block_and_kept_for_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _fake(monkeypatch, lambda label, block, nth: nth == 1)
    found = compare("name", SETUPS, blocks=6).comparison
    assert len(asked) == 6 * 3 + 1
    assert asked[0] == asked[3]
    assert (len(found.trials), len(found.rejected)) == (18, 1)


def test_what_is_refused_each_time_is_given_up_and_leaves_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _fake(monkeypatch, lambda label, *_: label == "slow")
    outcome = compare("name", SETUPS, blocks=6)
    assert sum(label == "slow" for label, _, _ in asked) == ATTEMPTS * (6 + SPARE_BLOCKS)
    effect = outcome.ratio("slow", "fast")
    assert "steal" in effect.refused
    assert math.isnan(effect.estimate)
    assert outcome.trial("slow") is None
    assert math.isnan(outcome.mean_error("slow"))
    assert latencies(outcome, caption="c").rows[1]["median, ms"] is None


def test_a_block_with_a_trial_given_up_is_made_good_by_a_spare_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _fake(monkeypatch, lambda label, block, _: (label, block) == ("slow", 2))
    outcome = compare("name", SETUPS, blocks=6)
    effect = outcome.ratio("slow", "fast")
    assert (effect.blocks, effect.refused) == (6, ())
    assert effect.n == 12  # of the common blocks only


def test_wrong_data_stop_the_comparison_and_are_not_measured_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def measure(label: str, one: Setup, block: int, seed: int, window: object) -> Trial:
        asked.append(label)
        bad = ("errors: 3 requests ended in 'status', which nobody expects (0 allowed)",)
        return builders.trial(label, block, [0.1], refusals=bad if len(asked) == 2 else ())

    monkeypatch.setattr(module, "_trial", measure)
    with pytest.raises(InvalidTrialError, match="3 requests ended in 'status'"):
        compare("name", SETUPS, blocks=6)
    assert len(asked) == 2


def test_servers_that_answer_one_request_differently_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is quick because it says nothing must not win."""

    @contextlib.contextmanager
    def serve(one: Server, **_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(target=one.spec.name, pids=set)

    bodies = {"uvicorn": b"held 100 ms\n", "gunicorn-sync": b""}
    monkeypatch.setattr(module, "serve", serve)
    monkeypatch.setattr(load, "constant_body", lambda target, *_, **__: bodies[target])
    window = module._Window(seconds=1.0, warmup=0.0, deadline=1.0, transport="raw")
    monkeypatch.setattr(noise, "Watch", lambda **_: pytest.fail("this one is the first"))
    with pytest.raises(pytest.fail.Exception):
        module._trial("fast", LOOP, 0, 1, window)
    with pytest.raises(InvalidTrialError, match="b'', not b'held 100 ms"):
        module._trial("slow", SYNC, 0, 1, window)


def test_an_error_that_belongs_to_the_experiment_must_be_one_that_exists() -> None:
    assert setup(server("uvicorn"), arrivals=Poisson(1)).errors == ("deadline",)
    with pytest.raises(InputError, match="known: deadline, connect"):
        setup(server("uvicorn"), arrivals=Poisson(1), errors={"timeout"})


def test_a_name_that_is_no_file_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _fake(monkeypatch, lambda *_: False)
    with pytest.raises(InputError, match="cannot name a file"):
        compare("a/b", SETUPS)
    assert asked == []


def test_a_comparison_of_a_build_is_staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake(monkeypatch, lambda *_: False)
    monkeypatch.setenv(evidence.STAGING_VARIABLE, str(tmp_path))
    compare("name", SETUPS, blocks=6)
    (kept,) = evidence.Staging(tmp_path).parts()["comparisons"]
    assert (kept.name, len(kept.trials)) == ("name", 18)
    assert "18 of 18" in (tmp_path / "progress").read_text()


def test_bad_input_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _fake(monkeypatch, lambda *_: False)
    with pytest.raises(InputError, match="at least one"):
        compare("name", {})
    with pytest.raises(InputError, match="twin"):
        compare("name", SETUPS, twin="other")
    monkeypatch.setenv(evidence.PROFILE_VARIABLE, "hasty")
    with pytest.raises(InputError, match="quick, full"):
        compare("name", SETUPS)
    assert asked == []


def test_overload_is_known_from_rate_hold_and_slots() -> None:
    assert module._steady(LOOP)
    assert not module._steady(SYNC)  # 20/s of 0.1 s ask for two slots


def test_a_table_shows_the_model_beside_the_measurement() -> None:
    rows = latencies(_outcome([0.2] * 6, [0.1] * 6), caption="c").rows
    assert [row["slots"] for row in rows] == ["no bound", "1"]
    assert rows[0]["median, ms"] == pytest.approx(100)


def test_a_table_escapes_and_refuses_ragged_rows() -> None:
    assert "<b>" not in Table([{"a": "<b>"}], caption="c")._repr_html_()
    with pytest.raises(InputError, match="same columns"):
        Table([{"a": 1}, {"b": 1}], caption="c")
    with pytest.raises(InputError, match="one row"):
        Table([], caption="c")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.12345, "0.123"), (123.4, "123"), (math.inf, "≥ deadline"), ("x", "x")],
)
def test_numbers_are_shown_with_three_digits(value: float | str | None, text: str) -> None:
    assert shown(value) == text


def test_a_setup_takes_a_path_or_a_request() -> None:
    one = setup(server("uvicorn"), "/x", arrivals=ConstantRate(1))
    assert one.request.path == "/x"
    assert one.slots is None
    assert np.isclose(SYNC.hold or 0, 0.1)
