from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from gatewaylab.publish import progress
from gatewaylab.publish.progress import Pace, ProgressWatch, clock
from gatewaylab.records.evidence import Position
from gatewaylab.records.staging import Staging


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (61.9, "1:01"), (600, "10:00"), (-3, "0:00")]
)
def test_the_clock_shows_minutes_and_seconds(seconds: float, text: str) -> None:
    assert clock(seconds) == text


# How long it will take


START = Position()


def test_a_run_takes_as_long_as_expected_until_something_else_is_seen() -> None:
    pace = Pace([60.0, 120.0])
    assert (pace.factor, pace.current, pace.left) == (1.0, 60.0, 180.0)
    assert pace.still(0.0, START, 0.0) == 180.0
    assert pace.still(45.0, START, 0.0) == 135.0


def test_the_pace_of_earlier_notebooks_scales_the_later_ones() -> None:
    slow = Pace([600.0, 100.0, 100.0])
    slow.done(1800.0)
    # Expected were 600 s and taken 1800 s; a minute as expected weighs in.
    assert slow.factor == pytest.approx((1800 + 60) / (600 + 60))
    assert slow.left == pytest.approx(200 * slow.factor)
    assert slow.still(50.0, START, 0.0) == pytest.approx(200 * slow.factor - 50)
    fast = Pace([600.0, 100.0])
    fast.done(300.0)
    assert fast.left < 100.0
    slow.done(100.0)
    slow.done(100.0)
    assert (slow.current, slow.left) == (0.0, 0.0)


def test_a_single_short_notebook_does_not_turn_the_estimate_over() -> None:
    pace = Pace([1.0, 600.0])
    pace.done(10.0)  # ten times as long as expected, which says little
    assert pace.left < 2 * 600.0


@pytest.mark.parametrize("expected", [0.0, 0.5, 4.0, 100.0])
@pytest.mark.parametrize("passed", [0.0, 0.9, 5.0, 99.5, 100.0, 1e4])
@pytest.mark.parametrize(
    "where",
    [
        START,
        Position(cell=3, cells=3),
        Position(cell=3, cells=3, series="s", done=0, total=9, again=2),
        Position(cell=3, cells=3, series="s", done=9, total=9),
    ],
)
def test_what_is_not_finished_is_never_said_to_have_no_time_left(
    expected: float, passed: float, where: Position
) -> None:
    pace = Pace([expected])
    assert clock(pace.left) != "0:00"
    assert clock(pace.still(passed, where, min(passed, 1.0))) != "0:00"


def test_a_notebook_that_takes_longer_than_expected_keeps_some_time_left() -> None:
    pace = Pace([100.0, 30.0])
    assert pace.still(100.0, START, 0.0) == pytest.approx(10 + 30)
    assert pace.still(1000.0, START, 0.0) == pytest.approx(100 + 30)


def test_trials_that_are_measured_again_are_a_part_of_the_pace() -> None:
    pace = Pace([100.0])

    def left(done: int, again: int, series: float) -> float:
        where = Position(cell=2, cells=5, series="s", done=done, total=20, again=again)
        return pace.still(90.0, where, series)

    # Each trial that counts took 10 s, whether or not others were thrown away for it.
    assert left(5, 0, 50.0) == pytest.approx(15 * 10)
    assert left(5, 5, 100.0) == pytest.approx(15 * 20)
    assert left(0, 3, 30.0) == pytest.approx(10.0)  # no trial counts yet: as was expected


# What is told


def _until(out: io.StringIO, text: str) -> None:
    end = time.monotonic() + 60
    while text not in out.getvalue():
        assert time.monotonic() < end, out.getvalue()
        time.sleep(0.01)


@pytest.mark.parametrize("terminal", [False, True])
def test_it_tells_the_cell_and_the_trial_and_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.02)
    monkeypatch.setattr(progress, "_LOOK_EVERY", 0.02)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160, color_system=None)
    stage, pace = Staging(tmp_path / "some"), Pace([3600.0, 3600.0])
    with ProgressWatch(console, "some", stage, pace):
        _until(out, "some: its kernel starts")
        stage.position(Position(cell=2, cells=7))
        _until(out, "some: cell 2 of 7")
        stage.progress("blocking", 3, 9, 0)
        _until(out, "some: cell 2 of 7, blocking: 3 of 9 trials")
        stage.progress("blocking", 4, 9, 2)
        _until(out, "blocking: 4 of 9 trials and 2 measured again")
        stage.position(Position(cell=3, cells=7))
        _until(out, "some: cell 3 of 7")
    assert " left" in out.getvalue()
    assert "about 0:0" not in out.getvalue()
    assert "some: done after" in out.getvalue()
    assert "starting" not in out.getvalue()
    assert pace.current < 3600.0  # the next notebook is at hand, and this one was quick


def test_a_failed_notebook_is_not_called_done(tmp_path: Path) -> None:
    out = io.StringIO()
    pace = Pace([1.0])
    with (
        pytest.raises(ZeroDivisionError),
        ProgressWatch(Console(file=out), "some", Staging(tmp_path), pace),
    ):
        raise ZeroDivisionError
    assert "some: stopped after" in out.getvalue()
    assert pace.left == 0.0


def test_a_damaged_position_is_the_start(tmp_path: Path) -> None:
    stage = Staging(tmp_path)
    assert stage.where() == Position()
    (tmp_path / "position.json").write_text("{")
    assert stage.where() == Position()
    stage.position(Position(cell=1, cells=2))
    assert stage.where() == Position(cell=1, cells=2)
