"""Each rule has a mutant: a made-up trial with one fault that only this rule finds.

Without its rule the mutant is accepted, so the tests here go red when a rule is taken out or grows
lax, and a new rule is red until it has a mutant. Beside each stands a sound trial at the bound.
The same on real trials: ``tests/accuracy/test_mutants.py``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gatewaylab
from gatewaylab.load.samples import ERRORS, Samples
from gatewaylab.measure import noise
from gatewaylab.measure.rules import RULES
from gatewaylab.records.results import Finding
from tests.builders import changed
from tests.measure.test_noise import HOLD, QUIET, generator, grown, judged, late, trial, unsteady

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """What is changed in a quiet trial, and in how it is judged."""

    samples: Samples = field(default_factory=trial)
    report: dict[str, Any] = field(default_factory=dict)
    health: dict[str, float] = field(default_factory=dict)
    judged: dict[str, Any] = field(default_factory=dict)

    def findings(self) -> tuple[Finding, ...]:
        """What the rules find."""
        return judged(self.samples, QUIET | self.health, generator(**self.report), **self.judged)


@dataclass(frozen=True)
class Mutant:
    """A trial with one fault; ``sound`` is its neighbour, which keeps to the bound.

    ``says`` is what the message must contain: the value and the bound.
    """

    fault: Case
    sound: Case
    says: tuple[str, str]


def altered(change: Callable[[Samples], Floats], *columns: str) -> Samples:
    """The quiet trial with one request's times in some columns set to something else."""
    quiet = trial()
    values = {column: getattr(quiet, column).copy() for column in columns}
    for column in columns:
        values[column][250] = change(quiet)[250]
    return trial(**values)


def sent_late(count: int, lag: float, begin: int = 200) -> Samples:
    """So many requests left that late, and were answered later by as much."""
    return late(count, lag - 0.0001, begin)  # the quiet trial's are 0.1 ms late


def failed(count: int) -> Samples:
    error = np.zeros(400, dtype=np.int32)
    error[300 : 300 + count] = ERRORS.index("body")
    return trial(error=error)


def answered(took: float) -> Samples:
    """One request was answered so long after it was sent."""
    return altered(lambda quiet: quiet.sent_at + took, "first_byte_at", "finished_at")


def served(each: float) -> Samples:
    """The app says of every request that it served it for so long."""
    return trial(service=np.full(400, each))


SILENT = trial(service=np.full(400, math.nan))


def queued(each: float) -> Samples:
    """The app tells when it began, so that only the wait grows."""
    one = grown(each)
    return changed(one, started_at=np.maximum(one.finished_at - each, one.sent_at))


def cold(factor: float) -> Samples:
    return unsteady(factor * HOLD)


def reading(name: str, bad: float, good: float, says: tuple[str, str]) -> Mutant:
    return Mutant(Case(health={name: bad}), Case(health={name: good}), says)


