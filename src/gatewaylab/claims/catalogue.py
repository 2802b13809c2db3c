"""The declared claims, one TOML file a notebook."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gatewaylab.errors import ClaimError
from gatewaylab.guard.services import SERVICES
from gatewaylab.records.evidence import CommonVerdict, Kind, Source
from gatewaylab.servers.registry import APPS, project_root
from gatewaylab.servers.specs import NGINX, SERVERS

#: What a claim can be about besides what is started here: parts of a framework, and protocols.
TOPICS = frozenset(
    {
        "adrf", "async-views", "background-tasks", "channels", "drf", "http2", "sse", "streaming",
        "websockets",
    }
)  # fmt: skip


@cache
def startable() -> frozenset[str]:
    """The systems that are started here, so that a run can vouch for them."""
    of_servers = (spec.systems for spec in SERVERS.values())
    of_apps = (app.systems for app in APPS.values())
    return frozenset({NGINX.name, *SERVICES}.union(*of_servers, *of_apps))


class Entry(BaseModel):
    """A claim's entry in ``book/claims/<its notebook>.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    statement: str
    kind: Kind
    common_verdict: CommonVerdict
    nuance: str
    notebook: str
    sources: tuple[Source, ...]
    systems: tuple[str, ...] = ()
    versions: str = ""


def catalogue(folder: Path | None = None) -> dict[str, Entry]:
    """Every declared claim, by id, in the order of ids.

    Args:
        folder: of the declarations, one file a notebook; the book's own when None.

    Raises:
        ClaimError: there is no such folder, an entry is malformed, or an id is declared twice.
    """
    folder = folder or project_root() / "book" / "claims"
    if not folder.is_dir():
        raise ClaimError(f"{folder} does not exist: claims are declared there")
    found: dict[str, Entry] = {}
    for path in sorted(folder.glob("*.toml")):
        entries = _declared(path, path.read_text(encoding="utf-8"))
        if twice := sorted(found.keys() & entries.keys()):
            raise ClaimError(
                f"{path} declares {', '.join(twice)} a second time; give each claim its own id"
            )
        found |= entries
    return dict(sorted(found.items()))


@cache
def _declared(path: Path, text: str) -> dict[str, Entry]:
    """The entries of one file; a rendering asks for all of them some hundred times."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ClaimError(f"{path}: {error}") from error
    return {identifier: _entry(path, identifier, entry) for identifier, entry in raw.items()}


def _entry(path: Path, identifier: str, raw: object) -> Entry:
    try:
        entry = Entry.model_validate(raw)
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ClaimError(f"{path}, {identifier}: {'; '.join(wrong)}") from error
    if unknown := sorted({*entry.systems} - startable() - TOPICS):
        raise ClaimError(
            f"{path}, {identifier}: no system is called {' or '.join(unknown)}; "
            f"there are {', '.join(sorted(startable() | TOPICS))}"
        )
    return entry
