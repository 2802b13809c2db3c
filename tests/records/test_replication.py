"""The file that a machine's owner can send in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewaylab.errors import ResultError
from gatewaylab.records import replication
from gatewaylab.records.evidence import SabotageRecord, SystemRecord
from gatewaylab.records.replication import Replication, chapter_of, claim_of, read, save
from tests import builders

HOST, USER, FOLDER = "planted-host", "planted-user", "/srv/planted-folder/clone"
PLANTED = (HOST, USER, "planted-folder", "planted-output", "planted-setup", "planted-kernel")


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine and its user have names that occur nowhere else.

    ``tmp_path`` comes first, because pytest calls its folder after the user.
    """
    monkeypatch.setattr("platform.node", lambda: HOST)
    monkeypatch.setattr("getpass.getuser", lambda: USER)


@pytest.mark.usefixtures("named")
def test_no_name_of_host_user_or_path_is_in_the_file(tmp_path: Path) -> None:
    said = f"{USER} on {HOST}, {FOLDER}/x.log, ~/planted-folder/x"
    refused = builders.effect(1, 1, 1, refused=(builders.finding("steal", message=said),))
    record = builders.claim_record(
        "C01", "inconclusive", effect=refused, why=f"it failed in {said}",
        missing=(f"redis: {FOLDER}/bin/pip install redis as {USER}",),
        sabotage=SabotageRecord(what="b", effect=refused, verdict="inconclusive"),
    )  # fmt: skip
    trial = builders.trial("a", 0, [0.1], setup={"planted-setup": said}, health={"steal": 0.25})
    other = builders.trial("a", 1, [0.1], health={"steal": 0.75, "others": 0.5})
    chapter = chapter_of(
        builders.evidence(
            claims=(record,),
            comparisons=(builders.comparison("c", [trial, other], labels=["a"]),),
            environment=builders.machine(kernel="6.1.22-planted-kernel"),
            executed={"cells": [{"outputs": ["planted-output", said]}]},
        )
    )
    path = tmp_path / "sent.json"
    found = Replication(version="0", commit=None, at="", chapters={"some": chapter})
    save(found, path)
    text = path.read_text()
    assert [name for name in PLANTED if name in text] == []
    assert "/" not in text
    assert chapter.claims["C01"].missing == ("redis",)
    assert chapter.claims["C01"].why == "it failed in … on …, …, …"
    assert chapter.machine.kernel == "6.1.22"
    assert chapter.noise == {"steal": 0.5}
    assert read(path).model_dump_json() == found.model_dump_json()  # NaN equals nothing


def test_a_user_without_a_name_keeps_nothing_from_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nameless() -> str:
        raise KeyError("uid 4711")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert replication.without_names("a word") == "a word"


def test_what_an_effect_was_computed_from_is_left_out_and_what_decides_is_kept() -> None:
    measured = builders.effect(6, 5, 7, shifts=(0.1,) * 6, floor=1.1)
    kept = claim_of(builders.claim_record(effect=measured)).effect
    assert kept is not None
    assert (kept.values, kept.shifts) == ((), ())
    assert (kept.estimate, kept.low, kept.high, kept.floor, kept.blocks) == (6, 5, 7, 1.1, 6)
    held = claim_of(builders.claim_record(kind="behaviour", effect=builders.behaviour(4))).effect
    assert held is not None
    assert held.values == (1, 1, 1, 1, 0)


def test_of_what_was_refused_or_refuted_no_number_is_kept(tmp_path: Path) -> None:
    refused = builders.effect(6, 5, 7, refused=(builders.finding("steal"),))
    kept = claim_of(builders.claim_record(verdict="inconclusive", effect=refused)).effect
    assert kept is not None
    assert [finding.message for finding in kept.refused] == ["steal"]
    assert claim_of(builders.claim_record(verdict="refuted")).effect is None
    found = builders.replication(builders.claim_record(verdict="inconclusive", effect=refused))
    save(found, tmp_path / "a.json")
    again = read(tmp_path / "a.json").claims["C05"].effect
    assert again is not None
    assert again.refused[0].rule == "steal"


def test_an_infinite_bound_is_read_back(tmp_path: Path) -> None:
    found = builders.replication(builders.claim_record(effect=builders.effect(6, 5, float("inf"))))
    save(found, tmp_path / "a.json")
    assert read(tmp_path / "a.json") == found


def test_the_version_of_a_server_that_is_not_from_pypi_is_kept() -> None:
    row = {"title": "t", "interface": "wsgi", "slot_kind": "thread", "measured": True, "hint": ""}
    rows = (
        SystemRecord.model_validate({**row, "name": "mod_wsgi", "version": "4.9"}),
        SystemRecord.model_validate({**row, "name": "gunicorn-sync", "version": "27"}),
    )
    assert chapter_of(builders.evidence(systems=rows)).machine.packages == {"mod_wsgi": "4.9"}


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    path = tmp_path / "sent.json"
    save(builders.replication(note="a laptop"), path)
    return path


def test_a_file_with_other_line_ends_and_indents_is_the_same(sent: Path) -> None:
    was = read(sent)
    sent.write_bytes(
        json.dumps(json.loads(sent.read_text()), indent=4).replace("\n", "\r\n").encode()
    )
    assert read(sent) == was


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"supported"', '"refuted"', "was changed after it was written"),
        ("a laptop", "a server", "was changed after it was written"),
        ('"schema_version": 1', '"schema_version": 2', "has format 2, and this edition reads 1"),
        ('"checksum"', '"sum"', "is no replication"),
    ],
)
def test_a_file_that_was_changed_is_refused_with_what_to_do(
    old: str, new: str, says: str, sent: Path
) -> None:
    text = sent.read_text()
    assert old in text
    sent.write_text(text.replace(old, new, 1))
    with pytest.raises(ResultError, match=f"{says}.*(make it anew|with this one)"):
        read(sent)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "\x00", '{"checksum": 1}', "no JSON"])
def test_what_is_no_replication_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ResultError, match="gatewaylab evidence export PATH"):
        read(tmp_path / "a.json")


def test_every_truncation_is_refused(sent: Path) -> None:
    whole = sent.read_text().rstrip()
    for end in range(0, len(whole), 97):
        sent.write_text(whole[:end])
        with pytest.raises(ResultError, match="is cut off"):
            read(sent)


def test_a_right_checksum_does_not_make_another_content_valid(sent: Path) -> None:
    content = json.loads(sent.read_text())
    del content["checksum"], content["version"]
    content["checksum"] = replication._checksum(content)
    sent.write_text(json.dumps(content))
    with pytest.raises(ResultError, match="not a valid Replication"):
        read(sent)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="does not exist"):
        read(tmp_path / "nothing.json")
    with pytest.raises(ResultError, match="cannot be read"):
        read(tmp_path)
