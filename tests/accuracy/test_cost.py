"""What a request costs the generator, beside what it costs wrk.

The one test here that looks at a speed, and it looks at the ratio of two in the same run, in CPU
time: a slow or busy machine is so for both. All other speeds are figures of ``scripts/bench``.
"""

from __future__ import annotations

import pytest

from tests.support.costs import CORES, HAS_WRK, against_wrk, cpu_ratio
from tests.support.disturbed import unless_disturbed

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.skipif(len(CORES) < 2, reason="needs two cores"),
    pytest.mark.skipif(not HAS_WRK, reason="wrk is not installed"),
]

ROUNDS = 7


@pytest.mark.parametrize("trace", [False, True])
@unless_disturbed(0.05 * 2 * ROUNDS)  # a twentieth of the rounds, each of two runs of a second
def test_a_request_costs_at_most_1_3_times_what_wrk_spends(trace: bool) -> None:
    pairs = against_wrk(ROUNDS, trace=trace)
    ratio = cpu_ratio(pairs)
    print([f"{1e6 * a.cpu:.2f} µs against {1e6 * b.cpu:.2f} µs" for a, b in pairs], ratio)
    assert ratio <= 1.3
