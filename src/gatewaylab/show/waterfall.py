"""Requests on the slots that held them, over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gatewaylab.errors import InputError
from gatewaylab.load.samples import Samples
from gatewaylab.records.results import Trial
from gatewaylab.servers.palette import WAITING
from gatewaylab.show.figures import WIDTH, styled

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Heights in units of one slot's row: a waiting request's row, and the margin.
WAIT_ROW, MARGIN = 0.22, 0.5


def lanes(samples: Samples) -> Integers:
    """Give each request a lane, so that no two in one lane were inside the application at once.

    Requests of one worker (process and thread) share a lane as long as they do not overlap: a
    lane is then a slot that the recording shows. Requests without a trace get -1.
    """
    began, ended = samples.started_at, samples.started_at + samples.service
    return _rows(began, ended, ~np.isnan(ended), samples.worker, slack=1e-4)


def _rows(
    begin: Floats,
    end: Floats,
    shown: NDArray[np.bool_],
    owner: NDArray[np.int32],
    slack: float = 0.0,
) -> Integers:
    """A row for each span that is shown, -1 for others: the first that its owner's last one left.

    Args:
        slack: seconds by which a span may begin before the end of the one before it.
    """
    rows = np.full(len(begin), -1, dtype=np.int64)
    taken: list[tuple[int, float]] = []  # by row: whose it is, and until when
    for i in np.argsort(begin, kind="stable"):
        if shown[i]:
            mine = int(owner[i])
            free = (k for k, (o, t) in enumerate(taken) if o == mine and t <= begin[i] + slack)
            rows[i] = row = next(free, len(taken))
            taken[row : row + 1] = [(mine, float(end[i]))]
    return rows


#: Seconds by which a bar is drawn too short.
_AIR = 0.004
#: A wait shorter than this is no thicker than a line of ink; it is not drawn.
SHORTEST_WAIT = 0.003


@dataclass(frozen=True)
class Panel:
    """One trial as a panel of a waterfall; None when none was accepted."""

    title: str
    trial: Trial | None
    color: str


@styled
def waterfall(panels: Sequence[Panel]) -> Figure:
    """Requests over slots: a bar while a request holds a slot, a thin line while it waits.

    Time runs from the start of the measured window, one panel below the other on the same axis.
    Each bar is one recorded request in the lane of the slot that held it. Each grey line above
    the slots is one request that waits: it begins when the plan wanted the request to start and
    ends when the application began.
    """
    traced = [None if panel.trial is None else _traced(panel.trial) for panel in panels]
    heights = [1.6 if samples is None else max(1.6, _units(samples)) for samples in traced]
    figure = Figure(figsize=(WIDTH, 0.24 * sum(heights) + 0.42 * len(panels) + 0.4))
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    for ax, panel, samples in zip(axes[:, 0], panels, traced, strict=True):
        if panel.trial is None or samples is None:
            ax.set_title(f"{panel.title}: no trial was accepted")
            ax.set_yticks([])
        else:
            _waterfall_panel(ax, panel.title, panel.color, panel.trial, samples)
    axes[-1, 0].set_xlabel("seconds since the end of the warm-up")
    return figure


def _traced(trial: Trial) -> Samples:
    """The samples that were alive in the measured window and say when the application had them."""
    samples, end = trial.samples, trial.warmup + trial.seconds
    with np.errstate(invalid="ignore"):
        alive = (samples.finished_at >= trial.warmup) & (samples.scheduled_at < end)
    shown = samples.rows(alive & ~np.isnan(samples.started_at) & ~np.isnan(samples.service))
    if not len(shown):
        raise InputError("a waterfall needs samples with a trace; run the trial with trace=True")
    return shown


def _queue_rows(samples: Samples) -> Integers:
    """A row for each request that waits, -1 for one that does not; a row is used again."""
    begin, end = samples.scheduled_at, samples.started_at
    nobody = np.zeros(len(samples), dtype=np.int32)
    return _rows(begin, end, end - begin >= SHORTEST_WAIT, nobody)


def _units(samples: Samples) -> float:
    waiting = int(_queue_rows(samples).max()) + 1
    return float(lanes(samples).max()) + 1 + WAIT_ROW * waiting + MARGIN


def _waterfall_panel(ax: Axes, title: str, color: str, trial: Trial, samples: Samples) -> None:
    zero, count = trial.warmup, int(lanes(samples).max()) + 1
    lane, row = lanes(samples), _queue_rows(samples)
    began, ended = samples.started_at - zero, samples.started_at + samples.service - zero
    waits = row >= 0
    waiting = int(row.max()) + 1
    heights = -0.6 - WAIT_ROW * row[waits]
    ax.hlines(
        heights, samples.scheduled_at[waits] - zero, began[waits], color=WAITING, linewidth=1.3
    )
    # A little air at the end keeps requests that follow each other apart.
    ax.barh(lane, ended - began - _AIR, left=began, height=0.74, color=color)
    ax.set_ylim(count - 0.5, -0.6 - WAIT_ROW * max(waiting, 1))
    ax.set_xlim(0, trial.seconds)
    shown = range(count) if count <= 3 else (0, count - 1)
    ticks, names = [float(k) for k in shown], [f"slot {k + 1}" for k in shown]
    if waiting > 3:
        ticks.append(-0.6 - WAIT_ROW * (waiting - 1) / 2)
        names.append("waiting")
    ax.set_yticks(ticks, names)
    ax.tick_params(axis="y", length=0)
    most = f"up to {waiting} requests wait" if waiting else "no request waits"
    ax.set_title(f"{title}: {most}")
