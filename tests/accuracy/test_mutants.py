"""Faults put into real trials, each of which the instrument must find by the rule for it.

A trial is recorded once and judged twice: by all rules, and without the one that must catch it.

=====================  ==========================================================================
rule                   fault, and its test if that is elsewhere
=====================  ==========================================================================
send lag               generator stopped for 200 ms, sleep of 5 ms in its send path; connections
                       capped
run queue              busy loop on the generator's core
client-bound           more requests than the generator can send
ceiling                most of what it can send
errors, sent           no descriptors left
errors                 status 500; empty bodies, all or every tenth
workers                a worker stopped; a worker killed and replaced
time order             an app that tells its start by another clock
impossible latency     an answer before its hold has passed
throughput, slots      two slots where one was claimed
Little's law           overload (``test_ground_truth``)
warm-up                a server that is cold for longer than the warm-up
ground truth           latency counted from sending, not from the plan
=====================  ==========================================================================

``steal``, ``quota`` and ``together`` need a host that takes time, and ``samples`` only counts: they
have their mutants among the made-up trials (``tests/measure/test_mutants.py``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from gatewaylab.errors import InvalidTrialError
from gatewaylab.guard import procfs
from gatewaylab.guard.serve import Running, serve
from gatewaylab.guard.standing import Standing
from gatewaylab.load import raw, standby
from gatewaylab.load import run as load
from gatewaylab.load.http1 import encode
from gatewaylab.load.request import Request, get
from gatewaylab.load.run import _results, run
from gatewaylab.load.samples import ERRORS, GeneratorReport, Samples
from gatewaylab.load.wire import Job
from gatewaylab.measure import compare, noise
from gatewaylab.measure.delay import until
from gatewaylab.measure.disturbance import MARGIN
from gatewaylab.measure.noise import NoiseWatch, findings
from gatewaylab.measure.outcome import CENSORED, Setup, setup
from gatewaylab.measure.reference import ceiling, reference_server
from gatewaylab.measure.rules import RULES
from gatewaylab.model.arrivals import ConstantRate
from gatewaylab.records.results import LoadRecord, Trial
from gatewaylab.records.storage import load as load_result
from gatewaylab.servers.registry import Server, server
from tests import builders
from tests.accuracy.test_ground_truth import GENERATOR, SERVER, compared, sent, stalled_truth
from tests.support import faulty
from tests.support.disturbed import unless_disturbed

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
]

#: The level at which it matters that few requests left late.
TAIL = {"quantile": 0.99}


@dataclass(frozen=True)
class Recorded:
    """A real trial, and how it is to be judged."""

    samples: Samples
    report: GeneratorReport
    health: dict[str, float] = field(default_factory=dict)
    judged: dict[str, Any] = field(default_factory=dict)

    def names(self) -> set[str]:
        """The rules that find something."""
        found = findings(builders.seen(self.report, self.samples, self.health, **self.judged))
        return {one.rule for one in found}

    def names_without(self, rule: str) -> set[str]:
        """The rules that find something when one is taken out."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(noise, "RULES", tuple(r for r in RULES if r.name != rule))
            return self.names()


def assert_caught(trial: Recorded, *rules: str) -> None:
    """Each of the rules finds the fault, and nothing else goes by its name."""
    found = trial.names()
    print(sorted(found))
    for rule in rules:
        assert rule in found
        assert rule not in trial.names_without(rule)


def assert_caught_if(faulty: bool, trial: Recorded, *rules: str) -> None:
    """The rules find the fault, and nothing in a trial without it."""
    if faulty:
        assert_caught(trial, *rules)
    else:
        assert not trial.names() & {*rules}


def asked(
    url: str, request: Request | None = None, *, rate: float = 100, seconds: float = 1.0,
    warmup: float = 0.0, deadline: float = 10.0, health: dict[str, float] | None = None,
    **judged: Any,
) -> Recorded:  # fmt: skip
    """A trial at a constant rate, the generator on its own core."""
    samples, report = run(
        url, request or get("/"), ConstantRate(rate), seconds=seconds, warmup=warmup,
        deadline=deadline, pin=GENERATOR,
    )  # fmt: skip
    return Recorded(samples, report, health or {}, {"warmup": warmup, "seconds": seconds, **judged})


