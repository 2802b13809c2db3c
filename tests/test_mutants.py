"""Each rule of refusal has a mutant: a made-up trial with one fault that only this rule refuses.

Without its rule the mutant is accepted, so the tests here go red when a rule is taken out or grows
lax, and a new rule is red until it has a mutant. Beside each stands a sound trial at the bound.
The same on real trials: ``tests/accuracy/test_mutants.py``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gatewaylab
from gatewaylab import noise
from gatewaylab.noise import breaks_validity
from gatewaylab.queueing import lindley
from gatewaylab.results import ERRORS, Samples
from tests.test_noise import HOLD, QUIET, generator, judged, trial

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """What is changed in a quiet trial, and in how it is judged."""

    samples: Samples = field(default_factory=trial)
    report: dict[str, Any] = field(default_factory=dict)
    health: dict[str, float] = field(default_factory=dict)
    judged: dict[str, Any] = field(default_factory=dict)

    def refusals(self) -> tuple[str, ...]:
        """What the rules say of it."""
        return judged(self.samples, QUIET | self.health, generator(**self.report), **self.judged)


@dataclass(frozen=True)
class Mutant:
    """A trial with one fault; ``sound`` is its neighbour, which keeps to the bound.

    ``says`` is what the message must contain: the value and the bound.
    """

    fault: Case
    sound: Case
    says: tuple[str, str]


def changed(change: Callable[[Samples], Floats], *columns: str) -> Samples:
    """The quiet trial with one request's times in some columns set to something else."""
    quiet = trial()
    values = {column: getattr(quiet, column).copy() for column in columns}
    for column in columns:
        values[column][250] = change(quiet)[250]
    return trial(**values)


def sent_late(count: int, lag: float) -> Samples:
    """So many requests of the window left that late, and were answered later by as much."""
    quiet, rows = trial(), slice(200, 200 + count)
    columns = {}
    for name in ("sent_at", "started_at", "first_byte_at", "finished_at"):
        columns[name] = getattr(quiet, name).copy()
        columns[name][rows] += lag - 0.0001
    return trial(**columns)


def failed(count: int) -> Samples:
    error = np.zeros(400, dtype=np.int32)
    error[300 : 300 + count] = ERRORS.index("body")
    return trial(error=error)


def answered(took: float) -> Samples:
    """One request was answered so long after it was sent."""
    return changed(lambda quiet: quiet.sent_at + took, "first_byte_at", "finished_at")


def served(each: float) -> Samples:
    """The app says of every request that it served it for so long."""
    return trial(service=np.full(400, each))


SILENT = trial(service=np.full(400, math.nan))


def queued(each: float) -> Samples:
    """One slot, 100 requests/s; the app tells when it began, so that only the wait grows."""
    scheduled = np.arange(400) / 100
    finished = scheduled + lindley(scheduled, np.full(400, each)) + each
    return trial(
        finished_at=finished, first_byte_at=finished, service=np.full(400, each),
        started_at=np.maximum(finished - each, scheduled + 0.0001),
    )  # fmt: skip


def cold(factor: float) -> Samples:
    """In the first half of the window the application took longer."""
    quiet = trial()
    took = np.where(quiet.scheduled_at < 2.5, factor, 1.0) * HOLD
    finished = quiet.started_at + took
    return trial(first_byte_at=finished, finished_at=finished)


def reading(name: str, bad: float, good: float, says: tuple[str, str]) -> Mutant:
    return Mutant(Case(health={name: bad}), Case(health={name: good}), says)


#: By the rule that must refuse it.
MUTANTS: dict[str, Mutant] = {
    "sent": Mutant(Case(report={"sent": 395}), Case(report={"sent": 396}), ("395 of 400", "1%")),
    "client-bound": Mutant(
        Case(report={"cpu_seconds": 2.5}), Case(report={"cpu_seconds": 2.4}), ("62%", "60%")
    ),
    "run queue": Mutant(
        Case(report={"run_queue_seconds": 0.09}),
        Case(report={"run_queue_seconds": 0.08}),
        ("2.2%", "above 2%"),
    ),
    "ceiling": reading("null_ceiling", 199.0, 200.0, ("100 requests/s", "50% of the 199")),
    "send lag": Mutant(
        Case(sent_late(4, 0.00101)), Case(sent_late(300, 0.00099)), ("1.01 ms", "1.00 ms")
    ),
    "spin gap": reading("spin_gap", 0.031, 0.03, ("3.1%", "above 3%")),
    "CPU pressure": reading("psi_some", 0.11, 0.10, ("11.0%", "above 10%")),
    "steal": reading("steal", 0.011, 0.01, ("1.1%", "above 1%")),
    "foreign CPU": reading("foreign_cpu", 0.16, 0.15, ("0.16 cores", "above 0.15")),
    "errors": Mutant(Case(failed(1)), Case(failed(0)), ("1 requests ended in 'body'", "0 allowed")),
    "workers": reading("workers_gone", 1.0, 0.0, ("1 of", "0 allowed")),
    "time order": Mutant(
        Case(changed(lambda quiet: quiet.sent_at - 6e-6, "started_at")),
        Case(changed(lambda quiet: quiet.sent_at - 4e-6, "started_at")),
        ("by 6 µs", "0 allowed"),
    ),
    "samples": Mutant(
        Case(judged={"warmup": 3.01, "seconds": 0.99, "quantile": 0.95}),
        Case(judged={"warmup": 3.0, "seconds": 1.0, "quantile": 0.95}),
        ("has 99", "at least 100"),
    ),
    "impossible latency": Mutant(
        Case(answered(HOLD - 0.0021)), Case(answered(HOLD - 0.0019)), ("47.90 ms", "50.00 ms")
    ),
    "throughput": Mutant(
        Case(SILENT, judged={"slots": 4, "hold": 0.0426}),
        Case(SILENT, judged={"slots": 4, "hold": 0.0425}),
        ("300 answers", "above the 299.8"),
    ),
    "slots": Mutant(Case(served(0.08635)), Case(served(0.08625)), ("25.905 s", "the 25.891 s")),
    "Little's law": Mutant(
        Case(queued(0.0117), judged={"slots": 1, "hold": 0.0117}),
        Case(queued(0.0116), judged={"slots": 1, "hold": 0.0116}),
        ("off by 15%", "above 15%"),
    ),
    "warm-up": Mutant(Case(cold(1.26)), Case(cold(1.24)), ("63.", "50.")),
}  # fmt: skip

