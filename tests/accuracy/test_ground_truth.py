"""The instrument held against exact answers, and against faults put into it on purpose.

Truth is a recursion over the actual plan with the service times and stalls that the server
reports, never a formula for the long run. The generator and the server each have a core. Run on
a quiet machine: ``pytest -m accuracy``.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gatewaylab import _raw
from gatewaylab._http1 import encode
from gatewaylab._wire import Job
from gatewaylab.arrivals import Closed, ConstantRate, Poisson
from gatewaylab.load import _results, get, run
from gatewaylab.noise import MAX_HEALTH, Watch, refusals
from gatewaylab.queueing import kiefer_wolfowitz, lindley
from gatewaylab.results import ERRORS, GeneratorReport, Samples
from tests.support.null_server import null_server

Floats = NDArray[np.float64]

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
]

CORES = sorted(os.sched_getaffinity(0))
GENERATOR, SERVER = CORES[0], CORES[-1]


def retried_in_noise(test: Callable[..., None]) -> Callable[..., None]:
    """Repeat a test that failed while strangers used the machine; never one that failed in quiet.

    After three disturbed failures it is skipped with the readings: inconclusive, not green.
    """

    @functools.wraps(test)
    def repeated(**arguments: Any) -> None:
        disturbed = {}
        for _ in range(3):
            watch = Watch(spin=0.01)
            try:
                with watch:
                    test(**arguments)
            except AssertionError:
                disturbed = {
                    name: round(value, 3)
                    for name, value in watch.health.items()
                    if value > MAX_HEALTH.get(name, np.inf)
                }
                if not disturbed:
                    raise
            else:
                return
        pytest.skip(f"inconclusive, the machine was disturbed three times: {disturbed}")

    return repeated


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


@retried_in_noise
def test_a_stall_is_seen_in_full() -> None:
    with null_server("stall", hold=0.6, at=1.0, pin=SERVER) as server:
        samples, report = run(
            server.url, get("/"), ConstantRate(200), seconds=3, warmup=0, seed=1, pin=GENERATOR
        )
        stalls = server.report()["stalls"]
    assert len(samples) == 600
    assert len(stalls) == 1
    found = compared(samples.latency, stalled_truth(samples, report, stalls))
    for level in ("p90", "p99", "max"):
        assert abs(found[level][2]) <= 0.02, (level, found[level])
    # The neighbourhood of the textbook figures: 315, 572 and 600 ms at the latest.
    assert found["max"][1] == pytest.approx(0.6, rel=0.02)


def test_a_closed_client_hides_the_stall_and_the_comparison_shows_it() -> None:
    """Coordinated omission: the mutant that this page exists to catch."""
    with null_server("stall", hold=0.6, at=1.0, pin=SERVER) as server:
        samples, report = run(
            server.url, get("/"), Closed(1, think=0.005), seconds=3, warmup=0, pin=GENERATOR
        )
        stalls = server.report()["stalls"]
    plan = ConstantRate(200).plan(3, 0)
    start, end = (t - report.monotonic_start for t in stalls[0])
    truth = np.where((plan >= start) & (plan < end), end - plan, 0.0)
    assert quantile(samples.latency, 0.9) < 0.1 * quantile(truth, 0.9)


@retried_in_noise
def test_one_slot_waits_as_lindley_says() -> None:
    hold = 0.02
    with null_server("slots", hold=hold, pin=SERVER) as server:
        samples, _ = run(
            server.url, get("/"), Poisson(0.7 / hold), seconds=8, warmup=0, seed=7, pin=GENERATOR
        )
    truth = lindley(samples.scheduled_at, samples.service) + samples.service
    found = compared(samples.latency, truth)
    for level, (seen, exact, relative) in found.items():
        assert abs(relative) <= 0.05, (level, seen, exact)
    each = samples.latency - truth
    assert abs(np.median(each)) <= 0.002
    refused = refusals_of(samples, hold=hold, slots=1)
    assert not [m for m in refused if m.startswith(("impossible", "throughput", "slots", "time"))]


@retried_in_noise
def test_three_slots_wait_as_kiefer_and_wolfowitz_say() -> None:
    hold, slots = 0.05, 3
    rate = 0.7 * slots / hold
    with null_server("slots", hold=hold, slots=slots, pin=SERVER) as server:
        samples, _ = run(
            server.url, get("/"), Poisson(rate), seconds=8, warmup=0, seed=11, pin=GENERATOR
        )
    truth = kiefer_wolfowitz(samples.scheduled_at, samples.service, slots) + samples.service
    for level, (seen, exact, relative) in compared(samples.latency, truth).items():
        assert abs(relative) <= 0.05, (level, seen, exact)
    assert abs(np.median(samples.latency - truth)) <= 0.002


@retried_in_noise
def test_overload_grows_at_the_rate_that_the_balance_gives() -> None:
    hold, rate = 0.02, 100.0
    with null_server("slots", hold=hold, pin=SERVER) as server:
        samples, _ = run(
            server.url, get("/"), ConstantRate(rate), seconds=2, warmup=0, pin=GENERATOR
        )
    slope = np.polyfit(samples.scheduled_at, samples.latency, 1)[0]
    served = 1 / float(np.mean(samples.service))
    assert slope == pytest.approx(rate / served - 1, rel=0.03)
    compared(samples.latency, lindley(samples.scheduled_at, samples.service) + samples.service)
    assert any("Little's law" in message for message in refusals_of(samples, hold=hold, slots=1))


@retried_in_noise
def test_a_constant_delay_is_measured_without_bias() -> None:
    with null_server("delay", hold=0.03, pin=SERVER) as server:
        samples, report = run(
            server.url, get("/"), Poisson(100), seconds=3, warmup=0, seed=3, pin=GENERATOR
        )
    bias = float(np.median(samples.latency - samples.service))
    print(f"bias {1e3 * bias:.3f} ms, peak in flight {report.peak_in_flight}")
    assert 0 <= bias <= 0.0005


@retried_in_noise
def test_requests_that_are_never_answered_are_bounds_and_not_gaps() -> None:
    with null_server("mute", pin=SERVER) as server:
        samples, report = run(
            server.url, get("/"), ConstantRate(200), seconds=2, warmup=0, deadline=1.0,
            pin=GENERATOR,
        )  # fmt: skip
        said = server.report()
    assert len(samples) == report.sent == said["requests"] == 400
    censored = samples.error == ERRORS.index("deadline")
    assert censored.sum() == said["muted"] == 20
    assert np.isinf(samples.latency[censored]).all()
    assert quantile(samples.latency, 0.95) < 0.1
    assert np.isinf(np.sort(samples.latency)[380])


@retried_in_noise
def test_requests_leave_on_time() -> None:
    with null_server("null", pin=SERVER) as server:
        samples, report = run(
            server.url, get("/"), ConstantRate(2000), seconds=3, warmup=0, pin=GENERATOR
        )
    lag = samples.send_lag
    table = {p: round(1e3 * quantile(lag, p), 3) for p in (0.5, 0.9, 0.99, 0.999)}
    print(f"send lag, ms: {table}; connections {report.connections}")
    assert report.sent == 6000
    assert quantile(lag, 0.5) <= 0.0002
    assert quantile(lag, 0.99) <= 0.001


# Mutants: each must be refused.


def refusals_of(
    samples: Samples,
    report: GeneratorReport | None = None,
    health: dict[str, float] | None = None,
    **more: Any,
) -> tuple[str, ...]:
    report = report or GeneratorReport(
        transport="raw", planned=len(samples), sent=len(samples), connections=1, reconnects=0,
        peak_in_flight=1, cpu_seconds=0.0, wall_seconds=1.0, run_queue_seconds=0.0,
        monotonic_start=0.0,
    )  # fmt: skip
    return refusals(report, samples, health or {}, **more)


def generator_of(owner: int) -> int | None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                if parent == owner and b"gatewaylab._generator" in (entry / "cmdline").read_bytes():
                    return int(entry.name)
            except OSError:
                continue
    return None


def test_a_generator_that_was_stopped_is_refused() -> None:
    result: list[tuple[Samples, GeneratorReport]] = []
    with null_server("null", pin=SERVER) as server:

        def work() -> None:
            result.append(
                run(server.url, get("/"), ConstantRate(200), seconds=3, warmup=0, pin=GENERATOR)
            )

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(1.5)
        pid = generator_of(os.getpid())
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.2)
        os.kill(pid, signal.SIGCONT)
        thread.join()
    samples, report = result[0]
    assert samples.send_lag.max() > 0.15
    assert any(m.startswith("send lag") for m in refusals_of(samples, report))


def test_a_generator_that_shares_its_core_is_refused() -> None:
    code = f"import os\nos.sched_setaffinity(0, {{{GENERATOR}}})\nwhile True: pass"
    with null_server("null", pin=SERVER) as server:
        hog = subprocess.Popen([sys.executable, "-c", code])
        try:
            with Watch() as watch:
                samples, report = run(
                    server.url, get("/"), ConstantRate(1000), seconds=2, warmup=0, pin=GENERATOR
                )
        finally:
            hog.kill()
            hog.wait()
    found = refusals_of(samples, report, watch.health)
    print(found)
    assert any(m.startswith(("run queue", "CPU pressure", "spin gap")) for m in found)


class _Sluggish(_raw.Loop):
    """Sleeps 5 ms in the send path, now and then."""

    def _send(self, connection: Any, row: int) -> None:
        if row % 20 == 0:
            time.sleep(0.005)
        super()._send(connection, row)


@pytest.mark.parametrize(("kind", "refused"), [(_Sluggish, True), (_raw.Loop, False)])
@retried_in_noise
def test_a_slow_send_path_is_refused(kind: type[_raw.Loop], refused: bool) -> None:
    plan = ConstantRate(200).plan(2, 0)
    with null_server("null", pin=SERVER) as server:
        host, port = "127.0.0.1", int(server.url.rpartition(":")[2])
        job = Job(
            transport="raw", host=host, port=port, request=encode("GET", host, "/", [], b""),
            method="GET", path="/", headers=[], body=b"", expected=[], expected_body=None,
            clients=0, think=0.0, duration=2.0, deadline=5.0, trace=True, pin=None,
            parent=os.getpid(), lifeline=-1, connections=1,
            plan=array("d", plan.tobytes()),
        )  # fmt: skip
        loop = kind(job)
        loop.run()
        loop.close()
    samples, _ = _results(loop.columns.encode(loop.tally), job, plan)
    lagged = [m for m in refusals_of(samples) if m.startswith("send lag")]
    assert bool(lagged) == refused, lagged