# A generator in trouble.


def test_a_generator_that_was_stopped_is_refused() -> None:
    result: list[tuple[Samples, GeneratorReport]] = []
    with reference_server("null", pin=SERVER) as ready:

        def work() -> None:
            result.append(sent(ready.url, ConstantRate(200), seconds=3))

        thread = threading.Thread(target=work)
        thread.start()
        assert until(lambda: ready.report()["requests"] > 20, within=60)  # of 600
        children = psutil.Process().children()
        (pid,) = (c.pid for c in children if "gatewaylab.load.generator" in c.cmdline())
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.2)
        os.kill(pid, signal.SIGCONT)
        thread.join()
    trial = Recorded(*result[0], judged=TAIL)
    assert trial.samples.send_lag.max() > 0.15
    assert_caught(trial, "send lag")


def test_a_generator_that_shares_its_core_is_refused() -> None:
    code = f"import os\nos.sched_setaffinity(0, {{{GENERATOR}}})\nwhile True: pass"
    with reference_server("null", pin=SERVER) as server:
        hog = subprocess.Popen([sys.executable, "-c", code])
        try:
            with NoiseWatch() as watch:
                samples, report = sent(server.url, ConstantRate(1000), seconds=2)
        finally:
            hog.kill()
            hog.wait()
    trial = Recorded(samples, report, watch.health, TAIL)
    caught = trial.names() & {"run queue", "send lag", "together"}
    assert caught
    assert_caught(trial, *caught)


def driven(kind: type[raw.Loop], url: str, seconds: int) -> tuple[Samples, GeneratorReport]:
    """200 requests/s, sent in this process by a loop of that kind."""
    plan, host = ConstantRate(200).plan(seconds, 0), "127.0.0.1"
    job = Job(
        transport="raw", host=host, port=int(url.rpartition(":")[2]),
        request=encode("GET", host, "/", [], b""), method="GET", path="/", headers=[], body=b"",
        expected=[], expected_body=None, clients=0, think=0.0, duration=float(seconds),
        deadline=5.0, trace=True, pin=None, parent=os.getpid(), lifeline=-1, connections=1,
        plan=array("d", plan.tobytes()),
    )  # fmt: skip
    loop = kind(job)
    loop.run()
    loop.close()
    return _results(loop.columns.encode(loop.tally), job, plan)


class _Sluggish(raw.Loop):
    """Sleeps 5 ms in the send path, now and then."""

    def _send(self, connection: Any, row: int) -> None:
        if row % 20 == 0:
            time.sleep(0.005)
        super()._send(connection, row)


@pytest.mark.parametrize(("kind", "refused"), [(_Sluggish, True), (raw.Loop, False)])
@unless_disturbed(0.005)
def test_a_slow_send_path_is_refused(kind: type[raw.Loop], refused: bool) -> None:
    with reference_server("delay", hold=0.05, pin=SERVER) as server:  # 5 ms are a tenth of it
        trial = Recorded(*driven(kind, server.url, seconds=2), judged=TAIL)
    assert_caught_if(refused, trial, "send lag")


# Strangers.


@contextlib.contextmanager
def strangers(count: int) -> Iterator[list[int]]:
    """So many busy loops that are nobody's children and may run on any core."""
    loop = "import time\nend = time.monotonic() + 600\nwhile time.monotonic() < end: pass"
    start = (
        "import subprocess, sys\n"
        f"for _ in range({count}):\n"
        f"    hog = subprocess.Popen([sys.executable, '-c', {loop!r}], start_new_session=True,\n"
        "        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "    print(hog.pid)\n"
    )
    said = subprocess.run([sys.executable, "-c", start], check=True, capture_output=True, text=True)
    hogs = [int(line) for line in said.stdout.split()]
    born = {pid: procfs.start_time(pid) for pid in hogs}
    try:
        yield hogs
    finally:
        for pid in hogs:
            if born[pid] is not None and procfs.start_time(pid) == born[pid]:
                os.kill(pid, signal.SIGKILL)
        assert until(
            lambda: not any(procfs.start_time(pid) == born[pid] is not None for pid in hogs),
            within=60,
        ), "a stranger does not end"


