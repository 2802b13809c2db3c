"""The statistics keep their promises, and the checks that say so can fail."""

from __future__ import annotations

import contextlib
import gc
import io
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pytest
from rich.console import Console

from gatewaylab.claims.rule import Rule
from gatewaylab.errors import InputError, InvalidTrialError, RefusedError
from gatewaylab.measure import compare, design
from gatewaylab.measure.design import Design
from gatewaylab.measure.noise import of_kind
from gatewaylab.measure.outcome import Outcome, setup
from gatewaylab.model import stats
from gatewaylab.model.arrivals import Poisson
from gatewaylab.publish import build as publish
from gatewaylab.publish.book import Book
from gatewaylab.publish.key import staleness_key
from gatewaylab.records import evidence
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import Verdict
from gatewaylab.records.results import AGAIN, Finding, Trial
from gatewaylab.records.storage import load
from gatewaylab.servers.registry import server
from gatewaylab.truth import calibration, twins
from gatewaylab.truth.calibration import (
    coverage,
    disturbed,
    equivalence_size,
    looks,
)
from gatewaylab.truth.twins import AARecord, false_positives
from tests import builders

pytestmark = pytest.mark.slow

Invented = Callable[..., list[int]]
SIMULATIONS = 3_000
SYMMETRIC: list[Any] = ["normal", "laplace", "student3", "lognormal-latency"]


def error(share: float, simulations: int = SIMULATIONS) -> float:
    """Four standard deviations of a simulated share."""
    return 4 * math.sqrt(share * (1 - share) / simulations)


# Coverage.


def check_coverage(n: int, noise: Any, **more: Any) -> None:
    exact = stats.attained_confidence(n)
    found = coverage(n, noise=noise, simulations=SIMULATIONS, seed=2, **more)
    assert found >= 0.94
    assert found == pytest.approx(exact, abs=error(exact))


@pytest.mark.parametrize("noise", SYMMETRIC)
@pytest.mark.parametrize("n", [6, 10, 15])
def test_the_interval_covers_as_often_as_it_says(n: int, noise: Any) -> None:
    check_coverage(n, noise)


def one_too_deep(d: Any, confidence: float) -> tuple[float, float]:
    """The next Walsh averages inward."""
    i, j = np.triu_indices(len(d))
    walsh = np.sort((d[i] + d[j]) / 2)
    depth = stats._depth(len(d), confidence)
    return float(walsh[depth]), float(walsh[-1 - depth])


def normal_theory(d: Any, confidence: float) -> tuple[float, float]:
    """The mean, give or take 1.96 standard errors."""
    reach = 1.96 * d.std(ddof=1) / math.sqrt(len(d))
    return float(d.mean() - reach), float(d.mean() + reach)


def bootstrap(d: Any, confidence: float) -> tuple[float, float]:
    """Percentiles of the resampled median."""
    rows = np.random.default_rng(0).integers(0, len(d), (200, len(d)))
    low, high = np.percentile(np.median(d[rows], axis=1), [2.5, 97.5])
    return float(low), float(high)


def shifted(d: Any, confidence: float) -> tuple[float, float]:
    """As wide as it should be, around another centre."""
    low, high = stats.signed_rank_interval(d, confidence)
    return low + 0.3, high + 0.3


@pytest.mark.parametrize("wrong", [one_too_deep, normal_theory, bootstrap, shifted])
def test_a_wrong_interval_does_not_pass(wrong: Any) -> None:
    with pytest.raises(AssertionError):
        check_coverage(6, "student3", interval=wrong)


def test_what_is_disturbed_on_one_side_only_is_covered_a_little_less() -> None:
    # The limit of the method: no promise, but no collapse.
    for n in (6, 10, 15):
        found = coverage(n, noise="skewed", simulations=SIMULATIONS)
        exact = stats.attained_confidence(n)
        assert 0.92 <= found <= exact + error(exact)


def test_too_few_blocks_have_no_coverage() -> None:
    with pytest.raises(RefusedError, match="at least 6"):
        coverage(5)


