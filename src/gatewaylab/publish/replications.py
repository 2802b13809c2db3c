"""Sets of claims to compare: this machine's, a folder of evidence, or a file that was sent in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gatewaylab import __version__
from gatewaylab.errors import InputError
from gatewaylab.publish.states import StateRecord
from gatewaylab.records import environment, evidence, replication
from gatewaylab.records.replication import (
    LONGEST_NOTE,
    ReplicatedChapter,
    Replication,
    anonymous,
    chapter_of,
    claim_of,
    without_names,
)
from gatewaylab.records.staging import Staging
from gatewaylab.records.storage import load


def read_set(path: Path) -> Replication:
    """What a folder of evidence or a replication file says of each claim.

    Args:
        path: the file, or a folder of evidence such as ``book/records/reference`` or
            ``_build/evidence``; beside the latter lies which chapters were rejected.

    Raises:
        ResultError: a file in it is damaged. InputError: there is nothing to compare.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist; give a folder of evidence (_build/evidence, once "
            "scripts/build has measured) or a file that gatewaylab evidence export wrote"
        )
    if not path.is_dir():
        return replication.read(path)
    found = of_folder(path, path.parent if path.name == "evidence" else None)
    if not found.chapters:
        raise InputError(
            f"{path} holds no evidence; measure first (scripts/build), or give another folder"
        )
    return found


def of_folder(folder: Path, build: Path | None = None) -> Replication:
    """The evidence in a folder as one set.

    Args:
        build: the folder of a build, whose ``state`` and ``staging`` say what was rejected.
    """
    stored = {path.stem: evidence.read(path) for path in sorted(folder.glob("*.json"))}
    chapters = {name: chapter_of(one) for name, one in stored.items()}
    if build is not None:
        for state in _rejected(build):
            chapters[state.notebook] = _turned_down(state, chapters.get(state.notebook), build)
    newest = max(stored.values(), key=lambda one: one.measured_at, default=None)
    return Replication(
        version=__version__,
        commit=newest.environment.commit if newest else None,
        at=newest.measured_at if newest else "",
        chapters=dict(sorted(chapters.items())),
    )


def _rejected(build: Path) -> list[StateRecord]:
    """The chapters whose last attempt was turned down as wrong."""
    states = (load(StateRecord, path) for path in sorted((build / "state").glob("*.json")))
    return [state for state in states if state.state == "rejected"]


def _turned_down(
    state: StateRecord, accepted: ReplicatedChapter | None, build: Path
) -> ReplicatedChapter:
    """A chapter with what its last attempt refuted: no evidence holds that, because of it.

    Without accepted evidence, the machine as it is now is all that is known of it.
    """
    chapter = accepted or ReplicatedChapter(
        profile="",
        measured_at=state.at or "",
        machine=anonymous(environment.record(build.parent)),
        claims={},
    )
    stated = Staging(build / "staging" / state.notebook).claims()
    refuted = {record.id: claim_of(record) for record in stated if record.verdict == "refuted"}
    reasons = tuple(without_names(str(reason)) for reason in state.reasons)
    return chapter.model_copy(update={"claims": chapter.claims | refuted, "rejected": reasons})


def export(evidence_folder: Path, path: Path, note: str = "") -> Replication:
    """Write the accepted evidence of this machine as a file that can be sent in.

    Raises:
        InputError: there is none, or the note is too long.
        ResultError: some cannot be read, or the file cannot be written.
    """
    words = " ".join(note.split())
    if len(words) > LONGEST_NOTE:
        raise InputError(f"the note has {len(words)} characters; say it in {LONGEST_NOTE}")
    found = read_set(evidence_folder).model_copy(
        update={"note": words, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    )
    replication.save(found, path)
    return found


def received(folder: Path) -> dict[str, Replication]:
    """The replications that others sent in, by the file's name.

    Raises:
        ResultError: one of them is damaged.
    """
    return {path.stem: replication.read(path) for path in files(folder)}


def files(folder: Path) -> Sequence[Path]:
    """The replication files in a folder, which need not exist."""
    return sorted(folder.glob("*.json"))
