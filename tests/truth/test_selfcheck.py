"""The self-check judged without a clock: a perfect instrument is green, a falsified one is red."""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from gatewaylab.errors import InputError, LoadError
from gatewaylab.load import run as load
from gatewaylab.load.samples import ERRORS, GeneratorReport, Samples
from gatewaylab.measure.cores import Cores
from gatewaylab.model.arrivals import ConstantRate, Poisson
from gatewaylab.model.queueing import kiefer_wolfowitz, stall_latencies
from gatewaylab.truth import checks, selfcheck
from gatewaylab.truth.arithmetic import anderson_darling, quantile
from gatewaylab.truth.checks import CHECKS
from gatewaylab.truth.line import Check, judge
from gatewaylab.truth.selfcheck import ATTEMPTS, run
from tests import builders, printed

Floats = NDArray[np.float64]
Run = tuple[Samples, GeneratorReport]

ZERO = 1000.0
WAY = 50e-6
"""Seconds from the schedule to the server, and back again."""


class World:
    """Servers that exist as arithmetic, and an instrument that sees them without error."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.mode = ""
        self.given: dict[str, Any] = {}
        self.did: dict[str, Any] = {}

    @contextlib.contextmanager
    def server(self, mode: str, **given: Any) -> Iterator[Any]:
        self.mode, self.given = mode, given
        self.did = {"requests": 0, "muted": 0, "stalls": []}
        yield SimpleNamespace(url="http://127.0.0.1:1", report=lambda: self.did)

    def run(
        self,
        target: str,
        request: object,
        arrivals: Any,
        *,
        seconds: float,
        seed: int = 0,
        **_: Any,
    ) -> Run:
        plan = arrivals.plan(seconds, seed)
        service = np.full(len(plan), 1e-6)
        latency = service.copy()
        hold = self.given.get("hold", 0.0)
        if self.mode == "stall":
            at = self.given["at"]
            latency = stall_latencies(plan, at, hold, service)
            self.did["stalls"] = [[ZERO + at, ZERO + at + hold]]
        elif self.mode == "delay":
            latency = service = np.full(len(plan), hold + 0.001)
        elif self.mode == "slots":
            service = np.full(len(plan), hold)
            if lognormal := self.given.get("services"):
                mu = math.log(lognormal.mean) - lognormal.sigma**2 / 2
                service = np.random.default_rng(1).lognormal(mu, lognormal.sigma, len(plan))
            latency = kiefer_wolfowitz(plan, service, self.given.get("slots", 1)) + service
        finished = plan + latency + 2 * WAY
        if self.mode == "mute":
            finished[19::20] = np.nan
            self.did["muted"] = len(plan) // 20
        self.did["requests"] = len(plan)
        samples = builders.samples(
            np.where(np.isnan(finished), np.inf, latency),
            scheduled_at=plan,
            sent_at=plan + WAY,
            first_byte_at=finished,
            finished_at=finished,
            service=np.where(np.isnan(finished), np.nan, service),
            started_at=np.full(len(plan), np.nan),
            worker=np.full(len(plan), -1),
            workers=(),
        )
        busy = 0.98 if arrivals.rate > 10_000 else 0.1
        n = len(plan)
        report = builders.report(planned=n, sent=n, cpu_seconds=busy, monotonic_start=ZERO)
        return samples, report

    def falsify(self, lie: Callable[..., Any]) -> None:
        """Let ``lie(samples)`` stand between what happened and what the instrument says."""

        def lying(*arguments: Any, **options: Any) -> Run:
            samples, report = self.run(*arguments, **options)
            told = lie(samples)
            if isinstance(told, Samples):
                return told, report
            return samples, report.model_copy(update=told)

        self.patch.setattr(load, "run", lying)

    def lose(self, *lost: float) -> None:
        """What the machine takes, in seconds, in one attempt after the other; the last stays."""
        left = list(lost)

        def delay() -> Any:
            seconds = left.pop(0) if len(left) > 1 else left[0]
            return contextlib.nullcontext(SimpleNamespace(seconds=seconds))

        self.patch.setattr(selfcheck, "Delay", delay)


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A perfect instrument on a quiet machine."""
    made = World(monkeypatch)
    monkeypatch.setattr(checks, "reference_server", made.server)
    monkeypatch.setattr(checks, "ceiling", lambda **_: 40_000.0)
    monkeypatch.setattr(load, "run", made.run)
    monkeypatch.setattr(checks, "choose_cores", lambda: Cores(None, None, None))
    made.lose(0.0)
    return made


