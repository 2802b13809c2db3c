from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gatewaylab.claims import catalogue as catalogues
from gatewaylab.claims import rule
from gatewaylab.claims.catalogue import TOPICS, catalogue, startable
from gatewaylab.claims.claim import behaviour, claim
from gatewaylab.claims.rule import Rule
from gatewaylab.errors import ClaimError, InputError
from gatewaylab.measure.readings import quantity
from gatewaylab.model.stats import EQUIVALENCE
from gatewaylab.records import staging
from gatewaylab.records.effects import Effect
from gatewaylab.timeline import session
from tests import ROOT
from tests.builders import effect, entry, finding
from tests.builders import quieted as quiet

RATIO = Rule("at least", 2.0)
EQUIVALENT = Rule("equivalent")
BOUND = Rule("at most", 1.6)
REFUSED = (finding("blocks"), finding("sent"))


def seen(*held: bool | None) -> Effect:
    return behaviour("x", held, probe="p")


@pytest.mark.parametrize(
    ("rule", "measured", "verdict"),
    [
        # A ratio is decided by its interval and not by its estimate.
        (RATIO, effect(6.0, 5.0, 7.0), "supported"),
        (RATIO, effect(1.0, 0.9, 1.1), "refuted"),
        (RATIO, effect(2.0, 1.5, 2.5), "inconclusive"),
        (RATIO, effect(6.0, 5.0, 7.0, floor=5.5), "inconclusive"),  # within its own A/A noise
        (RATIO, effect(6.0, 5.0, 7.0, refused=(finding(),)), "inconclusive"),
        (RATIO, effect(math.inf, 9.0, math.inf), "supported"),
        # No difference needs the whole interval inside the range.
        (EQUIVALENT, effect(1.0, 0.9, 1.1), "supported"),
        (EQUIVALENT, effect(8.0, 7.0, 9.0), "refuted"),
        (EQUIVALENT, effect(0.1, 0.05, 0.2), "refuted"),
        (EQUIVALENT, effect(1.0, 0.7, 1.2), "inconclusive"),
        # A bound needs the whole interval below it.
        (BOUND, effect(1.1, 1.0, 1.2), "supported"),
        (BOUND, effect(1.9, 1.5, 2.5), "inconclusive"),
        (BOUND, effect(6.0, 5.0, 7.0), "refuted"),
        (BOUND, effect(1.0, 1.0, 1.0, refused=(finding(),)), "inconclusive"),
    ],
)
def test_a_rule_decides_by_the_interval(rule: Rule, measured: Effect, verdict: str) -> None:
    assert rule.decide(measured) == verdict


def test_a_behaviour_without_repetitions_is_refused_and_has_no_number() -> None:
    (reason,) = seen().refused
    assert (reason.rule, str(reason)) == ("repetitions", "no repetition was made")
    assert math.isnan(seen().estimate)
    assert Rule("always").decide(seen()) == "inconclusive"


@pytest.mark.parametrize(
    ("held", "verdict", "decided"),
    [
        ([True] * 5, "supported", 5),
        ([True] * 4 + [False], "refuted", 5),
        ([True] * 4, "inconclusive", 4),
        ([True] * 5 + [None], "supported", 5),
        ([True] * 4 + [None] * 9, "inconclusive", 4),  # too few are decided
        ([None, False, None], "refuted", 1),  # what was seen to fail has failed
        ([None] * 6, "inconclusive", 0),
    ],
)
def test_every_repetition_must_hold_and_one_that_noise_can_explain_counts_on_neither_side(
    held: list[bool | None], verdict: str, decided: int
) -> None:
    one = seen(*held)
    assert Rule("always").decide(one) == verdict
    assert (one.blocks, one.n, one.undecided) == (decided, decided, len(held) - decided)
    assert len(one.values) == decided


def test_a_behaviour_that_noise_can_explain_throughout_is_refused_for_that() -> None:
    (reason,) = seen(None, None).refused
    assert (reason.kind, str(reason)) == ("disturbance", "noise can explain all 2 repetitions")
    told = rule.describe(seen(*[True] * 5, None, None))
    assert told == "held in 5 of 5 repetitions, 2 undecided for noise"


# What noise can have done


