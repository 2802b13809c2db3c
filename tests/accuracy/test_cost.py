"""What a request costs the generator, beside wrk on the same server in the same minute."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess

import pytest

from gatewaylab.arrivals import Closed, ConstantRate
from gatewaylab.load import get, run
from tests.support.null_server import null_server

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
]

CORES = sorted(os.sched_getaffinity(0))
GENERATOR, SERVER = CORES[0], CORES[-1]
CONNECTIONS = 8
ROUNDS = 5


def wrk(url: str) -> float:
    """CPU seconds a request of one run of wrk."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = subprocess.run(
        [
            "taskset", "-c", str(GENERATOR),
            "wrk", "-t1", f"-c{CONNECTIONS}", "-d1s", f"{url}/",
        ],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = re.search(r"(\d+) requests in", printed)
    assert found, printed
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / int(found[1])


def ours(url: str, *, trace: bool) -> float:
    """CPU seconds a request of one run of the lean transport, with as many connections."""
    _, report = run(
        url, get("/"), Closed(CONNECTIONS), seconds=1, warmup=0, trace=trace, pin=GENERATOR
    )
    return report.cpu_seconds / report.sent


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize("trace", [False, True])
def test_a_request_costs_at_most_twice_what_wrk_spends(trace: bool) -> None:
    with null_server("null", trace=trace, pin=SERVER) as server:
        pairs = [(ours(server.url, trace=trace), wrk(server.url)) for _ in range(ROUNDS)]
    ratios = sorted(a / b for a, b in pairs)
    print([f"{1e6 * a:.1f} µs against {1e6 * b:.1f} µs" for a, b in pairs], ratios)
    assert ratios[ROUNDS // 2] <= 2.0


def test_an_open_plan_leaves_the_generator_most_of_its_core() -> None:
    with null_server("null", pin=SERVER) as server:
        _, report = run(
            server.url, get("/"), ConstantRate(5000), seconds=2, warmup=0, pin=GENERATOR
        )
    share = report.cpu_seconds / report.wall_seconds
    print(f"{1e6 * report.cpu_seconds / report.sent:.1f} µs a request, {share:.0%} of the core")
    assert share <= 0.6
