from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatewaylab.errors import InputError, InvalidTrialError
from gatewaylab.guard import standing
from gatewaylab.load import run as load
from gatewaylab.load.request import Request
from gatewaylab.load.samples import Samples
from gatewaylab.measure import compare as module
from gatewaylab.measure import noise
from gatewaylab.measure.compare import compare
from gatewaylab.measure.design import Came, Design
from gatewaylab.measure.outcome import Outcome, Setup, setup
from gatewaylab.model.arrivals import ConstantRate, Poisson
from gatewaylab.records import evidence, staging
from gatewaylab.records.effects import Effect
from gatewaylab.records.results import AGAIN, Trial
from gatewaylab.servers.registry import Server, server
from gatewaylab.show.tables import Table, latencies, shown
from tests import builders

SYNC = setup(server("gunicorn-sync", slots=1), "/hold", arrivals=Poisson(20), hold=0.1)
LOOP = setup(server("uvicorn"), "/hold", arrivals=Poisson(20), hold=0.1)
SETUPS = {"fast": LOOP, "slow": SYNC}


def _of(trials: list[Trial]) -> Outcome:
    return Outcome(builders.comparison("c", trials, labels=["fast", "slow"]), SETUPS)


def _outcome(slow: list[float], fast: list[float], again: list[float] | None = None) -> Outcome:
    """One value a block; ``fast`` is the twin."""
    trials = []
    for block in range(len(slow)):
        trials += [
            builders.trial("slow", block, [slow[block]]),
            builders.trial("fast", block, [fast[block]]),
            builders.trial("fast" + AGAIN, block, [(again or fast)[block]]),
        ]
    return _of(trials)


def test_the_ratio_pairs_the_trials_of_a_block() -> None:
    # The machine doubles its speed between blocks; within a block the ratio is 4.
    drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    found = _outcome([4 * d for d in drift], drift).ratio("slow", "fast")
    assert found.estimate == pytest.approx(4.0)
    assert [found.low, found.high] == pytest.approx([4.0, 4.0])
    assert (found.blocks, found.n, found.refused) == (6, 12, ())
    assert found.a12 is not None


def test_the_floor_is_the_distance_between_the_twins() -> None:
    found = _outcome([4.0] * 6, [1.0] * 6, again=[1.1] * 6).ratio("slow", "fast")
    assert found.floor == pytest.approx(1.1)


def test_five_blocks_carry_no_interval_and_the_effect_says_so() -> None:
    found = _outcome([4.0] * 5, [1.0] * 5).ratio("slow", "fast")
    assert "measure at least 6" in found.refused[0].message
    assert (found.refused[0].rule, found.refused[0].kind) == ("blocks", "generator")


def test_a_side_that_never_finished_makes_the_ratio_infinite_and_not_missing() -> None:
    found = _outcome([math.inf] * 6, [1.0] * 6).ratio("slow", "fast")
    assert found.low == pytest.approx(10.0)  # at least the deadline
    assert found.high == math.inf


def test_an_unknown_label_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="fast, slow"):
        _outcome([1.0] * 6, [1.0] * 6).ratio("slow", "medium")


def test_the_prediction_uses_plan_hold_and_slots_and_no_measured_number() -> None:
    fast = _outcome([1.0] * 6, [1.0] * 6)
    slow = _outcome([9.0] * 6, [7.0] * 6)
    assert fast.predicted("slow") == slow.predicted("slow") > 0.1
    assert fast.predicted("fast") == pytest.approx(0.1)


