"""Arrival plans: what is random in them, what is not, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from gatewaylab.errors import InputError
from gatewaylab.model.arrivals import (
    MAX_PLANNED,
    Arrivals,
    Closed,
    ConstantRate,
    Poisson,
    parse_arrivals,
)

OPEN = [ConstantRate, Poisson]
Kind = type[ConstantRate | Poisson]


def test_constant_rate_starts_at_zero_and_keeps_its_gap() -> None:
    assert ConstantRate(4).plan(1.0, seed=1).tolist() == [0.0, 0.25, 0.5, 0.75]


@settings(deadline=None)
@given(rate=st.floats(0.01, 5_000), seconds=st.floats(0.001, 10))
def test_constant_rate_plans_every_start_within_the_window(rate: float, seconds: float) -> None:
    plan = ConstantRate(rate).plan(seconds, seed=0)
    assert plan[-1] < seconds <= len(plan) / rate


@pytest.mark.parametrize(("rate", "seconds"), [(200, 3.0), (10, 0.3), (1000, 0.007), (3, 1 / 3)])
def test_a_window_of_whole_gaps_holds_exactly_that_many_starts(rate: float, seconds: float) -> None:
    assert len(ConstantRate(rate).plan(seconds, seed=0)) == round(rate * seconds)


def test_a_start_that_rounding_would_lose_is_planned() -> None:
    rate, seconds = 383.36, 1.3433848080133557
    assert rate * seconds == 515.0  # rounded down: the start 515 / rate lies inside the window
    plan = ConstantRate(rate).plan(seconds, seed=0)
    assert len(plan) == 516
    assert plan[-1] < seconds


def test_poisson_plan_of_a_seed_never_changes() -> None:
    # From PCG64's guaranteed raw stream: gap = -log(1 - (raw >> 11) / 2**53) / rate.
    raw = [11530976094092348043, 16550673365885938325, 14308875409591826786]
    gaps = [-math.log1p(-(value >> 11) / 2**53) / 12 for value in raw]
    plan = Poisson(12).plan(60.0, seed=7)
    np.testing.assert_allclose(plan[:3], np.cumsum(gaps), rtol=1e-12)


def test_poisson_plans_differ_between_seeds() -> None:
    assert not np.array_equal(Poisson(50).plan(5.0, seed=3)[:5], Poisson(50).plan(5.0, seed=4)[:5])


def test_poisson_counts_have_the_mean_and_the_variance_of_the_law() -> None:
    counts = np.array([len(Poisson(20).plan(5.0, seed=seed)) for seed in range(2_000)])
    assert counts.mean() == pytest.approx(100, abs=4 * math.sqrt(100 / 2_000))
    assert counts.var() == pytest.approx(100, abs=4 * 100 * math.sqrt(2 / 2_000))


def test_poisson_gaps_are_exponential_and_constant_gaps_are_not() -> None:
    gaps = np.diff(Poisson(100).plan(200.0, seed=11))
    assert scipy_stats.kstest(gaps, "expon", args=(0, 1 / 100)).pvalue > 0.05
    assert scipy_stats.kstest(gaps, "expon", args=(0, 1 / 105)).pvalue < 0.001
    even = np.diff(ConstantRate(100).plan(200.0, seed=11))
    assert scipy_stats.kstest(even, "expon", args=(0, 1 / 100)).pvalue < 0.001


def test_poisson_gaps_do_not_depend_on_the_one_before() -> None:
    gaps = np.diff(Poisson(100).plan(200.0, seed=12))
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / math.sqrt(len(gaps))


def test_what_is_cut_off_as_warm_up_says_nothing_about_the_rest() -> None:
    plans = [Poisson(30).plan(3.0, seed=seed) for seed in range(1_500)]
    warm = np.array([(plan < 1.0).sum() for plan in plans])
    rest = np.array([(plan >= 1.0).sum() for plan in plans])
    assert abs(np.corrcoef(warm, rest)[0, 1]) < 4 / math.sqrt(len(plans))
    assert rest.mean() == pytest.approx(60, abs=4 * math.sqrt(60 / len(plans)))


@settings(deadline=None)
@given(
    rate=st.floats(0.1, 500),
    short=st.floats(0.01, 10),
    more=st.floats(0.0, 10),
    seed=st.integers(0, 2**63),
)
def test_a_longer_poisson_plan_begins_with_the_shorter_one(
    rate: float, short: float, more: float, seed: int
) -> None:
    brief = Poisson(rate).plan(short, seed)
    long = Poisson(rate).plan(short + more, seed)
    assert np.array_equal(long[long < short], brief)


@pytest.mark.parametrize("kind", OPEN)
def test_plans_are_sorted_and_stay_in_the_window(kind: Kind) -> None:
    plan = kind(700.0).plan(3.0, seed=5)
    assert plan.dtype == np.float64
    assert plan.min() >= 0
    assert plan.max() < 3.0
    assert (np.diff(plan) >= 0).all()


def test_a_slow_poisson_process_may_plan_nothing() -> None:
    assert Poisson(1e-9).plan(1.0, seed=1).shape == (0,)


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("rate", [0, -1.0, math.nan, math.inf, "12", None, True, 10**400])
def test_an_impossible_rate_is_refused(kind: Kind, rate: float) -> None:
    with pytest.raises(InputError, match="rate must be"):
        kind(rate)


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("seconds", [0, -3, math.nan, math.inf, "3"])
def test_an_impossible_window_is_refused(kind: Kind, seconds: float) -> None:
    with pytest.raises(InputError, match="seconds must be"):
        kind(10).plan(seconds, seed=1)


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("seed", [-1, 1.5, None, True, "7"])
def test_an_impossible_seed_is_refused(kind: Kind, seed: int) -> None:
    with pytest.raises(InputError, match="seed must be"):
        kind(10).plan(1.0, seed=seed)


@pytest.mark.parametrize("kind", OPEN)
def test_a_plan_too_large_for_memory_is_refused_before_it_is_made(
    kind: Kind,
) -> None:
    with pytest.raises(InputError, match="5,000,000"):
        kind(MAX_PLANNED).plan(1.001, seed=1)
    with pytest.raises(InputError, match="lower the rate"):
        kind(1e300).plan(1e300, seed=1)


@pytest.mark.parametrize("clients", [0, -1, 1.5, None, True, "4"])
def test_an_impossible_number_of_clients_is_refused(clients: int) -> None:
    with pytest.raises(InputError, match="clients must be a whole number"):
        Closed(clients)


@pytest.mark.parametrize("think", [-0.1, math.nan, math.inf, "1"])
def test_an_impossible_think_time_is_refused(think: float) -> None:
    with pytest.raises(InputError, match="think must be"):
        Closed(1, think)


def test_labels_say_which_model_the_load_follows() -> None:
    assert ConstantRate(200).label == "open, constant, 200/s"
    assert Poisson(12.5).label == "open, Poisson, 12.5/s"
    assert Closed(1).label == "closed, 1 client"
    assert Closed(8, 0.5).label == "closed, 8 clients, thinking 0.5 s"


@pytest.mark.parametrize("arrivals", [ConstantRate(10), Poisson(0.5), Closed(3, 0.25)])
def test_the_stored_form_gives_the_process_back(arrivals: Arrivals) -> None:
    stored = json.loads(json.dumps(arrivals.as_dict()))
    assert parse_arrivals(**stored) == arrivals


def test_numpy_numbers_are_stored_as_plain_ones() -> None:
    assert json.dumps(Poisson(np.float32(2.5)).as_dict()) == '{"kind": "poisson", "rate": 2.5}'  # type: ignore[arg-type]
    assert json.dumps(Closed(np.int64(4)).as_dict())  # type: ignore[arg-type]


def test_parsing_ignores_case_and_the_rate_of_a_closed_model() -> None:
    assert parse_arrivals(" Poisson ", 12) == Poisson(12)
    assert parse_arrivals("CONSTANT", 3.5) == ConstantRate(3.5)
    assert parse_arrivals("closed", 100.0, clients=7, think=0.1) == Closed(7, 0.1)


@pytest.mark.parametrize(
    ("kind", "rate", "clients", "says"),
    [
        ("uniform", 1.0, None, "constant, poisson, closed"),
        ("poisson", None, None, "need a rate"),
        ("constant", 1.0, 5, "choose closed"),
        ("closed", 1.0, None, "how many clients"),
    ],
)
def test_parsing_says_what_is_missing(
    kind: str, rate: float | None, clients: int | None, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        parse_arrivals(kind, rate, clients=clients)
