"""The recorded waterfall: every request of the trials, and numbers that are counted in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bookext.waterfall import NO_RECORDING, draw

from tests.bookext import site
from tests.bookext.test_playground import FIRST, measured, trial

PAGE = "# Page\n\n```{recorded-waterfall} one-or-eight\n```\n"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book" / "claims").mkdir(parents=True)
    site.write(tmp_path, {"index": PAGE})
    return tmp_path


def test_every_request_is_drawn_on_one_axis_and_the_numbers_are_the_trials_own(book: Path) -> None:
    trials = [trial(FIRST, lane.label) for lane in FIRST.lanes]
    measured(book, trials)
    page = site.html(site.clean(book), "index")
    figure = page.partition('<figure class="drawing recorded"')[2].partition("</figure>")[0]
    holds = re.findall(r'<path class="still-holds" d="([^"]*)"', figure)
    count = len(trials[0].samples)
    assert [path.count("M") for path in holds] == [count, count]
    ends = [max(float(x) for x in re.findall(r"H([\d.]+)", path)) for path in holds]
    done = [
        (t.samples.started_at + t.samples.service).max() - t.samples.scheduled_at.min()
        for t in trials
    ]
    assert ends[0] / ends[1] == pytest.approx(done[0] / done[1], rel=0.02)
    words = site.plain(f"<{figure}")
    for label, last in zip(("One sync worker", "Eight threads"), done, strict=True):
        (seconds,) = re.findall(
            rf"{label} longest wait [\d.]+ m?s, all done after ([\d.]+) s", words
        )
        assert float(seconds) == pytest.approx(last, rel=0.01)
        assert f"{label}: longest wait" in figure.partition('role="img"')[2].partition(">")[0]
    assert f"The same {count} requests twice" in words


def test_the_longest_wait_is_the_trial_s() -> None:
    one, eight = (trial(FIRST, lane.label) for lane in FIRST.lanes)
    waits = one.samples.started_at - one.samples.scheduled_at
    said, _ = re.findall(r"</b> longest wait ([\d.]+)\xa0(m?s)", draw(FIRST, [one, eight]))
    assert float(said[0]) / {"ms": 1000, "s": 1}[said[1]] == pytest.approx(waits.max(), rel=0.01)


def test_without_a_recording_the_page_says_so(book: Path) -> None:
    page = site.html(site.clean(book), "index")
    assert NO_RECORDING in site.plain(page)
    assert "<figure" not in page


@pytest.mark.parametrize("name", ["computes", "nothing"])
def test_an_experiment_that_is_not_recorded_anywhere_is_a_warning(book: Path, name: str) -> None:
    (book / "index.md").write_text(PAGE.replace("one-or-eight", name))
    assert f"no recorded experiment '{name}'" in site.build(book)[0].warning.getvalue()
