from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from gatewaylab.errors import InputError
from gatewaylab.guard import procfs
from gatewaylab.measure import noise
from gatewaylab.measure import readings as module
from gatewaylab.measure.readings import quantity, readings
from gatewaylab.records.results import AGAIN, Expected, Readings, Touched
from gatewaylab.records.staging import Staging

Script = list[dict[str, float]]
QUIET: dict[str, float] = {"window_seconds": 1.0, "throttled": 0.0}
#: A tenth of the second is gone, more than a quarter of the way to 1.25.
DISTURBED = QUIET | {"stolen": 0.1}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Script:
    """What the noise probes read, one entry a reading; quiet when the list is empty."""
    script: Script = []

    class Scripted(noise.NoiseWatch):
        def __enter__(self) -> Scripted:
            return self

        def __exit__(self, *_: object) -> None:
            self.health = script.pop(0) if script else QUIET

    monkeypatch.setattr(noise, "NoiseWatch", Scripted)
    monkeypatch.setattr(procfs, "waited", lambda _: 0.0)
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
    assert "measure at least 6" in five.refused[0].message
    assert math.isnan(five.estimate)


@pytest.mark.parametrize("touched", ["time", "rate"])
def test_a_reading_that_noise_can_have_moved_is_repeated_and_counted(
    machine: Script, touched: Touched
) -> None:
    machine += [QUIET, DISTURBED]
    a, calls = _counter(1.0)
    found = readings("some", {"a": a}, what="w", blocks=6, touched=touched)
    assert len(calls) == 13
    assert found.readings.repeated == 1
    assert all(len(row) == 6 for row in found.readings.values.values())
    assert all(set(row.values()) == {0.0} for row in found.readings.shifts.values())
    assert found.ratio("a", "a").quiet is None


def test_a_reading_that_noise_does_not_touch_is_read_once(machine: Script) -> None:
    machine += [DISTURBED] * 1000
    a, calls = _counter(1.0)
    found = readings("some", {"a": a}, what="w", blocks=6)
    assert len(calls) == 12
    assert (found.readings.repeated, found.readings.shifts) == (0, {})
    assert found.quantity("a").quiet is None


def test_how_much_noise_is_borne_depends_on_the_claim(machine: Script) -> None:
    machine += [DISTURBED] * 1000
    a, calls = _counter(1.0)
    readings("some", {"a": a}, what="w", blocks=6, touched="time", margin=math.log(3))
    assert len(calls) == 12


def test_a_machine_that_never_rests_gives_numbers_that_are_marked(
    machine: Script,
) -> None:
    machine += [DISTURBED] * 1000
    a, _ = _counter(8.0)
    b, _ = _counter(2.0)
    found = readings("some", {"a": a, "b": b}, what="w", unit="ms", blocks=6, touched="time")
    assert found.readings.repeated == 3  # a fifth of 18
    shift = -math.log(0.9)
    for row in found.readings.shifts.values():
        assert row == pytest.approx(dict.fromkeys(range(6), shift))
    ratio = found.ratio("a", "b")
    assert ratio.refused == ()
    assert ratio.quiet is not None
    assert ratio.quiet.low == pytest.approx(ratio.low * 0.9)
    assert ratio.quiet.high == pytest.approx(ratio.high / 0.9)
    one = found.quantity("a")
    assert one.quiet is not None
    assert one.quiet.low == pytest.approx(one.low * 0.9)
    assert one.quiet.high == one.high
    assert one.shifts == pytest.approx((shift,) * 6)


def test_noise_lowers_a_rate(machine: Script) -> None:
    machine += [DISTURBED] * 1000
    a, _ = _counter(8.0)
    one = readings("some", {"a": a}, what="w", unit="/s", blocks=6, touched="rate").quantity("a")
    assert one.quiet is not None
    assert one.quiet.low == one.low
    assert one.quiet.high == pytest.approx(one.high / 0.9)


@pytest.mark.parametrize(
    ("health", "waited", "lost"),
    [
        ({}, 0.5, 0.0),  # a system that does not tell of others
        ({"others": 0.5}, 0.2, 0.1),
        ({"others": 0.5, "psi_some": 0.2}, 0.2, 0.2),  # by what has ended meanwhile
        ({"others": 1.0, "stolen": 0.1, "throttled": 0.2}, 0.3, 0.6),
        ({"throttled": 1.0}, 0.0, math.inf),
    ],
)
def test_what_a_reading_lost_is_the_share_of_its_time_that_others_took(
    machine: Script,
    monkeypatch: pytest.MonkeyPatch,
    health: dict[str, float],
    waited: float,
    lost: float,
) -> None:
    machine += [QUIET | health]
    told = iter([10.0, 10.0 + waited])
    monkeypatch.setattr(procfs, "waited", lambda _: next(told))
    monkeypatch.setattr("os.cpu_count", lambda: 2)  # the pressure is a mean over them
    value, shift = module._read("some", "a", lambda: 7.0)
    assert value == 7.0
    assert shift == pytest.approx(math.inf if math.isinf(lost) else -math.log(1 - lost))


@pytest.mark.usefixtures("machine")
def test_a_source_without_a_number_is_an_error_and_not_a_zero() -> None:
    with pytest.raises(InputError, match="returned nan"):
        readings("some", {"a": lambda: math.nan}, what="w", blocks=6)
    a, _ = _counter(1.0)
    with pytest.raises(InputError, match="there are: a"):
        readings("some", {"a": a}, what="w", blocks=6).values("b")


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("unit", "label"), [("MiB", "a"), ("ms", "b")])
def test_a_prediction_that_fits_no_reading_is_refused_before_the_first(
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
def test_readings_of_a_build_are_staged_and_read_back(stage: Staging) -> None:
    a, _ = _counter(1.0)
    found = readings("some", {"a": a}, what="w", blocks=6)
    assert stage.parts()["readings"] == (found.readings,)
