"""The declared claims, one TOML file a notebook."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gatewaylab.errors import ClaimError
from gatewaylab.records.evidence import CommonVerdict, Kind, Source
from gatewaylab.servers.registry import project_root


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
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
            entries = {identifier: Entry.model_validate(entry) for identifier, entry in raw.items()}
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            raise ClaimError(f"{path}: {error}") from error
        if twice := sorted(found.keys() & entries.keys()):
            raise ClaimError(
                f"{path} declares {', '.join(twice)} a second time; give each claim its own id"
            )
        found |= entries
    return dict(sorted(found.items()))
