"""Two sets of claims compared."""

from __future__ import annotations

import json
import math

import pytest

from gatewaylab.publish.differences import contrast, judge
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import ClaimRecord
from gatewaylab.records.replication import ReplicatedChapter, Replication, claim_of
from tests import builders

INTERVAL = "its interval reaches both sides of the threshold"


def sized(estimate: float, low: float, high: float, **changes: object) -> ClaimRecord:
    return builders.claim_record(effect=builders.effect(estimate, low, high, **changes))


def behaves(verdict: str = "supported", held: int = 5, **changes: object) -> ClaimRecord:
    return builders.claim_record(
        "A12", verdict, kind="behaviour", threshold=None, rule="in every repetition",
        effect=builders.behaviour(held), **changes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "judgement"),
    [
        (sized(6, 5, 7), sized(6, 5, 7), "same"),
        (sized(6, 5, 7), sized(9, 7, 11), "same"),  # the intervals touch
        (sized(6, 5, 7), sized(9, 7.1, 11), "another size"),
        (sized(9, 7.1, 11), sized(6, 5, 7), "another size"),
        (sized(6, 5.9, 6.1), sized(7.4, 7.3, 7.5), "same"),  # apart, by less than 1.25
        (sized(6, 5.9, 6.1), sized(7.6, 7.5, 7.7), "another size"),
        (sized(6, 5.9, 6.1), sized(7.6, 7.5, 7.7, floor=1.4), "same"),  # by less than its noise
        (sized(6, 5.9, 6.1, floor=1.4), sized(7.6, 7.5, 7.7), "same"),
        (sized(-2, -3, -1), sized(2, 1, 3), "another size"),  # no factor: the intervals decide
        (sized(-2, -3, -1), sized(-1, -2, 0), "same"),
        (sized(math.inf, 9, math.inf), sized(math.inf, 8, math.inf), "same"),
        (sized(math.inf, 9, math.inf), sized(3, 2, 4), "another size"),
        (behaves(), behaves(), "same"),
        (behaves(), behaves("refuted", 4), "disagrees"),
        (behaves("refuted", 4), behaves(), "disagrees"),
        (behaves("refuted", 4), behaves("refuted", 3), "same"),
        (behaves(), behaves("inconclusive", 4), "undecided"),
        (behaves("refuted"), behaves("inconclusive"), "undecided"),
        (behaves(), behaves("not measured"), "not measured"),
        (behaves("inconclusive"), behaves("not measured"), "not measured"),
    ],
)
def test_outcomes_are_judged(one: ClaimRecord, other: ClaimRecord, judgement: str) -> None:
    assert judge(claim_of(one), claim_of(other)) == judgement
    assert judge(claim_of(other), claim_of(one)) == judgement


def test_a_claim_that_is_decided_otherwise_is_not_compared() -> None:
    one = claim_of(builders.claim_record(threshold=2.0))
    assert judge(one, claim_of(builders.claim_record(threshold=2.0 + 1e-9))) == "same"
    assert judge(one, claim_of(builders.claim_record(threshold=3.0))) == "another claim"
    assert judge(one, claim_of(builders.claim_record(threshold=None))) == "another claim"
    bound = claim_of(builders.claim_record("C05", "refuted", kind="bound"))
    assert judge(one, bound) == "another claim"
    assert judge(one, None) == judge(None, one) == "on one side"


def pair_of(one: Replication, other: Replication) -> str:
    (pair,) = contrast(one, other).claims
    return pair.sentence


NEW = builders.machine(python="CPython 3.13.1", packages={"hypercorn": "0.18", "django": "6"})
OLD = builders.machine(packages={"hypercorn": "0.17", "django": "6"})


def test_a_disagreement_says_what_was_claimed_where_it_failed_and_with_which_versions() -> None:
    systems = ("hypercorn", "django")
    claim = behaves(statement="A stream is ended.", systems=systems)
    failed = behaves("refuted", 3, statement="A stream is ended.", systems=systems)
    one = builders.replication(claim, notebook="when-servers-stop", environment=OLD)
    other = builders.replication(failed, notebook="when-servers-stop", environment=NEW)
    assert pair_of(one, other) == (
        "A12 (When servers stop) holds on Python 3.11 and was refuted on Python 3.13. It says: "
        "A stream is ended. For A12, hypercorn is 0.17 on Python 3.11, 0.18 on Python 3.13."
    )
    assert "holds on Python 3.11 and was refuted on Python 3.13" in pair_of(other, one)