def _only(name: str) -> Check:
    (check,) = run([name])
    return check


@pytest.mark.parametrize("name", CHECKS)
def test_a_perfect_instrument_is_green(name: str) -> None:
    check = _only(name)
    assert (check.name, check.verdict, check.why) == (name, "green", ())
    assert check.samples > 40


# The lies, each of a kind that an instrument has been caught at.


def without_the_stall(samples: Samples) -> Samples:
    """Coordinated omission: latency from a send that waited for the server."""
    most = samples.scheduled_at + 5e-3
    return builders.changed(samples, finished_at=np.minimum(samples.finished_at, most))


def late(seconds: float) -> Callable[[Samples], Samples]:
    def lie(samples: Samples) -> Samples:
        return builders.changed(samples, sent_at=samples.sent_at + seconds)

    return lie


def longer(seconds: float = 0.0, factor: float = 1.0) -> Callable[[Samples], Samples]:
    def lie(samples: Samples) -> Samples:
        finished = samples.scheduled_at + factor * samples.latency + seconds
        return builders.changed(samples, finished_at=finished)

    return lie


def on_whole_milliseconds(samples: Samples) -> Samples:
    """A timer that counts in milliseconds."""
    jitter = np.random.default_rng(1).uniform(0, 1e-5, len(samples))
    return builders.changed(samples, sent_at=np.ceil(1e3 * samples.scheduled_at) / 1e3 + jitter)


def from_the_slot(samples: Samples) -> Samples:
    """Latency from the moment the app took the request: the wait is gone."""
    return builders.changed(samples, finished_at=samples.scheduled_at + samples.service)


def shorter_tail(samples: Samples) -> Samples:
    """The slowest fifth loses a tenth, while the mean stays the same."""
    latency = samples.latency
    slow = latency >= np.quantile(latency, 0.8)
    gone = np.where(slow, 0.1 * latency, 0.0)
    given = np.where(slow, 0.0, gone.sum() / (~slow).sum())
    return builders.changed(samples, finished_at=samples.finished_at - gone + given)


def without_the_mute(samples: Samples) -> Samples:
    return samples.rows(samples.error == 0)


def answered_at_the_deadline(samples: Samples) -> Samples:
    missing = np.isnan(samples.finished_at)
    return builders.changed(
        samples,
        finished_at=np.where(missing, samples.scheduled_at + 0.5, samples.finished_at),
        error=np.zeros(len(samples), dtype=np.int32),
    )


def all_but_one_answered(samples: Samples) -> Samples:
    """One that was muted has an answer, just before the deadline."""
    first = int(np.flatnonzero(np.isnan(samples.finished_at))[0])
    finished, error = samples.finished_at.copy(), samples.error.copy()
    finished[first], error[first] = samples.scheduled_at[first] + 0.49, 0
    return builders.changed(samples, finished_at=finished, error=error)


def failed_instead(samples: Samples) -> Samples:
    """An answered request becomes an error, and one muted an answer: the count still fits."""
    error = samples.error.copy()
    error[0] = ERRORS.index("reset")
    return builders.changed(samples, error=error)


def all_silent(samples: Samples) -> Samples:
    return builders.changed(
        samples,
        finished_at=np.full(len(samples), np.nan),
        error=np.full(len(samples), ERRORS.index("deadline")),
    )


def idle_generator(samples: Samples) -> dict[str, float]:
    """A generator that does not know that it was busy."""
    return {"cpu_seconds": 0.1}


def one_failed(samples: Samples) -> Samples:
    first = np.arange(len(samples)) == 0
    return builders.changed(samples, error=first * ERRORS.index("status"))


def one_unsent(samples: Samples) -> dict[str, int]:
    return {"sent": len(samples) - 1}


def untraced(samples: Samples) -> Samples:
    return builders.changed(samples, service=np.full(len(samples), np.nan))