#: By the rule that must refuse it.
MUTANTS: dict[str, Mutant] = {
    "sent": Mutant(Case(report={"sent": 395}), Case(report={"sent": 396}), ("395 of 400", "1%")),
    "client-bound": Mutant(
        Case(report={"cpu_seconds": 2.5}), Case(report={"cpu_seconds": 2.4}), ("62%", "60%")
    ),
    "ceiling": reading("null_ceiling", 199.0, 200.0, ("100 requests/s", "50% of the 199")),
    # A quarter of the way to 1.25 is 2.87 ms of 50 ms. More than half of the 300 that are measured
    # must be late to move the median; a stall reaches as many when it and the queue that it leaves
    # last half of the window.
    "send lag": Mutant(
        Case(sent_late(151, 0.00288)), Case(sent_late(200, 0.00286)), ("2.88 ms late", "above 1.06")
    ),
    "run queue": Mutant(
        Case(health={"others": 0.5, "server_waited": 1.11}),
        Case(health={"others": 0.5, "server_waited": 1.1}),
        ("560.0 ms", "above 1.06"),
    ),
    "steal": reading("stolen", 0.557, 0.555, ("557 ms", "above 1.06")),
    "quota": reading("throttled", 0.557, 0.555, ("557 ms", "above 1.06")),
    "together": Mutant(
        Case(health={"stolen": 0.4, "throttled": 0.16}),
        Case(health={"stolen": 0.4, "throttled": 0.15}),
        ("a factor of 1.", "above 1.06"),
    ),
    "errors": Mutant(Case(failed(1)), Case(failed(0)), ("1 requests ended in 'body'", "0 allowed")),
    "workers": reading("workers_gone", 1.0, 0.0, ("1 of", "0 allowed")),
    "time order": Mutant(
        Case(altered(lambda quiet: quiet.sent_at - 6e-6, "started_at")),
        Case(altered(lambda quiet: quiet.sent_at - 4e-6, "started_at")),
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
    "late as a whole": ("send lag", Case(sent_late(400, 0.003, 0))),
    "a little late, and now and then without a core": (
        "together",
        Case(sent_late(151, 0.002), health={"stolen": 0.5}),
    ),
    "a generator that waited for its core": (
        "run queue",
        Case(health={"others": 1.0}, report={"run_queue_seconds": 0.6}),
    ),
    "a host that took all of it": (
        "steal",
        Case(health={"stolen": 3.0}, judged={"planned": False}),
    ),
    "sent before its schedule": (
        "time order",
        Case(altered(lambda quiet: quiet.scheduled_at - 0.0005, "sent_at")),
    ),
    "answered before it was sent": (
        "time order",
        Case(altered(lambda quiet: quiet.scheduled_at, "first_byte_at")),
    ),
    "ended before it began to arrive": (
        "time order",
        Case(altered(lambda quiet: quiet.first_byte_at - 0.0005, "finished_at")),
    ),
}

FAULTS = [
    *(pytest.param(rule, mutant.fault, id=rule) for rule, mutant in MUTANTS.items()),
    *(pytest.param(rule, fault, id=name) for name, (rule, fault) in MORE.items()),
]


def test_every_rule_has_a_mutant() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert MUTANTS.keys() == set(names)


@pytest.mark.parametrize(("rule", "fault"), FAULTS)
def test_a_mutant_is_found_by_its_rule_alone(rule: str, fault: Case) -> None:
    assert [found.rule for found in fault.findings()] == [rule]


@pytest.mark.parametrize(("rule", "fault"), FAULTS)
def test_without_its_rule_nothing_finds_a_mutant(
    rule: str, fault: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "RULES", tuple(r for r in RULES if r.name != rule))
    assert fault.findings() == ()


@pytest.mark.parametrize("rule", MUTANTS)
def test_the_neighbour_that_keeps_to_the_bound_is_accepted(rule: str) -> None:
    assert MUTANTS[rule].sound.findings() == ()


@pytest.mark.parametrize("rule", MUTANTS)
def test_a_finding_gives_value_and_bound(rule: str) -> None:
    (found,) = MUTANTS[rule].fault.findings()
    value, bound = MUTANTS[rule].says
    assert found.message.startswith(f"{rule}: ")
    assert value in found.message
    assert bound in found.message.replace(value, "", 1)
    # The rule about thin tails has no bound in numbers, because each level has one of its own.
    assert math.isnan(found.allowed) if rule == "samples" else found.measured != found.allowed


#: What each rule tells; a rule that moves from one kind to another must be moved here as well.
KINDS = {
    "generator": {"sent", "client-bound", "ceiling", "samples"},
    "disturbance": {
        "send lag", "run queue", "steal", "quota", "together", "warm-up", "Little's law",
    },
    "wrong data": {"errors", "workers", "time order", "impossible latency", "throughput", "slots"},
}  # fmt: skip


@pytest.mark.parametrize("rule", MUTANTS)
def test_wrong_data_are_told_apart_from_a_disturbed_machine(rule: str) -> None:
    (found,) = MUTANTS[rule].fault.findings()
    assert rule in KINDS[found.kind]


@pytest.mark.parametrize("rule", sorted(KINDS["disturbance"] - {"warm-up", "Little's law"}))
def test_a_disturbance_of_one_claim_is_none_of_another(rule: str) -> None:
    """No bound of its own: what counts is how far the claim's threshold is away."""
    fault = MUTANTS[rule].fault
    for margin, expected in ((math.log(1e4), []), (math.log(1.2), [rule])):
        one = replace(fault, judged=fault.judged | {"margin": margin})
        assert [found.rule for found in one.findings()] == expected


# A jump of the wall clock cannot change a duration if nobody reads that clock.

MEASURING = ("model", "guard", "load", "measure")
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
    house = Path(gatewaylab.__file__).parent
    found = {
        path.stem: list(wall_clocks(path.read_text()))
        for room in MEASURING
        for path in (house / room).glob("*.py")
    }
    # When a trial began is kept for the record; no number is computed from it.
    assert found.pop("compare") == ["_trial: datetime.now"]
    assert not any(found.values()), found
