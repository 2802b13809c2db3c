from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gatewaylab.publish import states
from gatewaylab.publish.acceptance import Reason
from gatewaylab.publish.book import usable
from gatewaylab.publish.states import Attempt, StateRecord, derive, recalled
from gatewaylab.records.evidence import Evidence
from gatewaylab.records.storage import load
from tests import builders

MEASURED = "2026-01-01T00:00:00+00:00"  # of the builder's evidence
BEFORE, AFTER = "2025-12-31T23:59:59+00:00", "2026-01-01T02:00:00+01:00"
REFUSED = builders.effect(1.0, 1.0, 1.0, refused=(builders.finding("sent", "generator"),))
NOISY = builders.claim_record(verdict="inconclusive", effect=REFUSED)
WHOLE, PARTIAL = builders.evidence(), builders.evidence(claims=(NOISY,))
LACKING = Reason(kind="noise", text="C05: sent")


def _wrong(text: str) -> Reason:
    return Reason(kind="wrong", text=text)


FAILED = {
    "unstable": Attempt("unstable", (LACKING,), AFTER),
    "rejected": Attempt("rejected", (_wrong("a cell raised ValueError"),), AFTER),
}


@pytest.mark.parametrize(
    ("stored", "current", "failed", "state"),
    [
        (None, True, None, "missing"),
        (None, True, "unstable", "unstable"),
        (None, True, "rejected", "rejected"),
        (WHOLE, True, None, "accepted"),
        (WHOLE, False, None, "stale"),
        (WHOLE, True, "unstable", "unstable"),
        (WHOLE, False, "unstable", "unstable"),
        (WHOLE, True, "rejected", "rejected"),
        (WHOLE, False, "rejected", "rejected"),
        (PARTIAL, True, None, "unstable"),
        (PARTIAL, False, None, "unstable"),
        (PARTIAL, True, "rejected", "rejected"),
    ],
)
def test_evidence_and_the_last_attempt_give_the_state(
    stored: Evidence | None, current: bool, failed: str | None, state: str
) -> None:
    attempt = FAILED[failed] if failed else None
    found = derive("some", stored, current=current, failed=attempt)
    assert found.state == state
    assert found.current == (stored is None or current)
    if attempt is not None:
        assert (found.reasons, found.at) == (attempt.reasons, attempt.at)
    else:
        assert found.reasons == ((LACKING,) if stored is PARTIAL else ())
        assert found.at == (None if stored is None else MEASURED)


@pytest.mark.parametrize("state", ["unstable", "rejected"])
def test_a_failed_attempt_is_remembered_until_evidence_comes_after_it(state: str) -> None:
    last = derive("some", WHOLE, failed=FAILED[state])
    assert recalled(last, WHOLE) == FAILED[state]
    assert recalled(last, None) == FAILED[state]
    newer = builders.evidence(measured_at="2026-01-01T01:00:00+00:00")
    assert recalled(last, newer) is None  # equal moments in other zones: it was that attempt
    assert recalled(last.model_copy(update={"at": BEFORE}), WHOLE) is None


@pytest.mark.parametrize("stored", [None, WHOLE])
def test_what_did_not_fail_is_found_out_anew(stored: Evidence | None) -> None:
    assert recalled(None, stored) is None
    assert recalled(derive("some", stored, current=False), stored) is None


def test_an_unchanged_state_leaves_its_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    first = states.write(path, None, derive("some", WHOLE), "then")
    os.utime(path, ns=(1, 1))
    again = states.write(path, load(StateRecord, path), derive("some", WHOLE), "now")
    assert (again, path.stat().st_mtime_ns) == (first, 1)
    stale = states.write(path, load(StateRecord, path), derive("some", WHOLE, current=False), "now")
    assert (stale.since, load(StateRecord, path)) == ("now", stale)


def test_other_reasons_are_written_and_keep_the_time_since_when(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    states.write(path, None, derive("some", WHOLE, failed=FAILED["rejected"]), "then")
    other = Attempt("rejected", (_wrong("another"),), AFTER)
    states.write(path, load(StateRecord, path), derive("some", WHOLE, failed=other), "now")
    found = load(StateRecord, path)
    assert (found.reasons, found.since) == ((_wrong("another"),), "then")


def test_a_claim_that_noise_leaves_inconclusive_does_not_make_its_notebook_unstable() -> None:
    seen = builders.quieted(builders.effect(6.0, 5.0, 7.0), 1.0, 7.0)
    why = "what was lost to others can explain it"
    disputed = builders.claim_record(verdict="inconclusive", effect=seen, why=why)
    found = derive("some", builders.evidence(claims=(disputed,)))
    assert (found.state, found.reasons) == ("accepted", ())


@pytest.mark.parametrize("kind", ["wrong", "noise", "held"])
def test_a_reason_of_each_kind_survives_its_file(tmp_path: Path, kind: Any) -> None:
    attempt = Attempt("unstable", (Reason(kind=kind, text="held: C05 is a name"),), AFTER)
    path = tmp_path / "some.json"
    written = states.write(path, None, derive("some", WHOLE, failed=attempt), "then")
    assert load(StateRecord, path) == written
    assert recalled(written, WHOLE) == attempt


PLAIN = '{"notebook": "some", "state": "unstable", "reasons": ["held: a plain text"]}'


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"notebook": "some", "state": "fine"}', PLAIN],
)
def test_an_unusable_state_is_told_and_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "some.json").write_text(text)
    console = Console(record=True, file=io.StringIO())
    assert usable(StateRecord, tmp_path / "some.json", console, "the state is unusable") is None
    assert console.export_text().startswith("the state is unusable: ")


def test_no_file_is_no_state(tmp_path: Path) -> None:
    console = Console(record=True, file=io.StringIO())
    assert usable(StateRecord, tmp_path / "some.json", console, "the state is unusable") is None
    assert console.export_text() == ""


def test_every_state_has_its_place_in_the_order() -> None:
    assert set(states.STATES) == set(StateRecord.model_json_schema()["properties"]["state"]["enum"])
