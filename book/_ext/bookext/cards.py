"""``{claim-card}``: one claim with all its parts. ``{claims-ledger}``: a row for each claim.

``{claim-entries} C01-C27``: a section for each of a range, to which every link to a claim leads.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bookext import wording
from bookext.build import Cell, Piece, box, external, fields, inline, paragraph, span, table
from bookext.domain import book_of, depends_on_all, link
from bookext.roles import anchor, badge
from bookext.shelf import shelf_of
from bookext.standings import consult
from bookext.strip import strip
from bookext.whose import mark, state_badge, whose
from gatewaylab.records.evidence import ClaimRecord, CommonVerdict, SabotageRecord

LOGGER = logging.getLogger(__name__)

_COMMON_STATE: dict[str, str] = {
    "true": "common-true",
    "true with a nuance": "common-nuance",
    "outdated": "common-outdated",
    "false": "common-false",
}


def common_badge(verdict: CommonVerdict) -> nodes.inline:
    """A verdict on what people say, as text that style sheets turn into a badge."""
    return span(verdict, "common-verdict", _COMMON_STATE[verdict])


class ClaimDirective(SphinxDirective):
    """What the directives about claims share."""

    def prose(self, text: str) -> list[nodes.Node]:
        """Text of a declaration, whose marks (code, emphasis) are the page's own."""
        found, messages = self.state.inline_text(text, self.lineno)
        return [*found, *messages]

    def body(self, record: ClaimRecord, *, folded: bool = False) -> list[nodes.Node]:
        """Everything about a claim but its heading; what it rests on behind a fold, if wanted."""
        parts: list[nodes.Node] = [
            paragraph(*self.prose(record.statement), classes=["claim-statement"]),
            self._measured(record),
        ]
        drawing = strip(record)
        if drawing is not None:
            parts.append(nodes.raw("", drawing, format="html"))
        rest: list[nodes.Node] = [
            self._common(record), fields(self._facts(record), "claim-facts")
        ]  # fmt: skip
        if folded:
            opened = '<details class="claim-more"><summary>What people say, and what it rests on'
            rest = [
                nodes.raw("", f"{opened}</summary>", format="html"), *rest,
                nodes.raw("", "</details>", format="html"),
            ]  # fmt: skip
        return [*parts, *rest]

    def badges(self, record: ClaimRecord) -> list[Piece]:
        """The verdict, with a mark where it is an exception on its page."""
        marks = [mark(record.notebook)] if wording.is_measured(record) else []
        return [badge(record, with_id=False), *marks]

    def _measured(self, record: ClaimRecord) -> nodes.paragraph:
        effect = record.effect
        if effect is None or effect.refused:
            pieces: list[Piece] = [span(wording.result(record), "measured-missing")]
            reasons = record.missing
            if effect is not None:
                reasons = tuple(dict.fromkeys(map(str, effect.refused)))
            if reasons:
                pieces.append(f" ({'; '.join(reasons)})")
            return paragraph(*pieces, classes=["claim-result"])
        number = nodes.strong("", "", span(wording.effect(effect), "claim-number"))
        what: list[Piece] = [] if effect.kind == "behaviour" else [" ", *self.prose(effect.what)]
        return paragraph(number, *what, classes=["claim-result"])

    def _common(self, record: ClaimRecord) -> nodes.container:
        people = paragraph(span("People say", "claim-label"), " “", *self.prose(record.title), "”")
        judged: list[Piece] = [common_badge(record.common_verdict)]
        if record.nuance:
            judged += [" ", *self.prose(record.nuance)]
        return box(people, paragraph(*judged), classes=["claim-common"])

    def _facts(self, record: ClaimRecord) -> list[tuple[str, Sequence[Piece]]]:
        rows: list[tuple[str, Sequence[Piece]]] = []
        effect = record.effect
        if record.rule and record.threshold != math.inf:  # no trial gave it a threshold
            rows.append(("Rule", [record.rule]))
        if record.theory is not None and not math.isnan(record.theory):
            rows.append(("The model predicts", [wording.number(record.theory)]))
        if effect is not None:
            rows.append(("Rests on", [wording.basis(effect)]))
            if effect.kind == "ratio" and not effect.refused:
                rows.append(("Noise floor (A/A)", [f"{wording.number(effect.floor)} ×"]))
            if record.disturbed:
                rows.append(("Disturbed", [wording.disturbance(record)]))
        if record.why:
            rows.append(("Inconclusive, because", [record.why]))
        if record.versions:
            rows.append(("Versions", self.prose(record.versions)))
        if record.sabotage is not None:
            rows.append(("Sabotage", self._sabotage(record.sabotage)))
        rows.append(("Sources", _joined([external(s.label, s.url) for s in record.sources])))
        rows.append(("Measured in", self._origin(record)))
        if wording.is_measured(record):
            origin = shelf_of(self.env).origin(record.notebook)
            state: list[Piece] = [" ", state_badge(origin.state)] if origin.marked else []
            rows.append(("Numbers of", [whose(origin), *state]))
        return [(name, pieces) for name, pieces in rows if pieces]

    def _sabotage(self, sabotage: SabotageRecord) -> list[Piece]:
        caught = sabotage.verdict == "refuted"
        outcome = "caught" if caught else "not caught"
        return [
            *self.prose(sabotage.what),
            f": {wording.effect(sabotage.effect)}, so the claim came out {sabotage.verdict} — ",
            span(outcome, "sabotage-caught" if caught else "sabotage-missed"),
        ]

    def _origin(self, record: ClaimRecord) -> list[Piece]:
        shelf = shelf_of(self.env)
        pieces: list[nodes.Node] = []
        if (shelf.notebooks / f"{record.notebook}.md").exists():
            page = f"/{shelf.notebooks.name}/{record.notebook}"
            pieces.append(link(span(record.notebook), page, "doc"))
        else:
            pieces.append(span(record.notebook))
        if shelf.path(record.notebook) is not None:
            pieces.append(link(span("raw data"), f"{record.notebook}.json", "data"))
        pieces.append(link(span("method"), f"/{self.config.bookext_method}", "doc"))
        return _joined(pieces)