def watched_trials(count: int) -> list[Recorded]:
    trials = []
    with reference_server("delay", hold=0.01, pin=SERVER) as ready:
        for _ in range(count):
            with NoiseWatch() as watch:
                trial = asked(ready.url, seconds=0.5)
            trials.append(Recorded(trial.samples, trial.report, watch.health, trial.judged))
    return trials


@pytest.mark.parametrize("count", [1, 2])
def test_strangers_that_compute_are_on_record(count: int) -> None:
    with strangers(count) as hogs:
        assert not {*hogs} & procfs.below(os.getpid())
        trials = watched_trials(5)
    used = [trial.health["foreign_cpu"] for trial in trials]
    print(f"foreign CPU {min(used):.2f} to {max(used):.2f} cores")
    assert float(np.median(used)) > 0.5
    assert min(trial.health["others"] for trial in trials) > 0


# Workers that are lost under the load.

WORKERS = setup(server("gunicorn-sync", app="raw", slots=2), "/hello", arrivals=ConstantRate(30))


def workers_of(running: Running) -> list[int]:
    """The server's processes but the first."""
    pids = running.pids()
    return sorted(pid for pid in pids if psutil.Process(pid).ppid() in pids)


def trial_of(one: Setup) -> Trial:
    """One trial as a comparison takes it."""
    with contextlib.closing(Standing({"mutant": one.server}, seconds=1.5)) as standing:
        window = compare._Window(
            seconds=1.0, warmup=0.5, deadline=10.0, transport="raw", margin=MARGIN,
            standing=standing,
        )  # fmt: skip
        return compare._trial("mutant", one, 0, 1, window)


def recorded(trial: Trial, **judged: Any) -> Recorded:
    window = {"warmup": trial.warmup, "seconds": trial.seconds, "expected_errors": CENSORED}
    return Recorded(trial.samples, trial.generator, dict(trial.health), window | judged)


