from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from gatewaylab.errors import InputError
from gatewaylab.load.samples import Samples
from gatewaylab.servers.specs import SERVERS
from gatewaylab.show.charts import (
    Point,
    events,
    levels,
    marks,
    model_line,
    reach,
    spans,
    strip,
    sweep,
    visitors,
)
from gatewaylab.show.figures import WIDTH, canvas, present
from gatewaylab.show.waterfall import Panel, lanes, waterfall
from tests import builders
from tests.support.gallery import gallery as drawn


def _holding(started: list[float], service: float, worker: list[int]) -> Samples:
    given = {"started_at": started, "worker": worker, "workers": ("1/1", "1/2")}
    return builders.samples([service] * len(started), spacing=0.0, service=service, **given)


@pytest.mark.parametrize(
    ("started", "worker", "seen"),
    [
        ([0.0, 0.1, 0.2], [0, 0, 0], [0, 0, 0]),  # one after the other on one worker
        ([0.0, 0.05, 0.1], [0, 0, 0], [0, 1, 0]),  # the second overlaps the others
        ([0.0, 0.1], [0, 1], [0, 1]),  # two workers never share one
        ([np.nan, 0.1], [0, 0], [-1, 0]),  # without a trace there is none
    ],
)
def test_requests_share_a_lane_only_one_by_one(
    started: list[float], worker: list[int], seen: list[int]
) -> None:
    assert lanes(_holding(started, 0.1, worker)).tolist() == seen


def _panel(samples: Samples) -> Panel:
    return Panel("a", builders.trial("a", 0, [0.1], samples=samples), "#4477AA")


def test_a_waterfall_draws_one_bar_for_each_recorded_request() -> None:
    (ax,) = waterfall([_panel(_holding([0.0, 0.1, 0.25], 0.1, [0, 0, 1]))]).axes
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [bar.get_x() for bar in bars] == pytest.approx([0.0, 0.1, 0.25])
    assert [bar.get_width() for bar in bars] == pytest.approx([0.096] * 3)


def test_a_waterfall_draws_a_line_for_each_request_that_waits_and_counts_them() -> None:
    (ax,) = waterfall([_panel(_holding([0.0, 0.1, 0.2], 0.1, [0, 0, 0]))]).axes
    (lines,) = ax.collections
    assert len(lines.get_paths()) == 2  # the first began at once
    assert ax.get_title("left") == "a: up to 2 requests wait"
    (idle,) = waterfall([_panel(_holding([0.0], 0.1, [0]))]).axes
    assert idle.get_title("left") == "a: no request waits"


def test_a_waterfall_without_a_trace_is_refused() -> None:
    samples = _holding([0.0], 0.1, [0])
    with pytest.raises(InputError, match="trace"):
        waterfall([_panel(samples.model_copy(update={"started_at": np.full(1, np.nan)}))])


def test_events_that_arrive_together_are_stacked() -> None:
    (ax,) = events({"a": [0.1, 0.2], "b": [0.4, 0.4]}).axes
    marks = [line for line in ax.lines if line.get_marker() != "None"]
    heights = [np.asarray(mark.get_ydata()).tolist() for mark in marks]
    assert heights[0] == [0, 0]
    assert heights[1] == pytest.approx([1, 0.87])


def _drawn() -> str:
    figure = strip({"a": [1.0, 2.0], "b": [3.0]}, unit="ms", x="latency, ms")
    return present(figure, alt="dots", caption="c")._repr_html_()


def test_identical_data_give_identical_bytes() -> None:
    assert _drawn() == _drawn()


def test_a_figure_follows_the_text_colour_and_tells_what_it_shows() -> None:
    shown = _drawn()
    assert "#000000" not in shown
    assert "currentColor" in shown
    assert 'role="img" aria-label="dots"' in shown
    assert "<figcaption>c</figcaption>" in shown


def test_all_figures_are_equally_wide_whatever_is_written_in_them() -> None:
    """So letters are equally large on every phone; what leaves the sheet would widen it."""
    widths = {name: picture.svg.partition('viewBox="0 0 ')[2] for name, picture in drawn().items()}
    told = {name: float(width.partition(" ")[0]) for name, width in widths.items()}
    assert told == dict.fromkeys(told, pytest.approx(72 * WIDTH))
    sheet, (ax,) = canvas()
    ax.set_xlabel("a name that is longer than the sheet is wide " * 2)
    assert 'viewBox="0 0 316.8 ' not in present(sheet, alt="a", caption="c").svg  # and is not cut


