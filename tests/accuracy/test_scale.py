"""A million samples: all of them arrive, and they fit. What they take in time is for the bench."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.million import million

pytestmark = pytest.mark.accuracy

#: MiB of resident memory at the peak of either process.
MOST_MEMORY = 300


@pytest.mark.parametrize("trace", [True, False])
def test_a_million_samples_are_all_there_and_take_at_most_three_hundred_megabytes(
    trace: bool, tmp_path: Path
) -> None:
    one = million(tmp_path, trace=trace)
    print(f"trace {trace}: {one.seconds:.2f} s of CPU, {one.memory:.0f} MiB")
    assert one.seen["samples"] == 1_000_000
    expected = (1_000_000, 4) if trace else (0, 0)
    assert (one.seen["traced"], one.seen["workers"]) == expected
    assert one.seen["quantiles"] == pytest.approx([0.004] * 4)
    assert one.seen["findings"] == []
    assert one.seen["throughput"] == pytest.approx(10_000, rel=0.001)
    assert one.memory <= MOST_MEMORY
