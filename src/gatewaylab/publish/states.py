"""The state of each notebook's evidence, as a small file that the pages read.

*accepted*: measured by the present code, and whole. *stale*: accepted, and the code, a version or
the machine has changed since. *unstable*: the last run was too noisy, or is held. *rejected*: the
last run was wrong. *missing*: never measured. In the last four cases the pages show what was
accepted before, marked, or the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from gatewaylab.load.samples import Frozen
from gatewaylab.publish.acceptance import Reason, find_doubts
from gatewaylab.records.evidence import Evidence
from gatewaylab.records.storage import save

State = Literal["accepted", "unstable", "rejected", "stale", "missing"]

#: From the one that most needs a reader's attention to the one that needs none.
STATES: tuple[State, ...] = ("rejected", "unstable", "stale", "missing", "accepted")


class StateRecord(Frozen):
    """What the evidence of one notebook is worth.

    Attributes:
        reasons: why the last attempt was not accepted; no number of it is in them.
        at: when the last attempt began, ISO 8601; None when there was none.
        since: when the notebook came into this state.
        current: the evidence belongs to the present code, versions and machine.
        figures: its code cells are the notebook's, so that its outputs can stand beside them.
    """

    schema_version: Literal[1] = 1
    notebook: str
    state: State
    reasons: tuple[Reason, ...] = ()
    at: str | None = None
    since: str = ""
    current: bool = True
    figures: bool = True


@dataclass(frozen=True)
class Attempt:
    """A run that was not accepted: how it ended, why, and when it began (ISO 8601)."""

    state: Literal["unstable", "rejected"]
    reasons: tuple[Reason, ...]
    at: str


def derive(
    notebook: str,
    stored: Evidence | None,
    *,
    current: bool = True,
    figures: bool = True,
    failed: Attempt | None = None,
) -> StateRecord:
    """The state that follows from the accepted evidence and the last failed attempt.

    Args:
        stored: the accepted evidence. current, figures: as in :class:`StateRecord`.
        failed: an attempt after ``stored`` that was not accepted.
    """
    state: State = "missing"
    reasons: tuple[Reason, ...] = ()
    at = None
    if failed is not None:
        state, reasons, at = failed.state, failed.reasons, failed.at
    elif stored is not None:
        reasons, at = find_doubts(stored), stored.measured_at
        state = "unstable" if reasons else "accepted" if current else "stale"
    return StateRecord(
        notebook=notebook,
        state=state,
        reasons=reasons,
        at=at,
        current=stored is None or current,
        figures=stored is None or figures,
    )


def recalled(last: StateRecord | None, stored: Evidence | None) -> Attempt | None:
    """The failed attempt that a state file remembers, until evidence was accepted after it."""
    if last is None or last.at is None:
        return None
    if stored is not None and not _after(last.at, stored.measured_at):
        return None
    if last.state == "unstable" or last.state == "rejected":
        return Attempt(last.state, last.reasons, last.at)
    return None


def _after(one: str, other: str) -> bool:
    return datetime.fromisoformat(one) > datetime.fromisoformat(other)


def write(path: Path, last: StateRecord | None, record: StateRecord, now: str) -> StateRecord:
    """Replace the state file if it says something else; an unchanged one keeps its time stamp.

    Args:
        last: what the file says; None when it says nothing. now: ISO 8601.
    """
    same = last is not None and last.state == record.state
    record = record.model_copy(update={"since": last.since if last and same else now})
    if record != last:
        save(record, path)
    return record
