"""What the rules forgive, on made-up trials, and what a watch reads of the machine.

What each rule finds is in ``test_mutants.py``.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from gatewaylab.guard import procfs
from gatewaylab.guard.procfs import machine_times, pressure_total
from gatewaylab.load.samples import ERRORS, GeneratorReport, Samples
from gatewaylab.measure.delay import until
from gatewaylab.measure.disturbance import MARGIN
from gatewaylab.measure.noise import NoiseWatch, drift, findings, of_kind, tree_cpu
from gatewaylab.measure.rules import Seen
from gatewaylab.model.queueing import lindley
from gatewaylab.records.results import Finding
from tests import builders

HOLD = 0.05


def trial(n: int = 400, rate: float = 100.0, **changed: Any) -> Samples:
    """A quiet trial: one request each 1/rate s, each answered 8 ms after its hold."""
    scheduled = np.arange(n) / rate
    columns: dict[str, Any] = {
        "scheduled_at": scheduled,
        "sent_at": scheduled + 0.0001,
        "first_byte_at": scheduled + HOLD + 0.0079,
        "finished_at": scheduled + HOLD + 0.008,
        "service": np.full(n, HOLD),
        "started_at": scheduled + 0.0002,
    }
    return builders.changed(builders.samples([HOLD] * n), **columns | changed)


def generator(**changed: Any) -> GeneratorReport:
    quiet = {"planned": 400, "sent": 400, "connections": 8, "peak_in_flight": 6, "cpu_seconds": 0.1}
    quiet |= {"wall_seconds": 4.0, "run_queue_seconds": 0.01, "monotonic_start": 100.0}
    return builders.report(**(quiet | changed))


#: A hundredth of all computing was others', and a tenth of a millisecond was lost.
QUIET = {"others": 0.01, "server_waited": 0.002, "stolen": 0.0, "throttled": 0.0, "psi_some": 0.03}


def judged(samples: Samples | None = None, health: dict[str, float] | None = None,
           report: GeneratorReport | None = None, **more: Any) -> tuple[Finding, ...]:  # fmt: skip
    seen = Seen(
        report or generator(),
        trial() if samples is None else samples,
        QUIET if health is None else health,
        **({"warmup": 1.0, "seconds": 3.0, "hold": HOLD, "slots": 8} | more),
    )
    return findings(seen)


def only(found: tuple[Finding, ...], rule: str) -> str:
    """The sentence of the one finding that there is."""
    assert [one.rule for one in found] == [rule]
    return found[0].message


def rules(found: tuple[Finding, ...]) -> list[str]:
    return [one.rule for one in found]


def test_a_quiet_trial_breaks_no_rule_and_a_missing_probe_is_not_judged() -> None:
    assert judged(quantile=0.9) == judged(health={}) == ()


def late(count: int, lag: float, begin: int = 200) -> Samples:
    """So many requests left that late, and were answered later by as much."""
    quiet, columns = trial(), {}
    for name in ("sent_at", "started_at", "first_byte_at", "finished_at"):
        columns[name] = getattr(quiet, name).copy()
        columns[name][begin : begin + count] += lag
    return trial(**columns)


def grown(each: float) -> Samples:
    """One slot and 100 requests/s: where each takes longer than 10 ms, the queue grows."""
    scheduled = np.arange(400) / 100
    finished = scheduled + lindley(scheduled, np.full(400, each)) + each
    service = np.full(400, each)
    return trial(finished_at=finished, first_byte_at=finished, service=service)


def unsteady(first: float, then: float = HOLD) -> Samples:
    """So long took the application in the first half of the window, and so long afterwards."""
    finished = trial().started_at + np.where(trial().scheduled_at < 2.5, first, then)
    return trial(first_byte_at=finished, finished_at=finished)


def test_what_lies_nearer_to_its_threshold_bears_less_noise() -> None:
    # 2 ms late, every request: 4 % of the hold.
    assert judged(late(400, 0.002, 0)) == ()
    message = only(judged(late(400, 0.002, 0), margin=math.log(1.1)), "send lag")
    assert "up to 2.10 ms late" in message
    assert "a factor of 1.04, above 1.02" in message
    # Five times as much is nothing where the claim is 3 and the model says 9.
    assert judged(late(400, 0.01, 0), margin=math.log(3)) == ()


def test_a_few_late_requests_cannot_move_a_median_but_a_tail() -> None:
    samples = late(10, 0.1)
    assert judged(samples, quantile=0.5) == ()
    only(judged(samples, quantile=0.98), "send lag")


def test_lag_in_the_warm_up_counts_where_it_reaches_the_window() -> None:
    assert judged(late(90, 0.02, 0)) == ()
    # One slot at full load carries what was late in the warm-up to the end.
    behind = late(50, 0.02, 0)
    assert "send lag" in rules(judged(behind, hold=0.01, slots=1))


def test_what_took_no_longer_than_its_hold_was_not_lengthened() -> None:
    finished = trial().sent_at + HOLD
    prompt = trial(finished_at=finished, first_byte_at=finished)
    health = {"stolen": 2.0}
    assert rules(judged(health=health)) == ["steal"]
    assert judged(prompt, health=health) == ()
    assert judged(prompt, health=health, planned=False) == ()


def test_the_same_loss_weighs_more_where_a_queue_cannot_empty() -> None:
    health = {"stolen": 0.2}
    assert judged(health=health, slots=8) == ()
    assert "steal" in rules(judged(health=health, slots=5))


def test_without_a_plan_a_loss_is_its_share_of_the_window() -> None:
    allowed = 1 - math.exp(-MARGIN / 4)  # of 3 s
    assert judged(health={"stolen": 3 * allowed - 0.001}, planned=False) == ()
    only(judged(health={"stolen": 3 * allowed + 0.001}, planned=False), "steal")


def test_waiting_is_a_loss_only_as_far_as_others_used_the_machine() -> None:
    waited = {"server_waited": 3.0}
    assert judged(health=waited | {"others": 0.0}) == ()
    only(judged(health=waited | {"others": 0.5}), "run queue")
    assert judged(health=waited) == ()  # a system that does not tell of others


def test_a_generator_whose_waiting_is_not_told_is_not_judged_for_it() -> None:
    report = generator(run_queue_seconds=math.nan)
    assert judged(health={"others": 1.0}, report=report) == ()
    only(judged(health={"others": 1.0, "server_waited": 1.0}, report=report), "run queue")


def test_an_unsteady_window_tells_by_how_much() -> None:
    found = judged(unsteady(1.5 * HOLD))
    assert drift(found) == pytest.approx(math.log(1.5), abs=0.01)
    assert drift(judged()) == 0.0
    assert of_kind(found, "disturbance") == found
    assert of_kind(found, "wrong data") == ()


def test_errors_are_refused_unless_their_kind_is_expected() -> None:
    error = np.zeros(400, dtype=np.int32)
    error[300] = ERRORS.index("status")
    samples = trial(error=error)
    assert "1 requests ended in 'status'" in only(judged(samples), "errors")
    assert judged(samples, expected_errors={"status"}) == ()
    only(judged(samples, expected_errors={"deadline"}), "errors")


def test_a_growing_queue_breaks_littles_law() -> None:
    found = judged(grown(0.02), hold=0.02, slots=1)
    assert rules(found) == ["warm-up", "Little's law"]
    assert judged(grown(0.02), hold=0.02, slots=1, steady=False) == ()


@pytest.mark.parametrize(("late", "refused"), [(0.0019, False), (0.0021, True)])
def test_a_drift_of_less_than_a_millisecond_is_forgiven(late: float, refused: bool) -> None:
    found = judged(unsteady(0.001, late), hold=None, margin=2.0)
    assert rules(found) == ["warm-up"] * refused


def test_littles_law_rarely_marks_a_stable_queue() -> None:
    marked = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        scheduled = np.cumsum(random.exponential(1 / 14, 80))
        finished = scheduled + lindley(scheduled, np.full(80, HOLD)) + HOLD
        samples = trial(
            n=80, scheduled_at=scheduled, sent_at=scheduled, first_byte_at=finished,
            finished_at=finished, started_at=finished - HOLD,
        )  # fmt: skip
        marked += bool(judged(samples, slots=1, health={}))
    assert marked <= 4


def test_a_trial_without_answers_is_refused() -> None:
    nothing = np.full(400, math.nan)
    samples = trial(
        finished_at=nothing, first_byte_at=nothing, service=nothing, started_at=nothing,
        error=np.full(400, ERRORS.index("deadline")),
    )  # fmt: skip
    assert set(rules(judged(samples))) == {"errors", "Little's law"}
    # Where nobody says what a request takes, nothing lost is still nothing lost.
    on_time = samples.model_copy(update={"sent_at": samples.scheduled_at})
    found = judged(on_time, health={}, hold=None)
    assert set(rules(found)) == {"errors", "Little's law"}


def test_the_pressure_total_is_read_in_seconds() -> None:
    text = "some avg10=1.87 avg60=1.31 avg300=0.55 total=8086665\nfull avg10=0 total=0\n"
    assert pressure_total(text) == pytest.approx(8.086665)
    with pytest.raises(ValueError, match="some"):
        pressure_total("full avg10=0 total=0")


def test_the_machine_line_is_split_into_busy_steal_and_all() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    times = machine_times("cpu  100 20 30 4000 50 6 7 8 90 0\ncpu0 1 2 3\n")
    assert times == pytest.approx({"busy": 150 / tick, "steal": 8 / tick, "all": 4221 / tick})
    with pytest.raises(ValueError, match="no line for cpu"):
        machine_times("intr 1 2 3")


def test_the_lines_of_the_cores_in_use_are_added_up() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    text = "cpu  9 9 9 9 9 9 9 9 9 0\n" + "".join(
        f"cpu{core} {core}00 0 0 0 0 0 0 {core} 0 0\n" for core in (1, 2, 3)
    )
    times = machine_times(text, {1, 3})
    assert times == pytest.approx({"busy": 400 / tick, "steal": 4 / tick, "all": 404 / tick})
    with pytest.raises(ValueError, match="cpu4"):
        machine_times(text, {1, 4})


def burner(seconds: float) -> list[str]:
    code = f"import time; e = time.process_time() + {seconds}\nwhile time.process_time() < e: pass"
    return [sys.executable, "-c", code]


def test_the_tree_keeps_the_time_of_children_that_ended() -> None:
    before = tree_cpu({os.getpid()})
    subprocess.run(burner(0.3), check=True)
    used = tree_cpu({os.getpid()}) - before
    assert 0.28 <= used <= 1.5


def test_own_work_is_not_foreign() -> None:
    with NoiseWatch() as watch:
        subprocess.run(burner(0.5), check=True)
    assert set(watch.health) >= {
        "window_seconds", "foreign_cpu", "steal", "stolen", "throttled", "others", "server_waited",
    }  # fmt: skip
    window = watch.health["window_seconds"]
    foreign = watch.health["foreign_cpu"] * window
    # The half second stands on our side of the share, however busy the others were.
    assert watch.health["others"] <= foreign / (foreign + 0.45)


def test_a_strangers_work_is_foreign() -> None:
    # A grandchild that its parent leaves behind belongs to nobody's tree.
    script = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen({burner(0.6)!r}, start_new_session=True)\n"
        "print(p.pid)"
    )
    with NoiseWatch() as watch:
        said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        pid = int(said.stdout)
        assert until(lambda: procfs.state(pid) in {None, "Z"}, within=120)
    assert watch.health["foreign_cpu"] * watch.health["window_seconds"] >= 0.55
    assert watch.health["others"] > 0


def test_a_server_that_shares_its_core_has_waited() -> None:
    core = min(os.sched_getaffinity(0))
    pinned = ["taskset", "-c", str(core), *burner(0.5)]
    with subprocess.Popen(pinned) as rival, subprocess.Popen(pinned) as server:
        with NoiseWatch(own=[server.pid]) as watch:
            # Each of the two has at most half of the core while both are at it.
            assert until(lambda: procfs.waited([server.pid]) > 0.1, within=120)
        rival.kill()
        server.kill()
    assert watch.health["server_waited"] > 0


def test_what_a_server_lost_of_its_processes_is_read_at_the_end() -> None:
    with subprocess.Popen(burner(60)) as one, subprocess.Popen(burner(60)) as other:
        with NoiseWatch(own=[one.pid, other.pid]) as watch:
            one.kill()
            one.wait()
            other.send_signal(signal.SIGSTOP)
            assert until(lambda: procfs.state(other.pid) == "T", within=60)
        other.kill()
    assert (watch.health["workers_gone"], watch.health["workers_stopped"]) == (1, 1)
