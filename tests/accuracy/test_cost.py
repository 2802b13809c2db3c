"""What a request costs the generator, beside wrk and httpx on the same server in the same minute.

Judged in pairs of runs that alternate, by the median of the pairs' ratios, so that what disturbs
the machine meets both sides. How late the generator sends is a line of the self-check
(``null-lag``, in ``test_ground_truth``).
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np
import pytest

from gatewaylab.arrivals import Closed, ConstantRate
from gatewaylab.load import get, run
from gatewaylab.reference import reference_server

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
]

CORES = sorted(os.sched_getaffinity(0))
GENERATOR, SERVER = CORES[0], CORES[-1]
CONNECTIONS = 8
ROUNDS = 7

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@dataclass(frozen=True)
class Cost:
    """CPU seconds a request, and requests/s."""

    cpu: float
    rate: float


def wrk(url: str) -> Cost:
    """One run of wrk."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = subprocess.run(
        [
            "taskset", "-c", str(GENERATOR),
            "wrk", "-t1", f"-c{CONNECTIONS}", "-d1s", f"{url}/",
        ],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = re.search(r"(\d+) requests in ([0-9.]+)s", printed)
    assert found, printed
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(used / int(found[1]), int(found[1]) / float(found[2]))


def ours(
    url: str, *, trace: bool = False, transport: str = "raw", think: float = 0.0, seconds: float = 1
) -> Cost:
    """One closed run of a transport, with as many connections."""
    samples, report = run(
        url, get("/"), Closed(CONNECTIONS, think), seconds=seconds, warmup=0, trace=trace,
        transport=transport, pin=GENERATOR,
    )  # fmt: skip
    answered = int((samples.error == 0).sum())
    return Cost(report.cpu_seconds / answered, answered / report.wall_seconds)


@needs_wrk
@pytest.mark.parametrize("trace", [False, True])
def test_a_request_costs_at_most_1_3_times_what_wrk_spends(trace: bool) -> None:
    with reference_server("null", trace=trace, pin=SERVER) as server:
        pairs = [(ours(server.url, trace=trace), wrk(server.url)) for _ in range(ROUNDS)]
    ratio = float(np.median([a.cpu / b.cpu for a, b in pairs]))
    print([f"{1e6 * a.cpu:.2f} µs against {1e6 * b.cpu:.2f} µs" for a, b in pairs], ratio)
    assert ratio <= 1.3


@needs_wrk
def test_the_ceiling_is_at_least_four_fifths_of_what_wrk_reaches() -> None:
    with reference_server("null", trace=False, pin=SERVER) as server:
        pairs = [(ours(server.url), wrk(server.url)) for _ in range(ROUNDS)]
    ratio = float(np.median([a.rate / b.rate for a, b in pairs]))
    print([f"{a.rate:.0f}/s against {b.rate:.0f}/s" for a, b in pairs], ratio)
    assert ratio >= 0.8


def test_a_request_costs_at_most_a_tenth_of_what_httpx_spends() -> None:
    """At the same pace, which is the fastest that httpx is allowed: rare requests cost more."""
    think = CONNECTIONS / 100
    pairs = []
    with reference_server("null", pin=SERVER) as server:
        for _ in range(3):
            lean, other = (
                ours(server.url, trace=True, transport=name, think=think, seconds=2)
                for name in ("raw", "httpx")
            )
            pairs.append((lean, other))
    ratio = float(np.median([a.cpu / b.cpu for a, b in pairs]))
    print([f"{1e6 * a.cpu:.0f} µs against {1e6 * b.cpu:.0f} µs" for a, b in pairs], ratio)
    assert ratio <= 0.1


def test_an_open_plan_leaves_the_generator_most_of_its_core() -> None:
    with reference_server("null", pin=SERVER) as server:
        _, report = run(
            server.url, get("/"), ConstantRate(5000), seconds=2, warmup=0, pin=GENERATOR
        )
    share = report.cpu_seconds / report.wall_seconds
    print(f"{1e6 * report.cpu_seconds / report.sent:.1f} µs a request, {share:.0%} of the core")
    assert share <= 0.4