@pytest.mark.parametrize(
    ("rule", "measured", "verdict"),
    [
        (RATIO, quiet(effect(6.0, 5.0, 7.0), 4.0, 7.0), "supported"),
        (RATIO, quiet(effect(6.0, 5.0, 7.0), 1.9, 7.0), "inconclusive"),
        (RATIO, quiet(effect(1.0, 0.9, 1.1), 0.8, 1.2), "refuted"),
        (RATIO, quiet(effect(1.0, 0.9, 1.1), 0.8, 2.1), "inconclusive"),
        (BOUND, quiet(effect(1.1, 1.0, 1.2), 0.9, 1.7), "inconclusive"),
        (BOUND, quiet(effect(6.0, 5.0, 7.0), 1.5, 7.0), "inconclusive"),
        (BOUND, quiet(effect(6.0, 5.0, 7.0), 1.7, 9.0), "refuted"),
        (EQUIVALENT, quiet(effect(1.0, 0.9, 1.1), 0.7, 1.1), "inconclusive"),
        (EQUIVALENT, quiet(effect(1.0, 0.9, 1.1), 0.85, 1.2), "supported"),
        (EQUIVALENT, quiet(effect(8.0, 7.0, 9.0), 1.2, 9.0), "inconclusive"),
    ],
)
def test_a_verdict_must_be_the_same_with_and_without_what_noise_can_have_done(
    rule: Rule, measured: Effect, verdict: str
) -> None:
    assert rule.decide(measured) == verdict
    assert rule.doubt(measured) == (
        "" if verdict != "inconclusive" else "what was lost to others can explain it"
    )


@pytest.mark.parametrize(
    ("rule", "measured", "says"),
    [
        (RATIO, effect(6.0, 5.0, 7.0), ""),
        (RATIO, effect(2.0, 1.5, 2.5), "its interval reaches both sides of the threshold"),
        (RATIO, effect(6.0, 5.0, 7.0, floor=5.5), "it does not stand out of the A/A noise"),
        (RATIO, effect(1.0, 1.0, 1.0, refused=(*REFUSED, finding("sent"))), "blocks; sent"),
        (Rule("always"), seen(*[True, None] * 3), "only 3 of at least 5 repetitions are decided"),
    ],
)
def test_a_rule_that_does_not_decide_says_why(rule: Rule, measured: Effect, says: str) -> None:
    assert rule.doubt(measured) == says


def test_the_margin_is_the_way_from_what_is_expected_to_the_threshold() -> None:
    assert RATIO.margin(8.0) == pytest.approx(math.log(4.0))
    assert Rule("at most", 2.0).margin(0.5) == pytest.approx(math.log(4.0))
    assert EQUIVALENT.margin(1.0) == pytest.approx(math.log(1.25)) == EQUIVALENCE[1]
    for nowhere in (0.0, math.inf, math.nan):
        assert RATIO.margin(nowhere) == math.inf
    assert Rule("at least", math.inf).margin(8.0) == math.inf


@pytest.mark.parametrize(
    ("rule", "theory", "quarter"),
    [
        (RATIO, 8.0, math.log(8 / 2) / 4),
        (RATIO, None, math.log(6 / 2) / 4),  # without a theory, from what was measured
        (RATIO, math.nan, math.log(6 / 2) / 4),
        (Rule("at most", 12.0), None, math.log(12 / 6) / 4),
        (EQUIVALENT, None, math.log(1.25) / 4),
    ],
)
def test_a_block_is_disturbed_if_noise_can_have_moved_it_by_a_quarter_of_the_margin(
    rule: Rule, theory: float | None, quarter: float
) -> None:
    moved = (0.0, quarter * 0.99, quarter * 1.01, quarter * 9, 0.0, quarter * 1.01)
    measured = effect(6.0, 5.0, 7.0).model_copy(update={"shifts": moved})
    assert rule.disturbed(measured, theory) == 3


def test_of_a_behaviour_the_undecided_repetitions_are_the_disturbed_ones() -> None:
    assert Rule("always").disturbed(seen(*[True] * 5, None, None), None) == 2


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kinds = {"R": "ratio", "B": "behaviour", "O": "opinion", "M": "bound"}
    entries = "".join(entry(name, kind=kind) for name, kind in kinds.items())
    folder = tmp_path / "book" / "claims"
    folder.mkdir(parents=True)
    (folder / "some.toml").write_text(entries)
    monkeypatch.setattr(catalogues, "project_root", lambda: tmp_path)
    monkeypatch.setenv(staging.STAGING_VARIABLE, str(tmp_path / "staging"))
    return tmp_path


