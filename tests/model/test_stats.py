"""Estimates and intervals, held against published values and full enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from gatewaylab.errors import InputError, RefusedError
from gatewaylab.model.stats import (
    MAX_BLOCKS,
    attained_confidence,
    hodges_lehmann,
    log_ratios,
    ratio_estimate,
    signed_rank_distribution,
    signed_rank_interval,
    vargha_delaney,
)

INF = math.inf

# Hamilton depression scale factor IV of nine patients before and after a tranquilliser:
# Hollander & Wolfe, table 3.1; also the example of R's wilcox.test.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
DEPRESSION = AFTER - BEFORE

# Two-sided 5 % critical values of the signed-rank statistic, as in every textbook's table.
CRITICAL = {6: 0, 7: 2, 8: 3, 9: 5, 10: 8, 11: 10, 12: 13, 13: 17, 14: 21, 15: 25, 20: 52, 25: 89}

# By the level of confidence, the fewest blocks that reach it.
FEWEST = [(0.95, 6), (0.90, 5), (0.99, 8), (0.5, 2), (0.9375, 5)]

finite = st.floats(-5, 5)
quantiles = st.floats(0.001, 50)


def walsh(d: Any) -> Any:
    """Every pairwise average in order, the plain way."""
    return np.sort([(x + y) / 2 for x, y in itertools.combinations_with_replacement(d, 2)])


@pytest.mark.parametrize("n", range(1, 13))
def test_distribution_is_that_of_all_sign_patterns(n: int) -> None:
    signs = np.array(list(itertools.product([0, 1], repeat=n)))
    counts = np.bincount(signs @ np.arange(1, n + 1), minlength=n * (n + 1) // 2 + 1)
    assert np.array_equal(signed_rank_distribution(n), counts / 2**n)


def test_distribution_matches_the_tables() -> None:
    assert 2 * signed_rank_distribution(6)[0] == 0.03125
    assert 2 * signed_rank_distribution(5)[0] == 0.0625
    # Hollander & Wolfe, table A.4, three digits.
    assert signed_rank_distribution(9)[40:].sum() == pytest.approx(0.020, abs=5e-4)
    assert signed_rank_distribution(10)[47:].sum() == pytest.approx(0.024, abs=5e-4)
    for n, critical in CRITICAL.items():
        tails = 2 * np.cumsum(signed_rank_distribution(n))
        assert tails[critical] <= 0.05 < tails[critical + 1]


def test_distribution_stays_a_distribution_for_many_blocks() -> None:
    wide = signed_rank_distribution(300)
    assert wide.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(wide, wide[::-1], atol=1e-18)
    spread = math.sqrt(300 * 301 * 601 / 24)
    assert wide @ (np.arange(len(wide)) - wide.size // 2) ** 2 == pytest.approx(spread**2)


def test_distribution_is_shared_and_therefore_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        signed_rank_distribution(6)[0] = 1.0


@pytest.mark.parametrize("n", [0, -1, MAX_BLOCKS + 1])
def test_distribution_of_an_impossible_number_of_blocks_is_refused(n: int) -> None:
    with pytest.raises(InputError, match=str(MAX_BLOCKS)):
        signed_rank_distribution(n)


def test_the_published_example_comes_out_as_published() -> None:
    assert hodges_lehmann(DEPRESSION) == pytest.approx(-0.46, abs=1e-9)
    low, high = signed_rank_interval(DEPRESSION, 0.95)
    assert low == pytest.approx(-0.786, abs=1e-9)
    assert high == pytest.approx(-0.010, abs=1e-9)
    assert attained_confidence(9, 0.95) == pytest.approx(0.961, abs=5e-4)


def test_rs_example_has_its_p_value() -> None:
    # R: wilcox.test(x, y, paired = TRUE, alternative = "greater") gives V = 40, p = 0.01953.
    change = BEFORE - AFTER
    ranks = np.argsort(np.argsort(np.abs(change))) + 1
    v = int(ranks[change > 0].sum())
    assert v == 40
    assert signed_rank_distribution(9)[v:].sum() == pytest.approx(0.01953, abs=5e-6)


def test_estimate_by_hand() -> None:
    # Walsh averages of 1 2 6: 1 1.5 2 3.5 4 6.
    assert hodges_lehmann([1, 2, 6]) == 2.75
    assert hodges_lehmann([3]) == 3


@settings(deadline=None)
@given(st.lists(finite, min_size=1, max_size=12))
def test_estimate_is_the_median_of_the_walsh_averages(d: list[float]) -> None:
    assert hodges_lehmann(d) == pytest.approx(np.median(walsh(d)), abs=1e-12)


@settings(deadline=None)
@given(st.lists(finite, min_size=6, max_size=12), finite)
def test_shifted_or_mirrored_data_shift_or_mirror_the_answer(d: list[float], shift: float) -> None:
    data = np.array(d)
    low, high = signed_rank_interval(data)
    assert signed_rank_interval(data + shift) == pytest.approx((low + shift, high + shift))
    assert signed_rank_interval(-data) == pytest.approx((-high, -low))
    assert hodges_lehmann(data + shift) == pytest.approx(hodges_lehmann(data) + shift)
    assert low <= hodges_lehmann(data) <= high


@pytest.mark.parametrize(("n", "critical"), CRITICAL.items())
def test_interval_bounds_are_the_walsh_averages_that_the_tables_name(n: int, critical: int) -> None:
    d = np.random.default_rng(n).normal(size=n)
    averages = walsh(d)
    low, high = signed_rank_interval(d)
    assert low == pytest.approx(averages[critical])
    assert high == pytest.approx(averages[-1 - critical])


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95, 0.96875])
@pytest.mark.parametrize("n", [6, 7, 8, 9])
def test_interval_holds_just_the_centres_that_the_test_accepts(n: int, confidence: float) -> None:
    d = np.random.default_rng(100 + n).normal(0.3, 1, n)
    averages = walsh(d)
    edges = np.concatenate([[averages[0] - 1], averages, [averages[-1] + 1]])
    centres = (edges[1:] + edges[:-1]) / 2  # one in each gap: the test only changes at the edges
    signs = np.array(list(itertools.product([0, 1], repeat=n)))
    null = signs @ np.arange(1, n + 1)
    accepted = []
    for centre in centres:
        ranks = np.argsort(np.argsort(np.abs(d - centre))) + 1
        t = ranks[d > centre].sum()
        p = 2 * min((null <= t).mean(), (null >= t).mean())
        accepted.append(p > 1 - confidence)
    low, high = signed_rank_interval(d, confidence)
    assert accepted == [low < centre < high for centre in centres]


def test_interval_agrees_with_the_tests_of_scipy() -> None:
    d = np.random.default_rng(3).normal(0.5, 1, 10)
    low, high = signed_rank_interval(d, 0.95)
    for centre, inside in [(low + 1e-6, True), (low - 1e-6, False), (high + 1e-6, False)]:
        p = scipy_stats.wilcoxon(d - centre, method="exact").pvalue
        assert bool(p > 0.05) is inside


@pytest.mark.parametrize(("confidence", "fewest"), FEWEST)
def test_too_few_blocks_are_refused_and_it_says_how_many(confidence: float, fewest: int) -> None:
    with pytest.raises(RefusedError, match=f"at least {fewest}$"):
        signed_rank_interval(np.arange(fewest - 1.0), confidence)
    with pytest.raises(RefusedError, match=f"at least {fewest}$"):
        attained_confidence(fewest - 1, confidence)
    assert signed_rank_interval(np.arange(float(fewest)), confidence)[0] == 0.0


@pytest.mark.parametrize(
    ("n", "missed"), [(6, 2 / 64), (7, 6 / 128), (8, 10 / 256), (10, 50 / 1024), (15, 1570 / 2**15)]
)
def test_attained_confidence_is_the_exact_one(n: int, missed: float) -> None:
    assert attained_confidence(n, 0.95) == pytest.approx(1 - missed, abs=1e-15)


@pytest.mark.parametrize("confidence", [0, 1, -0.1, 95, math.nan])
def test_an_impossible_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        signed_rank_interval(DEPRESSION, confidence)


@pytest.mark.parametrize("d", [[], [1.0, math.nan], [[1.0]], 3.0])
def test_unusable_observations_are_refused(d: Any) -> None:
    for call in (hodges_lehmann, signed_rank_interval):
        with pytest.raises(InputError):
            call(d)


def test_more_observations_than_the_exact_method_is_for_are_refused() -> None:
    with pytest.raises(InputError, match="at most"):
        hodges_lehmann(np.zeros(MAX_BLOCKS + 1))


def test_infinite_observations_move_only_the_bounds_that_they_reach() -> None:
    d = [0.1, 0.2, 0.3, 0.4, 0.5, INF]
    assert signed_rank_interval(d) == (0.1, INF)
    # The eleventh of 21 averages: six are infinite, 0.35 is the tenth and eleventh of the others.
    assert hodges_lehmann(d) == pytest.approx(0.35)
    assert signed_rank_interval([-x for x in d]) == (-INF, -0.1)


def test_infinities_on_both_sides_widen_the_interval_to_everything() -> None:
    assert signed_rank_interval([-INF, 0.1, 0.2, 0.3, 0.4, INF]) == (-INF, INF)
    assert signed_rank_interval([-INF, INF, INF, INF, INF, INF, INF]) == (-INF, INF)
    with pytest.raises(RefusedError, match="both sides"):
        hodges_lehmann([-INF, -INF, -INF, INF, INF, INF])
    with pytest.raises(RefusedError, match="both sides"):
        hodges_lehmann([-INF, INF])


def test_a_few_infinities_on_both_sides_leave_the_centre_in_place() -> None:
    # The one undefined average would have to cross the middle to matter.
    assert hodges_lehmann([-INF, *np.linspace(0.1, 0.9, 9), INF]) == pytest.approx(0.5)


def test_identical_measurements_have_an_interval_of_no_width() -> None:
    assert signed_rank_interval(np.zeros(6)) == (0.0, 0.0)


# S. Mangiafico, "Summary and Analysis of Extension Program Evaluation in R", two-sample
# Mann-Whitney test: Pooh against Piglet, VDA = 0.95.
POOH, PIGLET = [3, 5, 4, 4, 4, 4, 4, 4, 5, 5], [2, 4, 2, 2, 1, 2, 3, 2, 2, 3]


@pytest.mark.parametrize(
    ("x", "y", "a12"),
    [
        ([1, 3, 5], [2, 3, 5], 4 / 9),  # of nine pairs, x wins three and ties two
        *(([2, 3], [1], 1.0), ([1], [2, 3], 0.0), ([1, 2], [1, 2], 0.5)),
        (POOH, PIGLET, 0.95),
    ],
)
def test_a12_by_hand_and_as_published(x: list[float], y: list[float], a12: float) -> None:
    assert vargha_delaney(x, y) == pytest.approx(a12)


ranks = st.lists(st.integers(0, 6).map(float) | st.just(INF), min_size=1, max_size=15)


@settings(deadline=None)
@given(ranks, ranks)
def test_a12_is_the_share_of_pairs_and_mann_whitney_s_u(x: list[float], y: list[float]) -> None:
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in x for b in y]
    assert vargha_delaney(x, y) == pytest.approx(np.mean(pairs))
    assert vargha_delaney(x, y) + vargha_delaney(y, x) == pytest.approx(1)
    u = len(x) * len(y) / 2
    if len({*x, *y}) > 1:
        finite_x, finite_y = np.minimum(x, 1e9), np.minimum(y, 1e9)
        u = scipy_stats.mannwhitneyu(finite_x, finite_y, method="asymptotic").statistic
    assert vargha_delaney(x, y) == pytest.approx(u / (len(x) * len(y)))


@pytest.mark.parametrize(("x", "y"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0])])
def test_a12_of_nothing_is_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(InputError):
        vargha_delaney(x, y)


def test_log_ratios_are_infinite_on_the_side_that_is_censored() -> None:
    assert log_ratios([2.0, INF, 1.0], [1.0, 1.0, INF]).tolist() == [math.log(2), INF, -INF]
    with pytest.raises(RefusedError, match="block 2"):  # censored on both sides
        log_ratios([1.0, 1.0, INF], [1.0, 1.0, INF])


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ([1.0], [1.0, 2.0], "paired"),
        ([0.0], [1.0], "above 0"),
        ([1.0], [-1.0], "above 0"),
        ([math.nan], [1.0], "NaN"),
        ([], [], "non-empty"),
    ],
)
def test_unusable_quantiles_are_refused(a: list[float], b: list[float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        log_ratios(a, b)


def test_ratio_estimate_exponentiates_the_log_scale() -> None:
    b = np.array([0.05, 0.06, 0.055, 0.05, 0.052, 0.051, 0.058])
    factors = np.array([2.0, 2.2, 1.9, 2.1, 2.05, 1.8, 2.4])
    found = ratio_estimate(b * factors, b)
    d = np.log(factors)
    assert found.estimate == pytest.approx(math.exp(hodges_lehmann(d)))
    assert (found.low, found.high) == pytest.approx(np.exp(signed_rank_interval(d)))
    assert (found.low90, found.high90) == pytest.approx(np.exp(signed_rank_interval(d, 0.9)))
    assert found.low <= found.low90 <= found.estimate <= found.high90 <= found.high
    assert (found.n, found.a12) == (7, 1.0)
    assert attained_confidence(found.n) == pytest.approx(0.953125)


@settings(deadline=None)
@given(st.lists(st.tuples(quantiles, quantiles), min_size=6, max_size=10))
def test_swapping_the_sides_inverts_the_ratio(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    one, other = ratio_estimate(a, b), ratio_estimate(b, a)
    assert other.estimate == pytest.approx(1 / one.estimate)
    assert (other.low, other.high) == pytest.approx((1 / one.high, 1 / one.low))
    assert other.a12 == pytest.approx(1 - one.a12)


def test_five_blocks_give_no_ratio() -> None:
    with pytest.raises(RefusedError, match="at least 6"):
        ratio_estimate([1.0] * 5, [1.0] * 5)


def test_without_the_deadline_a_censored_side_is_infinite() -> None:
    found = ratio_estimate([INF] * 6, [0.5] * 6)
    assert (found.estimate, found.low, found.high, found.a12) == (INF, INF, INF, 1.0)
    below = ratio_estimate([0.5] * 6, [INF] * 6)
    assert (below.estimate, below.low, below.high, below.a12) == (0.0, 0.0, 0.0, 0.0)


def test_with_the_deadline_the_bound_is_what_the_deadline_lets_us_say() -> None:
    found = ratio_estimate([INF] * 6, [0.5] * 6, deadline=10.0)
    assert (found.estimate, found.high) == (INF, INF)
    assert found.low == found.low90 == pytest.approx(20.0)
    below = ratio_estimate([0.5] * 6, [INF] * 6, deadline=10.0)
    assert (below.estimate, below.low) == (0.0, 0.0)
    assert below.high == below.high90 == pytest.approx(1 / 20)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(quantiles, quantiles), min_size=6, max_size=9), st.floats(0.1, 40))
def test_the_interval_of_censored_data_contains_that_of_the_whole_truth(
    pairs: list[tuple[float, float]], deadline: float
) -> None:
    a, b = np.array(pairs).T
    if ((a > deadline) & (b > deadline)).any():
        b = np.minimum(b, deadline)
    truth = ratio_estimate(a, b)
    seen_a, seen_b = np.where(a > deadline, INF, a), np.where(b > deadline, INF, b)
    try:
        seen = ratio_estimate(seen_a, seen_b, deadline=deadline)
    except RefusedError as refusal:
        assert "both sides" in str(refusal)  # noqa: PT017
        assert np.isinf(seen_a).any()
        assert np.isinf(seen_b).any()
        return
    slack = 1 + 1e-9
    assert seen.low <= truth.low * slack
    assert seen.low90 <= truth.low90 * slack
    assert truth.high <= seen.high * slack
    assert truth.high90 <= seen.high90 * slack


@pytest.mark.parametrize("deadline", [0.0, -1.0, INF, math.nan])
def test_an_impossible_deadline_is_refused(deadline: float) -> None:
    with pytest.raises(InputError, match="deadline"):
        ratio_estimate([1.0] * 6, [1.0] * 6, deadline=deadline)


def test_ratios_beyond_the_range_of_a_float_do_not_crash() -> None:
    assert ratio_estimate([1e300] * 6, [1e-300] * 6).estimate == INF
    assert ratio_estimate([1e-300] * 6, [1e300] * 6).estimate == 0.0


# What noise can have done is carried through as censoring is.

times = st.floats(0.01, 100)
reaches = st.floats(0, 3) | st.just(INF)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(times, times, reaches, reaches), min_size=6, max_size=9), st.data())
def test_the_interval_covers_what_it_would_be_wherever_the_truth_of_a_block_lies(
    rows: list[tuple[float, float, float, float]], data: st.DataObject
) -> None:
    a, b, below, above = np.array(rows).T
    freed = ratio_estimate(a, b, below=below, above=above)
    plain = ratio_estimate(a, b)
    moved = np.array([data.draw(st.floats(-min(down, 50), min(up, 50))) for _, _, down, up in rows])
    truth = ratio_estimate(a * np.exp(moved), b)
    slack = 1 + 1e-9
    for inside in (plain, truth):
        assert freed.low <= inside.low * slack
        assert freed.low90 <= inside.low90 * slack
        assert inside.high <= freed.high * slack
        assert inside.high90 <= freed.high90 * slack
    assert freed.estimate == plain.estimate  # what was measured stays what is stated


def test_noise_that_can_do_nothing_changes_nothing_and_one_side_only_its_own() -> None:
    a, b = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5], [1.0] * 6
    plain = ratio_estimate(a, b)
    assert ratio_estimate(a, b, below=[0.0] * 6, above=[0.0] * 6) == plain
    freed = ratio_estimate(a, b, below=[math.log(2)] * 6)
    assert (freed.low, freed.high) == pytest.approx((plain.low / 2, plain.high))
    freed = ratio_estimate(a, b, above=[INF] * 6)
    assert (freed.low, freed.high) == (plain.low, INF)
    # Noise and a deadline: at least the deadline, and that itself may have been late.
    freed = ratio_estimate([INF] * 6, b, deadline=10.0, below=[math.log(2)] * 6)
    assert (freed.low, freed.high) == pytest.approx((5.0, INF))
