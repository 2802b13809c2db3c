"""What the checks compute: errors against a truth, and what noise would have to explain."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gatewaylab.load.samples import GeneratorReport, Samples

Floats = NDArray[np.float64]


def anderson_darling(values: Floats) -> float:
    """The statistic A² of ``values`` against the exponential distribution of mean 1.

    Infinite if a value is not above 0.

    Source: T. W. Anderson, D. A. Darling, "A test of goodness of fit", 1954.
    """
    ordered = np.sort(values)
    n = len(ordered)
    if not n or ordered[0] <= 0:
        return math.inf
    weights = 2 * np.arange(1, n + 1) - 1
    below, above = np.log(-np.expm1(-ordered)), -ordered[::-1]
    return float(-n - np.sum(weights * (below + above)) / n)


def quantile(values: Floats, p: float) -> float:
    """The empirical quantile (inverted distribution function), of however few values."""
    if not len(values):
        return math.nan
    return float(np.quantile(values, p, method="inverted_cdf"))


def services_of(samples: Samples) -> Floats:
    """What the server said that each request took; 0 where it said nothing, which is a fault."""
    return np.nan_to_num(samples.service, nan=0.0)


def incomplete(samples: Samples, report: GeneratorReport) -> tuple[str, ...]:
    """Requests that are missing, failed, or of which the server gave no account."""
    faults: tuple[str, ...] = ()
    if not len(samples) == report.planned == report.sent:
        faults += (f"{report.planned} planned, {report.sent} sent, {len(samples)} seen",)
    if failed := int((samples.error != 0).sum()):
        faults += (f"{failed} requests failed",)
    if unknown := int(np.isnan(samples.service).sum()):
        faults += (f"{unknown} answers do not say what they took",)
    return faults


def percent(exact: float, seen: float) -> float:
    """How far a number is off, in per cent of the truth."""
    return 100 * abs(float(seen) / float(exact) - 1) if exact else math.nan


def beyond_allowed(errors: Mapping[str, float], allowed: float) -> tuple[str, ...]:
    """Those of several errors, in per cent, that are larger than allowed, as sentences."""
    return tuple(
        f"{name} is {error:.2f} % off, above {allowed:g} %"
        for name, error in errors.items()
        if not error <= allowed
    )


def excess(pairs: Mapping[str, tuple[float, float]], allowed: float) -> float:
    """By how many seconds the worst of the numbers is off beyond ``allowed`` per cent."""
    if any(exact - seen > allowed / 100 * exact for exact, seen in pairs.values()):
        return math.inf  # noise only lengthens
    return max((seen - (1 + allowed / 100) * exact for exact, seen in pairs.values()), default=0.0)


def spread(pairs: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Each number as it was and as it was measured, in ms, for a check's details."""
    table = {}
    for name, (exact, seen) in pairs.items():
        table[f"{name} truth, ms"] = 1e3 * exact
        table[f"{name} measured, ms"] = 1e3 * seen
    return table