HOLDS, FAILS = effect(6.0, 5.0, 7.0), effect(1.0, 0.9, 1.1)
HELD, CAUGHT = seen(*[True] * 5), seen(*[False] * 5)


def again(folder: Path, name: str) -> None:
    """Let a claim that was stated be stated anew."""
    (folder / "staging" / f"claim-{name}.json").unlink()


@pytest.mark.parametrize("noisy", [quiet(HOLDS, 1.5, 7.0), quiet(FAILS, 0.8, 2.5)])
def test_noise_neither_supports_nor_refutes_a_claim(declared: Path, noisy: Effect) -> None:
    stated = claim("R", noisy, theory=4.0, sabotage=FAILS)
    record = stated.record
    assert record.verdict == "inconclusive"
    assert record.why == "what was lost to others can explain it"
    assert "inconclusive, because what was lost to others can explain it" in str(stated)
    assert staging.Staging(declared / "staging").claims() == (record,)


def test_noise_in_the_sabotage_leaves_the_claim_undecided(
    declared: Path,
) -> None:
    record = claim("R", HOLDS, at_least=2.0, sabotage=quiet(FAILS, 0.8, 2.5)).record
    assert record.verdict == "inconclusive"
    assert record.why == "its sabotage is undecided: what was lost to others can explain it"
    # nor does noise make a sabotage go unnoticed
    again(declared, "R")
    record = claim("R", HOLDS, at_least=2.0, sabotage=quiet(HOLDS, 1.0, 7.0)).record
    assert record.sabotage is not None
    assert (record.verdict, record.sabotage.verdict) == ("inconclusive", "inconclusive")


def test_a_supported_claim_tells_how_many_blocks_were_disturbed(declared: Path) -> None:
    # A quarter of the way from theory, 16, to its threshold, 4, is ln 4 / 4.
    shifts = (0.0, 0.34, 0.35, 0.4, 0.0, 0.0)
    noisy = quiet(HOLDS, 4.5, 7.0, shifts=shifts)
    stated = claim("R", noisy, theory=16.0, sabotage=FAILS)
    assert (stated.record.verdict, stated.record.disturbed) == ("supported", 2)
    assert stated.record.why == ""
    assert "disturbed: 2 of 6 blocks; the verdict holds with all that noise" in str(stated)


def test_undecided_repetitions_are_told_with_the_claim(declared: Path) -> None:
    stated = claim("B", seen(*[True] * 5, None), sabotage=CAUGHT)
    assert (stated.record.verdict, stated.record.disturbed) == ("supported", 1)
    assert "held in 5 of 5 repetitions, 1 undecided for noise" in str(stated)
    assert "disturbed" not in str(stated)
    again(declared, "B")
    few = claim("B", seen(*[True] * 4, None), sabotage=CAUGHT).record
    assert few.verdict == "inconclusive"
    assert few.why == "only 4 of at least 5 repetitions are decided"


def test_the_versions_of_a_claim_come_from_its_declaration(declared: Path) -> None:
    file = declared / "book" / "claims" / "some.toml"
    file.write_text(file.read_text().replace("[R]\n", '[R]\nversions = "Django 5.2"\n'))
    assert claim("R", HOLDS, at_least=2.0, sabotage=FAILS).record.versions == "Django 5.2"
    assert claim("B", HELD, sabotage=CAUGHT).record.versions == ""


def test_theory_gives_half_of_itself_on_the_log_scale_as_threshold(declared: Path) -> None:
    record = claim("R", HOLDS, theory=9.0, sabotage=FAILS).record
    assert record.threshold == pytest.approx(3.0)
    assert record.sabotage is not None
    assert (record.verdict, record.sabotage.verdict) == ("supported", "refuted")


def test_a_refuted_claim_is_recorded_and_raises(declared: Path) -> None:
    with pytest.raises(ClaimError, match="the data refute R"):
        claim("R", FAILS, at_least=2.0, sabotage=FAILS)
    kept = staging.Staging(declared / "staging").parts()["claims"]
    assert [record.verdict for record in kept] == ["refuted"]


