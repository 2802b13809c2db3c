"""Where sets of claims come from: folders, builds, and files that were sent in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewaylab.errors import InputError, ResultError
from gatewaylab.publish.acceptance import Reason
from gatewaylab.publish.differences import contrast
from gatewaylab.publish.replications import export, read_set, received
from gatewaylab.publish.states import State, StateRecord
from gatewaylab.records import evidence, replication
from gatewaylab.records.staging import Staging
from gatewaylab.records.storage import save
from tests import builders


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """The build folder of a clone with one accepted chapter."""
    folder = tmp_path / "clone" / "_build"
    evidence.accept(builders.evidence(), folder / "evidence")
    return folder


def turn_down(build: Path, notebook: str, *reasons: str, state: State = "rejected") -> None:
    """Make the last attempt of a chapter one that was not accepted."""
    why = tuple(Reason(kind="wrong", text=text) for text in reasons)
    at = "2026-01-02T00:00:00+00:00"
    record = StateRecord(notebook=notebook, state=state, reasons=why, at=at)
    save(record, build / "state" / f"{notebook}.json")


def test_a_folder_and_the_file_made_of_it_say_the_same(build: Path, tmp_path: Path) -> None:
    sent = tmp_path / "sent.json"
    written = export(build / "evidence", sent, "  a laptop,\n on battery ")
    assert written.note == "a laptop, on battery"
    assert read_set(sent) == written
    found = contrast(read_set(build / "evidence"), read_set(sent))
    assert found.summary == "1 of 1 claims hold in both; none disagrees."
    assert found.surroundings == ()


def test_a_claim_that_was_refuted_is_in_the_set_without_its_number(build: Path) -> None:
    turn_down(build, "some", "the data refute C05")
    Staging(build / "staging" / "some").claim(builders.claim_record("C05", "refuted"))
    Staging(build / "staging" / "some").claim(builders.claim_record("C06"))
    found = read_set(build / "evidence")
    assert found.chapters["some"].rejected == ("the data refute C05",)
    assert found.claims["C05"].verdict == "refuted"
    assert found.claims["C05"].effect is None
    assert "C06" not in found.claims  # that attempt was not accepted
    assert contrast(builders.replication(), found).summary.endswith("1 disagrees: C05.")


def test_a_chapter_that_was_never_accepted_has_what_it_refuted_and_this_machine(
    build: Path, tmp_path: Path
) -> None:
    turn_down(build, "other", f"a cell raised in {tmp_path}/x.py")
    Staging(build / "staging" / "other").claim(builders.claim_record("C09", "refuted"))
    found = read_set(build / "evidence")
    assert list(found.chapters) == ["other", "some"]
    chapter = found.chapters["other"]
    assert chapter.rejected == ("a cell raised in …",)
    assert list(chapter.claims) == ["C09"]
    assert chapter.machine.cores >= 1
    assert chapter.measured_at == "2026-01-02T00:00:00+00:00"


def test_a_set_of_nothing_but_refusals_can_be_passed_on(tmp_path: Path) -> None:
    turn_down(tmp_path, "other", "the data refute C09")
    Staging(tmp_path / "staging" / "other").claim(builders.claim_record("C09", "refuted"))
    (tmp_path / "evidence").mkdir()
    sent = tmp_path / "sent.json"
    export(tmp_path / "evidence", sent)
    assert replication.read(sent).claims["C09"].verdict == "refuted"


def test_an_attempt_that_was_only_noisy_changes_nothing(build: Path) -> None:
    turn_down(build, "some", "C05: steal", state="unstable")
    Staging(build / "staging" / "some").claim(builders.claim_record("C05", "inconclusive"))
    found = read_set(build / "evidence")
    assert found.chapters["some"].rejected == ()
    assert found.claims["C05"].verdict == "supported"


def test_what_lies_beside_another_folder_is_no_state_of_it(build: Path) -> None:
    turn_down(build, "some", "the data refute C05")
    reference = (build / "evidence").rename(build / "reference")
    assert read_set(reference).chapters["some"].rejected == ()


def test_a_path_without_evidence_is_refused_with_what_to_give(build: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not exist; give a folder of evidence"):
        read_set(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"holds no evidence; measure first"):
        read_set(build.parent)
    with pytest.raises(ResultError, match=r"is no replication; ask for it again"):
        read_set(build / "evidence" / "some.json")  # one chapter's evidence is not a set
    (build / "evidence" / "odd.json").write_text("{}")
    with pytest.raises(ResultError, match=r"odd\.json is not a valid Evidence"):
        read_set(build / "evidence")


def test_a_note_has_its_limit(build: Path, tmp_path: Path) -> None:
    export(build / "evidence", tmp_path / "a.json", "x" * 300)
    with pytest.raises(InputError, match="has 301 characters; say it in 300"):
        export(build / "evidence", tmp_path / "a.json", "x" * 301)


def test_what_was_sent_in_is_found_by_name_and_one_damaged_file_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "replications"
    assert received(folder) == {}
    found = builders.replication()
    for name in ("b", "a"):
        replication.save(found, folder / f"{name}.json")
    assert received(folder) == {"a": found, "b": found}
    content = json.loads((folder / "a.json").read_text()) | {"note": "better"}
    (folder / "a.json").write_text(json.dumps(content))
    with pytest.raises(ResultError, match=r"a\.json was changed"):
        received(folder)
