"""A/A over real trials: one server compared with itself, as often as it takes to count errors.

Every difference that is found here is false. The order of trials, the plans, the repeats of
disturbed trials, the spare blocks, the estimates and the rules are those of a comparison in the
book. Three things differ, to make thousands of trials possible in minutes:

* the server is one process for all trials (the connections are fresh each time);
* the generator runs in this process, on its own core, which saves starting an interpreter;
* a trial is short, and the generator's ceiling, which its rate is far from, is not looked at.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from gatewaylab.claims.rule import Rule
from gatewaylab.errors import InputError, InvalidTrialError
from gatewaylab.load import raw
from gatewaylab.load import run as load
from gatewaylab.load.http1 import encode
from gatewaylab.load.samples import Amount, Count, Frozen, Number
from gatewaylab.load.wire import Job
from gatewaylab.measure import noise
from gatewaylab.measure.cores import choose_cores
from gatewaylab.measure.design import Came, Design, design
from gatewaylab.measure.outcome import CENSORED, ratio_of
from gatewaylab.measure.reference import ReferenceServer, reference_server
from gatewaylab.measure.rules import Seen
from gatewaylab.model import stats
from gatewaylab.model.arrivals import Poisson
from gatewaylab.model.quantiles import quantile_of
from gatewaylab.records import environment
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import Verdict
from gatewaylab.records.results import Finding
from gatewaylab.records.storage import check_destination, write_or_rescue
from gatewaylab.servers.registry import project_root

#: One slot that a request holds for 2 ms, asked for half of what it can give. The median latency
#: of such a trial varies by what varies on this machine: the kernel's timer and the wake-ups.
HOLD = 0.002
RATE = 0.5 / HOLD
WARMUP, SECONDS, DEADLINE = 0.02, 0.15, 2.0

#: What a claim may err at most.
ALLOWED = 0.05

#: Comparisons between two savings of the record.
SAVE_EVERY = 20

_LABELS = ("one", "other")
_RULES = {"at least 1": Rule("at least", 1.0), "equivalent": Rule("equivalent")}


class Ratio(Frozen):
    """What one comparison of equals found: the ratio of medians, its 95 % interval, its floor."""

    estimate: Number
    low: Number
    high: Number
    floor: Number

    @property
    def excludes_one(self) -> bool:
        """Whether the interval says that there is a difference."""
        return not self.low <= 1.0 <= self.high


class AARecord(Frozen):
    """How often equals were called different.

    Attributes:
        at: when it began, ISO 8601. machine, commit, python: where and with what.
        planned: comparisons asked for; comparisons: those that were finished.
        blocks: of a comparison. hold, rate, window: of a trial, in seconds and requests/s.
        trials: accepted ones. refused_trials: those that a noise rule refused.
        without_number: comparisons that noise left without one; no rate counts them.
        interval_excludes_one: comparisons whose 95 % interval excludes 1.
        rule_false_positives: comparisons in which a claim of "at least 1" would have been
            supported or refuted, or one of "no difference" refuted.
        verdicts: of those two rules, how often each verdict was given.
        expected: the share of intervals that exclude 1 by the exact distribution.
        seconds: how long all of it took.
        ratios: one for each comparison with a number, in the order of measuring.
    """

    schema_version: Literal[1] = 1
    at: str
    machine: str
    commit: str | None
    python: str
    planned: Count
    comparisons: Count
    blocks: Count
    hold: Amount
    rate: Amount
    window: Amount
    trials: Count
    refused_trials: Count
    without_number: Count
    interval_excludes_one: Count
    rule_false_positives: Count
    verdicts: dict[str, dict[Verdict, int]]
    expected: Annotated[float, Field(ge=0, le=1)]
    seconds: Amount
    ratios: tuple[Ratio, ...]

    @property
    def interval_rate(self) -> float:
        """The share of intervals that exclude 1; NaN as long as there is no number."""
        return self._share(self.interval_excludes_one)

    @property
    def rule_rate(self) -> float:
        """The share of comparisons in which a rule of the claims erred."""
        return self._share(self.rule_false_positives)

    @property
    def passed(self) -> bool:
        """Both shares are at most 5 %."""
        return self.interval_rate <= ALLOWED and self.rule_rate <= ALLOWED

    def _share(self, count: int) -> float:
        return count / len(self.ratios) if self.ratios else math.nan


def false_positives(
    comparisons: int = 240,
    *,
    blocks: int = 6,
    seconds: float = SECONDS,
    out: Path | None = None,
    progress: Callable[[AARecord], object] | None = None,
) -> AARecord:
    """Compare one reference server with itself, again and again, and count the differences found.

    Each comparison has two labels for the same server and, as in the book, measures the first
    twice in each block: the third trial gives the floor of noise that a claim must rise above.

    Args:
        blocks: of each comparison. seconds: measured window of a trial.
        out: where the record is saved, after every 20 comparisons and at the end; an interrupt
            loses at most those since the last saving.
        progress: called with the record so far after every comparison.

    Raises:
        InputError: no comparison asked for, or no file can be written at ``out``.
        RefusedError: fewer than 6 blocks.
        InvalidTrialError: a trial's data were wrong, which is never a matter of noise.
    """
    if comparisons < 1:
        raise InputError(f"comparisons must be at least 1, not {comparisons!r}")
    if out is not None:
        check_destination(out)
    expected = 1.0 - stats.attained_confidence(blocks)
    here = environment.record(project_root())
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": here.kind,
        "commit": here.commit,
        "python": here.python,
        "planned": comparisons,
        "blocks": blocks,
        "window": seconds,
        "expected": expected,
    }
    begun = time.monotonic()
    effects: list[Effect] = []
    accepted = refused = 0
    with _server() as server:
        for index in range(comparisons):
            plan = design(f"aa-{index}", _LABELS, blocks=blocks)
            values, repeats = _measure(plan, server, seconds)
            accepted += sum(map(len, values.values()))
            refused += repeats
            effects.append(
                ratio_of(
                    values.__getitem__, *_LABELS, twin=plan.twin, what="median latency, A ÷ A",
                    name=f"aa-{index}", seed=plan.seed, deadline=DEADLINE,
                )
            )  # fmt: skip
            passed = round(time.monotonic() - begun, 1)
            record = _recorded(about, effects, accepted, refused, passed)
            if out is not None and ((index + 1) % SAVE_EVERY == 0 or index + 1 == comparisons):
                write_or_rescue(out, record.model_dump_json() + "\n")
            if progress is not None:
                progress(record)
    return record


def _recorded(
    about: dict[str, Any], effects: Sequence[Effect], accepted: int, refused: int, seconds: float
) -> AARecord:
    stated = [effect for effect in effects if not effect.refused]
    given = [{name: rule.decide(effect) for name, rule in _RULES.items()} for effect in stated]
    ratios = tuple(Ratio.model_validate(effect, from_attributes=True) for effect in stated)
    return AARecord(
        **about,
        hold=HOLD,
        rate=RATE,
        comparisons=len(effects),
        trials=accepted,
        refused_trials=refused,
        without_number=len(effects) - len(stated),
        interval_excludes_one=sum(ratio.excludes_one for ratio in ratios),
        rule_false_positives=sum(
            one["at least 1"] != "inconclusive" or one["equivalent"] == "refuted" for one in given
        ),
        verdicts={name: dict(Counter(one[name] for one in given)) for name in _RULES},
        seconds=seconds,
        ratios=ratios,
    )


def _measure(
    plan: Design, server: ReferenceServer, seconds: float
) -> tuple[dict[str, dict[int, float]], int]:
    """The median latency of each label by block, and how many trials were refused."""
    values: dict[str, dict[int, float]] = {label: {} for label in plan.labels}
    refused = 0

    def measure(label: str, block: int, last: bool) -> Came:
        nonlocal refused
        median, found = _trial(server, plan.seed_of(block), seconds)
        if wrong := noise.of_kind(found, "wrong data"):
            text = "; ".join(map(str, wrong))
            raise InvalidTrialError(f"a twin's trial gave wrong data: {text}")
        usable = not noise.of_kind(found, "generator")
        if usable and (last or not found):
            values[label][block] = median
        else:
            refused += 1
        return "refused" if not usable else "disturbed" if found else "good"

    plan.run(measure)
    return values, refused


def _trial(server: ReferenceServer, seed: int, seconds: float) -> tuple[float, tuple[Finding, ...]]:
    """The median latency of one short trial, and what the rules found about it."""
    plan = Poisson(RATE).plan(WARMUP + seconds, seed)
    host, port = "127.0.0.1", int(server.url.rpartition(":")[2])
    job = Job(
        transport="raw", host=host, port=port, request=encode("GET", host, "/", [], b""),
        method="GET", path="/", headers=[], body=b"", expected=[], expected_body=None,
        clients=0, think=0.0, duration=WARMUP + seconds, deadline=DEADLINE, trace=True, pin=None,
        parent=os.getpid(), lifeline=-1, connections=1, plan=array("d", plan.tobytes()),
    )  # fmt: skip
    with noise.NoiseWatch(own=(server.pid,)) as watch:
        columns, tally = raw.run(job)
    samples, report = load._results(columns.encode(tally), job, plan)
    window = Seen(report, samples, watch.health, WARMUP, seconds, CENSORED, hold=HOLD, slots=1)
    found = noise.findings(window)
    return quantile_of(samples.latency[samples.scheduled_at >= WARMUP], 0.5), found


@contextlib.contextmanager
def _server() -> Iterator[ReferenceServer]:
    """The server on the first core, this process on the last one until it is done."""
    mine, cores = environment.available_cores(), choose_cores()
    try:
        with reference_server("slots", hold=HOLD, pin=cores.server) as server:
            if cores.generator is not None:
                os.sched_setaffinity(0, {cores.generator})
            yield server
    finally:
        os.sched_setaffinity(0, mine)
        gc.unfreeze()  # the transport freezes and stops the collection, for its process's sake
        gc.enable()