def test_a_sabotage_that_goes_unnoticed_raises(declared: Path) -> None:
    with pytest.raises(ClaimError, match="unnoticed"):
        claim("R", HOLDS, at_least=2.0, sabotage=HOLDS)
    (kept,) = staging.Staging(declared / "staging").claims()
    assert (kept.verdict, kept.why) == ("inconclusive", "its sabotage was not noticed")


def test_in_a_sabotage_run_the_sabotage_stands_in_and_the_claim_is_refuted(
    declared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(staging.SABOTAGE_VARIABLE, "1")
    with pytest.raises(ClaimError, match="the data refute R"):
        claim("R", HOLDS, at_least=2.0, sabotage=FAILS)
    kept = staging.Staging(declared / "staging").parts()["claims"]
    assert [(one.verdict, one.effect) for one in kept] == [("refuted", FAILS)]


def test_a_bound_is_stated_of_a_ratio_or_of_a_quantity(declared: Path) -> None:
    assert claim("M", FAILS, at_most=2.0, sabotage=HOLDS).record.verdict == "supported"
    some = quantity("memory", [1.0, 1.1, 1.2, 1.0, 1.1, 1.3], unit="MiB", probe="p")
    much = quantity("memory", [9.0, 9.1, 9.2, 9.0, 9.1, 9.3], unit="MiB", probe="p")
    again(declared, "M")
    stated = claim("M", some, at_most=2.0, sabotage=much)
    assert stated.record.verdict == "supported"
    assert "1.1 MiB (1–1.3; 6 readings); required: at most 2 MiB" in str(stated)


def test_a_rule_is_written_without_an_exponent() -> None:
    assert str(Rule("at most", 1000.0)) == "at most 1000"
    assert str(Rule("at least", 3.0866)) == "at least 3.09"


def test_a_claim_whose_sabotage_is_not_caught_is_not_supported(declared: Path) -> None:
    record = claim("R", HOLDS, at_least=2.0, sabotage=effect(2.0, 1.5, 2.5)).record
    assert record.verdict == "inconclusive"
    assert record.why.startswith("its sabotage is undecided: its interval reaches both sides")


def test_missing_systems_make_it_not_measured_and_say_which(declared: Path) -> None:
    stated = claim("B", None, sabotage=None, missing=["nginx: scripts/install --system"])
    assert stated.record.verdict == "not measured"
    assert "scripts/install --system" in str(stated)
    with pytest.raises(ClaimError, match="missing"):
        claim("R", None, at_least=2.0, sabotage=None)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("X", {"at_least": 2.0}, "no entry"),
        ("R", {}, "theory"),
        ("R", {"theory": 0.9}, "no effect"),
        ("R", {"theory": 9.0, "at_least": 4.0}, "more than half"),  # closer to theory than half
        ("B", {}, "declared as behaviour"),  # an effect of the wrong kind is no evidence
        ("O", {}, "not stated by a measurement"),
        ("M", {}, "give `at_most`"),
        ("M", {"at_least": 2.0}, "give `at_most`"),
        ("R", {"at_most": 2.0, "at_least": 2.0}, "nothing beside it"),
        ("R", {"at_least": 2.0, "sabotage": None}, "must be able to fail"),
    ],
)
def test_a_badly_declared_claim_says_what_to_do(
    declared: Path, name: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ClaimError, match=says):
        claim(name, HOLDS, **{"sabotage": FAILS, **options})


def test_what_is_said_of_all_and_seen_of_some_is_not_measured(declared: Path) -> None:
    stated = claim("B", HELD, sabotage=CAUGHT, missing=["mod_wsgi: scripts/install --system"])
    assert stated.record.verdict == "not measured"


def test_a_claim_without_trials_is_inconclusive(declared: Path) -> None:
    nothing = HOLDS.model_copy(update={"refused": (finding(),), "estimate": math.nan})
    stated = claim("R", nothing, theory=math.nan, sabotage=nothing)
    assert stated.record.verdict == "inconclusive"
    assert (stated.record.why, stated.record.disturbed) == ("steal", 0)


def test_a_claim_is_stated_once(declared: Path) -> None:
    claim("R", HOLDS, at_least=2.0, sabotage=FAILS)
    with pytest.raises(InputError, match="twice"):
        claim("R", HOLDS, at_least=2.0, sabotage=FAILS)


