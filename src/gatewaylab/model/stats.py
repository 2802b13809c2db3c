"""Estimates, intervals and effect sizes for few paired blocks. Pure: no clock, no randomness.

The unit of replication is the block: in each, both configurations were measured under the
same plan, and ``d = log(q_A / q_B)`` is one observation. With six to ten of them the exact
signed-rank distribution is the honest tool; a bootstrap of so few values is too narrow.

The signed-rank methods assume independent blocks whose ``d`` is distributed symmetrically
about its centre. For a log ratio of two measurements made alike, that is the natural case. Ties
and zeros (a continuous ``d`` has none) make the closed interval cover more, not less.

Quantiles within a trial are :func:`gatewaylab.model.quantiles.quantile_of`. One that censored
samples reach is +∞, and its log ratio ±∞; :func:`ratio_estimate` says how that is carried through.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatewaylab.errors import InputError, RefusedError

Floats = NDArray[np.float64]
FloatsLike = NDArray[np.float64] | Sequence[float]

#: Most observations that the exact distribution is worked out for.
MAX_BLOCKS = 1_000

#: "No difference" on the log scale: a ratio between 0.8 and 1.25.
EQUIVALENCE = (math.log(0.8), math.log(1.25))


@functools.lru_cache(maxsize=64)
def signed_rank_distribution(n: int) -> Floats:
    """P(T = t) for t = 0 … n(n+1)/2 under the null hypothesis, shape ``(n(n+1)/2 + 1,)``.

    T is the sum of the ranks with positive sign, each sign a fair coin: adding rank k moves
    half of the probability k places up. The array is shared, therefore read-only.

    Raises:
        InputError: n is below 1 or above :data:`MAX_BLOCKS`.

    Source: M. Hollander, D. A. Wolfe, *Nonparametric Statistical Methods*, 2nd ed. 1999,
    section 3.1.
    """
    if not 1 <= n <= MAX_BLOCKS:
        raise InputError(f"the signed-rank distribution is known for 1 to {MAX_BLOCKS}, not {n}")
    probability = np.zeros(n * (n + 1) // 2 + 1)
    probability[0] = 1.0
    for rank in range(1, n + 1):
        end = rank * (rank + 1) // 2 + 1
        moved = probability[: end - rank].copy()
        probability[rank:end] += moved
        probability[:end] /= 2
    probability.flags.writeable = False
    return probability


def attained_confidence(n: int, confidence: float = 0.95) -> float:
    """The coverage that the exact interval really has: the smallest one ≥ ``confidence``.

    T is discrete, so with few blocks only some levels exist (n = 6: 96.9 %, n = 9: 96.1 %).

    Raises:
        RefusedError: no interval of that confidence exists for n observations.
        InputError: n or the confidence is out of range.
    """
    depth = _depth(n, confidence)
    return 1.0 - 2.0 * float(signed_rank_distribution(n)[:depth].sum())


def hodges_lehmann(d: FloatsLike) -> float:
    """The centre of ``d``: the median of all pairwise (Walsh) averages, each value with itself too.

    Args:
        d: observations, shape ``(n,)``, ±∞ allowed.

    Raises:
        InputError: empty, NaN, or more than :data:`MAX_BLOCKS` values.
        RefusedError: so many values are infinite on both sides that the median is undefined.

    Source: Hollander & Wolfe, section 3.2.
    """
    low, high = _walsh(d)
    centre = _median(low)
    if centre != _median(high):  # NaN differs from everything, itself included
        raise RefusedError(
            "the centre of log ratios that are infinite on both sides is undefined; lengthen the "
            "deadline, or lower the load until the quantile is reached"
        )
    return centre


def signed_rank_interval(d: FloatsLike, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval for the centre of ``d``: all values that the signed-rank test accepts.

    Its bounds are the k-th smallest and k-th largest Walsh average, k being the largest with
    2·P(T < k) ≤ 1 − ``confidence``. :func:`attained_confidence` gives the coverage reached.

    Args:
        d: observations, shape ``(n,)``. An average of +∞ and −∞ counts as −∞ for the lower
            bound and as +∞ for the upper one, so a bound may be infinite, never too narrow.
        confidence: two-sided, between 0 and 1.

    Returns:
        ``(low, high)``, in the unit of ``d``.

    Raises:
        RefusedError: no such interval exists; at 95 % that is n ≤ 5, at 90 % n ≤ 4.
        InputError: empty, NaN, too many values, or a confidence out of range.

    Source: Hollander & Wolfe, section 3.3.
    """
    low, high = _walsh(d)
    depth = _depth(len(d), confidence)
    return float(low[depth - 1]), float(high[len(high) - depth])


