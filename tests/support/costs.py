"""What a request costs a client, each beside the other on the same server in the same minute.

In pairs of runs that alternate, so that what disturbs the machine meets both sides.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from dataclasses import dataclass

import numpy as np

from gatewaylab.load.request import get
from gatewaylab.load.run import run
from gatewaylab.measure.reference import reference_server
from gatewaylab.model.arrivals import Closed

CORES = sorted(os.sched_getaffinity(0))
GENERATOR, SERVER = CORES[0], CORES[-1]
CONNECTIONS = 8
HAS_WRK = shutil.which("wrk") is not None


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


def against_wrk(rounds: int, *, trace: bool) -> list[tuple[Cost, Cost]]:
    """Ours and wrk's cost in each round; who begins alternates."""
    pairs = []
    with reference_server("null", trace=trace, pin=SERVER) as server:
        for turn in range(rounds):
            if turn % 2:
                other = wrk(server.url)
                pairs.append((ours(server.url, trace=trace), other))
            else:
                lean = ours(server.url, trace=trace)
                pairs.append((lean, wrk(server.url)))
    return pairs


def against_httpx(rounds: int) -> list[tuple[Cost, Cost]]:
    """Ours and httpx's at the same pace, the fastest that httpx is allowed: rare requests cost
    more."""
    think = CONNECTIONS / 100
    pairs = []
    with reference_server("null", pin=SERVER) as server:
        for _ in range(rounds):
            lean, other = (
                ours(server.url, trace=True, transport=name, think=think, seconds=2)
                for name in ("raw", "httpx")
            )
            pairs.append((lean, other))
    return pairs


def cpu_ratio(pairs: list[tuple[Cost, Cost]]) -> float:
    """The median of the rounds' ratios of CPU time a request."""
    return float(np.median([a.cpu / b.cpu for a, b in pairs]))


def rate_ratio(pairs: list[tuple[Cost, Cost]]) -> float:
    """The median of the rounds' ratios of requests/s."""
    return float(np.median([a.rate / b.rate for a, b in pairs]))
