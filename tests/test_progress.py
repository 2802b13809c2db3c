from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from gatewaylab import progress
from gatewaylab.progress import Watch, clock


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (61.9, "1:01"), (600, "10:00"), (-3, "0:00")]
)
def test_the_clock_shows_minutes_and_seconds(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def _until(out: io.StringIO, text: str) -> None:
    end = time.monotonic() + 60
    while text not in out.getvalue():
        assert time.monotonic() < end, out.getvalue()
        time.sleep(0.01)


@pytest.mark.parametrize("terminal", [False, True])
def test_it_tells_where_the_notebook_is_and_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.02)
    monkeypatch.setattr(progress, "_LOOK_EVERY", 0.02)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, color_system=None)
    file = tmp_path / "progress"
    with Watch(console, "some", file, expected=60, later=60):
        _until(out, "starting")
        file.write_text("blocking: 3 of 9 trials")
        _until(out, "3 of 9 trials")
    assert "about 1:5" in out.getvalue()
    assert "some: done after" in out.getvalue()


def test_a_failed_notebook_is_not_called_done(tmp_path: Path) -> None:
    out = io.StringIO()
    with (
        pytest.raises(ZeroDivisionError),
        Watch(Console(file=out), "some", tmp_path / "p", expected=1, later=0),
    ):
        raise ZeroDivisionError
    assert "some: stopped after" in out.getvalue()