def vargha_delaney(x: FloatsLike, y: FloatsLike) -> float:
    """A12: the probability that a value of ``x`` exceeds one of ``y``, a tie counting half.

    0.5 means no tendency. The authors call 0.56, 0.64 and 0.71 (or as far below 0.5) small,
    medium and large.

    Args:
        x, y: observations, shapes ``(m,)`` and ``(n,)``, in any order; ±∞ allowed.

    Raises:
        InputError: one of them is empty or has NaN.

    Source: A. Vargha, H. D. Delaney, "A critique and improvement of the CL common language
    effect size statistics of McGraw and Wong", 2000.
    """
    first, second = _column("x", x), np.sort(_column("y", y))
    below = np.searchsorted(second, first, side="left")
    not_above = np.searchsorted(second, first, side="right")
    # In whole numbers up to the last division, so that 0.5 is exactly 0.5.
    return int((below + not_above).sum()) / (2 * len(first) * len(second))


@dataclass(frozen=True)
class RatioEstimate:
    """The ratio A / B over all blocks, with its uncertainty.

    Attributes:
        estimate: Hodges–Lehmann estimate of the log ratio, exponentiated.
        low, high: bounds of the exact interval of at least 95 %, by :func:`attained_confidence`.
        low90, high90: bounds of that of at least 90 %, for equivalence.
        n: how many blocks.
        a12: Vargha–Delaney A12 of the quantiles of A against those of B.
    """

    estimate: float
    low: float
    high: float
    low90: float
    high90: float
    n: int
    a12: float


def log_ratios(a: FloatsLike, b: FloatsLike) -> Floats:
    """Per-block ``log(a / b)``: +∞ where only ``a`` is censored, −∞ where only ``b`` is.

    Args:
        a, b: one quantile a block, in seconds, +∞ where censored; shape ``(n,)``, paired.

    Raises:
        InputError: different lengths, empty, NaN, or a value that is not above 0.
        RefusedError: both are censored in the same block: then nothing is known of the ratio.
    """
    top, bottom = _column("a", a), _column("b", b)
    if top.shape != bottom.shape:
        raise InputError(f"{len(top)} blocks of a cannot be paired with {len(bottom)} of b")
    if (top <= 0).any() or (bottom <= 0).any():
        raise InputError("a ratio needs quantiles above 0 s")
    both = np.flatnonzero(np.isinf(top) & np.isinf(bottom))
    if len(both):
        raise RefusedError(
            f"both sides are censored at the deadline in block {both[0]}, so their ratio is "
            f"unknown; lengthen the deadline, lower the load, or compare a lower quantile"
        )
    difference: Floats = np.log(top) - np.log(bottom)
    return difference


