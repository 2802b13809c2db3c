"""The experiments that the playground can play: as planned, and as their trials were recorded.

What was measured comes from accepted evidence. Without it an experiment has its plan, which the
model can play, and no recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bookext.points import Collection
from bookext.shelf import Shelf
from gatewaylab.records.results import Comparison, Trial
from gatewaylab.servers.palette import variable
from gatewaylab.servers.specs import SERVERS

#: By kind of server: how the playground names it, and the custom property of its colour, which is
#: that of its server in every figure. A loop that blocks is still uvicorn's.
KINDS = {
    kind: (name, variable(SERVERS[server].color))
    for kind, name, server in (
        ("worker", "sync worker", "gunicorn-sync"),
        ("threads", "threads", "gunicorn-gthread"),
        ("greenlets", "greenlets", "gunicorn-gevent"),
        ("loop", "event loop", "uvicorn"),
        ("blocking", "blocking loop", "uvicorn"),
    )
}

#: The seed of a plan that was not recorded.
SEED = 2026


@dataclass(frozen=True)
class Lane:
    """One of the two set-ups.

    Attributes:
        kind: one of :data:`KINDS`. slots: of one process, for threads. cores: processes, each with
            a core of its own.
        label: what its comparison calls it; empty if it was not measured.
    """

    kind: str
    slots: int = 1
    cores: int = 1
    label: str = ""


@dataclass(frozen=True)
class Experiment:
    """Two set-ups under the same arrivals.

    Attributes:
        name: file-safe. title: on its button. story: what to look at.
        notebook, comparison: where it was measured; empty if nowhere.
        rate: arrivals a second. hold, compute: milliseconds.
        seconds: of the plan, warm-up included.
    """

    name: str
    title: str
    story: str
    lanes: tuple[Lane, Lane]
    notebook: str = ""
    comparison: str = ""
    rate: float = 30.0
    hold: float = 50.0
    compute: float = 0.0
    seconds: float = 0.9


_SLOTS = ("slow-requests-and-slots", "blocking")
_LOOP = ("blocking-in-a-coroutine", "coroutine")
_EIGHT = Lane("threads", 8, label="eight threads")
_BLOCKS = Lane("blocking", label="blocks")

EXPERIMENTS = (
    Experiment(
        "one-or-eight", "One slot or eight",
        "The same visitors twice. One worker has one slot and cannot keep up: a line grows. With "
        "eight threads hardly anyone waits. Both are WSGI.",
        (Lane("worker", label="one sync worker"), _EIGHT), *_SLOTS,
    ),
    Experiment(
        "blocks-or-awaits", "A blocking call",
        "One event loop, two views that differ in one line. The first blocks, and the loop is one "
        "slot; the second awaits, and takes whoever comes. Both are ASGI.",
        (_BLOCKS, Lane("loop", label="awaits")), *_LOOP,
    ),
    Experiment(
        "threads-or-loop", "Threads or loop",
        "WSGI beside ASGI. While a slot is free, a request cannot tell which kind it got.",
        (_EIGHT, Lane("loop", label="one event loop")), *_SLOTS,
    ),
    Experiment(
        "one-or-two", "A second worker",
        "A second worker is a second slot. Here that is just enough, and the line goes away again.",
        (Lane("worker", label="one sync worker"),
         Lane("worker", cores=2, label="two sync workers")), *_SLOTS,
    ),
    Experiment(
        "greenlets-or-loop", "Greenlets or loop",
        "Two cheap kinds of slot, one of each interface. Both take whoever comes.",
        (Lane("greenlets", label="greenlets"), Lane("loop", label="one event loop")), *_SLOTS,
    ),
    Experiment(
        "blocks-or-thread", "Blocking in a thread",
        "The same blocking call, on the loop and in one of forty threads. A blocked thread holds "
        "up nobody but its own request.",
        (_BLOCKS, Lane("threads", 40, label="blocks in a thread")), *_LOOP,
    ),
    Experiment(
        "computes", "Computing",
        "Nothing waits for a database here: the view computes. More slots do not help then; a "
        "second process with a core of its own does.",
        (_EIGHT, Lane("worker", cores=2)),
        rate=40.0, hold=0.0, compute=30.0,
    ),
)  # fmt: skip


def described(one: Experiment, shelf: Shelf, points: Collection) -> dict[str, Any]:
    """An experiment as the script reads it: planned, and recorded if it was."""
    trials = recorded(one, shelf)
    first = trials[0] if trials else None
    return {
        "name": one.name,
        "title": one.title,
        "story": one.story,
        "rate": one.rate,
        "hold": one.hold,
        "compute": one.compute,
        "seconds": one.seconds if first is None else first.warmup + first.seconds,
        "seed": SEED if first is None else first.seed,
        "notebook": one.notebook,
        "lanes": [
            {
                "kind": lane.kind,
                "slots": lane.slots,
                "cores": lane.cores,
                "trace": _trace(trials[i]) if trials else None,
                "measured": _measured(one, lane, points),
            }
            for i, lane in enumerate(one.lanes)
        ],
    }


def recorded(one: Experiment, shelf: Shelf) -> Sequence[Trial]:
    """A trial for each lane, of one plan, that is the experiment's; none if there are no such."""
    evidence = shelf.stored(one.notebook) if one.notebook else None
    for comparison in () if evidence is None else evidence.comparisons:
        if comparison.name == one.comparison:
            for block in range(comparison.blocks):
                pair = [_trial(comparison, lane.label, block) for lane in one.lanes]
                if pair[0] is not None and all(_fits(one, t, pair[0].seed) for t in pair):
                    return [trial for trial in pair if trial is not None]
    return ()


def _trial(comparison: Comparison, label: str, block: int) -> Trial | None:
    return next((t for t in comparison.of(label) if t.block == block), None)


def _fits(one: Experiment, trial: Trial | None, seed: int) -> bool:
    """Whether a trial is the experiment's as it is written here, and every request has a trace."""
    return (
        trial is not None
        and not trial.slim
        and trial.seed == seed
        and trial.arrivals == {"kind": "poisson", "rate": one.rate}
        and trial.setup.get("hold") == one.hold / 1000
        and bool(np.isfinite(trial.samples.started_at + trial.samples.service).all())
    )


def _trace(trial: Trial) -> dict[str, list[int]]:
    """Each request's wait and time inside the application, in tenths of a millisecond."""
    samples = trial.samples
    waits = np.maximum(0.0, samples.started_at - samples.scheduled_at)
    return {
        "waits": np.rint(1e4 * waits).astype(int).tolist(),
        "inside": np.rint(1e4 * samples.service).astype(int).tolist(),
    }


def _measured(one: Experiment, lane: Lane, points: Collection) -> dict[str, float] | None:
    """The median latency of a lane, in ms, over all trials: measured, and by the model."""
    for point in points.of("latency"):
        if (point.notebook, point.comparison, point.label) == (
            one.notebook, one.comparison, lane.label,
        ):  # fmt: skip
            return {
                "median": round(1000 * point.measured, 3),
                "model": round(1000 * point.predicted, 3),
                "trials": point.trials,
            }
    return None
