"""The record that the book prints: what this suite has seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

from gatewaylab.publish.deploy_record import DeployRecord, SetUpRecord
from gatewaylab.records.storage import write_atomically
from gatewaylab.servers.specs import NGINX, SERVERS
from tests import ROOT
from tests.deploy.setups import SET_UPS
from tests.deploy.visits import VISITS

RECORD = ROOT / "book" / "records" / "deploy.json"
VARIABLE = "WRITE_DEPLOY_RECORD"

SEEN: dict[tuple[str, str], bool] = {}
"""By set-up and visit, whether it passed in this session."""


def in_words() -> dict[str, str]:
    """What each visit looks for: the first paragraph of its docstring."""
    return {name: " ".join((one.__doc__ or "").split()) for name, one in VISITS.items()}


def set_ups(seen: Mapping[tuple[str, str], bool]) -> dict[str, SetUpRecord]:
    """The part of the record that is not about when and with what."""
    return {
        one.name: SetUpRecord(
            site=one.site,
            passed={name: seen[one.name, name] for name in VISITS},
            why_not=dict(one.cannot),
        )
        for one in SET_UPS
    }


def write() -> None:
    """Replace the record by what this session has seen.

    Raises:
        KeyError: it has not seen every set-up and every visit.
    """
    parts = set_ups(SEEN)
    programs = {"nginx": NGINX.version(), "Apache mod_wsgi": SERVERS["mod_wsgi"].version()}
    programs |= {name: version(name) for name in ("gunicorn", "uvicorn", "django", "channels")}
    record = DeployRecord(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        programs={name: found or "unknown" for name, found in programs.items()},
        visits=in_words(),
        set_ups=parts,
    )
    write_atomically(RECORD, record.model_dump_json(indent=1) + "\n")