def ratio_estimate(
    a: FloatsLike,
    b: FloatsLike,
    *,
    deadline: float | None = None,
    below: FloatsLike | None = None,
    above: FloatsLike | None = None,
) -> RatioEstimate:
    """Estimate the ratio A / B from one quantile of each per block.

    A censored quantile (+∞) is known only to be at least the deadline. With ``deadline`` given,
    the lower bounds are worked out from the smallest ratio that each block allows (a censored
    ``a`` taken as the deadline, a censored ``b`` as +∞) and the upper bounds from the largest,
    so the interval covers the truth wherever beyond the deadline it lies. Without it, +∞ stands
    for itself, and a lower bound of +∞ only says "above what the deadline let us see". The
    estimate is infinite when the middle Walsh average is.

    What noise can have done is carried through in the same way: the lower bounds are those of the
    smallest log ratios that each block allows, the upper bounds those of the largest. Wherever in
    between the truth of a block lies, the interval covers the centre as it would without noise.

    Args:
        a, b: one quantile a block, in seconds, +∞ where censored; shape ``(n,)``, paired.
        deadline: seconds after which the requests were censored.
        below, above: how far below and above each block's log ratio its truth may lie, 0 or more,
            ∞ allowed; shape ``(n,)``, 0 when None.

    Raises:
        InputError: as :func:`log_ratios`, or a deadline that is not above 0.
        RefusedError: fewer than 6 blocks; both sides censored in one block; or so many
            censored on either side that the estimate is undefined.
    """
    d = log_ratios(a, b)
    at_least, at_most = d, d
    if deadline is not None:
        if not 0 < deadline < math.inf:
            raise InputError(f"the deadline must be finite and above 0 s, not {deadline!r}")
        top, bottom = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
        known = math.log(deadline)
        at_least = np.where(np.isposinf(d), known - np.log(bottom), d)
        at_most = np.where(np.isneginf(d), np.log(top) - known, d)
    if below is not None:
        at_least = at_least - np.asarray(below, dtype=np.float64)
    if above is not None:
        at_most = at_most + np.asarray(above, dtype=np.float64)
    # The lower bounds first: too few blocks is the plainer reason to refuse.
    low, low90 = (signed_rank_interval(at_least, level)[0] for level in (0.95, 0.90))
    high, high90 = (signed_rank_interval(at_most, level)[1] for level in (0.95, 0.90))
    return RatioEstimate(
        estimate=_exp(hodges_lehmann(d)),
        low=_exp(low),
        high=_exp(high),
        low90=_exp(low90),
        high90=_exp(high90),
        n=len(d),
        a12=vargha_delaney(a, b),
    )


def _column(name: str, values: FloatsLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise InputError(f"{name} must be a non-empty row of numbers, not shape {array.shape}")
    if np.isnan(array).any():
        raise InputError(f"{name} has NaN; a missing block must be left out on both sides")
    return array


def _walsh(d: FloatsLike) -> tuple[Floats, Floats]:
    """Sorted Walsh averages, twice: with ∞ − ∞ taken as −∞, and as +∞."""
    values = _column("d", d)
    if len(values) > MAX_BLOCKS:
        raise InputError(f"{len(values)} values; the exact method is for at most {MAX_BLOCKS}")
    i, j = np.triu_indices(len(values))
    with np.errstate(invalid="ignore"):
        averages = values[i] / 2 + values[j] / 2
    undefined = np.isnan(averages)
    if not undefined.any():
        averages.sort()
        return averages, averages
    return (
        np.sort(np.where(undefined, -np.inf, averages)),
        np.sort(np.where(undefined, np.inf, averages)),
    )


def _median(ordered: Floats) -> float:
    lower, upper = float(ordered[(len(ordered) - 1) // 2]), float(ordered[len(ordered) // 2])
    return lower if lower == upper else lower / 2 + upper / 2


def _depth(n: int, confidence: float) -> int:
    """The k of the interval: the k-th Walsh average from either end bounds it."""
    if not 0 < confidence < 1:
        raise InputError(f"the confidence must lie between 0 and 1, not {confidence!r}")
    tails = 2.0 * np.cumsum(signed_rank_distribution(n))
    # The margin absorbs the rounding of 1 − confidence, far below any step of the distribution
    # that decides about an interval.
    depth = int(np.searchsorted(tails, (1.0 - confidence) + 1e-12, side="right"))
    if depth == 0:
        needed = math.ceil(1 - math.log2(1.0 - confidence) - 1e-9)
        raise RefusedError(
            f"{n} blocks cannot carry a {100 * confidence:g} % interval, whatever they show; "
            f"measure at least {needed}"
        )
    return depth


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