NEVER_RIGHT = [
    (name, lie)
    for name in CHECKS
    for lie in (one_failed, untraced)
    if name not in ("saturated", "mute")
]


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("stall", without_the_stall),
        ("stall", longer(0.01)),
        ("stall", longer(factor=0.98)),
        ("null-lag", late(0.0015)),
        ("null-gaps", on_whole_milliseconds),
        ("delay", longer(0.0006)),
        ("delay", longer(-0.0002)),
        ("lognormal", longer(factor=1.06)),
        ("lognormal", from_the_slot),
        ("lognormal", shorter_tail),
        ("m-d-1", longer(0.004)),
        ("m-d-1", from_the_slot),
        ("m-d-c", longer(0.004)),
        ("m-d-c", from_the_slot),
        ("overload", longer(factor=1.04)),
        ("overload", from_the_slot),
        ("mute", without_the_mute),
        ("mute", answered_at_the_deadline),
        ("mute", failed_instead),
        ("mute", all_silent),
        ("saturated", idle_generator),
        *((name, one_unsent) for name in CHECKS if name != "saturated"),
        *NEVER_RIGHT,
    ],
)
def test_a_falsified_measurement_is_red(world: World, name: str, lie: Callable[..., Any]) -> None:
    world.falsify(lie)
    assert _only(name).verdict == "red"


def test_a_request_that_was_held_up_past_its_deadline_is_explained_by_so_long_a_delay(
    world: World,
) -> None:
    world.falsify(one_unsent)
    check = CHECKS["mute"]()
    assert (check.why, check.needs) == (("1 requests were not sent",), 0.5)


def test_a_server_that_did_not_stall_makes_the_line_red(world: World) -> None:
    def forget(_: Samples) -> dict[str, float]:
        world.did["stalls"] = []
        return {}

    world.falsify(forget)
    check = _only("stall")
    assert check.verdict == "red"
    assert "the server stalled 0 times, not once" in check.why


def test_a_saturated_generator_that_is_refused_for_another_reason_is_red(world: World) -> None:
    world.falsify(lambda samples: {"cpu_seconds": 0.1, "sent": len(samples) // 2})
    check = _only("saturated")
    assert (check.verdict, check.measured) == ("red", "sent")
    assert check.why == ("no rule says that the client was the limit",)


# The policy.


@pytest.mark.parametrize(("lost", "attempts"), [((0.0,), 1), ((5.0, 0.0), 2)])
def test_red_in_quiet_is_red(world: World, lost: tuple[float, ...], attempts: int) -> None:
    world.falsify(longer(0.01))
    world.lose(*lost)
    told: list[str] = []
    (check,) = run(["delay"], told.append)
    assert check.verdict == "red"
    assert told == ["delay (1 of 1)"] * attempts


def test_red_in_noise_is_made_again_and_is_then_inconclusive(world: World) -> None:
    world.falsify(longer(0.001))
    world.lose(0.5, 0.4)
    told: list[str] = []
    (check,) = run(["delay"], told.append)
    assert check.verdict == "inconclusive"
    # 0.6 ms beyond what is allowed, for half of some 200 requests; the last attempt is told.
    assert check.needs == pytest.approx(0.0006 * check.samples / 2)
    explain = f"{1e3 * check.needs:.0f} ms explain it"
    assert check.why == (f"400 ms were lost to others, and {explain}",)
    assert check.error == pytest.approx(1.1, abs=0.1)
    assert told == ["delay (1 of 1)"] * ATTEMPTS


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("stall", longer(0.02)),
        ("null-lag", late(0.0015)),
        ("null-gaps", on_whole_milliseconds),
        ("delay", longer(0.0008)),
        ("lognormal", longer(0.003)),
        ("m-d-1", longer(0.01)),
        ("m-d-c", longer(0.01)),
        ("overload", longer(factor=1.04)),
        ("mute", all_but_one_answered),
        ("saturated", idle_generator),
    ],
)
def test_a_line_is_red_unless_as_much_was_lost_as_it_needs(
    world: World, name: str, lie: Callable[..., Any]
) -> None:
    world.falsify(lie)
    needs = _only(name).needs
    assert 0 < needs < math.inf
    for lost, verdict in ((0.99 * needs, "red"), (needs, "inconclusive")):
        world.lose(lost)
        assert _only(name).verdict == verdict


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("stall", one_unsent),
        ("delay", longer(-0.0002)),
        ("overload", from_the_slot),
        ("mute", without_the_mute),
        ("mute", failed_instead),
        *NEVER_RIGHT,
    ],
)
def test_what_no_disturbance_explains_is_red_on_any_machine(
    world: World, name: str, lie: Callable[..., Any]
) -> None:
    world.falsify(lie)
    world.lose(1.0)
    assert _only(name).verdict == "red"


def test_red_in_noise_and_then_green_is_green(world: World) -> None:
    tries = [longer(0.01), longer()]
    world.falsify(lambda samples: tries.pop(0)(samples))
    world.lose(5.0)
    assert _only("delay").verdict == "green"
    assert tries == []


