"""The record of the test bed: which set-up of ``deploy/`` passed which visit.

A committed file that the book prints; ``tests/deploy`` writes it and is held to it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SetUpRecord(_Record):
    """One set-up under every visit.

    Attributes:
        site: its file, below ``deploy/``.
        passed: by the visit's name. why_not: the reason for each visit that it cannot pass.
    """

    site: str
    passed: dict[str, bool]
    why_not: dict[str, str]


class DeployRecord(_Record):
    """Every set-up by its name.

    Attributes:
        at: when, ISO 8601. programs: their versions, by name.
        visits: what each visit looks for, in words, by its name.
    """

    schema_version: Literal[1] = 1
    at: str
    programs: dict[str, str]
    visits: dict[str, str]
    set_ups: dict[str, SetUpRecord]
