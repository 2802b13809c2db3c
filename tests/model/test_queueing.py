"""The ground truth, held against closed forms, textbook values and itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gatewaylab.errors import InputError
from gatewaylab.model.arrivals import ConstantRate, Poisson
from gatewaylab.model.quantiles import quantile_of
from gatewaylab.model.queueing import (
    allen_cunneen,
    erlang_c,
    kiefer_wolfowitz,
    lindley,
    mmc_mean_wait,
    slot_model,
    slots_and_cores,
    slots_needed,
    stall_latencies,
    throughput_limit,
)

Pairs = list[tuple[float, float]]
Solve = Callable[[Any], object]
NO_SLOTS = [0, -1, 1.5, True]
NOT_ABOVE_0 = [0.0, -1.0, math.nan, math.inf]
BELOW_0 = [-0.1, math.nan, math.inf]
requests = st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=60)


def split(pairs: Pairs) -> tuple[Any, Any]:
    """Sorted arrivals and services out of (gap, service) pairs."""
    gaps, services = np.array(pairs).reshape(-1, 2).T
    return np.cumsum(gaps), services


def test_lindley_by_hand() -> None:
    # Arrivals 0 1 2 10, services 3 2 1 1: starts 0 3 5 10.
    assert lindley([0, 1, 2, 10], [3, 2, 1, 1]).tolist() == [0, 2, 3, 0]


def test_two_slots_by_hand() -> None:
    # Slots free after each start: {3, 0}, {3, 6}, {6, 4}, {6, 5}.
    assert kiefer_wolfowitz([0, 1, 2, 3], [3, 5, 1, 1], slots=2).tolist() == [0, 0, 1, 1]


@settings(deadline=None)
@given(requests)
def test_one_slot_is_lindleys_queue(pairs: Pairs) -> None:
    arrivals, services = split(pairs)
    one = kiefer_wolfowitz(arrivals, services, slots=1)
    np.testing.assert_allclose(lindley(arrivals, services), one, atol=1e-9)


@settings(deadline=None)
@given(requests, st.floats(0, 5), st.integers(1, 8), st.integers(1, 8))
def test_without_computing_or_without_waiting_cores_and_slots_are_one_queue(
    pairs: Pairs, seconds: float, slots: int, cores: int
) -> None:
    plan, _ = split(pairs)
    waiting = slots_and_cores(plan, seconds, 0.0, slots, cores)
    np.testing.assert_allclose(waiting, slot_model(plan, seconds, slots), atol=1e-9)
    computing = slots_and_cores(plan, 0.0, seconds, None, cores)
    np.testing.assert_allclose(computing, slot_model(plan, seconds, cores), atol=1e-9)
    both = slots_and_cores(plan, seconds / 2, seconds / 2, cores, cores)
    np.testing.assert_allclose(both, slot_model(plan, seconds, cores), atol=1e-9)


def test_slots_and_cores_by_hand() -> None:
    # Two slots, one core; each computes 1 and waits 2. The second computes after the first; the
    # third has no slot until the first ends at 3.
    assert slots_and_cores([0, 0, 0], 2.0, 1.0, slots=2, cores=1).tolist() == [3, 4, 6]
    assert slots_and_cores([0, 0, 0], 2.0, 1.0, slots=None, cores=1).tolist() == [3, 4, 5]


@settings(deadline=None)
@given(requests, st.integers(1, 8))
def test_no_more_than_the_slots_are_ever_in_service(pairs: Pairs, slots: int) -> None:
    arrivals, services = split(pairs)
    starts = arrivals + kiefer_wolfowitz(arrivals, services, slots)
    ends = starts + services
    for start in starts:
        # Ends at the very instant of a start make room for it.
        assert ((starts <= start) & (ends > start + 1e-9)).sum() <= slots


@settings(deadline=None)
@given(requests, st.integers(1, 8))
def test_a_request_waits_only_while_every_slot_is_taken(pairs: Pairs, slots: int) -> None:
    arrivals, services = split(pairs)
    waits = kiefer_wolfowitz(arrivals, services, slots)
    starts, ends = arrivals + waits, arrivals + waits + services
    for i in np.flatnonzero(waits > 1e-9):
        just_before = starts[i] - 1e-9
        assert ((starts <= just_before) & (ends >= just_before)).sum() >= slots


@settings(deadline=None)
@given(requests, st.integers(1, 6))
def test_one_slot_more_never_makes_anyone_wait_longer(pairs: Pairs, slots: int) -> None:
    arrivals, services = split(pairs)
    fewer = kiefer_wolfowitz(arrivals, services, slots)
    more = kiefer_wolfowitz(arrivals, services, slots + 1)
    assert (more <= fewer + 1e-9).all()


def test_a_very_large_number_of_slots_costs_no_memory() -> None:
    assert kiefer_wolfowitz([0, 0], [1, 1], slots=10**18).tolist() == [0, 0]


def test_no_arrivals_give_no_waits() -> None:
    assert lindley([], []).shape == (0,)
    assert kiefer_wolfowitz([], 0.5, slots=2).shape == (0,)


def test_constant_service_at_seventy_percent_load_waits_as_long_as_theory_says() -> None:
    plan = Poisson(70).plan(10_000.0, seed=2024)
    simulated = lindley(plan, 0.01).mean()
    # M/D/1: rho * s / (2 * (1 - rho)) = 0.7 * 10 ms / 0.6
    assert allen_cunneen(70, 0.01, 1, 1, 0) == pytest.approx(0.7 * 0.01 / 0.6)
    assert simulated == pytest.approx(0.7 * 0.01 / 0.6, rel=0.02)


def test_exponential_service_on_three_slots_waits_as_long_as_erlang_says() -> None:
    plan = Poisson(24).plan(15_000.0, seed=5)
    holds = np.random.default_rng(6).exponential(0.1, len(plan))
    waits = kiefer_wolfowitz(plan, holds, slots=3)
    assert waits.mean() == pytest.approx(mmc_mean_wait(24, 0.1, 3), rel=0.05)
    assert (waits > 0).mean() == pytest.approx(erlang_c(3, 2.4), rel=0.02)


def test_allen_cunneen_comes_close_for_constant_service_on_two_slots() -> None:
    plan = Poisson(14).plan(15_000.0, seed=8)
    simulated = kiefer_wolfowitz(plan, 0.1, slots=2).mean()
    assert simulated == pytest.approx(allen_cunneen(14, 0.1, 2, 1, 0), rel=0.08)


@pytest.mark.parametrize(
    ("slots", "offered", "expected"),
    [
        (1, 0.3, 0.3),  # M/M/1: the load itself
        (2, 1.0, 1 / 3),
        (3, 2.0, 4 / 9),  # Gross & Harris, the eye clinic
        # The usual call-centre table: 200 calls an hour of 3 minutes are 10 erlangs.
        (11, 10.0, 0.6821),
        (12, 10.0, 0.4494),
        (13, 10.0, 0.2853),
        (14, 10.0, 0.1741),
        (5, 0.0, 0.0),
        (4, 4.0, 1.0),
        (4, 9.0, 1.0),
    ],
)
def test_erlang_c_gives_the_tabulated_values(slots: int, offered: float, expected: float) -> None:
    assert erlang_c(slots, offered) == pytest.approx(expected, abs=5e-5)


def test_erlang_c_agrees_with_its_defining_sum_and_survives_many_slots() -> None:
    slots, offered = 20, 15.0
    top = offered**slots / math.factorial(slots) * slots / (slots - offered)
    whole = sum(offered**k / math.factorial(k) for k in range(slots)) + top
    assert erlang_c(slots, offered) == pytest.approx(top / whole, rel=1e-12)
    assert 0 < erlang_c(20_000, 19_900.0) < 1


def test_mean_wait_of_the_textbook_clinic() -> None:
    # Gross & Harris: 6 patients an hour, 20 minutes each, 3 doctors: 4/27 h in line.
    assert mmc_mean_wait(6, 1 / 3, 3) == pytest.approx(4 / 27)


def test_mean_wait_of_one_exponential_slot_is_the_same_by_every_formula() -> None:
    rate, mean = 8.0, 0.1  # M/M/1: rho / (mu - lambda) = 0.8 / 2
    assert mmc_mean_wait(rate, mean, 1) == pytest.approx(0.4)
    assert allen_cunneen(rate, mean, 1, 1, 1) == pytest.approx(0.4)


def test_allen_cunneen_is_exact_for_one_slot_with_any_service() -> None:
    rate, mean, scv = 12, 0.05, 3.0
    # Pollaczek and Khinchine: λ·E[S²] / (2·(1 − ρ)); L. Kleinrock, Queueing Systems I, section 5.6.
    exact = rate * mean**2 * (1 + scv) / (2 * (1 - rate * mean))
    assert allen_cunneen(rate, mean, 1, 1, scv) == pytest.approx(exact)


@pytest.mark.parametrize("rate", [10.0, 11.0])
def test_from_full_load_on_the_mean_wait_is_infinite(rate: float) -> None:
    assert mmc_mean_wait(2 * rate, 0.1, 2) == math.inf
    assert allen_cunneen(rate, 0.1, 1, 0, 0) == math.inf


def test_throughput_is_bounded_by_slots_over_hold_time() -> None:
    assert throughput_limit(1, 0.05) == pytest.approx(20)
    assert throughput_limit(8, 0.05) == pytest.approx(160)
    assert throughput_limit(None, 0.05) == math.inf


def test_an_overloaded_queue_finishes_at_the_limit_and_grows_along_the_line() -> None:
    # lambda = 30/s, mu = 20/s: a request arriving at t waits (lambda/mu - 1) * t, which seen
    # from its time of finishing is (1 - mu/lambda) * t.
    plan = ConstantRate(30).plan(20.0, seed=0)
    latency = slot_model(plan, 0.05, slots=1)
    finished = plan + latency
    np.testing.assert_allclose(latency, 0.5 * plan + 0.05, atol=1e-9)
    np.testing.assert_allclose(latency, (1 - 20 / 30) * finished + 0.05 * 2 / 3, atol=1e-9)
    assert len(plan) / finished[-1] == pytest.approx(throughput_limit(1, 0.05))


def test_unbounded_slots_make_every_latency_the_hold_time() -> None:
    plan = Poisson(500).plan(1.0, seed=1)
    assert (slot_model(plan, 0.05, None) == 0.05).all()
    enough = slot_model(plan, 0.05, len(plan))
    np.testing.assert_allclose(enough, 0.05)


def test_the_stall_experiment_has_the_known_truth() -> None:
    # 3 s at 200 req/s, 0.6 s of standing still, 0.25 ms a request: the line of 120 drains at
    # 4000 req/s while 200 req/s join it, hence 4.75 ms from one latency to the next.
    plan = ConstantRate(200).plan(3.0, seed=0)
    latency = stall_latencies(plan, 1.0, 0.6, service=0.25e-3) * 1000
    assert quantile_of(latency, 0.90) == pytest.approx(315.25)
    assert np.sort(latency)[593] == pytest.approx(571.75)  # p99: rank 594 of 600
    assert latency.max() == pytest.approx(600.25)
    assert quantile_of(latency, 0.50) == pytest.approx(0.25)


def test_a_stall_with_no_service_time_delays_exactly_those_who_arrive_in_it() -> None:
    latency = stall_latencies([0.0, 0.5, 1.0, 1.5, 2.0], 0.5, 1.0, service=0.0)
    assert latency.tolist() == [0, 1, 0.5, 0, 0]


def test_a_request_in_service_resumes_after_the_stall() -> None:
    # Arrives at 0 and needs 1 s, of which 0.4 s are done when the stall begins.
    assert stall_latencies([0.0], 0.4, 2.0, service=1.0).tolist() == [3.0]
    # One that ends at the very moment is not touched.
    assert stall_latencies([0.0], 1.0, 2.0, service=1.0).tolist() == [1.0]


def test_concurrent_requests_all_stall_at_once() -> None:
    latency = stall_latencies([0.0, 0.1, 0.2], 0.25, 0.6, service=0.1, slots=None)
    np.testing.assert_allclose(latency, [0.1, 0.1, 0.7])


@settings(deadline=None)
@given(requests, st.floats(0, 50), st.floats(0, 5), st.integers(1, 3))
def test_a_stall_costs_each_request_between_nothing_and_its_whole_length(
    pairs: Pairs, start: float, length: float, slots: int
) -> None:
    arrivals, services = split(pairs)
    stalled = stall_latencies(arrivals, start, length, services, slots)
    extra = stalled - slot_model(arrivals, services, slots)
    assert (extra >= -1e-9).all()
    assert (extra <= length + 1e-9).all()


@settings(deadline=None)
@given(requests, st.floats(0, 50), st.floats(0.01, 5))
def test_a_stall_is_a_request_that_goes_first(pairs: Pairs, start: float, length: float) -> None:
    # An independent way to the same truth, when the server is idle as the stall begins.
    arrivals, services = split(pairs)
    before = arrivals < start
    idle_at = (arrivals + lindley(arrivals, services) + services)[before]
    assume(not len(idle_at) or idle_at.max() <= start)
    k = int(before.sum())
    with_blocker = lindley(
        np.insert(arrivals, k, start), np.insert(services, k, length)
    ) + np.insert(services, k, length)
    expected = np.delete(with_blocker, k)
    actual = stall_latencies(arrivals, start, length, services)
    np.testing.assert_allclose(actual, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("arrivals", "services", "says"),
    [
        ([1.0, 0.5], 1.0, "sorted"),
        ([0.0, math.nan], 1.0, "finite"),
        ([0.0, math.inf], 1.0, "finite"),
        ([[0.0]], 1.0, "one-dimensional"),
        ([0.0, 1.0], [1.0], "as many service times"),
        ([0.0], -1.0, "0 or more"),
        ([0.0], [math.nan], "finite"),
    ],
)
def test_an_impossible_plan_is_refused(arrivals: Any, services: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        lindley(arrivals, services)
    with pytest.raises(InputError, match=says):
        kiefer_wolfowitz(arrivals, services, 1)
    with pytest.raises(InputError, match=says):
        slot_model(arrivals, services, None)
    with pytest.raises(InputError, match=says):
        stall_latencies(arrivals, 0.0, 1.0, services)


@pytest.mark.parametrize(
    ("call", "says", "values"),
    [
        (lambda slots: kiefer_wolfowitz([0.0], 1.0, slots), "slots must be", NO_SLOTS),
        (lambda cores: slots_and_cores([0.0], 1.0, 1.0, None, cores), "must be", NO_SLOTS),
        (lambda hold: slots_and_cores([0.0], hold, 1.0, 1, 1), "0 or more", BELOW_0),
        (lambda work: slots_and_cores([0.0], 1.0, work, 1, 1), "0 or more", BELOW_0),
        (lambda slots: erlang_c(slots, 0.5), "slots must be", NO_SLOTS),
        (lambda slots: mmc_mean_wait(1, 0.1, slots), "slots must be", NO_SLOTS),
        (lambda slots: throughput_limit(slots, 1.0), "slots must be", NO_SLOTS),
        (lambda rate: mmc_mean_wait(rate, 1.0, 1), "more than 0", NOT_ABOVE_0),
        (lambda mean: mmc_mean_wait(1.0, mean, 1), "more than 0", NOT_ABOVE_0),
        (lambda hold: throughput_limit(1, hold), "more than 0", NOT_ABOVE_0),
        (lambda load: erlang_c(2, load), "erlangs", BELOW_0),
        (lambda scv: allen_cunneen(1.0, 0.1, 1, scv, 1.0), "coefficients", BELOW_0),
        (lambda scv: allen_cunneen(1.0, 0.1, 1, 1.0, scv), "coefficients", BELOW_0),
        (lambda length: stall_latencies([0.0], 0.0, length, 0.1), "stall", BELOW_0),
    ],
)
def test_impossible_numbers_are_refused(call: Solve, says: str, values: list[float]) -> None:
    for value in values:
        with pytest.raises(InputError, match=says):
            call(value)


# Slots needed: at most one share of the requests waits at all.


@pytest.mark.parametrize("offered", [0.0, 0.2, 1.0, 1.5, 10.0, 99.9])
@pytest.mark.parametrize("share", [0.1, 0.05, 0.01])
def test_one_slot_fewer_would_make_too_many_wait(offered: float, share: float) -> None:
    slots = slots_needed(offered, share)
    assert erlang_c(slots, offered) <= share
    assert slots == 1 or erlang_c(slots - 1, offered) > share


@pytest.mark.parametrize("share", [0.0, 1.0, math.nan])
def test_a_share_outside_of_its_range_is_refused(share: float) -> None:
    with pytest.raises(InputError):
        slots_needed(1.0, share)


@pytest.mark.parametrize("offered", [-1.0, math.inf, math.nan])
def test_a_load_outside_of_its_range_is_refused(offered: float) -> None:
    with pytest.raises(InputError):
        slots_needed(offered)


def test_of_a_mix_of_fast_and_slow_routes_only_the_mean_counts() -> None:
    plan = Poisson(40).plan(20_000.0, seed=3)
    slow = np.random.default_rng(4).random(len(plan)) < 0.1
    slots = slots_needed(40 * (0.9 * 0.08 + 0.1 * 2.0))
    waits = kiefer_wolfowitz(plan, np.where(slow, 2.0, 0.08), slots)
    alike = kiefer_wolfowitz(plan, 0.272, slots)
    # Neither a wide spread nor none moves the share by more than a fifth of itself.
    for seen in (waits, alike):
        assert (seen > 0).mean() == pytest.approx(erlang_c(slots, 40 * 0.272), rel=0.2)
    assert waits.mean() > 2 * alike.mean()  # those that wait do so for longer


def test_two_pools_need_more_slots_than_one() -> None:
    assert 2 * slots_needed(4.0) > slots_needed(8.0)
    plan = Poisson(40).plan(20_000.0, seed=5)
    dealt = np.random.default_rng(6).random(len(plan)) < 0.5
    holds = np.random.default_rng(7).exponential(0.2, len(plan))
    for each in (dealt, ~dealt):
        one = kiefer_wolfowitz(plan[each], holds[each], slots_needed(8.0) // 2)
        assert (one > 0).mean() > 0.05
        enough = kiefer_wolfowitz(plan[each], holds[each], slots_needed(4.0))
        assert (enough > 0).mean() <= 0.05