def _joined(pieces: Sequence[nodes.Node]) -> list[Piece]:
    return [one for piece in pieces for one in (" · ", piece)][1:]


class ClaimCard(ClaimDirective):
    """A claim in a chapter: statement, verdicts, number, and all that it rests on.

    On a notebook's page it stands under each cell that states a claim, `claimed` sees to that.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"folded": directives.flag}

    def run(self) -> list[nodes.Node]:
        """The card; an unknown claim is a warning."""
        record = consult(self.env, self.arguments[0].strip(), self.get_location())
        if record is None:
            return []
        head = paragraph(
            link(span(record.id, "claim-id"), anchor(record.id)),
            " ",
            *self.badges(record),
            classes=["claim-head"],
        )
        body = self.body(record, folded="folded" in self.options)
        card = box(head, *body, classes=["claim-card", wording.state(record)])
        self.state.nested_parse(self.content, self.content_offset, card)
        return [card]


class ClaimsLedger(ClaimDirective):
    """All claims: counts, and a table."""

    def run(self) -> list[nodes.Node]:
        """The table; without any claim, a remark."""
        depends_on_all(self.env)
        records = list(shelf_of(self.env).claims().values())
        if not records:
            return [paragraph(span(wording.NOT_MEASURED, "measured-missing"))]
        rows: list[list[Cell]] = [
            [
                link(span(r.id, "claim-id"), anchor(r.id)),
                self.prose(r.title),
                common_badge(r.common_verdict),
                self.badges(r),
                span(wording.result(r), "claim-value"),
            ]
            for r in records
        ]
        head = ("Claim", "People say", "which is", "The book’s claim is", "Measured")
        return [
            paragraph(summary(records), classes=["ledger-summary"]),
            table(head, rows, "ledger-table"),
        ]


class ClaimEntries(ClaimDirective):
    """A section for each claim of a range; of all claims when none is given."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The sections; a range that holds no claim is a warning."""
        depends_on_all(self.env)
        first, _, last = (self.arguments or ["A-Z99"])[0].partition("-")
        claims = shelf_of(self.env).claims()
        records = [record for name, record in claims.items() if first <= name <= (last or first)]
        if claims and not records:
            LOGGER.warning("claim-entries: no claim in this range", location=self.get_location())
        return [*map(self._section, records)]

    def _section(self, record: ClaimRecord) -> nodes.section:
        identifier = anchor(record.id)
        book_of(self.env).anchors[identifier] = (self.env.docname, identifier)
        title = nodes.title("", "", *inline([f"{record.id}: ", *self.prose(record.title)]))
        head = paragraph(*self.badges(record), classes=["claim-head"])
        card = box(head, *self.body(record), classes=["claim-card", wording.state(record)])
        section = nodes.section("", title, card, ids=[identifier], names=[identifier])
        self.state.document.note_explicit_target(section)
        return section


def summary(records: Sequence[ClaimRecord]) -> str:
    """How many claims there are, how they came out, and how many sabotages were caught."""
    count = Counter(map(wording.verdict, records))
    tried = [r.sabotage for r in records if r.sabotage is not None]
    caught = sum(s.verdict == "refuted" for s in tried)
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in count.most_common())
    text = f"{len(records)} claims: {verdicts}."
    if tried:
        text += f" Of {len(tried)} sabotages, {caught} were caught."
    return text


def setup(app: Sphinx) -> None:
    app.add_directive("claim-card", ClaimCard)
    app.add_directive("claims-ledger", ClaimsLedger)
    app.add_directive("claim-entries", ClaimEntries)