def test_what_has_no_server_is_drawn_in_the_colour_of_the_text() -> None:
    shown = _drawn()
    assert "--book-" not in shown
    assert "currentColor" in shown


def test_a_server_is_drawn_in_its_colour_of_the_page() -> None:
    shown = present(
        strip({"a": [1.0]}, unit="ms", colors={"a": SERVERS["uvicorn"].color}), alt="a", caption="c"
    )
    assert "var(--book-blue, #4477aa)" in shown.svg


def test_a_figure_without_alt_text_is_refused() -> None:
    figure, _ = canvas()
    with pytest.raises(InputError, match="alt"):
        present(figure, alt="", caption="c")


def test_the_model_line_carries_every_measured_point_with_its_label() -> None:
    figure = model_line([1, 2], [9.0, 3.0], [Point(1, 9.0, 8.0, 10.0, "one worker", "#4477AA")])
    (ax,) = figure.axes
    assert "one worker" in [text.get_text() for text in ax.texts]
    assert present(figure, alt="a", caption="c").svg.startswith("<svg")


def test_every_visitor_is_a_stem_as_high_as_the_wait() -> None:
    figure = visitors({"planned": (builders.samples([0.1, 0.02]), (0.0, 0.1))})
    (ax,) = figure.axes
    (stems,) = ax.collections
    tops = [np.asarray(path.vertices)[1] for path in stems.get_paths()]
    np.testing.assert_allclose(tops, [[0.0, 100.0], [0.01, 20.0]])
    assert "the server stands still" in present(figure, alt="a", caption="c").svg


def test_the_levels_of_the_first_row_are_drawn_on_through_the_others() -> None:
    rows = {"truth": {"p50": 0.0, "p99": 500.0}, "tool": {"p50": 0.1, "p99": 2.0}}
    (ax,) = levels(rows).axes
    dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
    verticals = [float(np.asarray(line.get_xdata())[0]) for line in dotted]
    assert verticals == [0.05, 500.0]  # a logarithm has no zero
    assert [text.get_text() for text in ax.texts] == ["p50", "p99", "truth", "tool"]


def _bars(ax: Axes) -> list[tuple[float, float]]:
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    return [(round(bar.get_x(), 6), round(bar.get_width(), 6)) for bar in bars]


def test_a_span_is_grey_until_it_gets_in_and_rows_stand_in_that_order() -> None:
    pool = [(10.0, 10.4, 10.6), (10.1, 10.1, 10.3)]
    upper, lower = spans({"pool": pool, "nothing": []}, x="seconds").axes
    assert _bars(upper) == [(0.1, 0.0), (0.0, 0.4), (0.1, 0.2), (0.4, 0.2)]
    assert [label.get_text() for label in upper.get_yticklabels()] == ["first", "last"]
    assert _bars(lower) == []


def test_marks_beyond_the_edge_are_drawn_at_it() -> None:
    looks = {"a": ("#4477AA", "o"), "b": ("#EE6677", "s")}
    panel = {"a": [0.1, 40.0], "b": [1.2]}
    (ax,) = marks({"heads": panel}, looks, line=(1.0, "let go"), x="share").axes
    drawn = [np.asarray(line.get_xdata()).tolist() for line in ax.lines]
    assert drawn[0] == pytest.approx([0.1, 0.97 * 1.7])
    assert drawn[1] == [1.2]
    assert "let go" in [text.get_text() for text in ax.texts]


def test_reach_marks_where_it_works_and_where_not() -> None:
    (ax,) = reach({"eight": {7: True, 8: False}, "one": {0: True}}, x="listeners").axes
    words = ["answered", "no answer", "answered", "eight", "one"]
    assert [text.get_text() for text in ax.texts] == words
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "7", "8"]


def test_a_sweep_has_a_line_a_label_and_only_the_points_that_were_measured() -> None:
    curves = {"waits": ([1.0, 3.0], [[0.9, 1.1], []]), "computes": ([2.0, 2.0], [[2.0], [2.1]])}
    (ax,) = sweep(curves, (1, 3), x="workers", y="per second", mark=(3, "2n + 1")).axes
    assert len(ax.containers) == 3
    assert [text.get_text() for text in ax.texts] == ["waits", "computes", "2n + 1"]
