"""``{myth}``: a sentence that is often repeated, and what its claims make of it.

``{myths-table}`` lists the myths of the page it stands on.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar, get_args

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx

from bookext import wording
from bookext.build import Cell, Piece, box, inline, paragraph, span, table
from bookext.cards import ClaimDirective, common_badge
from bookext.domain import link
from bookext.roles import anchor, badge
from bookext.standings import consult, doubt, doubtful
from gatewaylab.records.evidence import ClaimRecord, CommonVerdict

_STYLES = {
    "true": "verdict-supported",
    "true with a nuance": "verdict-inconclusive",
    "outdated": "verdict-inconclusive",
    "false": "verdict-refuted",
}


def _verdict(text: str) -> CommonVerdict:
    """The option's value, if it is a verdict."""
    found: CommonVerdict = directives.choice(text, get_args(CommonVerdict))  # type: ignore[assignment]
    return found


def _identifiers(text: str | None) -> list[str]:
    return directives.unchanged_required(text or "").split()


def slug(sentence: str) -> str:
    """A myth's anchor.

    >>> slug("WSGI can't stream.")
    'myth-wsgi-cant-stream'
    """
    plain = re.sub(r"[’']", "", sentence.lower())
    return "myth-" + re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


class Myth(ClaimDirective):
    """One myth as a section of its own: the verdict, the claims behind it, and the reason.

    The verdict counts only while all of the claims stand. Without ``verdict``, it is that of the
    first claim on the common statement; the option is for a myth that a claim contradicts
    although the claim's own common statement is another one.
    """

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar = {"claims": _identifiers, "verdict": _verdict}

    def run(self) -> list[nodes.Node]:
        sentence = self.arguments[0].strip()
        names = self.options.get("claims", [])
        records = [consult(self.env, name, self.get_location()) for name in names]
        known = [record for record in records if record is not None]
        reason = doubt(records)
        verdict = self.options.get("verdict") or (known[0].common_verdict if known else "false")
        style = "verdict-not-measured" if reason else _STYLES[verdict]
        head: list[Piece] = [doubtful(reason)] if reason else [common_badge(verdict)]
        card = box(
            paragraph(*head, classes=["claim-head"]), classes=["claim-card", "myth-card", style]
        )
        self.state.nested_parse(self.content, self.content_offset, card)
        grounds: dict[str, str] = self.env.temp_data.setdefault("bookext_grounds", {})
        for record in known:
            there = grounds.setdefault(record.id, sentence)
            card += self._again(record, there) if there != sentence else self._ground(record)
        title = nodes.title("", "", *inline(["“", *self.prose(sentence), "”"]))
        section = nodes.section("", title, card, ids=[slug(sentence)], names=[slug(sentence)])
        section["myth"] = ("" if reason else verdict, reason, [record.id for record in known])
        self.state.document.note_explicit_target(section)
        return [section]

    def _ground(self, record: ClaimRecord) -> nodes.paragraph:
        """A claim that the verdict rests on: its badge, its statement, what was seen."""
        marks = [link(badge(record), anchor(record.id)), *self.badges(record)[1:]]
        seen: list[Piece] = []
        if wording.is_measured(record) and record.effect is not None:
            seen = [" Measured: ", span(wording.effect(record.effect), "claim-value"), "."]
        return paragraph(*marks, " ", *self.prose(record.statement), *seen, classes=["myth-ground"])

    def _again(self, record: ClaimRecord, sentence: str) -> nodes.paragraph:
        """The same for a claim that stands under an earlier myth already."""
        words = self.prose(f"“{sentence.removesuffix('.')}”")
        there = nodes.reference("", "", *words, refid=slug(sentence), internal=True)
        number = link(span(record.id, "claim-id"), anchor(record.id))
        return paragraph(number, " stands under ", there, ".", classes=["myth-ground"])


class Placeholder(nodes.General, nodes.Element):
    """Where the table of myths will stand, when all of the page has been read."""


class MythsTable(ClaimDirective):
    """The page's myths in one table, with how many of them came out how."""

    def run(self) -> list[nodes.Node]:
        """A place that :func:`fill` fills."""
        return [Placeholder()]


def fill(app: Sphinx, doctree: nodes.document) -> None:
    """Put the table where its place is."""
    for place in list(doctree.findall(Placeholder)):
        sections = [s for s in doctree.findall(nodes.section) if "myth" in s]
        rows: list[list[Cell]] = []
        count: Counter[str] = Counter()
        for section in sections:
            verdict, reason, names = section["myth"]
            count[verdict or "not decided here"] += 1
            claims: list[Piece] = []
            for name in names:
                claims += [link(span(name, "claim-id"), anchor(name)), " "]
            title, target = section[0].deepcopy().children, section["ids"][0]
            there = nodes.reference("", "", *title, refid=target, internal=True)
            said = common_badge(verdict) if verdict else doubtful(reason)
            rows.append([there, said, claims[:-1]])
        words = ", ".join(f"{n} {verdict}" for verdict, n in count.most_common())
        place.replace_self(
            [
                paragraph(f"{len(rows)} myths: {words or 'none'}.", classes=["ledger-summary"]),
                table(("Myth", "which is", "Claims"), rows, "myths-table"),
            ]
        )


def setup(app: Sphinx) -> None:
    app.add_node(Placeholder)
    app.add_directive("myth", Myth)
    app.add_directive("myths-table", MythsTable)
    app.connect("doctree-read", fill)