#: Further faults of the same rules.
MORE: dict[str, tuple[str, Case]] = {
    "a worker that stands still": ("workers", Case(health={"workers_stopped": 1.0})),
    "an error in the warm-up": (
        "errors",
        Case(trial(error=np.where(np.arange(400) == 0, ERRORS.index("reset"), 0))),
    ),
    "a probe that measured nothing": ("spin gap", Case(health={"spin_gap": math.nan})),
    "sent before its schedule": (
        "time order",
        Case(changed(lambda quiet: quiet.scheduled_at - 0.0005, "sent_at")),
    ),
    "answered before it was sent": (
        "time order",
        Case(changed(lambda quiet: quiet.scheduled_at, "first_byte_at")),
    ),
    "ended before it began to arrive": (
        "time order",
        Case(changed(lambda quiet: quiet.first_byte_at - 0.0005, "finished_at")),
    ),
    "nothing sent": (
        "send lag",
        Case(trial(sent_at=np.full(400, math.nan)), judged={"hold": None, "slots": None}),
    ),
}

FAULTS = [
    *(pytest.param(rule, mutant.fault, id=rule) for rule, mutant in MUTANTS.items()),
    *(pytest.param(rule, fault, id=name) for name, (rule, fault) in MORE.items()),
]


def rule_of(message: str) -> str:
    return message.partition(":")[0]


def test_every_rule_has_a_mutant() -> None:
    names = [rule.name for rule in noise.RULES]
    assert len(set(names)) == len(names)
    assert MUTANTS.keys() == set(names)


@pytest.mark.parametrize(("rule", "fault"), FAULTS)
def test_a_mutant_is_refused_by_its_rule_alone(rule: str, fault: Case) -> None:
    assert [rule_of(message) for message in fault.refusals()] == [rule]


@pytest.mark.parametrize(("rule", "fault"), FAULTS)
def test_without_its_rule_a_mutant_is_accepted(
    rule: str, fault: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "RULES", tuple(r for r in noise.RULES if r.name != rule))
    assert fault.refusals() == ()


@pytest.mark.parametrize("rule", MUTANTS)
def test_the_neighbour_that_keeps_to_the_bound_is_accepted(rule: str) -> None:
    assert MUTANTS[rule].sound.refusals() == ()


@pytest.mark.parametrize("rule", MUTANTS)
def test_a_refusal_gives_value_and_bound(rule: str) -> None:
    (message,) = MUTANTS[rule].fault.refusals()
    value, bound = MUTANTS[rule].says
    assert value in message
    assert bound in message.replace(value, "", 1)


@pytest.mark.parametrize("rule", MUTANTS)
def test_wrong_data_are_told_apart_from_a_disturbed_machine(rule: str) -> None:
    (message,) = MUTANTS[rule].fault.refusals()
    assert breaks_validity(message) == (
        rule in {"errors", "workers", "time order", "impossible latency", "throughput", "slots"}
    )


# A jump of the wall clock cannot change a duration if nobody reads that clock.

MEASURING = (
    "load", "noise", "compare", "readings", "reference", "_reference", "_rules", "_raw", "_http1",
    "_httpx", "_websocket", "_asyncio", "_timer", "_generator", "_wire",
)  # fmt: skip
_WALL = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime",
             "CLOCK_REALTIME", "CLOCK_TAI"},
    "datetime": {"now", "utcnow", "today"},
}  # fmt: skip


def wall_clocks(source: str) -> Iterator[str]:
    """Every use of a clock that somebody can set, as ``function: expression``."""
    tree = ast.parse(source)
    inside = {
        node: function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        where = inside.get(node, "module")
        if isinstance(node, ast.ImportFrom):
            # A clock that is imported by its name can be read without saying where it is from.
            for name in {alias.name for alias in node.names} & _WALL.get(node.module or "", set()):
                yield f"{where}: from {node.module} import {name}"
        elif isinstance(node, ast.Attribute):
            holder = ast.unparse(node.value).rpartition(".")[2]
            if node.attr in _WALL.get({"date": "datetime"}.get(holder, holder), set()):
                yield f"{where}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time\ndef f(): return time.time_ns()",
        "from time import monotonic, time\ntime()",
        "import time\ntime.clock_gettime(time.CLOCK_REALTIME)",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now()",
        "import datetime\ndatetime.date.today()",
    ],
)
def test_a_wall_clock_is_found(source: str) -> None:
    assert len(list(wall_clocks(source))) == 1


def test_what_measures_reads_no_wall_clock() -> None:
    folder = Path(gatewaylab.__file__).parent
    found = {name: list(wall_clocks((folder / f"{name}.py").read_text())) for name in MEASURING}
    # When a trial began is kept for the record; no number is computed from it.
    assert found.pop("compare") == ["_trial: datetime.now"]
    assert not any(found.values()), found
