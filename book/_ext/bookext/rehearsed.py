"""Directives that print the committed records of long runs.

``{stability-record}``: whether verdicts flip between rebuilds. ``{aa-record}``: how often equals
are called different. ``{noise-record}``: what the book comes to on machines that are disturbed.
``{deploy-record}``: what each set-up of ``deploy/`` was seen to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bookext import wording
from bookext.build import Cell, Piece, paragraph, span, table
from bookext.domain import depends_on, link
from bookext.roles import anchor
from bookext.shelf import shelf_of
from bookext.wording import many
from gatewaylab.errors import ResultError
from gatewaylab.publish.deploy_record import DeployRecord
from gatewaylab.publish.noise_record import NoiseRecord
from gatewaylab.publish.stability import OUTCOME_MARKS, Outcome, StabilityRecord
from gatewaylab.records.storage import load
from gatewaylab.truth.twins import AARecord

LOGGER = logging.getLogger(__name__)

#: What stands in place of a record that nobody has made.
NOT_RECORDED = "not recorded yet"

Record = TypeVar("Record", bound=BaseModel)


class _RecordDirective(SphinxDirective, Generic[Record]):
    """A record of one kind, from ``<bookext_records>/<stem>.json``."""

    kind: type[Record]
    stem: ClassVar[str]

    def run(self) -> list[nodes.Node]:
        """The record, or a remark without one; an unusable one is a warning."""
        path = Path(self.env.srcdir, self.config.bookext_records, f"{self.stem}.json")
        self.env.note_dependency(str(path))
        if not path.exists():
            return [paragraph(span(NOT_RECORDED.capitalize(), "measured-missing"), ".")]
        try:
            record = load(self.kind, path)
        except ResultError as error:
            LOGGER.warning("%s: %s", self.name, error, location=self.get_location())
            return []
        return self.show(record)

    def show(self, record: Record) -> list[nodes.Node]:
        raise NotImplementedError


class Stability(_RecordDirective[StabilityRecord]):
    """Every claim in every rebuild."""

    kind = StabilityRecord
    stem = "stability"

    def show(self, record: StabilityRecord) -> list[nodes.Node]:
        """The flips and the conditions in two sentences, then a row for each claim."""
        depends_on(self.env)
        declared = shelf_of(self.env).declarations()
        head = ("Claim", "Each rebuild", "In words", "Estimates", "Highest ÷ lowest", "Flips")
        rows = [_row(record, name, linked=name in declared) for name in record.claims]
        return [
            paragraph(
                f"In {many(len(record.rebuilds), 'rebuild')}, "
                f"{many(len(record.claims), 'claim')} flipped "
                f"{many(record.all_flips, 'time')} between supported and refuted. "
                f"{conditions(record.at, record.machine, record.commit)}, profile "
                f"{record.profile}, {wording.number(record.seconds / 60)} minutes in all.",
                classes=["record-conditions"],
            ),
            table(head, rows, "stability-table"),
        ]


class Twins(_RecordDirective[AARecord]):
    """How often a server that was compared with itself was called different."""

    kind = AARecord
    stem = "aa"

    def show(self, record: AARecord) -> list[nodes.Node]:
        """The conditions in two sentences, then a row for each way to err."""
        numbers = len(record.ratios)
        wrong = (
            ("the 95 % interval excludes 1", record.interval_excludes_one, record.expected),
            ("a claim’s rule finds a difference", record.rule_false_positives, None),
        )
        rows = [
            [
                what,
                f"{count} of {numbers}",
                _percent(count / numbers) if numbers else "–",
                "–" if expected is None else _percent(expected),
            ]
            for what, count, expected in wrong
        ]
        head = ("Error", "Comparisons", "Share", "By the exact distribution")
        return [
            paragraph(
                f"One server was compared with itself in {many(record.comparisons, 'comparison')} "
                f"of {many(record.blocks, 'block')} ({record.trials} trials); noise left "
                f"{many(record.without_number, 'comparison')} without a number. "
                f"{conditions(record.at, record.machine, record.commit)}, "
                f"{wording.number(record.seconds / 60)} minutes in all.",
                classes=["record-conditions"],
            ),
            table(head, rows, "aa-table"),
        ]


class Noises(_RecordDirective[NoiseRecord]):
    """The whole book under each noise."""

    kind = NoiseRecord
    stem = "noise"

    def show(self, record: NoiseRecord) -> list[nodes.Node]:
        """The conditions, then a row for each noise."""
        verdicts: tuple[Outcome, ...] = ("supported", "inconclusive", "refuted", "not measured")
        rows: list[list[Cell]] = []
        for name, seen in record.noises.items():
            undecided = len(seen.sabotages) - seen.caught - seen.unnoticed
            counts = [str(seen.count(verdict)) for verdict in verdicts]
            sabotages = f"{seen.caught} / {undecided} / {seen.unnoticed}"
            minutes, day = wording.number(seen.seconds / 60), wording.day(seen.at)
            label = span(name, "claim-id")
            rows.append([[label, f": {seen.what}"], *counts, sabotages, minutes, day])
        head = (
            "Noise", "Supported", "Inconclusive", "Refuted", "Not measured",
            "Sabotages caught / undecided / supported", "Minutes", "Recorded",
        )  # fmt: skip
        return [
            paragraph(
                f"The whole book was measured once under each on {record.machine}, profile "
                f"{record.profile}. Nothing that was seen then is in this book's other numbers.",
                classes=["record-conditions"],
            ),
            table(head, rows, "noise-table"),
        ]


class Deploy(_RecordDirective[DeployRecord]):
    """Every set-up under every visit."""

    kind = DeployRecord
    stem = "deploy"

    def show(self, record: DeployRecord) -> list[nodes.Node]:
        """A row for each visit, a column for each set-up; then the reason for every no."""
        rows: list[list[list[Piece]]] = []
        for name, what in record.visits.items():
            cells = [_yes_or_no(one.passed[name]) for one in record.set_ups.values()]
            rows.append([[what], *cells])
        reasons: dict[str, dict[str, None]] = {}
        for name, one in record.set_ups.items():
            for why in one.why_not.values():
                reasons.setdefault(why, {})[name] = None
        whys = "; ".join(f"{why} ({', '.join(set_ups)})" for why, set_ups in reasons.items())
        programs = ", ".join(f"{name} {version}" for name, version in record.programs.items())
        return [
            table(("What is tried", *record.set_ups), rows, "deploy-table"),
            paragraph(
                f"Why not: {whys}. Recorded {wording.day(record.at)} with {programs}.",
                classes=["record-conditions"],
            ),
        ]


def _yes_or_no(passed: bool) -> list[Piece]:
    return ["yes" if passed else span("no", "measured-missing")]


def _percent(share: float) -> str:
    return f"{wording.number(100 * share, '.1f')} %"


def conditions(at: str, machine: str, commit: str | None) -> str:
    """When, where and with which code, for the sentence above a record."""
    code = f"commit {commit}" if commit else "no checkout"
    return f"Recorded {wording.day(at)} on {machine}, {code}"


def _row(record: StabilityRecord, name: str, *, linked: bool) -> list[Cell]:
    label = span(name, "claim-id")
    marks: list[Piece] = []
    for verdict in record.verdicts(name):
        mark = OUTCOME_MARKS[verdict]
        marks += [nodes.abbreviation(mark, mark, explanation=verdict), " "]
    words = ", ".join(f"{n} {verdict}" for verdict, n in record.counts(name).most_common())
    spread = record.spread(name)
    return [
        link(label, anchor(name)) if linked else label,
        marks[:-1],
        words,
        span(_estimates(record, name), "claim-value"),
        "–" if spread is None else wording.number(spread),
        str(record.flips(name)),
    ]


def _estimates(record: StabilityRecord, name: str) -> str:
    ends = record.estimates(name)
    if ends is None:
        return "–"
    low, high = map(wording.number, ends)
    unit = record.unit(name)
    return (low if low == high else f"{low}–{high}") + (f"\u00a0{unit}" if unit else "")


def setup(app: Sphinx) -> None:
    app.add_config_value("bookext_records", "book/records", "env", types=(str,))
    app.add_directive("stability-record", Stability)
    app.add_directive("aa-record", Twins)
    app.add_directive("noise-record", Noises)
    app.add_directive("deploy-record", Deploy)