def test_the_line_in_a_notebook_is_escaped(declared: Path) -> None:
    bad = HOLDS.model_copy(update={"what": "<script> with `--workers <n>`"})
    shown = claim("R", bad, at_least=2.0, sabotage=FAILS)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt; with <code>--workers &lt;n&gt;</code>" in shown


#: What the explainer states, and what a definitive guide adds to it.
STATED = {f"C{n:02}" for n in range(1, 49)}
ADDED = {f"A{n:02}" for n in (*range(1, 9), *range(11, 18), 20, 21, 29, 30)}


def test_the_catalogue_of_the_book_is_well_formed() -> None:
    entries = catalogue()
    assert sorted((STATED | ADDED) - entries.keys()) == []
    assert all(source.url.startswith("https://") for e in entries.values() for source in e.sources)


def test_every_system_of_the_book_is_at_work_in_a_measured_claim() -> None:
    measured = [e for e in catalogue().values() if e.kind not in {"cited", "opinion"}]
    named = {name for entry in measured for name in entry.systems}
    assert sorted((startable() | TOPICS) - named) == []


def test_what_is_not_measured_is_little_and_has_a_source() -> None:
    others = {i: e for i, e in catalogue().items() if e.kind in {"cited", "opinion"}}
    assert others.keys() <= {"C06", "C41"}
    assert all(entry.sources for entry in others.values())


def test_each_claim_is_declared_in_the_file_of_its_notebook() -> None:
    folder = ROOT / "book" / "claims"
    for path in folder.glob("*.toml"):
        named = {entry["notebook"] for entry in tomllib.loads(path.read_text("utf-8")).values()}
        assert named == {path.stem}


def test_a_broken_catalogue_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    with pytest.raises(ClaimError, match="does not exist"):
        catalogue(folder)
    folder.mkdir()
    (folder / "some.toml").write_text("[C01]\ntitle = 3")
    with pytest.raises(ClaimError, match=r"some\.toml"):
        catalogue(folder)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('kind = "behaviour"', 'kind = "behavior"', "B: kind: Input should be 'ratio'"),
        ("[B]\n", '[B]\nsystems = ["waitres"]\n', "B: no system is called waitres; there are adrf"),
    ],
)
def test_an_entry_with_a_wrong_word_is_refused_with_those_that_are_right(
    declared: Path, before: str, after: str, says: str
) -> None:
    file = declared / "book" / "claims" / "some.toml"
    head, found, tail = file.read_text().partition("[B]\n")
    file.write_text(head + (found + tail).replace(before, after, 1))
    with pytest.raises(ClaimError, match=f"some.toml, {says}"):
        catalogue()


@pytest.mark.parametrize("held", [[2, 2, 2], 2, "yes", [1.0]])
def test_a_behaviour_is_not_a_count(held: Any) -> None:
    with pytest.raises(ClaimError, match="give True, False or None for each repetition"):
        behaviour("x", held, probe="p")


def test_an_id_that_is_declared_twice_is_refused(declared: Path) -> None:
    folder = declared / "book" / "claims"
    (folder / "other.toml").write_text((folder / "some.toml").read_text())
    with pytest.raises(ClaimError, match=r"some\.toml declares B, M, O, R a second time"):
        catalogue(folder)


def test_a_claim_about_a_system_that_nobody_started_is_refused(
    declared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = declared / "book" / "claims" / "some.toml"
    text = file.read_text().replace("[B]\n", '[B]\nsystems = ["nginx", "websockets"]\n')
    file.write_text(text)
    monkeypatch.setattr(session, "systems", lambda: frozenset({"uvicorn"}))
    with pytest.raises(ClaimError, match="B names nginx among its systems"):
        claim("B", HELD, sabotage=CAUGHT)
    assert claim("B", None, sabotage=None, missing=["nginx: scripts/install --system"])
    # a fresh folder: a claim is stated once
    monkeypatch.setenv(staging.STAGING_VARIABLE, str(declared / "again"))
    monkeypatch.setattr(session, "systems", lambda: frozenset({"nginx"}))
    assert claim("B", HELD, sabotage=CAUGHT).record.systems == ("nginx", "websockets")