def test_green_is_green_in_noise_too(world: World) -> None:
    world.lose(60.0)
    assert _only("delay").verdict == "green"


def test_a_check_that_breaks_off_is_red_and_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LoadError("the load generator failed")

    monkeypatch.setattr(load, "run", broken)
    check, other = run(["overload", "stall"])
    assert (check.name, other.name) == ("stall", "overload")
    assert (check.verdict, check.why) == ("red", ("the load generator failed",))


def test_an_unknown_check_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match=r"no check 'sta'; there are: stall, null-lag, null-gaps"):
        run(["sta"])


def test_all_checks_are_made_in_the_order_of_the_page() -> None:
    told: list[str] = []
    assert [check.name for check in run(progress=told.append)] == list(CHECKS)
    assert told[-1] == "saturated (10 of 10)"


# The line.


def test_a_line_is_json_even_when_a_number_is_not_finite() -> None:
    check = replace(_only("stall"), error=math.inf, details={"x, ms": math.nan}, why=("a", "b"))
    line = json.loads(json.dumps(check.as_dict(), allow_nan=False))
    assert list(line) == [
        "name", "what", "unit", "truth", "measured", "error", "allowed", "error_unit", "verdict",
        "samples", "needs", "why", "details",
    ]  # fmt: skip
    assert line["error"] == "Infinity"
    assert line["details"] == {"x, ms": "NaN"}
    assert line["why"] == ["a", "b"]


@pytest.mark.parametrize(("faults", "needs"), [((), math.nan), (("wrong",), 0.1)])
def test_what_is_wrong_or_no_number_has_no_excuse(faults: tuple[str, ...], needs: float) -> None:
    more: dict[str, Any] = {"unit": "ms", "truth": 1.0, "measured": 2.0, "samples": 1}
    check = judge("x", "y", error=1.0, allowed=0.5, faults=faults, needs=needs, **more)
    assert (check.verdict, check.needs) == ("red", math.inf)
    assert judge("x", "y", error=0.4, allowed=0.5, needs=0.1, **more).verdict == "green"
    assert judge("x", "y", error=0.4, allowed=0.5, beyond=("z",), **more).verdict == "red"
    assert judge("x", "y", error=math.nan, allowed=0.5, **more).verdict == "red"


def test_the_stall_line_states_the_figures_of_the_plan() -> None:
    check = _only("stall")
    # The first of 120 requests that meet the stall comes 3 ms after its begin, the others 5 ms
    # apart; of 600 in all, six wait longer than p99 says.
    assert check.details["max truth, ms"] == pytest.approx(600 - 3, abs=0.1)
    assert check.truth == pytest.approx(600 - 3 - 6 * 5, abs=0.1)


def test_the_instrument_alone_is_enough() -> None:
    others = ("scipy", "nbclient", "gunicorn", "uvicorn", "django", "flask", "locust")
    without = f"import sys; sys.modules.update(dict.fromkeys({others}))"
    code = f"{without}; import gatewaylab.truth.selfcheck"
    printed(code)


# The statistic.


def test_anderson_darling_agrees_with_scipy() -> None:
    values = np.random.default_rng(4).gamma(1.3, 2.0, 500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about p-values that are not looked at
        expected = scipy.stats.anderson(values, "expon").statistic
    assert anderson_darling(values / values.mean()) == pytest.approx(expected, rel=1e-9)


def test_the_critical_value_is_exceeded_as_often_as_its_level_says() -> None:
    random = np.random.default_rng(1)
    found = np.array([anderson_darling(random.exponential(size=200)) for _ in range(4000)])
    assert np.mean(found > checks.AD_CRITICAL) == pytest.approx(0.05, abs=0.01)


def test_gaps_that_are_even_or_absent_are_not_exponential() -> None:
    assert anderson_darling(np.full(100, 1.0)) > 10
    assert anderson_darling(np.array([0.0, 1.0])) == math.inf
    assert anderson_darling(np.empty(0)) == math.inf


def test_the_plan_of_the_gaps_lies_far_below_the_critical_value() -> None:
    gaps = 500 * np.diff(Poisson(500).plan(4, 1))
    assert anderson_darling(gaps) < checks.AD_CRITICAL / 5


def test_a_quantile_of_nothing_is_no_number() -> None:
    assert math.isnan(quantile(np.empty(0), 0.5))
    assert quantile(ConstantRate(10).plan(1, 0), 1.0) == pytest.approx(0.9)