def test_what_tells_two_machines_apart_is_python_then_the_processor_then_their_letter() -> None:
    one = builders.replication(sized(6, 5, 7))
    for machine, place in (
        (builders.machine(python="CPython 3.13.1"), "on Python 3.13"),
        (builders.machine(python="CPython 3.11.9"), "in B"),
        (builders.machine(gil=False), "on Python 3.11 without GIL"),
        (builders.machine(python="PyPy 3.11.2"), "on PyPy 3.11"),
        (builders.machine(cores=8), "on a processor × 8"),
    ):
        told = pair_of(one, builders.replication(sized(20, 15, 25), environment=machine))
        assert f"20 × (15–25) {place}" in told
        assert "C05 (Some) holds in both, in another size: 6 × (5–7)" in told
        assert "the rule is at least 2." in told


def test_an_undecided_claim_says_why_and_what_the_other_found() -> None:
    doubtful = builders.claim_record(verdict="inconclusive", why=INTERVAL)
    one, other = builders.replication(doubtful), builders.replication(sized(6, 5, 7))
    expected = f"C05 (Some) is undecided in A ({INTERVAL}) and holds in B, 6 × (5–7)."
    assert pair_of(one, other) == expected
    assert f"is undecided in B ({INTERVAL}) and holds in A" in pair_of(other, one)
    assert pair_of(one, one) == f"C05 (Some) is undecided in both ({INTERVAL})."


def test_a_missing_system_is_named() -> None:
    lacking = behaves("not measured", missing=("redis: apt-get install redis",))
    told = pair_of(builders.replication(behaves()), builders.replication(lacking))
    assert told == "A12 (Some) holds in A and was not measured in B, where redis was missing."


def test_alike_claims_and_other_rules_are_told_with_their_numbers() -> None:
    one = builders.replication(sized(6, 5, 7))
    alike = pair_of(one, builders.replication(sized(7, 6, 8)))
    assert alike == "C05 (Some) holds in both: 6 × (5–7) in A, 7 × (6–8) in B."
    stricter = builders.claim_record(threshold=3.0, rule="at least 3")
    assert pair_of(one, builders.replication(stricter)) == (
        "C05 (Some) is decided otherwise: ratio, at least 2 in A; ratio, at least 3 in B. It is "
        "not compared."
    )


def many(*verdicts: str) -> Replication:
    names = [f"A{number:02}" for number in range(len(verdicts))]
    return builders.replication(
        *(
            builders.claim_record(name, verdict, effect=None if verdict == "refuted" else SMALL)
            for name, verdict in zip(names, verdicts, strict=True)
            if verdict != "cited"
        )
    )


SMALL: Effect = builders.effect(6, 5, 7)


def test_the_summary_counts_every_claim_once() -> None:
    one = many("supported", "supported", "supported", "supported", "inconclusive")
    other = many("supported", "inconclusive", "not measured", "supported", "supported")
    found = contrast(one, other)
    assert found.summary == (
        "2 of 5 claims hold in both; 2 undecided; 1 not measured; none disagrees."
    )
    assert [pair.id for pair in found.changed] == ["A01", "A04", "A02"]
    here = contrast(one, one, ("in the reference", "here"))
    assert here.summary == "4 of 5 claims hold here too; 1 undecided; none disagrees."


def test_disagreements_come_first_and_are_named() -> None:
    def refuting(*ids: str) -> Replication:
        whole = many("supported", "supported", "supported")
        chapter = whole.chapters["some"]
        claims = {
            name: claim.model_copy(update={"verdict": "refuted", "effect": None})
            if name in ids else claim
            for name, claim in chapter.claims.items()
        }  # fmt: skip
        updated = chapter.model_copy(update={"claims": claims})
        return whole.model_copy(update={"chapters": {"some": updated}})

    found = contrast(refuting(), refuting("A02"))
    assert found.summary == "2 of 3 claims hold in both; 1 disagrees: A02."
    assert [pair.id for pair in found.claims] == ["A02", "A00", "A01"]
    assert contrast(refuting(), refuting("A00", "A02")).summary.endswith("2 disagree: A00, A02.")