# Equivalence.


def check_size(n: int, ratio: float, noise: Any = "normal", rule: Rule | None = None) -> None:
    exact = (1 - stats.attained_confidence(n, 0.90)) / 2
    found = equivalence_size(n, ratio=ratio, noise=noise, simulations=1_500, rule=rule)
    assert found <= 0.05 + error(0.05, 1_500)
    assert found == pytest.approx(exact, abs=error(exact, 1_500))


@pytest.mark.parametrize("noise", ["normal", "student3"])
@pytest.mark.parametrize("ratio", [0.8, 1.25])
@pytest.mark.parametrize("n", [6, 10])
def test_no_difference_is_wrong_in_at_most_five_percent(n: int, ratio: float, noise: Any) -> None:
    check_size(n, ratio, noise)


class Wide(Rule):
    """Allows a factor e either way: 1.0 on the log scale."""

    def decide(self, effect: Effect) -> Verdict:
        inside = math.exp(-1) <= effect.low90 and effect.high90 <= math.exp(1)
        return "supported" if inside else "inconclusive"


class PointOnly(Rule):
    """Asks where the estimate lies, not the interval."""

    def decide(self, effect: Effect) -> Verdict:
        return "supported" if 0.8 <= effect.estimate <= 1.25 else "inconclusive"


@pytest.mark.parametrize("rule", [Wide("equivalent"), PointOnly("equivalent")])
def test_a_wrong_rule_of_equivalence_does_not_pass(rule: Rule) -> None:
    with pytest.raises(AssertionError):
        check_size(6, 1.25, rule=rule)


def test_noise_makes_no_difference_undecided_and_not_supported() -> None:
    power = [
        equivalence_size(6, ratio=1.0, spread=spread, simulations=500)
        for spread in (0.05, 0.15, 0.3)
    ]
    assert power[0] > 0.99
    assert power == sorted(power, reverse=True)
    assert power[2] < 0.3


# Looks.


@pytest.mark.parametrize("n", [6, 10])
@pytest.mark.parametrize("refused", [0.2, 0.4])
def test_replacing_refused_trials_leaves_the_error_as_it_is(n: int, refused: float) -> None:
    exact = 1 - stats.attained_confidence(n)
    fixed = looks("fixed", n=n, simulations=SIMULATIONS)
    assert fixed == pytest.approx(exact, abs=error(exact))
    # With 40 % refused, one comparison in four still ends with all blocks.
    counted = SIMULATIONS // (2 if refused < 0.3 else 4)
    replaced = looks("replace", n=n, refused=refused, simulations=SIMULATIONS)
    assert replaced == pytest.approx(exact, abs=error(exact, counted))


def test_measuring_again_until_something_shows_inflates_the_error() -> None:
    exact = 1 - stats.attained_confidence(6) ** 5
    repeated = looks("repeat", most=5, simulations=SIMULATIONS)
    assert repeated == pytest.approx(exact, abs=error(exact))
    assert repeated > 0.10
    assert looks("extend", most=5, simulations=SIMULATIONS) > 0.05 + error(0.05)


def test_one_look_is_one_look() -> None:
    once = looks("fixed", simulations=500)
    assert looks("repeat", most=1, simulations=500) == once
    assert looks("extend", most=1, simulations=500) == once


