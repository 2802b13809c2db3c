"""Every kind of run meets every kind of earlier evidence."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from gatewaylab.publish import history
from gatewaylab.publish.acceptance import (
    Decision,
    Reason,
    decide,
    find_doubts,
    find_undecided,
    settle,
    wrong_claims,
)
from gatewaylab.publish.book import Book
from gatewaylab.publish.history import History
from gatewaylab.records import evidence
from gatewaylab.records.evidence import ClaimRecord, Evidence, SabotageRecord
from gatewaylab.records.results import Finding
from gatewaylab.records.storage import save
from tests import builders

NOISE = (
    builders.finding("blocks", "generator", message="2 blocks of at least 6"),
    builders.finding("sent", "generator", message="sent: 9.0 % missing is above 1 %"),
)
NOISY_RULES = "blocks, sent"


def _claim(identifier: str = "C05", estimate: float = 6.0, **changes: Any) -> ClaimRecord:
    effect = builders.effect(estimate, estimate / 1.01, estimate * 1.01)
    return builders.claim_record(identifier, effect=effect).model_copy(update=changes)


def _refused(identifier: str, *reasons: Finding) -> ClaimRecord:
    effect = builders.effect(6.0, 5.0, 7.0, refused=reasons)
    return _claim(identifier, verdict="inconclusive", effect=effect)


def _run(*claims: ClaimRecord, key: str = "new") -> Evidence:
    return builders.evidence(key=key, claims=claims)


WHOLE = _run(_claim("C05"), _claim("C13"))
NOISY = _run(_claim("C05"), _refused("C13", *NOISE))
NOISIER = _run(_refused("C05", *NOISE), _refused("C13", *NOISE))
FAR = _run(_claim("C05", 60.0), _claim("C13"))
FAR_AND_NOISY = _run(_claim("C05", 60.0), _refused("C13", *NOISE))
BLIND = SabotageRecord(what="b ÷ b", effect=builders.effect(6.0, 5.0, 7.0), verdict="supported")
RUNS = {
    "whole": WHOLE,
    "noisy": NOISY,
    "noisier": NOISIER,
    "far": FAR,
    "far and noisy": FAR_AND_NOISY,
    "refuted": _run(_claim("C05"), _claim("C13", verdict="refuted")),
    "blind": _run(_claim("C05"), _claim("C13", sabotage=BLIND)),
}
OLD = {
    "none": None,
    "whole, same key": WHOLE,
    "whole, other key": WHOLE.model_copy(update={"key": "old"}),
    "noisy, same key": NOISY,
    "noisy, other key": NOISY.model_copy(update={"key": "old"}),
}
PAST = History(notebook="some")
for estimate in (5.8, 5.9, 6.0, 6.1, 6.2):
    PAST = PAST.extended(_run(_claim("C05", estimate), _claim("C13", estimate)))


@pytest.mark.parametrize("old", OLD)
@pytest.mark.parametrize(
    ("run", "state", "kept_over"),
    [
        ("whole", "accepted", set(OLD)),
        # As much as the incomplete evidence has, and where there is none, better than nothing.
        ("noisy", "unstable", {"none", "noisy, same key", "noisy, other key"}),
        ("noisier", "unstable", {"none"}),
        ("far", "unstable", set()),
        ("far and noisy", "unstable", set()),
        ("refuted", "rejected", set()),
        ("blind", "rejected", set()),
    ],
)
def test_a_run_is_kept_only_where_no_number_is_lost_and_none_is_wrong(
    run: str, state: str, kept_over: set[str], old: str
) -> None:
    found = decide(RUNS[run], OLD[old], PAST, None)
    assert (found.state, found.kept) == (state, old in kept_over)
    assert bool(found.reasons) == (state != "accepted")


def test_without_a_past_nothing_is_far() -> None:
    assert decide(FAR, WHOLE, History(notebook="some"), None) == Decision("accepted", kept=True)


def test_reasons_name_claims_and_rules_and_quote_no_number() -> None:
    noisy = Reason(kind="noise", text=f"C05, C13: {NOISY_RULES}")
    assert decide(NOISIER, None, PAST, None).reasons == (noisy,)
    far = Reason(kind="held", text="C05 lies far above its earlier numbers")
    assert decide(FAR, None, PAST, None).reasons == (far,)
    both = decide(FAR_AND_NOISY, None, PAST, None).reasons
    assert both == (Reason(kind="noise", text=f"C13: {NOISY_RULES}"), far)
    assert wrong_claims(RUNS["refuted"].claims) == (
        Reason(kind="wrong", text="the data refute C13"),
    )
    blind = Reason(kind="wrong", text="the sabotage of C13 went unnoticed")
    assert wrong_claims(RUNS["blind"].claims) == (blind,)
    assert wrong_claims(NOISIER.claims) == wrong_claims(WHOLE.claims) == ()
    assert str(far) == far.text  # the console prints it as it is


def test_a_refused_sabotage_leaves_a_claim_undecided_too() -> None:
    effect = builders.effect(6.0, 5.0, 7.0, refused=NOISE)
    refused = SabotageRecord(what="b ÷ b", effect=effect, verdict="inconclusive")
    run = _run(_claim("C13", verdict="inconclusive", sabotage=refused))
    assert find_doubts(run) == (Reason(kind="noise", text=f"C13: {NOISY_RULES}"),)


def test_a_behaviour_seen_too_seldom_leaves_a_claim_undecided() -> None:
    seldom = builders.effect(1.0, 1.0, 1.0).model_copy(update={"kind": "behaviour", "blocks": 4})
    assert find_doubts(_run(_claim(effect=seldom, verdict="inconclusive"))) == (
        Reason(kind="noise", text="C05: too few accepted repetitions"),
    )
    # A sabotage is refuted by one repetition, and a claim that is decided leaves no doubt.
    assert find_doubts(_run(_claim(effect=seldom, verdict="supported"))) == ()
    often = seldom.model_copy(update={"blocks": 5, "undecided": 20})
    assert find_doubts(_run(_claim(effect=often))) == ()


def test_claims_that_noise_leaves_inconclusive_have_their_number_and_are_accepted() -> None:
    seen = builders.quieted(builders.effect(6.0, 5.95, 6.05), 1.0, 6.1)
    why = "what was lost to others can explain it"
    disputed = _claim("C13", verdict="inconclusive", effect=seen, why=why, disturbed=6)
    tried = builders.quieted(builders.effect(1.0, 0.9, 1.1), 0.9, 6.0)
    blurred = SabotageRecord(what="b ÷ b", effect=tried, verdict="inconclusive")
    for run in (
        _run(_claim("C05"), disputed),
        _run(_claim("C05"), _claim("C13", verdict="inconclusive", sabotage=blurred)),
    ):
        for old in OLD.values():
            assert decide(run, old, PAST, None) == Decision("accepted", kept=True)
        assert find_undecided(run) == frozenset()


def test_what_a_missing_system_leaves_open_is_no_noise() -> None:
    absent = _claim(verdict="not measured", effect=None, sabotage=None, missing=("mod_wsgi",))
    assert decide(_run(absent), WHOLE, PAST, None) == Decision("accepted", kept=True)


# What is written down


@pytest.fixture
def book(tmp_path: Any) -> Book:
    found = Book(tmp_path)
    save(PAST, found.history("some"))
    evidence.accept(WHOLE, found.evidence)
    return found


def _settle(book: Book, run: Evidence) -> tuple[Decision, str]:
    out = io.StringIO()
    old = evidence.read(book.evidence / "some.json")
    return settle(run, old, book, Console(file=out, width=300)), out.getvalue()


def _shown(book: Book) -> float:
    effect = evidence.read(book.evidence / "some.json").claims[0].effect
    assert effect is not None
    return effect.estimate


def _moved(estimate: float) -> Evidence:
    return _run(_claim("C05", estimate), _claim("C13"))


def test_a_held_run_counts_when_the_next_one_agrees(book: Book) -> None:
    found, _ = _settle(book, _moved(60.0))
    assert (found.state, found.kept) == ("unstable", False)
    assert (_shown(book), book.held("some").exists()) == (6.0, True)
    found, _ = _settle(book, _moved(60.6))
    assert (found.state, found.kept) == ("accepted", True)
    assert (_shown(book), book.held("some").exists()) == (60.6, False)
    # The level has moved: a third run near it is not held again, and the old level is far.
    found, _ = _settle(book, _moved(61.0))
    assert found.kept


def test_a_held_run_is_replaced_by_the_next_one_that_disagrees(book: Book) -> None:
    _settle(book, _moved(60.0))
    found, _ = _settle(book, _moved(70.0))
    assert (found.state, found.kept, _shown(book)) == ("unstable", False, 6.0)
    found, _ = _settle(book, _moved(60.0))
    assert not found.kept
    found, _ = _settle(book, _moved(60.0))
    assert (found.kept, _shown(book)) == (True, 60.0)


def test_a_run_as_usual_ends_the_wait_of_a_held_one(book: Book) -> None:
    _settle(book, _moved(60.0))
    found, _ = _settle(book, _moved(6.05))
    assert (found.kept, _shown(book), book.held("some").exists()) == (True, 6.05, False)


def test_only_accepted_numbers_enter_the_history(book: Book) -> None:
    before = len(PAST.entries)

    def entries() -> int:
        return len(history.read(book.history("some"), "some").entries)

    for run in ("far", "refuted", "noisy"):
        _settle(book, RUNS[run])
        assert entries() == before
    _settle(book, WHOLE)
    assert entries() == before + 2


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"notebook": "other", "entries": []}'])
def test_unusable_history_and_held_files_are_told_and_ignored(book: Book, text: str) -> None:
    for file in (book.history("some"), book.held("some")):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    found, said = _settle(book, _moved(60.0))
    assert found.kept
    assert "the history of some is unusable" in said
    assert "the held run of some is unusable" in said
    assert len(history.read(book.history("some"), "some").entries) == 2
