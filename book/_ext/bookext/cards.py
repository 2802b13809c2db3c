"""``{claim-card}``: one claim with all its parts. ``{claims-ledger}``: a row for each claim.

``{claim-entries} C01-C27``: a section for each of a range, to which every link to a claim leads.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bookext import wording
from bookext.build import (
    Cell,
    Piece,
    box,
    external,
    fields,
    fold,
    inline,
    markup,
    paragraph,
    span,
    table,
)
from bookext.domain import book_of, depends_on_all, link
from bookext.roles import anchor, badge
from bookext.shelf import shelf_of
from bookext.standings import consult
from bookext.strip import strip
from bookext.whose import chapter, mark, own_notebook, state_badge, whose
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

    def card(self, record: ClaimRecord, *more: nodes.Node, entry: bool = False) -> nodes.container:
        """A claim in one line, and behind it what it rests on.

        Args:
            more: what follows the claim's own parts. entry: it is the ledger's, below a heading
                that says what people say.
        """
        number = "claim-number" if _has_number(record) else "measured-missing"
        line: list[Piece] = [
            span(record.id, "claim-id"), " ", *self.badges(record), " ",
            nodes.inline("", "", *self.prose(record.statement), classes=["claim-statement"]), " ",
            span(wording.result(record), number),
        ]  # fmt: skip
        parts: list[nodes.Node] = [self._common(record, entry=entry)]
        drawing = strip(record)
        if drawing is not None:
            parts.append(markup(drawing))
        parts.append(fields(self._facts(record, entry=entry), "claim-facts"))
        classes = ["claim-card", wording.state(record)]
        return box(*fold(line, *parts, *more), classes=classes)

    def badges(self, record: ClaimRecord) -> list[Piece]:
        """The verdict, with a mark where it is an exception on its page."""
        marks = [mark(record.notebook)] if wording.is_measured(record) else []
        return [badge(record, with_id=False), *marks]

    def _common(self, record: ClaimRecord, *, entry: bool) -> nodes.paragraph:
        said: list[Piece] = [] if entry else [" “", *self.prose(record.title), "”"]
        judged: list[Piece] = [" ", common_badge(record.common_verdict), " "]
        label = span("What people say" if entry else "People say", "claim-label")
        return paragraph(
            label, *said, *judged, *self.prose(record.nuance), classes=["claim-common"]
        )

    def _facts(self, record: ClaimRecord, *, entry: bool) -> list[tuple[str, Sequence[Piece]]]:
        rows: list[tuple[str, Sequence[Piece]]] = []
        effect = record.effect
        if effect is None or effect.refused:
            reasons = dict.fromkeys(map(str, effect.refused if effect else record.missing))
            rows.append(("No number, because of", ["; ".join(reasons)] if reasons else []))
        elif effect.kind != "behaviour":
            rows.append(("Measured", self.prose(effect.what)))
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
            rows.append(("Control, must fail", self._control(record.sabotage)))
        rows.append(("Sources", _joined([external(s.label, s.url) for s in record.sources])))
        here = record.notebook == own_notebook(
            self.env
        )  # then the page is the chapter, and says so
        if not here:
            rows.append(("Chapter", self._chapter(record.notebook)))
        if not entry:
            rows.append(("Ledger", [link(span(record.id), anchor(record.id))]))
        if wording.is_measured(record) and not here:
            origin = shelf_of(self.env).origin(record.notebook)
            state: list[Piece] = [" ", state_badge(origin.state)] if origin.marked else []
            rows.append(("Numbers of", [whose(origin), *state]))
        return [(name, pieces) for name, pieces in rows if pieces]

    def _control(self, sabotage: SabotageRecord) -> list[Piece]:
        """What was changed, what that gave, and whether the claim failed, as it has to."""
        gave = f": {wording.effect(sabotage.effect)}, "
        changed: list[Piece] = [*self.prose(sabotage.what), gave]
        if sabotage.verdict == "refuted":
            return [*changed, "failed"]
        missed = span("it should have failed", "sabotage-missed")
        return [*changed, f"came out {sabotage.verdict}: ", missed]

    def _chapter(self, notebook: str) -> list[Piece]:
        """The chapter that states a claim, and its data."""
        pieces: list[Piece] = [chapter(self.env, notebook)]
        if shelf_of(self.env).path(notebook) is not None:
            pieces += [" · ", link(span("raw data"), f"{notebook}.json", "data")]
        return pieces


def _has_number(record: ClaimRecord) -> bool:
    return record.effect is not None and not record.effect.refused


def _joined(pieces: Sequence[nodes.Node]) -> list[Piece]:
    return [one for piece in pieces for one in (" · ", piece)][1:]


class ClaimCard(ClaimDirective):
    """A claim in a chapter, in one line that opens.

    On a notebook's page it stands under each cell that states a claim, `claimed` sees to that.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """The card; an unknown claim is a warning."""
        record = consult(self.env, self.arguments[0].strip(), self.get_location())
        if record is None:
            return []
        more = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, more)
        return [self.card(record, *more.children)]


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
        card = self.card(record, entry=True)
        section = nodes.section(
            "", title, card, ids=[identifier], names=[identifier], classes=["claim-entry"]
        )
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