@pytest.mark.parametrize(
    "call",
    [
        lambda: coverage(6, simulations=0),
        lambda: coverage(6, noise="loud"),  # type: ignore[arg-type]
        lambda: looks("sometimes"),  # type: ignore[arg-type]
        lambda: looks("repeat", most=0),
        lambda: looks("replace", refused=1.0),
        lambda: looks("replace", refused=0.999, simulations=10),
        lambda: false_positives(0),
        lambda: disturbed(6, "nowhere", truth=2, threshold=2),  # type: ignore[arg-type]
        lambda: disturbed(6, "both", truth=2, threshold=2, share=1.1),
        lambda: disturbed(6, "both", truth=2, threshold=2, shift=-0.1),
        lambda: disturbed(6, "both", truth=2, threshold=2, simulations=0),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        call()


def test_the_kinds_of_noise_are_centred() -> None:
    for kind in get_args(calibration.Noise):
        d = calibration._noise(kind, (1, 20_001), 1)[0]
        i = np.random.default_rng(0).permutation(len(d))
        assert abs(np.median((d + d[i]) / 2)) < 0.03, kind


# Noise that hits some of the trials.

SIDES: list[Any] = ["both", "first", "second"]


def check_disturbed(n: int, where: Any, **more: Any) -> None:
    """On the threshold, either verdict is an error."""
    found = disturbed(n, where, truth=2.0, threshold=2.0, simulations=1_000, **more)
    for verdict in ("supported", "refuted"):
        assert found.get(verdict, 0.0) <= 0.025 + error(0.025, 1_000)


@pytest.mark.parametrize("noise", ["normal", "student3", "lognormal-latency"])
@pytest.mark.parametrize("where", SIDES)
@pytest.mark.parametrize("n", [6, 10])
def test_stalls_make_no_verdict_wrong_that_heeds_them(n: int, where: Any, noise: Any) -> None:
    check_disturbed(n, where, noise=noise)


@pytest.mark.parametrize("where", SIDES)
def test_stalls_in_every_trial_and_of_any_length_make_no_verdict_wrong(where: Any) -> None:
    check_disturbed(6, where, share=1.0, shift=2.0)
    check_disturbed(6, where, share=1.0, shift=0.3, spread=0.01)


@pytest.mark.parametrize("where", ["first", "second"])
@pytest.mark.parametrize("n", [6, 10])
def test_stalls_of_one_side_that_nobody_heeds_make_verdicts_wrong(n: int, where: Any) -> None:
    with pytest.raises(AssertionError):
        check_disturbed(n, where, share=0.9, heeded=False)


@pytest.mark.parametrize("where", SIDES)
@pytest.mark.parametrize("n", [6, 10])
def test_a_claim_that_holds_by_far_is_supported_in_noise(n: int, where: Any) -> None:
    found = disturbed(n, where, truth=9.0, threshold=3.0, simulations=500)
    assert found.get("supported", 0.0) >= 0.95


def test_what_is_not_disturbed_is_decided_as_if_nobody_had_looked_for_noise() -> None:
    found = [
        disturbed(6, "both", truth=2.2, threshold=2.0, share=0.0, simulations=500, heeded=heeded)
        for heeded in (True, False)
    ]
    assert found[0] == found[1]
    assert sum(found[0].values()) == pytest.approx(1.0)


# The design: nothing is measured because of what was seen.

TWO = dict.fromkeys("ab", setup(server("uvicorn"), "/hold", arrivals=Poisson(20), hold=0.1))
SEEN: dict[str, Callable[[str, int], float]] = {
    "equal": lambda label, nth: 0.1,
    "a is slower": lambda label, nth: 0.4 if label.startswith("a") else 0.1,
    "a is faster": lambda label, nth: 0.01 if label.startswith("a") else 0.1,
    "unsteady": lambda label, nth: 0.1 * (1 + nth % 7),
    "never answered": lambda label, nth: math.inf if label.startswith("a") else 0.1,
}


def measured(
    monkeypatch: pytest.MonkeyPatch,
    latency: Callable[[str, int], float],
    refuse: Callable[[int], bool],
    rule: str = "steal",
    kind: Literal["generator", "disturbance"] = "disturbance",
) -> tuple[list[tuple[str, int, int]], Outcome]:
    """What compare asked for, when trials show ``latency`` and the n-th is refused or not."""
    asked: list[tuple[str, int, int]] = []

    def trial(label: str, one: object, block: int, seed: int, window: object) -> Trial:
        asked.append((label, block, seed))
        broken = (builders.finding(rule, kind),) if refuse(len(asked)) else ()
        return builders.trial(label, block, [latency(label, len(asked))], findings=broken)

    monkeypatch.setattr(compare, "_trial", trial)
    return asked, compare.compare("name", TWO, blocks=6)


@pytest.mark.parametrize(
    ("rule", "kind", "refuse"),
    [
        ("steal", "disturbance", lambda nth: False),
        ("steal", "disturbance", lambda nth: nth % 4 == 0),
        ("sent", "generator", lambda nth: nth % 8 == 0),
    ],
)
def test_a_comparison_measures_the_same_trials_whatever_they_show(
    monkeypatch: pytest.MonkeyPatch, rule: str, kind: Any, refuse: Callable[[int], bool]
) -> None:
    runs = {name: measured(monkeypatch, seen, refuse, rule, kind) for name, seen in SEEN.items()}
    first, _ = runs["equal"]
    assert all(asked == first for asked, _ in runs.values())
    at_least = Rule("at least", 2.0)
    verdicts = {at_least.decide(outcome.ratio("a", "b")) for _, outcome in runs.values()}
    assert verdicts == {"supported", "inconclusive", "refuted"}


FILES = {
    "requirements.txt": "",
    "_toc.yml": "format: jb-book\nroot: i\nchapters:\n- file: notebooks/some\n",
    "book/claims/some.toml": builders.entry("C05", kind="ratio"),
    "notebooks/some.md": "---\nkernelspec:\n  name: python3\n---\n\n# Some\n",
}
TABLE: list[dict[str, Any]] = [
    {"name": "gunicorn-sync", "version": "1", "available": True, "install_hint": "scripts/install"}
]


@pytest.mark.parametrize(
    ("verdict", "refused", "again"),
    [
        ("supported", (), False),
        ("inconclusive", (), False),
        ("inconclusive", (builders.finding("sent", "generator"),), True),
    ],
)
def test_a_build_measures_again_what_was_refused_and_never_what_was_undecided(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verdict: str,
    refused: tuple[Finding, ...],
    again: bool,
) -> None:
    for folder in ("book/claims", "notebooks", "src/gatewaylab", "demo_apps", "_build"):
        (tmp_path / folder).mkdir(parents=True)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    book, path = Book(tmp_path), tmp_path / "notebooks/some.md"
    effect = builders.effect(1.0, 0.5, 7.0, refused=refused)
    seen = builders.claim_record("C05", verdict, effect=effect)
    key = staleness_key(book, path, "quick", TABLE)
    evidence.accept(builders.evidence(key=key, claims=(seen,)), book.evidence)
    runs: list[str] = []

    def observe(book: Book, path: Path, *_: object) -> evidence.Evidence:
        runs.append(path.stem)
        return builders.evidence(key=key)

    monkeypatch.setattr(publish, "observe", observe)
    publish.measure(book, publish.Options(), TABLE, Console(file=io.StringIO()))
    assert runs == (["some"] if again else [])


# A/A over trials; here they are invented.


@pytest.fixture
def invented(monkeypatch: pytest.MonkeyPatch) -> Invented:
    """Replaces trials by numbers; gives the list of the plans' seeds that were asked for."""

    def install(median: Callable[[int], float], broken: Callable[[int], Any] = lambda _: ()) -> Any:
        asked: list[int] = []

        def trial(server: object, seed: int, seconds: float) -> tuple[float, tuple[Finding, ...]]:
            asked.append(seed)
            return median(len(asked)), broken(len(asked))

        monkeypatch.setattr(twins, "_trial", trial)
        return asked

    monkeypatch.setattr(twins, "_server", contextlib.nullcontext)
    return install


def jittered(seed: int, spread: float = 0.02) -> Callable[[int], float]:
    random = np.random.default_rng(seed)
    return lambda nth: 0.002 * math.exp(spread * random.standard_normal())


def test_equals_are_rarely_called_different(invented: Invented) -> None:
    asked = invented(jittered(2))
    record = false_positives(240)
    assert len(asked) == record.trials == 240 * 6 * 3
    assert (record.comparisons, record.without_number, record.refused_trials) == (240, 0, 0)
    assert record.expected == pytest.approx(1 / 32)
    assert record.interval_rate == pytest.approx(1 / 32, abs=error(1 / 32, 240))
    assert record.passed
    # A claim must also rise above the floor of noise, so it errs less often than the interval.
    assert record.rule_rate <= record.interval_rate
    assert sum(record.verdicts["at least 1"].values()) == 240
    assert record.verdicts["equivalent"] == {"supported": 240}


def test_an_order_by_rote_is_noticed(invented: Invented, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = jittered(1)

    def first_is_slow(nth: int) -> float:
        return noisy(nth) * (1.05 if nth % 3 == 1 else 1.0)

    invented(first_is_slow)
    assert false_positives(40).passed
    monkeypatch.setattr(Design, "order", lambda self, block: list(self.labels))
    invented(first_is_slow)
    found = false_positives(40)
    assert found.interval_rate > 0.2
    assert not found.passed


def test_the_trials_of_a_block_share_their_plan(invented: Invented) -> None:
    asked = invented(jittered(1))
    false_positives(2)
    assert [len(set(asked[i : i + 3])) for i in range(0, 36, 3)] == [1] * 12
    assert len(set(asked)) == 12


STEAL, SENT = builders.finding("steal"), builders.finding("sent", "generator")


@pytest.mark.parametrize("noise", [STEAL, SENT])
def test_a_trial_that_breaks_a_rule_is_repeated_and_counted(
    invented: Invented, noise: Finding
) -> None:
    asked = invented(jittered(1), lambda nth: (noise,) if nth == 2 else ())
    record = false_positives(1)
    assert (record.trials, record.refused_trials, len(asked)) == (18, 1, 19)
    assert asked[0] == asked[3]


def test_a_machine_that_is_never_quiet_gives_numbers_all_the_same(
    invented: Invented,
) -> None:
    asked = invented(jittered(1), lambda nth: (STEAL,))
    record = false_positives(2)
    assert len(asked) == 2 * (18 + 3)
    assert (record.trials, record.refused_trials, record.without_number) == (36, 6, 0)


def test_a_generator_that_never_keeps_its_plan_gives_no_number(
    invented: Invented,
) -> None:
    asked = invented(jittered(1), lambda nth: (SENT,))
    record = false_positives(2)
    assert len(asked) == 2 * (18 + 3)
    assert (record.trials, record.without_number, record.ratios) == (0, 2, ())
    assert not record.passed


def test_wrong_data_end_it(invented: Invented) -> None:
    wrong = builders.finding("errors", "wrong data", message="1 requests ended in 'reset'")
    invented(jittered(1), lambda nth: (STEAL, wrong))
    with pytest.raises(InvalidTrialError, match="reset"):
        false_positives(1)


def test_an_interrupt_keeps_what_was_saved(
    invented: Invented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twins, "SAVE_EVERY", 2)
    invented(jittered(1))
    out = tmp_path / "aa.json"

    def interrupt(record: AARecord) -> None:
        if record.comparisons == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        false_positives(7, out=out, progress=interrupt)
    kept = load(AARecord, out)
    assert (kept.planned, kept.comparisons, len(kept.ratios)) == (7, 4, 4)
    whole = false_positives(7, out=out)
    assert load(AARecord, out) == whole


@pytest.mark.live
def test_a_real_trial_takes_its_server_and_gives_the_process_back() -> None:
    before = os.sched_getaffinity(0)
    with twins._server() as running:
        median, broken = twins._trial(running, 1, 0.1)
    assert 0.002 <= median < 1
    assert not of_kind(broken, "wrong data")
    assert os.sched_getaffinity(0) == before
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_the_label_of_the_twin_is_the_first() -> None:
    assert design.design("aa-0", twins._LABELS, blocks=6).labels[-1] == "one" + AGAIN
