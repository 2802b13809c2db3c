"""What the refusal rules forgive, on made-up trials, and the probes on made-up readings.

What each rule refuses is in ``test_mutants.py``.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from gatewaylab import noise
from gatewaylab.noise import Watch, machine_times, pressure_total, refusals, spin_gap, tree_cpu
from gatewaylab.queueing import lindley
from gatewaylab.results import ERRORS, GeneratorReport, Samples

HOLD = 0.05


def trial(n: int = 400, rate: float = 100.0, **changed: Any) -> Samples:
    """A quiet trial: one request each 1/rate s, each answered after the hold."""
    scheduled = np.arange(n) / rate
    columns: dict[str, Any] = {
        "scheduled_at": scheduled,
        "sent_at": scheduled + 0.0001,
        "first_byte_at": scheduled + HOLD + 0.0004,
        "finished_at": scheduled + HOLD + 0.0005,
        "status": np.full(n, 200),
        "error": np.zeros(n, dtype=np.int32),
        "service": np.full(n, HOLD),
        "started_at": scheduled + 0.0002,
        "worker": np.zeros(n, dtype=np.int32),
        "workers": ("1/1",),
    }
    return Samples(**(columns | changed))


def generator(**changed: Any) -> GeneratorReport:
    values: dict[str, Any] = {
        "transport": "raw",
        "planned": 400,
        "sent": 400,
        "connections": 8,
        "reconnects": 0,
        "peak_in_flight": 6,
        "cpu_seconds": 0.1,
        "wall_seconds": 4.0,
        "run_queue_seconds": 0.01,
        "monotonic_start": 100.0,
    }
    return GeneratorReport(**(values | changed))


QUIET = {"psi_some": 0.03, "steal": 0.0, "foreign_cpu": 0.04, "spin_gap": 0.004}


def judged(samples: Samples | None = None, health: dict[str, float] | None = None,
           report: GeneratorReport | None = None, **more: Any) -> tuple[str, ...]:  # fmt: skip
    return refusals(
        report or generator(),
        trial() if samples is None else samples,
        QUIET if health is None else health,
        **({"warmup": 1.0, "seconds": 3.0, "hold": HOLD, "slots": 8} | more),
    )


def only(found: tuple[str, ...], rule: str) -> str:
    assert len(found) == 1, found
    assert found[0].startswith(rule), found
    return found[0]


def test_a_quiet_trial_breaks_no_rule() -> None:
    assert judged(quantile=0.9) == ()


def test_a_probe_that_is_missing_is_not_judged() -> None:
    assert judged(health={}) == ()


def test_pressure_is_no_evidence_against_a_server_that_is_meant_to_compute() -> None:
    assert judged(health=QUIET | {"psi_some": 0.9}, cpu_bound=True) == ()
    only(judged(health=QUIET | {"foreign_cpu": 0.9}, cpu_bound=True), "foreign CPU")


def test_send_lag_is_held_against_a_millisecond_or_five_percent_of_the_effect() -> None:
    late = trial().sent_at.copy()
    late[200:210] += 0.0015
    samples = trial(sent_at=late, started_at=late + 0.0001)
    message = only(judged(samples), "send lag")
    assert "1.60 ms, above 1.00 ms" in message
    assert judged(samples, effect_seconds=0.04) == ()
    only(judged(samples, effect_seconds=0.01), "send lag")


def test_lag_in_the_warm_up_does_not_count() -> None:
    late = trial().sent_at.copy()
    late[:50] += 0.005
    assert judged(trial(sent_at=late, started_at=late + 0.0001), hold=None) == ()


def test_errors_are_refused_unless_their_kind_is_expected() -> None:
    error = np.zeros(400, dtype=np.int32)
    error[300] = ERRORS.index("status")
    samples = trial(error=error)
    assert "1 requests ended in 'status'" in only(judged(samples), "errors")
    assert judged(samples, expected_errors={"status"}) == ()
    assert judged(samples, expected_errors=True) == ()
    only(judged(samples, expected_errors={"deadline"}), "errors")


def test_a_growing_queue_breaks_littles_law() -> None:
    scheduled = np.arange(400) / 100
    finished = scheduled + lindley(scheduled, np.full(400, 0.02)) + 0.02
    samples = trial(
        finished_at=finished, first_byte_at=finished, service=np.full(400, 0.02)
    )  # fmt: skip
    found = judged(samples, hold=0.02, slots=1)
    assert [rule.partition(":")[0] for rule in found] == ["Little's law", "warm-up"]
    assert judged(samples, hold=0.02, slots=1, steady=False) == ()


@pytest.mark.parametrize(("late", "refused"), [(0.0019, False), (0.0021, True)])
def test_a_drift_of_less_than_a_millisecond_is_forgiven(late: float, refused: bool) -> None:
    quiet = trial()
    finished = quiet.started_at + np.where(quiet.scheduled_at < 2.5, 0.001, late)
    found = judged(trial(first_byte_at=finished, finished_at=finished), hold=None)
    assert [message.partition(":")[0] for message in found] == ["warm-up"] * refused


def test_littles_law_rarely_refuses_a_stable_queue() -> None:
    refused = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        scheduled = np.cumsum(random.exponential(1 / 14, 80))
        finished = scheduled + lindley(scheduled, np.full(80, HOLD)) + HOLD
        samples = trial(
            n=80, scheduled_at=scheduled, sent_at=scheduled, first_byte_at=finished,
            finished_at=finished, started_at=finished - HOLD,
        )  # fmt: skip
        refused += bool(judged(samples, slots=1))
    assert refused <= 4


def test_a_trial_without_answers_is_refused() -> None:
    nothing = np.full(400, math.nan)
    samples = trial(
        finished_at=nothing, first_byte_at=nothing, service=nothing, started_at=nothing,
        error=np.full(400, ERRORS.index("deadline")),
    )  # fmt: skip
    assert {message.partition(":")[0] for message in judged(samples)} == {
        "errors",
        "Little's law",
    }


def test_the_pressure_total_is_read_in_seconds() -> None:
    text = "some avg10=1.87 avg60=1.31 avg300=0.55 total=8086665\nfull avg10=0 total=0\n"
    assert pressure_total(text) == pytest.approx(8.086665)
    with pytest.raises(ValueError, match="some"):
        pressure_total("full avg10=0 total=0")


def test_the_machine_line_is_split_into_busy_steal_and_all() -> None:
    tick = os.sysconf("SC_CLK_TCK")
    times = machine_times("cpu  100 20 30 4000 50 6 7 8 90 0\ncpu0 1 2 3\n")
    assert times == pytest.approx({"busy": 150 / tick, "steal": 8 / tick, "all": 4221 / tick})
    with pytest.raises(ValueError, match="summary"):
        machine_times("intr 1 2 3")


def burner(seconds: float) -> list[str]:
    code = f"import time; e = time.process_time() + {seconds}\nwhile time.process_time() < e: pass"
    return [sys.executable, "-c", code]


def test_the_tree_keeps_the_time_of_children_that_ended() -> None:
    before = tree_cpu({os.getpid()})
    subprocess.run(burner(0.3), check=True)
    used = tree_cpu({os.getpid()}) - before
    assert 0.28 <= used <= 1.5


def test_own_work_is_not_foreign() -> None:
    with Watch(spin=0) as watch:
        subprocess.run(burner(0.5), check=True)
    assert set(watch.health) >= {"window_seconds", "foreign_cpu", "steal"}
    with Watch(spin=0) as idle:
        time.sleep(watch.health["window_seconds"])
    # Counted as foreign, the burner alone would add most of a core to what is there anyway.
    assert watch.health["foreign_cpu"] < idle.health["foreign_cpu"] + 0.6


def test_a_strangers_work_is_foreign() -> None:
    # A grandchild that its parent leaves behind belongs to nobody's tree.
    script = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen({burner(0.6)!r}, start_new_session=True)\n"
        "print(p.pid)"
    )
    with Watch(spin=0) as watch:
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        time.sleep(1.0)
    assert watch.health["foreign_cpu"] > noise.MAX_HEALTH["foreign_cpu"]


def test_the_spin_probe_sees_a_neighbour_on_its_core() -> None:
    core = min(os.sched_getaffinity(0))
    hog = subprocess.Popen(["taskset", "-c", str(core), *burner(20)])
    try:
        time.sleep(0.1)
        assert spin_gap(0.1, [core]) > noise.MAX_HEALTH["spin_gap"]
    finally:
        hog.kill()
        hog.wait()
    assert os.sched_getaffinity(0) >= {core}


@pytest.mark.parametrize(
    ("looks", "settled", "taken"), [([0.01], 0.01, 1), ([0.2, 0.01], 0.01, 2), ([0.5, 0.4], 0.4, 2)]
)
def test_one_lost_time_slice_is_looked_at_again_and_a_neighbour_that_stays_is_not_forgiven(
    monkeypatch: pytest.MonkeyPatch, looks: list[float], settled: float, taken: int
) -> None:
    left = list(looks)
    monkeypatch.setattr(noise, "spin_gap", lambda _: left.pop(0))
    assert noise.settled_gap() == settled
    assert len(looks) - len(left) == taken