def with_fault(
    fault: Callable[[int], None], heal: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> Trial:
    """A trial in which something happens to a worker one second after the load began."""
    hit: list[int] = []
    under_test: list[Running] = []

    @contextlib.contextmanager
    def healed_before_the_stop(what: Server, **options: Any) -> Iterator[Running]:
        with serve(what, **options) as running:
            # Ready as soon as the first one answers.
            both = until(lambda: len(workers_of(running)) == 2, within=60)
            assert both, "the second worker does not come"
            under_test.append(running)
            try:
                yield running
            finally:
                for pid in hit:
                    heal(pid)

    def strike() -> None:
        hit.append(workers_of(under_test[0])[0])
        fault(hit[0])

    def struck(*arguments: Any, **options: Any) -> tuple[Samples, GeneratorReport]:
        timer = threading.Timer(1.0, strike)
        timer.start()
        try:
            return run(*arguments, **options)
        finally:
            timer.join()

    monkeypatch.setattr("gatewaylab.guard.standing.serve", healed_before_the_stop)
    stand_in = SimpleNamespace(run=struck, constant_body=load.constant_body)
    monkeypatch.setattr(compare, "load", stand_in)
    trial = trial_of(WORKERS)
    assert hit
    return trial


def _signal(number: signal.Signals) -> Callable[[int], None]:
    return lambda pid: os.kill(pid, number)


@pytest.mark.parametrize(
    ("fault", "heal", "reading"),
    [
        (_signal(signal.SIGSTOP), _signal(signal.SIGCONT), "workers_stopped"),
        (_signal(signal.SIGKILL), lambda _: None, "workers_gone"),
    ],
    ids=["stopped", "killed and replaced"],
)
def test_a_worker_lost_under_the_load_makes_the_trial_invalid(
    fault: Callable[[int], None],
    heal: Callable[[int], None],
    reading: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = with_fault(fault, heal, monkeypatch)
    assert trial.health[reading] == 1
    assert_caught(recorded(trial), "workers")
    monkeypatch.setattr(compare, "_trial", lambda *_: trial)
    with pytest.raises(InvalidTrialError, match="workers: 1 of the server's processes"):
        compare.compare("mutant", {"mutant": WORKERS}, blocks=1)


def test_workers_that_nobody_touched_are_not_missed() -> None:
    assert "workers" not in recorded(trial_of(WORKERS)).names()


# Wrong answers.


def test_fast_errors_are_refused() -> None:
    with reference_server("wrong", pin=SERVER) as ready:
        trial = asked(ready.url, expected_errors=CENSORED)
    assert set(trial.samples.status) == {500}
    assert_caught(trial, "errors")


def test_empty_answers_are_refused_where_another_body_is_right() -> None:
    with reference_server("null") as ready:
        right = load.constant_body(ready.url, get("/"))
    assert right
    with reference_server("empty", pin=SERVER) as ready:
        trial = asked(ready.url, Request("GET", "/", expected_body=right), expected_errors=CENSORED)
    assert set(trial.samples.status) == {200}
    assert_caught(trial, "errors")


def test_a_tenth_of_answers_empty_makes_the_trial_invalid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = setup(
        server("uvicorn", app=f"{faulty.__name__}:sometimes_empty"), "/hello",
        arrivals=ConstantRate(100),
    )  # fmt: skip
    trial = trial_of(one)
    wrong = trial.samples.error == ERRORS.index("body")
    assert set(trial.samples.status) == {200}
    assert wrong.mean() == pytest.approx(1 / faulty.EVERY, abs=0.02)
    assert_caught(recorded(trial), "errors")
    monkeypatch.setattr(compare, "_trial", lambda *_: trial)
    with pytest.raises(InvalidTrialError, match="ended in 'body'"):
        compare.compare("mutant", {"mutant": one}, blocks=1)


# Times and counts that cannot be.


def test_answers_before_the_hold_has_passed_are_refused() -> None:
    with reference_server("early", hold=0.05, pin=SERVER) as ready:
        trial = asked(ready.url, hold=0.05)
    assert_caught(trial, "impossible latency")


def test_an_application_that_counts_by_another_clock_is_refused() -> None:
    one = setup(
        server("uvicorn", app=f"{faulty.__name__}:another_clock"), "/hello",
        arrivals=ConstantRate(50),
    )  # fmt: skip
    assert_caught(recorded(trial_of(one)), "time order")


@pytest.mark.parametrize("claimed", [1, 2])
def test_more_slots_than_were_claimed_are_refused(claimed: int) -> None:
    with reference_server("slots", hold=0.05, slots=2, pin=SERVER) as ready:
        trial = asked(ready.url, rate=32, seconds=2.0, hold=0.05, slots=claimed)
    assert_caught_if(claimed == 1, trial, "throughput", "slots")


# The client.


@unless_disturbed(0.01)
def test_a_client_beyond_its_limit_is_refused() -> None:
    rate = 1.5 * ceiling()
    with reference_server("null", pin=SERVER) as ready:
        trial = asked(ready.url, rate=rate, seconds=14_000 / rate, deadline=1.0)
    assert_caught(trial, "client-bound", "send lag")


def test_a_client_that_comes_near_its_ceiling_is_refused() -> None:
    """The ceiling of one connection, because a rate at that of eight never leaves on time."""
    limit = ceiling(connections=1)
    for share in (0.6, 0.4):
        with reference_server("null", pin=SERVER) as ready:
            health, rate = {"null_ceiling": limit}, share * limit
            trial = asked(ready.url, rate=rate, seconds=0.5, health=health)
        assert_caught_if(share > 0.5, trial, "ceiling")


def test_a_client_without_descriptors_is_refused(tmp_path: Path) -> None:
    """200 connections are wanted and 64 descriptors allowed, those of the program included."""
    file = tmp_path / "run.json"
    command = [
        "sh", "-c", 'ulimit -n 64 && exec "$@"', "sh",
        sys.executable, "-c", "from gatewaylab.cli import main; main()",
        "load", "--arrivals=constant", "--rate=200", "--seconds=2", "--warmup=0", "--json",
    ]  # fmt: skip
    with reference_server("delay", hold=1.0, pin=SERVER) as ready:
        subprocess.run([*command, str(file), ready.url], check=True, capture_output=True)
    record = load_result(LoadRecord, file)
    lost = record.samples.error == ERRORS.index("connect")
    assert lost.sum() > 100
    assert record.generator.peak_in_flight < 200
    trial = Recorded(record.samples, record.generator, judged={"expected_errors": CENSORED})
    assert_caught(trial, "errors", "sent")


class _Capped(raw.Loop):
    """Has at most four connections; what is due meanwhile waits inside the client."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._held: deque[int] = deque()

    def _start(self, row: int, connection: Any) -> None:
        if self._in_flight < 4:
            super()._start(row, connection)
        else:
            self._held.append(row)

    def _read(self, connection: Any) -> None:
        super()._read(connection)
        while self._held and self._in_flight < 4:
            super()._start(self._held.popleft(), None)


def test_latency_counted_from_sending_is_caught_by_the_truth_of_a_stall() -> None:
    """Coordinated omission. Counted from the plan, the same trial is refused for its lag."""
    with reference_server("stall", hold=0.6, at=1.0, pin=SERVER) as ready:
        samples, report = driven(_Capped, ready.url, seconds=3)
        stalls = ready.report()["stalls"]
    assert_caught(Recorded(samples, report, judged=TAIL), "send lag")

    truth = stalled_truth(samples, report, stalls)
    omitting = samples.model_copy(update={"scheduled_at": samples.sent_at})
    assert "send lag" not in Recorded(omitting, report, judged=TAIL).names()
    found = compared(omitting.latency, truth)
    for level in ("p90", "p99"):
        assert found[level][2] < -0.5  # the instrument is held to 0.02


# The clock and the server's warm-up.

JUMPING = """
import datetime, os, pathlib, time

steady, began = time.monotonic, time.monotonic()


def jumping(real, unit=1):
    def now(*clock):
        passed = steady() - began
        return real(*clock) + unit * (0 if passed < 0.6 else 7200 if passed < 1.2 else -7200)

    return now


class Jumping(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return cls.fromtimestamp(time.time(), zone)


if os.environ["JUMPING"] == "monotonic":
    time.monotonic = jumping(steady)
else:
    time.time, time.time_ns = jumping(time.time), jumping(time.time_ns, 10**9)
    datetime.datetime = Jumping
pathlib.Path(__file__).with_name("loaded").touch()
"""


@pytest.mark.parametrize(
    ("clock", "transport"), [("wall", "raw"), ("wall", "httpx"), ("monotonic", "raw")]
)
def test_two_hours_of_the_wall_clock_change_no_duration(
    clock: str, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward and back in the middle of a trial. The clock that is read, jumping, would show."""
    (tmp_path / "sitecustomize.py").write_text(JUMPING)
    with reference_server("delay", hold=0.03, pin=SERVER) as ready:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setenv("JUMPING", clock)
        standby._end()  # it has the clock of before
        try:
            samples, report = run(
                ready.url, get("/"), ConstantRate(50), seconds=2.5, warmup=0,
                transport=transport, pin=GENERATOR,
            )  # fmt: skip
        finally:
            standby._end()  # it has the clock that jumps
    assert (tmp_path / "loaded").exists()
    trial = Recorded(samples, report, judged={"hold": 0.03})
    wrong = trial.names() & {"sent", "errors", "time order", "impossible latency"}
    if clock == "monotonic":
        assert wrong
    else:
        assert not wrong
        assert samples.latency.min() >= 0.028
        # The run itself would end at its deadline, hours before a jump that it had believed.
        assert samples.latency.max() < 60
        assert 2.4 < report.wall_seconds < 60


@pytest.mark.parametrize(("warmup", "refused"), [(0.2, True), (1.8, False)])
@unless_disturbed(0.01)
def test_a_server_that_is_cold_beyond_the_warm_up_is_refused(warmup: float, refused: bool) -> None:
    with reference_server("warming", hold=0.005, warm=0.02, at=1.4, pin=SERVER) as ready:
        trial = asked(ready.url, warmup=warmup, seconds=2.0, hold=0.005)
    assert_caught_if(refused, trial, "warm-up")
