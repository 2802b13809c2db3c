"""Noise only lengthens: what it can explain is neither true nor false."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gatewaylab.errors import InputError
from gatewaylab.guard import procfs
from gatewaylab.measure import delay as module
from gatewaylab.measure.delay import (
    Delay,
    Held,
    both_ways,
    every,
    opposite,
    repeated,
    sooner,
    until,
)

TOLD: list[Held] = [True, False, None]


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets what the machine has lost since its start."""
    now = 100.0

    def set_to(seconds: float) -> None:
        nonlocal now
        now = seconds

    monkeypatch.setattr(module, "_lost", lambda: now)
    return set_to


@pytest.mark.parametrize(
    ("seconds", "than", "gone", "expected"),
    [
        (0.9, 1.0, 0.0, True),
        (0.9, 1.0, 5.0, True),  # noise hurries nothing
        (1.0, 1.0, 0.0, False),
        (1.2, 1.0, 0.19, False),
        (1.2, 1.0, 0.21, None),
        (1.2, 1.0, 5.0, None),
    ],
)
def test_what_came_too_late_may_have_been_held_up(
    seconds: float, than: float, gone: float, expected: Held
) -> None:
    assert sooner(seconds, than, lost=gone) is expected


def test_a_block_judges_by_what_was_lost_in_it(lost: Callable[[float], None]) -> None:
    lost(100.0)
    with Delay() as delay:
        assert delay.seconds == 0.0
        lost(100.5)
        assert delay.seconds == pytest.approx(0.5)  # so far
    lost(200.0)
    assert delay.seconds == pytest.approx(0.5)  # what came after does not count
    assert [delay.sooner(t, 1.0) for t in (0.9, 1.4, 1.6)] == [True, None, False]
    assert [delay.later(t, 1.0) for t in (0.9, 1.4, 1.6)] == [False, None, True]
    assert delay.judge(True, gap=0.1) is True
    assert delay.judge(False, gap=0.5) is None
    assert delay.judge(False, gap=0.6) is False


def test_a_counter_that_goes_back_is_no_gain(lost: Callable[[float], None]) -> None:
    with Delay() as delay:
        lost(90.0)
    assert delay.seconds == 0.0


def test_a_block_that_fails_is_measured_all_the_same(lost: Callable[[float], None]) -> None:
    delay = Delay()
    with contextlib.suppress(ZeroDivisionError), delay:
        lost(101.0)
        raise ZeroDivisionError
    lost(150.0)
    assert delay.seconds == pytest.approx(1.0)


@pytest.mark.parametrize("one", TOLD)
def test_what_is_undecided_has_no_opposite(one: Held) -> None:
    assert opposite(one) is {True: False, False: True, None: None}[one]
    assert opposite(opposite(one)) is one


@pytest.mark.parametrize("told", list(itertools.product(TOLD, repeat=3)))
def test_one_failure_decides_and_one_undecided_leaves_it_open(
    told: tuple[Held, ...],
) -> None:
    expected = False if False in told else None if None in told else True
    assert every(*told) is expected


def test_observations_are_joined_repetition_by_repetition() -> None:
    assert every() is True
    assert both_ways([True, True, None], [True, None, False]) == [True, None, False]
    with pytest.raises(ValueError, match="longer"):
        both_ways([True], [True, True])


@pytest.mark.parametrize(
    ("seen", "times", "expected", "taken"),
    [
        ([True] * 5, 5, [True] * 5, 5),
        ([True, False, True, True, True], 5, [True, False, True, True, True], 5),
        ([True, None, True, True, True, False], 5, [True, True, True, True, False], 6),
        ([None] * 6, 5, [None] * 5, 6),  # a fifth more, and no further
        ([None] * 12, 10, [None] * 10, 12),
        ([None, True], 1, [True], 2),
    ],
)
def test_an_undecided_observation_is_made_again_within_a_fifth(
    seen: list[Held], times: int, expected: list[Held], taken: int
) -> None:
    made: list[Held] = []

    def observe() -> Held:
        made.append(seen[len(made)])
        return made[-1]

    assert repeated(observe, times) == expected
    assert len(made) == taken


def test_an_observation_that_is_never_made_is_an_error() -> None:
    with pytest.raises(InputError, match="not 0 times"):
        repeated(lambda: True, 0)


def test_waiting_ends_with_the_condition_or_the_time() -> None:
    looks = iter([False, False, True])
    assert until(lambda: next(looks), within=60, every=0.001)
    assert not until(lambda: False, within=0.01, every=0.001)
    assert until(lambda: True, within=0)  # looked at once at least


def test_a_condition_that_another_thread_meets_is_seen() -> None:
    met = threading.Event()
    timer = threading.Timer(0.01, met.set)
    timer.start()
    assert until(met.is_set, within=60)
    timer.join()


@pytest.mark.skipif(
    not (Path("/proc/pressure/cpu").exists() and os.access("/proc/pressure/cpu", os.R_OK)),
    reason="this kernel does not tell of waiting",
)
def test_two_processes_that_want_one_core_are_seen() -> None:
    core = min(os.sched_getaffinity(0))
    busy = [sys.executable, "-c", "while True: pass"]
    with Delay() as delay:
        rivals = [subprocess.Popen(["taskset", "-c", str(core), *busy]) for _ in range(2)]
        try:
            # They run in turn, so that one waits whenever the other computes.
            waited = until(lambda: procfs.waited([one.pid for one in rivals]) > 0.3, within=120)
        finally:
            for one in rivals:
                one.kill()
                one.wait()
    assert waited
    assert delay.seconds > 0.1


def test_a_system_that_does_not_tell_counts_as_undisturbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", unknown)
    with Delay() as delay:
        time.sleep(0.01)
    assert delay.seconds == 0.0
    assert delay.sooner(2.0, 1.0) is False
