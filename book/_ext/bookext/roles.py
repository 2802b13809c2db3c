"""Roles: ``{measured}`` prints a number from evidence, ``{claim}`` a badge; both are links.

A page shows the badge of a claim once: on its card, or where it is named first. Elsewhere the link
is the claim's number, or the words that the role is given.
"""

from __future__ import annotations

import math
import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from bookext import wording
from bookext.build import span
from bookext.domain import depends_on, link
from bookext.shelf import Shelf, UnknownReferenceError, shelf_of
from bookext.standings import consult, doubt
from bookext.whose import mark
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import ClaimRecord

LOGGER = logging.getLogger(__name__)

CLAIM = re.compile(r"[A-Z]\d+\Z")

_EFFECT_FIELDS = ("estimate", "low", "high", "low90", "high90", "floor", "n", "blocks", "seed")
_TEXT_FIELDS = ("verdict", "common_verdict", "rule", "what")


def anchor(identifier: str) -> str:
    """The ledger's anchor of a claim."""
    return identifier.lower()


def badge(record: ClaimRecord, *, with_id: bool = True) -> nodes.inline:
    """A claim's verdict as text that style sheets turn into a badge."""
    state, verdict = wording.state(record), wording.verdict(record)
    parts: list[nodes.Node] = [nodes.Text(verdict)]
    if with_id:
        parts = [nodes.Text(record.id), span(f" · {verdict}", "verdict-word")]
    found = nodes.inline("", "", *parts, classes=["claim-badge", state])
    found["claim"] = record.id
    return found


def describe(reference: str, shelf: Shelf) -> tuple[str, str, str]:
    """What a ``{measured}`` reference prints, where it links to, and whose evidence it is.

    Args:
        reference: ``C05.effect``, ``C05.effect.estimate``, ``C05.theory`` or
            ``notebook.values.key``, each optionally followed by ``|format``.

    Returns:
        Text, anchor and notebook. The text is a remark where there is no number.

    Raises:
        UnknownReferenceError: the reference names nothing.
    """
    path, _, form = (part.strip() for part in reference.partition("|"))
    head, _, rest = path.partition(".")
    if CLAIM.match(head):
        record = shelf.claim(head)
        return _of_claim(record, rest, form), anchor(head), record.notebook
    section, _, key = rest.partition(".")
    if section != "values" or not key:
        raise UnknownReferenceError(f"{reference!r} is neither CLAIM.field nor NOTEBOOK.values.KEY")
    value = shelf.value(head, key)
    text = wording.NOT_MEASURED if value is None else wording.quantity(value, form)
    return text, f"trials-{head}", head


def _of_claim(record: ClaimRecord, path: str, form: str) -> str:
    first, *rest = path.split(".")
    effect: Effect | None
    if first == "effect":
        effect = record.effect
    elif first == "sabotage":
        if rest[:1] == ["verdict"] and record.sabotage is not None:
            return record.sabotage.verdict
        effect = record.sabotage.effect if record.sabotage is not None else None
        rest = rest[1:] if rest[:1] == ["effect"] else rest
    elif first in _TEXT_FIELDS and not rest and hasattr(record, first):
        return str(getattr(record, first)) or wording.NOT_MEASURED
    elif first in {"threshold", "theory"} and not rest:
        value = getattr(record, first)
        if value is None and record.verdict != "not measured":
            raise UnknownReferenceError(f"{record.id} has no {first}")
        if value is not None and not math.isfinite(value):
            return wording.REFUSED  # it follows from the trials, and there is none
        return wording.NOT_MEASURED if value is None else wording.number(value, form)
    else:
        raise UnknownReferenceError(
            f"{record.id} has no field {path!r}; it has effect, sabotage.effect, threshold, "
            f"theory, {', '.join(_TEXT_FIELDS[:3])}"
        )
    return _of_effect(record, effect, rest, form)


def _of_effect(record: ClaimRecord, effect: Effect | None, rest: list[str], form: str) -> str:
    if rest and (len(rest) > 1 or rest[0] not in (*_EFFECT_FIELDS, "what")):
        raise UnknownReferenceError(
            f"an effect has no field {'.'.join(rest)!r}; it has {', '.join(_EFFECT_FIELDS)}"
        )
    if record.kind in {"cited", "opinion"}:
        raise UnknownReferenceError(f"{record.id} is {record.kind}: it has no measured effect")
    if effect is None:
        return wording.NOT_MEASURED
    if not rest:
        return wording.effect(effect, form)
    if rest == ["what"]:
        return effect.what
    if effect.refused and rest[0] not in {"n", "blocks", "seed"}:
        return wording.REFUSED
    return wording.number(getattr(effect, rest[0]), form)


class MeasuredRole(SphinxRole):
    """``{measured}`C05.effect|.1f```: a number from evidence, linked to its method."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The linked number; an unknown reference or a bad format is a warning."""
        try:
            text, target, notebook = describe(self.text, shelf_of(self.env))
        except (UnknownReferenceError, ValueError) as error:
            LOGGER.warning("measured: %s", error, location=self.get_location())
            return [span(f"[{self.text}?]", "measured", "measured-missing")], []
        depends_on(self.env, notebook)
        missing = text in {wording.NOT_MEASURED, wording.REFUSED}
        classes = ("measured", "measured-missing") if missing else ("measured",)
        marks = [] if missing else [mark(notebook)]
        return [link(span(text, *classes), target), *marks], []


class ClaimRole(SphinxRole):
    """``{claim}`C05```: a badge with the claim's verdict, linked to the ledger.

    ``{claim}`words <C05>``` links the words instead; a badge follows if the claim does not stand.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The link; an unknown claim is a warning."""
        words, _, name = self.text.rpartition("<")
        record = consult(self.env, name.removesuffix(">").strip(), self.get_location())
        if record is None:
            return [span(f"[{self.text}?]", "measured-missing")], []
        marks = [mark(record.notebook)] if wording.is_measured(record) else []
        linked: list[nodes.Node] = [link(badge(record), anchor(record.id)), *marks]
        if words:
            worded = link(span(words.strip()), anchor(record.id))
            return [worded, *([nodes.Text(" "), *linked] if doubt([record]) else [])], []
        return linked, []


def once(app: Sphinx, doctree: nodes.document) -> None:
    """Leave each claim one badge on a page; the other links to it show its number."""
    badges = [one for one in doctree.findall(nodes.inline) if "claim" in one]
    seen = {one["claim"] for one in badges if not isinstance(one.parent, pending_xref)}  # on cards
    for one in badges:
        if isinstance(one.parent, pending_xref):
            if one["claim"] in seen:
                one.parent.replace(one, span(one["claim"], "claim-id"))
            seen.add(one["claim"])


def setup(app: Sphinx) -> None:
    app.add_role("measured", MeasuredRole())
    app.add_role("claim", ClaimRole())
    app.connect("doctree-read", once)
