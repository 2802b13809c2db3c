"""A replication: what one machine found of the book, in a small file that its owner can send in.

It holds verdicts, effects and versions, and neither samples nor outputs, nor a name of the machine,
of its user or of a path. The file carries a checksum of its content: that shows an accident or an
edit by hand, and no forgery, because whoever forges a file can compute the checksum as well.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import math
import platform
import re
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from gatewaylab.errors import ResultError
from gatewaylab.load.samples import Count, Frozen, Number
from gatewaylab.records.effects import Effect
from gatewaylab.records.environment import Environment
from gatewaylab.records.evidence import ClaimRecord, Evidence, Kind, Verdict
from gatewaylab.records.storage import write_or_rescue
from gatewaylab.servers.specs import SERVERS

#: Readings of noise that are kept: shares of the time (steal, psi_some), or cores (foreign_cpu).
NOISE = ("steal", "psi_some", "foreign_cpu")

#: Characters of a note.
LONGEST_NOTE = 300

_FORMAT = 1
_AGAIN = "ask for it again, or make it anew: gatewaylab evidence export PATH"
_PATH = re.compile(r"(?<![\w.:/])~?/[\w.+-]+(?:/[\w.+-]*)+")


class ReplicatedClaim(Frozen):
    """One claim as one machine found it.

    Attributes:
        statement, kind, rule, threshold, systems, versions: as in :class:`ClaimRecord`, so that a
            claim that was changed since is told from one that came out otherwise.
        effect: without what it was computed from; of what was refused, the names of the rules.
            None for a claim that was refuted, whose numbers no build accepts.
        sabotage: its verdict. missing: the systems that this machine lacks.
        why, disturbed: as in :class:`ClaimRecord`.
    """

    statement: str
    kind: Kind
    verdict: Verdict
    rule: str
    threshold: Number | None
    effect: Effect | None
    sabotage: Verdict | None
    systems: tuple[str, ...]
    versions: str = ""
    missing: tuple[str, ...] = ()
    why: str = ""
    disturbed: Count = 0


class ReplicatedChapter(Frozen):
    """What one notebook came to on one machine.

    Attributes:
        measured_at: when its run began, ISO 8601.
        machine: without the build number of the kernel.
        noise: by name of :data:`NOISE`, the median over the trials; empty where nothing was timed.
        rejected: why the last attempt was turned down; empty when it was not. Then ``claims`` has
            those that it refuted, and what was accepted before it.
    """

    profile: str
    measured_at: str
    machine: Environment
    claims: dict[str, ReplicatedClaim]
    noise: dict[str, float] = Field(default_factory=dict)
    rejected: tuple[str, ...] = ()


class Replication(Frozen):
    """The book on one machine.

    Attributes:
        version, commit: of the book. at: when this was written, ISO 8601.
        note: what its owner says about the machine. chapters: by name of the notebook.
    """

    schema_version: Literal[1] = 1
    version: str
    commit: str | None
    at: str
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""
    chapters: dict[str, ReplicatedChapter]

    @property
    def claims(self) -> dict[str, ReplicatedClaim]:
        """Every claim by its id."""
        every = (chapter.claims for chapter in self.chapters.values())
        return dict(sorted(item for claims in every for item in claims.items()))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of machine that measured it, mostly one."""
        return tuple(dict.fromkeys(one.machine.kind for one in self.chapters.values()))


def chapter_of(evidence: Evidence) -> ReplicatedChapter:
    """What is passed on of one notebook's evidence."""
    outside = {
        row.name: row.version
        for row in evidence.systems
        if row.version and row.name in SERVERS and SERVERS[row.name].distribution is None
    }
    return ReplicatedChapter(
        profile=evidence.profile,
        measured_at=evidence.measured_at,
        machine=anonymous(evidence.environment, outside),
        claims={record.id: claim_of(record) for record in evidence.claims},
        noise=_noise(evidence),
    )


def claim_of(record: ClaimRecord) -> ReplicatedClaim:
    """What is passed on of a claim; of a refuted one no number, because none was accepted."""
    kept = None if record.verdict == "refuted" else record.effect
    return ReplicatedClaim(
        statement=record.statement,
        kind=record.kind,
        verdict=record.verdict,
        rule=record.rule,
        threshold=record.threshold,
        effect=None if kept is None else _bare(kept),
        sabotage=None if record.sabotage is None else record.sabotage.verdict,
        systems=record.systems,
        versions=record.versions,
        # A line of `missing` names the system and how to install it: "redis: apt-get install …".
        missing=tuple(one.partition(":")[0] for one in record.missing),
        why=without_names(record.why),
        disturbed=record.disturbed,
    )


def anonymous(machine: Environment, outside: dict[str, str] | None = None) -> Environment:
    """The machine without what its owner may have named; ``outside``: versions not from PyPI."""
    kernel = re.match(r"[\d.]*", machine.kernel)
    assert kernel is not None  # it may be empty
    packages = {**machine.packages, **(outside or {})}
    return machine.model_copy(update={"kernel": kernel[0].rstrip("."), "packages": packages})


def _bare(effect: Effect) -> Effect:
    """An effect without what it was computed from; a behaviour keeps whether each one held."""
    values = effect.values if effect.kind == "behaviour" else ()
    refused = tuple(
        one.model_copy(update={"measured": math.nan, "allowed": math.nan, "message": one.rule})
        for one in effect.refused
    )
    return effect.model_copy(update={"values": values, "shifts": (), "refused": refused})


def _noise(evidence: Evidence) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for comparison in evidence.comparisons:
        for trial in comparison.trials:
            for name, value in trial.health.items():
                found.setdefault(name, []).append(value)
    return {name: round(median(found[name]), 4) for name in NOISE if name in found}


def without_names(text: str) -> str:
    """A sentence of this machine's without paths, its name and its user's."""
    text = _PATH.sub("…", text)
    names = [platform.node()]
    with contextlib.suppress(OSError, KeyError):  # a user who has no name
        names.append(getpass.getuser())
    for name in filter(None, names):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", text)
    return text


def save(replication: Replication, path: Path) -> None:
    """Write the file, with its checksum, in lines that a person can read.

    Raises:
        ResultError: it cannot be written; a copy is kept elsewhere.
    """
    content = json.loads(replication.model_dump_json())
    text = json.dumps({**content, "checksum": _checksum(content)}, indent=1, ensure_ascii=False)
    write_or_rescue(path, text + "\n")


def read(path: Path) -> Replication:
    """One file as it was written.

    Raises:
        ResultError: it is missing, cut off, of another format, or changed since it was written.
    """
    try:
        content: Any = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ResultError(f"{path} does not exist; give the file that was sent") from error
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ResultError(f"{path} is cut off, or no JSON at all; {_AGAIN}") from error
    if not isinstance(content, dict) or not {"checksum", "chapters"} <= content.keys():
        raise ResultError(f"{path} is no replication; {_AGAIN}")
    if content.get("schema_version") != _FORMAT:
        raise ResultError(
            f"{path} has format {content.get('schema_version')}, and this edition reads {_FORMAT}; "
            "use the edition that wrote it, or make it anew with this one"
        )
    if content.pop("checksum") != _checksum(content):
        raise ResultError(f"{path} was changed after it was written; {_AGAIN}")
    try:
        return Replication.model_validate(content)
    except ValidationError as error:
        raise ResultError(f"{path} is not a valid Replication; {_AGAIN}\n{error}") from error


def _checksum(content: dict[str, Any]) -> str:
    """Over the content, not the characters: line ends and indents may change on the way."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
