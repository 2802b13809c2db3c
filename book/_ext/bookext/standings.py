"""What a page may say on the strength of a claim: something, or only why nothing."""

from __future__ import annotations

from collections.abc import Sequence

from docutils import nodes
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from bookext import wording
from bookext.build import span
from bookext.domain import depends_on_claim
from bookext.shelf import UnknownReferenceError, shelf_of
from gatewaylab.records.evidence import ClaimRecord

LOGGER = logging.getLogger(__name__)

#: What stands in place of a sentence whose claim does not exist.
NO_CLAIM = "no such claim"

_DOUBTS = {
    "refuted": "refuted by the measurement",
    "inconclusive": "not decided: the measurement is inconclusive",
    "not measured": wording.NOT_MEASURED,
    "opinion": "an opinion, not measured",
}


def consult(env: BuildEnvironment, identifier: str, location: str) -> ClaimRecord | None:
    """A claim that the page which is being read rests on; an unknown one is a warning and None."""
    try:
        record = shelf_of(env).claim(identifier)
    except UnknownReferenceError as error:
        LOGGER.warning("%s", error, location=location)
        return None
    depends_on_claim(env, record)
    return record


def doubt(records: Sequence[ClaimRecord | None]) -> str:
    """Why nothing may be said on the strength of these claims; empty if all of them stand.

    A claim stands when its measurement supports it, or when it is cited.
    """
    for record in records:
        if record is None:
            return NO_CLAIM
        if wording.verdict(record) not in {"supported", "cited"}:
            return _DOUBTS[wording.verdict(record)]
    return "" if records else NO_CLAIM


def doubtful(reason: str) -> nodes.inline:
    """A :func:`doubt` as text that style sheets set apart."""
    return span(reason, "measured-missing")