Fake = Callable[..., list[tuple[str, int, int]]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Replaces the measuring of one trial, and returns the (label, block, seed) asked for.

    It is given what comes of a trial by label, block and number: the findings.
    """

    def install(found: Callable[[str, int, int], Any] = lambda *_: ()) -> Any:
        asked: list[tuple[str, int, int]] = []

        def measure(label: str, one: Setup, block: int, seed: int, window: object) -> Trial:
            asked.append((label, block, seed))
            return builders.trial(label, block, [0.1], findings=found(label, block, len(asked)))

        monkeypatch.setattr(module, "_trial", measure)
        return asked

    return install


SENT, STEAL = (builders.finding("sent", "generator"),), (builders.finding("steal"),)


def test_each_block_measures_every_configuration_once_and_the_twin_twice(fake: Fake) -> None:
    asked = fake()
    compare("name", SETUPS, blocks=8)
    orders = [[label for label, block, _ in asked if block == b] for b in range(8)]
    assert all(sorted(order) == ["fast", "fast" + AGAIN, "slow"] for order in orders)
    assert len({tuple(order) for order in orders}) > 1  # randomised


def test_within_a_block_all_get_the_same_plan_and_between_blocks_another(fake: Fake) -> None:
    asked = fake()
    compare("name", SETUPS, blocks=6)
    seeds = {b: {seed for _, block, seed in asked if block == b} for b in range(6)}
    assert all(len(one) == 1 for one in seeds.values())
    assert len(set.union(*seeds.values())) == 6


def test_the_same_name_repeats_the_same_order_and_plans(fake: Fake) -> None:
    first = fake()
    compare("name", SETUPS, blocks=6)
    second = fake()
    compare("name", SETUPS, blocks=6)
    assert first == second


def test_a_refused_trial_is_repeated_in_its_block_and_kept_for_the_record(fake: Fake) -> None:
    asked = fake(lambda label, block, nth: SENT * (nth == 1))
    found = compare("name", SETUPS, blocks=6).comparison
    assert len(asked) == 6 * 3 + 1
    assert asked[0] == asked[3]
    assert (len(found.trials), len(found.rejected)) == (18, 1)


def test_what_is_refused_each_time_is_given_up_and_leaves_no_number(fake: Fake) -> None:
    asked = fake(lambda label, *_: SENT * (label == "slow"))
    outcome = compare("name", SETUPS, blocks=6)
    assert len(asked) == 18 + 3  # a fifth more, and no further block
    effect = outcome.ratio("slow", "fast")
    assert {finding.rule for finding in effect.refused} == {"blocks", "sent"}
    assert math.isnan(effect.estimate)
    assert outcome.trial("slow") is None
    assert math.isnan(outcome.mean_error("slow"))
    assert latencies(outcome, caption="c").rows[1]["median, ms"] is None


def test_another_block_makes_up_for_a_trial_given_up(fake: Fake) -> None:
    three = SETUPS | {"third": LOOP, "fourth": LOOP}
    asked = fake(lambda label, block, _: SENT * ((label, block) == ("slow", 2)))
    outcome = compare("name", three, blocks=6)
    # One trial again, and a block of five: six beyond the plan, as many as there may be.
    assert len(asked) == 30 + 6
    effect = outcome.ratio("slow", "fast")
    assert (effect.blocks, effect.refused) == (6, ())
    assert effect.n == 12  # of the common blocks only
    assert {block for _, block, _ in asked} == set(range(7))


def test_a_disturbed_trial_is_measured_once_more_and_then_used_and_marked(fake: Fake) -> None:
    asked = fake(lambda label, block, _: STEAL * ((label, block) == ("slow", 2)))
    outcome = compare("name", SETUPS, blocks=6)
    found = outcome.comparison
    assert len(asked) == 18 + 1
    assert [block for label, block, _ in asked if label == "slow"].count(2) == 2
    (marked,) = [trial for trial in found.trials if trial.findings]
    assert (marked.label, marked.block, marked.usable) == ("slow", 2, True)
    assert len(found.rejected) == 1
    effect = outcome.ratio("slow", "fast")
    assert (effect.blocks, effect.refused) == (6, ())


def test_a_machine_that_never_rests_still_gives_every_number(fake: Fake) -> None:
    asked = fake(lambda *_: STEAL)
    found = compare("name", SETUPS, blocks=6).comparison
    assert len(asked) == 18 + 3
    assert len(found.trials) == 18
    assert all(trial.findings for trial in found.trials)


# What noise can have done to a number.


def _noisy(health: dict[str, dict[str, float]]) -> Effect:
    """Six blocks of 4 s against 1 s, each label with something lost in every block."""
    # Closed clients, so that what was lost is a share of the second.
    closed = {"kind": "closed", "clients": 1, "think": 0.0}
    trials = [
        builders.trial(
            label,
            block,
            [latency * (1 + block / 100)],
            health=health.get(label, {}),
            arrivals=closed,
        )
        for block in range(6)
        for label, latency in (("slow", 4.0), ("fast", 1.0), ("fast" + AGAIN, 1.0))
    ]
    return _of(trials).ratio("slow", "fast")


def test_noise_is_taken_off_the_side_that_it_hit_and_in_its_direction() -> None:
    plain = _noisy({})
    assert (plain.quiet, plain.shifts) == (None, (0.0,) * 6)
    # It took no longer than twice as long: without the noise the ratio is 2 or more.
    above = ({"slow": {"stolen": 0.5}}, plain.low / 2, plain.high, 2)
    below = ({"fast": {"stolen": 0.5}}, plain.low, plain.high * 2, 2)
    both = ({"slow": {"stolen": 0.5}, "fast": {"stolen": 0.75}}, plain.low / 2, plain.high * 4, 4)
    for health, low, high, factor in (above, below, both):
        found = _noisy(health)
        assert (found.low, found.high) == (plain.low, plain.high)
        assert found.quiet is not None
        assert (found.quiet.low, found.quiet.high) == pytest.approx((low, high))
        assert found.shifts == pytest.approx([math.log(factor)] * 6)


def test_a_window_that_was_not_steady_leaves_less_of_a_number() -> None:
    drifted = _noisy({"slow": {"drift": 0.3}})
    assert drifted.quiet is not None
    assert drifted.quiet.low == pytest.approx(drifted.low * math.exp(-0.3))


def test_what_noise_does_to_a_rate_it_does_the_other_way_round() -> None:
    trials = [
        builders.trial(label, block, [0.01] * answers, health={"stolen": lost})
        for block in range(6)
        for label, answers, lost in (("slow", 10, 0.5), ("fast", 20, 0), ("fast" + AGAIN, 20, 0))
    ]
    effect = _of(trials).throughput_ratio("slow", "fast")
    assert effect.quiet is not None
    assert (effect.quiet.low, effect.quiet.high) == pytest.approx((0.5, 1.0))


# The number of trials, whatever becomes of them.

CAME: list[Came] = ["good", "disturbed", "refused"]


@example(["good"], 2, 6)
@given(
    st.lists(st.sampled_from(CAME), min_size=1, max_size=60),
    st.integers(1, 5),
    st.sampled_from([1, 2, 5, 6, 10]),
)
def test_a_comparison_takes_a_fifth_more_at_most(
    pattern: list[Came], labels: int, blocks: int
) -> None:
    plan = Design((*"abcde"[:labels], "a" + AGAIN), "a", blocks, 1)
    asked: list[tuple[str, int, bool]] = []
    came: list[Came] = []

    def measure(label: str, block: int, last: bool) -> Came:
        asked.append((label, block, last))
        came.append(pattern[len(came) % len(pattern)])
        return came[-1]

    plan.run(measure)
    planned = blocks * len(plan.labels)
    assert planned <= len(asked) <= planned + plan.extra
    assert plan.extra <= max(1, 0.2 * planned)
    counts: dict[tuple[str, int], list[tuple[Came, bool]]] = {}
    for (label, block, last), what in zip(asked, came, strict=True):
        counts.setdefault((label, block), []).append((what, last))
    for tries in counts.values():
        assert len(tries) <= 2
        # Nothing that counts is measured again, and what is measured again did not count.
        assert all(what != "good" and not last for what, last in tries[:-1])
        if len(tries) == 2:
            assert tries[1][1]
    kept = [
        {b for (of, b), tries in counts.items() if of == label and tries[-1][0] != "refused"}
        for label in plan.labels
    ]
    whole = len(set.intersection(*kept))
    assert whole <= blocks
    if set(came) == {"good"}:  # in quiet it takes no trial more
        assert len(asked) == planned
        assert not any(last for _, _, last in asked)
    if "refused" not in came:
        assert whole == blocks
        assert {block for _, block, _ in asked} == set(range(blocks))
    elif whole < blocks:
        # Then the trials that are left would not do for another block.
        assert planned + plan.extra - len(asked) < len(plan.labels)


def test_wrong_data_stop_the_comparison_and_are_not_measured_away(fake: Fake) -> None:
    words = "errors: 3 requests ended in 'status'; each must be answered (0 allowed)"
    bad = (builders.finding("errors", "wrong data", message=words),)
    asked = fake(lambda label, block, nth: bad * (nth == 2))
    with pytest.raises(InvalidTrialError, match="3 requests ended in 'status'"):
        compare("name", SETUPS, blocks=6)
    assert len(asked) == 2


def test_servers_that_answer_differently_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is quick because it says nothing must not win."""

    @contextlib.contextmanager
    def serve(one: Server, **_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(target=one.spec.name, pids=set)

    bodies = {"uvicorn": b"held 100 ms\n", "gunicorn-sync": b""}
    monkeypatch.setattr(standing, "serve", serve)
    servers = standing.Standing({"fast": LOOP.server, "slow": SYNC.server}, seconds=math.inf)
    monkeypatch.setattr(load, "constant_body", lambda target, *_, **__: bodies[target])
    window = module._Window(
        seconds=1.0, warmup=0.0, deadline=1.0, transport="raw", margin=0.2, standing=servers
    )
    monkeypatch.setattr(noise, "NoiseWatch", lambda **_: pytest.fail("this one is the first"))
    with pytest.raises(pytest.fail.Exception):
        module._trial("fast", LOOP, 0, 1, window)
    with pytest.raises(InvalidTrialError, match="b'', where the first server gave b'held 100 ms"):
        module._trial("slow", SYNC, 0, 1, window)


@pytest.mark.parametrize(
    ("body", "unknown", "wrong"), [(None, 1, 1), (None, 0, 0), (b"held 100 ms\n", 1, 0)]
)
def test_answers_without_a_length_count_only_where_their_bodies_are_compared(
    body: bytes | None, unknown: int, wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def serve(one: Server, **_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(target=one.spec.name, pids=set, verify=lambda: None)

    seen = builders.samples([0.1] * 20).model_dump() | {"length_unknown": [0] * 19 + [unknown]}
    asked: list[Request] = []

    def sent(_: str, request: Request, *__: object, **___: object) -> tuple[Samples, object]:
        asked.append(request)
        return Samples(**seen), builders.REPORT

    monkeypatch.setattr(standing, "serve", serve)
    monkeypatch.setattr(load, "constant_body", lambda *_, **__: body)
    monkeypatch.setattr(load, "run", sent)
    monkeypatch.setattr(module, "ceiling", lambda _: 1e6)
    watch = contextlib.nullcontext(SimpleNamespace(health={}))
    monkeypatch.setattr(noise, "NoiseWatch", lambda **_: watch)
    window = module._Window(
        seconds=1.0, warmup=0.0, deadline=1.0, transport="raw", margin=0.2,
        standing=standing.Standing({"fast": LOOP.server}, seconds=math.inf),
    )  # fmt: skip
    trial = module._trial("fast", LOOP, 0, 1, window)
    assert asked[0].expected_body == body
    assert trial.samples.length_unknown.sum() == unknown
    assert sum(finding.rule == "body" for finding in trial.findings) == wrong


def test_an_error_that_belongs_to_the_experiment_must_be_one_that_exists() -> None:
    assert setup(server("uvicorn"), arrivals=Poisson(1)).errors == ("deadline",)
    with pytest.raises(InputError, match="known: deadline, connect"):
        setup(server("uvicorn"), arrivals=Poisson(1), errors={"timeout"})


def test_a_comparison_of_a_build_is_staged(fake: Fake, stage: staging.Staging) -> None:
    fake(lambda label, block, nth: SENT * (nth == 1))
    stage.position(evidence.Position(cell=3))
    compare("name", SETUPS, blocks=6)
    (kept,) = stage.parts()["comparisons"]
    assert (kept.name, len(kept.trials)) == ("name", 18)
    where = stage.where()
    assert (where.series, where.done, where.total, where.again) == ("name", 18, 18, 1)
    assert where.cell == 3  # what the notebook's run had said before
    assert stage.faults() == ()


def test_wrong_data_of_a_build_are_left_for_it_as_data(fake: Fake, stage: staging.Staging) -> None:
    wrong = builders.finding("errors", "wrong data")
    fake(lambda *_: (*STEAL, wrong))
    with pytest.raises(InvalidTrialError):
        compare("name", SETUPS, blocks=6)
    assert stage.faults() == (wrong,)


def test_bad_input_is_refused_before_the_start(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake()
    with pytest.raises(InputError, match="cannot name a file"):
        compare("a/b", SETUPS)
    with pytest.raises(InputError, match="at least one"):
        compare("name", {})
    with pytest.raises(InputError, match="twin"):
        compare("name", SETUPS, twin="other")
    monkeypatch.setenv(staging.PROFILE_VARIABLE, "hasty")
    with pytest.raises(InputError, match="quick, full"):
        compare("name", SETUPS)
    assert asked == []


def test_overload_is_known_from_rate_hold_and_slots() -> None:
    assert module._steady(LOOP)
    assert not module._steady(SYNC)  # 20/s of 0.1 s ask for two slots


def test_a_table_shows_the_model_beside_the_measurement() -> None:
    rows = latencies(_outcome([0.2] * 6, [0.1] * 6), caption="c").rows
    assert [row["slots"] for row in rows] == ["no bound", "1"]
    assert rows[0]["median, ms"] == pytest.approx(100)


def test_a_table_escapes_and_refuses_ragged_rows() -> None:
    assert "<b>" not in Table([{"a": "<b>"}], caption="c")._repr_html_()
    with pytest.raises(InputError, match="same columns"):
        Table([{"a": 1}, {"b": 1}], caption="c")
    with pytest.raises(InputError, match="one row"):
        Table([], caption="c")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.12345, "0.123"), (123.4, "123"), (math.inf, "≥ deadline"), ("x", "x")],
)
def test_numbers_are_shown_with_three_digits(value: float | str | None, text: str) -> None:
    assert shown(value) == text


def test_a_setup_takes_a_path_or_a_request() -> None:
    one = setup(server("uvicorn"), "/x", arrivals=ConstantRate(1))
    assert one.request.path == "/x"
    assert one.slots is None
    assert np.isclose(SYNC.hold or 0, 0.1)
