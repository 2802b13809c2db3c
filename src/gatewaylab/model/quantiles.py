"""The one quantile of this project, and how many samples a level needs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gatewaylab.errors import InputError, RefusedError

#: Fewest samples for which a quantile at or above this level is stated (method, section 2).
_NEEDED = ((0.999, 20_000), (0.99, 2_000), (0.95, 100), (0.9, 50))


def quantile_of(latency: NDArray[np.float64], p: float) -> float:
    """Empirical ``p`` quantile (inverted distribution function), refusing thin tails.

    Raises:
        RefusedError: fewer samples than the level needs.
        InputError: the level is not between 0 and 1, or a latency is NaN.
    """
    if not 0 <= p <= 1:
        raise InputError(f"a quantile level lies between 0 and 1, so not {p!r} (p99 is 0.99)")
    if np.isnan(latency).any():
        raise InputError("a latency is NaN; what never finished has latency +∞")
    needed = next((n for level, n in _NEEDED if p >= level), 1)
    if len(latency) < needed:
        raise RefusedError(
            f"p{100 * p:g} needs at least {needed} samples and this trial has {len(latency)}; "
            f"measure longer, or ask for a lower quantile"
        )
    return empirical(latency, p)


def empirical(values: NDArray[np.float64], p: float) -> float:
    """The ``p`` quantile (inverted distribution function) of however few values, ∞ among them.

    By hand, because numpy's method interpolates through infinity with a warning.
    """
    ordered = np.sort(values)
    return float(ordered[max(0, math.ceil(p * len(ordered) - 1e-9) - 1)])