def test_what_is_cited_is_not_counted() -> None:
    cited = builders.claim_record("C90", "not measured", kind="cited", effect=None, sabotage=None)
    found = contrast(builders.replication(cited), builders.replication(cited))
    assert found.claims == ()


def test_a_chapter_that_one_has_not_got_is_told() -> None:
    one = builders.replication(notebook="slow-clients")
    other = builders.replication(builders.claim_record("C06"), notebook="workers")
    found = contrast(one, other)
    assert found.absent == (
        "Workers was not measured in A; none of its claims is compared.",
        "Slow clients was not measured in B; none of its claims is compared.",
    )
    assert found.summary == "0 of 2 claims hold in both; 2 on one side; none disagrees."
    assert found.changed == ()


def test_claims_of_another_edition_and_other_words_are_told() -> None:
    one = builders.replication(builders.claim_record("C06"), builders.claim_record("C07"))
    other = builders.replication(
        builders.claim_record("C06", statement="the book says otherwise"),
        builders.claim_record("C08"),
    )
    assert contrast(one, other).absent == (
        "Only in A, of another edition of the chapter: C07.",
        "Only in B, of another edition of the chapter: C08.",
        "Worded otherwise in the two editions, and compared all the same: C06.",
    )


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ("it waits on Python 3.12 and later", True),
        ("it waits since hypercorn 0.18", True),
        ("it waits since django 6", False),  # not a system of the claim
        ("", False),
    ],
)
def test_a_claim_that_holds_in_both_by_another_version_is_told(versions: str, told: bool) -> None:
    claim = behaves(versions=versions, systems=("hypercorn",))
    old = builders.machine(python="CPython 3.11.7", packages={"hypercorn": "0.17", "django": "5"})
    found = contrast(
        builders.replication(claim, environment=old), builders.replication(claim, environment=NEW)
    )
    assert found.absent == (
        ("A12 (Some) holds on Python 3.11 and on Python 3.13, and can say another thing of each: "
         f"{versions}.",) if told else ()
    )  # fmt: skip
    same = builders.replication(claim, environment=NEW)
    assert contrast(same, same).absent == ()


def test_a_rejected_chapter_is_told_with_its_reasons() -> None:
    whole = builders.replication()
    turned: ReplicatedChapter = whole.chapters["some"].model_copy(
        update={"rejected": ("the data refute C05",)}
    )
    other = whole.model_copy(update={"chapters": {"some": turned}})
    assert contrast(whole, other).absent == ("Some was rejected in B: the data refute C05.",)


def test_only_what_differs_between_the_machines_is_listed() -> None:
    slow = builders.evidence(
        comparisons=(
            builders.comparison(
                "c", [builders.trial("a", 0, [0.1], health={"steal": 0.3})], labels=["a"]
            ),
        )
    )
    one = builders.replication(environment=OLD, comparisons=slow.comparisons)
    other = builders.replication(environment=NEW, profile="full")
    rows = [(row.what, row.one, row.other) for row in contrast(one, other).surroundings]
    assert rows == [
        ("Python", "CPython 3.11.7", "CPython 3.13.1"),
        ("Profile", "quick", "full"),
        ("hypercorn", "0.17", "0.18"),
        ("Taken by the host, share of the time", "0.3", "–"),
    ]
    assert contrast(one, one).surroundings == ()


def test_it_is_data_as_well() -> None:
    infinite = builders.replication(sized(math.inf, 9, math.inf))
    told = json.loads(json.dumps(contrast(infinite, many("supported")).as_dict(), allow_nan=False))
    assert told["schema_version"] == 1
    by_id = {row["id"]: row for row in told["claims"]}
    assert by_id["C05"]["one"]["effect"]["high"] == "Infinity"
    assert by_id["C05"]["other"] is None
    assert by_id["A00"]["judgement"] == "on one side"
