"""The instrument held against exact answers; the faults put into it are in ``test_mutants``.

The exact answers are the lines of ``gatewaylab selfcheck``. The generator and the server each have
a core. What fails while the machine was disturbed is tried again, and is then undecided.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewaylab.load.request import get
from gatewaylab.load.run import run
from gatewaylab.load.samples import GeneratorReport, Samples
from gatewaylab.measure.noise import findings
from gatewaylab.measure.reference import reference_server
from gatewaylab.model.arrivals import Arrivals, Closed, ConstantRate, Poisson
from gatewaylab.model.queueing import stall_latencies
from gatewaylab.truth import selfcheck
from gatewaylab.truth.checks import CHECKS
from tests import builders
from tests.support.disturbed import unless_disturbed

Floats = NDArray[np.float64]

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
]

CORES = sorted(os.sched_getaffinity(0))
GENERATOR, SERVER = CORES[0], CORES[-1]


def quantile(values: Floats, p: float) -> float:
    return float(np.quantile(values, p, method="inverted_cdf"))


def compared(measured: Floats, truth: Floats) -> dict[str, tuple[float, float, float]]:
    """(measured, true, relative error) at the levels that the project states."""
    table = {}
    for name, p in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
        seen, exact = quantile(measured, p), quantile(truth, p)
        table[name] = (seen, exact, seen / exact - 1 if exact else float("nan"))
    print({name: tuple(round(v, 5) for v in row) for name, row in table.items()})
    return table


def sent(
    url: str, arrivals: Arrivals, seconds: float, seed: int = 0
) -> tuple[Samples, GeneratorReport]:
    """Requests from the generator's own core, without a warm-up."""
    return run(url, get("/"), arrivals, seconds=seconds, warmup=0, seed=seed, pin=GENERATOR)


def stalled_truth(samples: Samples, report: GeneratorReport, stalls: list[list[float]]) -> Floats:
    """One slot, in order of arrival; nothing is served inside a stall."""
    finished = 0.0
    latency = np.empty(len(samples))
    pauses = [(a - report.monotonic_start, b - report.monotonic_start) for a, b in stalls]
    for i, (at, service) in enumerate(zip(samples.scheduled_at, samples.service, strict=True)):
        begin = max(at, finished)
        for start, end in pauses:
            if start <= begin < end:
                begin = end
        finished = begin + service
        latency[i] = finished - at
    return latency


def rules_of(
    samples: Samples,
    report: GeneratorReport | None = None,
    health: dict[str, float] | None = None,
    **more: Any,
) -> set[str]:
    """The rules that find something about a trial."""
    report = report or builders.report(planned=len(samples), sent=len(samples), cpu_seconds=0.0)
    return {one.rule for one in findings(builders.seen(report, samples, health or {}, **more))}


@pytest.mark.parametrize("name", CHECKS)
def test_the_line_of_the_self_check_is_green(name: str) -> None:
    (check,) = selfcheck.run([name])
    print(check)
    if check.verdict == "inconclusive":
        pytest.skip(f"inconclusive: {'; '.join(check.why)}")
    assert check.verdict == "green", check


@unless_disturbed(0.02)
def test_a_closed_client_hides_the_stall_and_the_comparison_shows_it() -> None:
    """Coordinated omission: the mutant that this page exists to catch."""
    with reference_server("stall", hold=0.6, at=1.0, pin=SERVER) as server:
        samples, report = sent(server.url, Closed(1, think=0.005), seconds=3)
        stalls = server.report()["stalls"]
    plan = ConstantRate(200).plan(3, 0)
    start, end = (t - report.monotonic_start for t in stalls[0])
    truth = np.where((plan >= start) & (plan < end), end - plan, 0.0)
    assert quantile(samples.latency, 0.9) < 0.1 * quantile(truth, 0.9)


@unless_disturbed(0.003)  # half of the hundredth of a stall that p90 and the maximum may be off
def test_two_ways_to_the_truth_of_a_stall_agree() -> None:
    """The library solves it on the server's own clock; here each request is walked through."""
    with reference_server("stall", hold=0.6, at=1.002, pin=SERVER) as server:
        samples, report = sent(server.url, ConstantRate(200), seconds=3)
        ((begin, end),) = stalls = server.report()["stalls"]
    begin, end = begin - report.monotonic_start, end - report.monotonic_start
    library = stall_latencies(samples.scheduled_at, begin, end - begin, samples.service)
    assert library == pytest.approx(stalled_truth(samples, report, stalls), abs=1e-9)
    for level in ("p90", "p99", "max"):
        assert abs(compared(samples.latency, library)[level][2]) <= 0.01


@unless_disturbed(0.01)
def test_a_queue_in_its_steady_state_breaks_no_law_of_physics() -> None:
    hold = 0.02
    with reference_server("slots", hold=hold, pin=SERVER) as server:
        samples, _ = sent(server.url, Poisson(0.7 / hold), seconds=8, seed=7)
    broken = rules_of(samples, hold=hold, slots=1)
    assert not broken & {"impossible latency", "throughput", "slots", "time order"}


@unless_disturbed(0.01)
def test_an_overloaded_queue_breaks_littles_law() -> None:
    hold = 0.02
    with reference_server("slots", hold=hold, pin=SERVER) as server:
        samples, _ = sent(server.url, ConstantRate(100), seconds=2)
    assert "Little's law" in rules_of(samples, hold=hold, slots=1)
