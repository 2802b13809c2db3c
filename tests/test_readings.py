from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from gatewaylab import evidence, noise
from gatewaylab.compare import AGAIN, ATTEMPTS, SPARE_BLOCKS
from gatewaylab.errors import InputError
from gatewaylab.readings import quantity, readings
from gatewaylab.results import Expected, Readings

QUIET: dict[str, float] = {}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """What the noise probes read, one entry a reading; quiet when the list is empty."""
    script: list[dict[str, float]] = []

    class Scripted(noise.Watch):
        def __exit__(self, *_: object) -> None:
            self.health = script.pop(0) if script else QUIET

    monkeypatch.setattr(noise, "Watch", Scripted)
    return script


def _counter(value: float) -> tuple[Callable[[], float], list[float]]:
    calls: list[float] = []

    def source() -> float:
        calls.append(value)
        return value * (1 + 0.01 * len(calls))

    return source, calls


@pytest.mark.usefixtures("machine")
def test_each_block_reads_every_source_once_and_the_twin_twice() -> None:
    a, calls_a = _counter(8.0)
    b, calls_b = _counter(2.0)
    found = readings("some", {"a": a, "b": b}, what="cost", unit="µs", blocks=6)
    assert (len(calls_a), len(calls_b)) == (12, 6)
    assert set(found.readings.values) == {"a", "a" + AGAIN, "b"}
    ratio = found.ratio("a", "b")
    assert ratio.estimate == pytest.approx(4.0, rel=0.1)
    assert ratio.floor > 1
    assert (ratio.blocks, ratio.what) == (6, "cost, a ÷ b")


@pytest.mark.usefixtures("machine")
def test_a_quantity_has_its_unit_and_an_interval_only_from_six_readings_on() -> None:
    a, _ = _counter(1.0)
    six = readings("some", {"a": a}, what="cost", unit="µs", blocks=6).quantity("a")
    assert (six.kind, six.unit, six.n) == ("quantity", "µs", 6)
    assert six.low <= six.estimate <= six.high
    five = quantity("x", [1.0] * 5, probe="p")
    assert "measure at least 6" in five.refused[0]
    assert math.isnan(five.estimate)


def test_a_reading_that_a_stranger_disturbed_is_repeated_and_counted(
    machine: list[dict[str, float]],
) -> None:
    machine += [QUIET, {"foreign_cpu": 0.9}]
    a, calls = _counter(1.0)
    found = readings("some", {"a": a}, what="w", blocks=6)
    assert len(calls) == 13
    assert found.readings.refused == {"foreign_cpu": 1}
    assert all(len(row) == 6 for row in found.readings.values.values())


def test_a_machine_that_never_rests_leaves_no_number(machine: list[dict[str, float]]) -> None:
    machine += [{"steal": 0.5}] * 1000
    a, calls = _counter(1.0)
    b, _ = _counter(1.0)
    found = readings("some", {"a": a, "b": b}, what="w", blocks=6)
    assert len(calls) == 2 * ATTEMPTS * (6 + SPARE_BLOCKS)
    effect = found.ratio("a", "b")
    assert "steal" in effect.refused
    assert math.isnan(effect.estimate)
    assert found.quantity("a").refused


@pytest.mark.usefixtures("machine")
def test_a_source_without_a_number_is_an_error_and_not_a_zero() -> None:
    with pytest.raises(InputError, match="returned nan"):
        readings("some", {"a": lambda: math.nan}, what="w", blocks=6)
    a, _ = _counter(1.0)
    with pytest.raises(InputError, match="there are: a"):
        readings("some", {"a": a}, what="w", blocks=6).values("b")


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("unit", "label"), [("MiB", "a"), ("ms", "b")])
def test_a_prediction_that_fits_no_reading_is_refused_before_anything_is_read(
    unit: str, label: str
) -> None:
    a, calls = _counter(1.0)
    one = Expected(interface="wsgi", slots=1, value=50.0)
    with pytest.raises(InputError, match="must then be ms or /s"):
        readings("some", {"a": a}, what="w", unit=unit, blocks=6, expected={label: one})
    assert calls == []
    found = readings("some", {"a": a}, what="w", unit="ms", blocks=6, expected={"a": one})
    fields = found.readings.model_dump()
    with pytest.raises(ValueError, match="predict"):
        Readings.model_validate({**fields, "unit": unit, "expected": {label: one}})


@pytest.mark.usefixtures("machine")
def test_readings_of_a_build_are_staged_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(evidence.STAGING_VARIABLE, str(tmp_path))
    a, _ = _counter(1.0)
    found = readings("some", {"a": a}, what="w", blocks=6)
    assert evidence.Staging(tmp_path).parts()["readings"] == (found.readings,)
