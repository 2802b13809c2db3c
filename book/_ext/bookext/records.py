"""Directives that print what was run, where and when, from evidence alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from bookext import wording
from bookext.build import Cell, Piece, box, fields, paragraph, span, table
from bookext.domain import book_of, depends_on, depends_on_all, link
from bookext.shelf import Origin, UnknownReferenceError, shelf_of
from bookext.whose import mark, remark, state_badge, whose
from gatewaylab.records.environment import Environment
from gatewaylab.records.evidence import SystemRecord
from gatewaylab.records.results import Comparison, Readings

LOGGER = logging.getLogger(__name__)

#: Why a chapter has no figures.
LEFT_OUT = "Figures and other outputs are left out, because the code beside them has changed."


def not_measured() -> nodes.paragraph:
    """What stands in place of a table that has no evidence."""
    return paragraph(span(wording.NOT_MEASURED.capitalize(), "measured-missing"), ".")


class EnvironmentRecord(SphinxDirective):
    """Machine, versions, seeds and times; one block for each machine that measured."""

    def run(self) -> list[nodes.Node]:
        """The blocks, or a remark when nothing was measured."""
        depends_on_all(self.env)
        shelf = shelf_of(self.env)
        groups: dict[tuple[bool, str], list[Origin]] = {}
        for origin in map(shelf.origin, shelf.stems()):
            if origin.evidence is not None:
                machine = origin.evidence.environment.model_dump_json()
                groups.setdefault((origin.reference, machine), []).append(origin)
        if not groups:
            return [not_measured()]
        found: list[nodes.Node] = []
        for (reference, environment), group in groups.items():
            record = Environment.model_validate_json(environment)
            name = "Reference machine" if reference else "This machine"
            found.append(paragraph(nodes.strong("", name), classes=["environment-head"]))
            found.append(fields(machine_facts(record), "environment"))
            found.append(_runs(group))
            versions = sorted(record.packages.items())
            found.append(table(("Package", "Version"), versions, "packages"))
        return found


def machine_facts(environment: Environment) -> list[tuple[str, Sequence[Piece]]]:
    lock = environment.lock[:16] + "…" if environment.lock else "none"
    return [
        ("Processor", [f"{environment.cpu}, {environment.cores} logical cores used"]),
        ("Memory", [f"{environment.memory_gib:g} GiB"]),
        ("System", [f"{environment.system}, kernel {environment.kernel}"]),
        ("Container", [environment.container + (", in CI" if environment.ci else "")]),
        ("Python", [f"{environment.python}, GIL {'on' if environment.gil else 'off'}"]),
        ("Commit", [environment.commit or "not a checkout"]),
        ("Lock file (SHA-256)", [lock]),
    ]


def _runs(group: Sequence[Origin]) -> nodes.table:
    rows: list[list[Cell]] = []
    for origin in group:
        evidence = origin.evidence
        assert evidence is not None  # those without are in no group
        seeds = ", ".join(map(str, sorted({c.seed for c in evidence.series}))) or "–"
        times = wording.clock(evidence.measured_at), wording.clock(evidence.finished_at)
        state: Cell = "shown" if origin.reference else state_badge(origin.state)
        rows.append([evidence.notebook, evidence.profile, *times, seeds, state])
    head = ("Notebook", "Profile", "Begun", "Finished", "Seeds", "State")
    return table(head, rows, "runs")


class SystemsTable(SphinxDirective):
    """Every server that the book knows, measured here or not."""

    def run(self) -> list[nodes.Node]:
        """The table, or a remark when nothing was measured."""
        depends_on_all(self.env)
        rows = shelf_of(self.env).systems()
        if not rows:
            return [not_measured()]
        head = ("Server", "Interface", "A slot is a", "Version", "Measured")
        cells = (_system(row, notebook) for row, notebook in rows)
        return [table(head, cells, "systems")]


def _system(row: SystemRecord, notebook: str) -> list[Cell]:
    here: list[Piece]
    if row.measured:
        here = ["measured", mark(notebook)]
    else:
        here = [span(wording.NOT_MEASURED, "measured-missing")]
        if row.hint:
            here += ["; to add it: ", nodes.literal(row.hint, row.hint)]
    return [row.title, row.interface.upper(), row.slot_kind, row.version or "–", here]


class TrialsTable(SphinxDirective):
    """Every comparison's trials, accepted and refused, with the rules that refused them."""

    def run(self) -> list[nodes.Node]:
        """A block for each notebook; notebooks without evidence get a remark."""
        depends_on_all(self.env)
        shelf = shelf_of(self.env)
        return [self._notebook(stem) for stem in shelf.chapters()] or [not_measured()]

    def _notebook(self, stem: str) -> nodes.container:
        identifier = f"trials-{stem}"
        block = box(classes=["trials"])
        block["ids"].append(identifier)
        book_of(self.env).anchors[identifier] = (self.env.docname, identifier)
        evidence = shelf_of(self.env).evidence(stem)
        head: list[Piece] = [span(stem)]
        if f"notebooks/{stem}" in self.env.found_docs:
            head = [link(span(stem), f"/notebooks/{stem}", "doc")]
        if evidence is not None:
            head += [" · ", link(span("raw data"), f"{stem}.json", "data")]
            head += [" · ", whose(shelf_of(self.env).origin(stem)), mark(stem)]
        block += paragraph(*head, classes=["trials-head"])
        if evidence is None:
            block += not_measured()
            return block
        for comparison in evidence.comparisons:
            block += paragraph(*_conditions(comparison), classes=["trials-conditions"])
            block += _trials(comparison)
        for readings in evidence.readings:
            block += paragraph(*_read(readings), classes=["trials-conditions"])
            block += _readings(readings)
        if not evidence.series:
            block += paragraph("Behaviours only: nothing here was timed.")
        return block


def _conditions(comparison: Comparison) -> list[Piece]:
    pieces: list[Piece] = [nodes.literal(comparison.name, comparison.name)]
    for trial in comparison.trials[:1]:
        loads = dict.fromkeys(_load(one.arrivals) for one in comparison.trials)
        pieces.append(
            f": {' or '.join(sorted(loads))}, {trial.seconds:g} s after {trial.warmup:g} s of "
            f"warm-up, deadline {trial.deadline:g} s, {comparison.blocks} blocks, "
            f"seed {comparison.seed}"
        )
    return pieces


def _read(readings: Readings) -> list[Piece]:
    again = f"; taken again for noise: {readings.repeated}" if readings.repeated else ""
    return [
        nodes.literal(readings.name, readings.name),
        f": {readings.what}, {readings.blocks} blocks, seed {readings.seed}{again}",
    ]


def _readings(readings: Readings) -> nodes.table:
    rows = [[label, str(len(values))] for label, values in readings.values.items()]
    return table(("What was read", "Accepted readings"), rows, "trials-table")


def _load(arrivals: Mapping[str, Any]) -> str:
    details = ", ".join(
        f"{name} {wording.number(value) if isinstance(value, float) else value}"
        for name, value in arrivals.items()
        if name != "kind"
    )
    return f"{arrivals.get('kind', 'arrivals')} ({details})"


def _trials(comparison: Comparison) -> nodes.table:
    labels = list(dict.fromkeys(t.label for t in (*comparison.trials, *comparison.rejected)))
    rows = []
    for label in labels:
        good = [t for t in comparison.trials if t.label == label]
        bad = [t for t in comparison.rejected if t.label == label]
        marked = sum(bool(trial.findings) for trial in good)
        counts = [str(count) for count in (len(good), marked, len(bad))]
        rules = dict.fromkeys(f.rule for trial in (*good, *bad) for f in trial.findings)
        planned, sent = (
            sum(getattr(t.generator, name) for t in good) for name in ("planned", "sent")
        )
        errors = str(sum(t.errors for t in good))
        found = ", ".join(rules) or "–"
        rows.append([label, *counts, f"{sent} of {planned}", errors, found])
    head = (
        "Configuration", "Used", "of which disturbed", "Measured again", "Sent", "Errors", "Found",
    )  # fmt: skip
    return table(head, rows, "trials-table")


class MeasuredStamp(SphinxDirective):
    """When and where a page's numbers were measured, with the way to data and method."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The stamp of the notebook that is named, or of the page itself."""
        stem = self.arguments[0] if self.arguments else PurePosixPath(self.env.docname).name
        method = link(span("method"), f"/{self.config.bookext_method}", "doc")
        try:
            evidence = shelf_of(self.env).evidence(stem)
        except UnknownReferenceError as error:
            LOGGER.warning("measured-stamp: %s", error, location=self.get_location())
            return []
        depends_on(self.env, stem)
        origin = shelf_of(self.env).origin(stem)
        badges: list[Piece] = [state_badge(origin.state), " "] if origin.marked else []
        said = remark(origin, ["this chapter"])
        if evidence is not None and not origin.figures:
            said += [" " if said else "", LEFT_OUT]
        style = ["numbers-note", f"state-{origin.kind}"]
        notes = [paragraph(*said, classes=style)] if said else []
        if evidence is None:
            missing = span(wording.NOT_MEASURED.capitalize(), "measured-missing")
            return [paragraph(missing, " · ", method, classes=["measured-stamp"]), *notes]
        blocks = max((c.blocks for c in evidence.series), default=0)
        rests = f", {blocks} blocks" if blocks else ""
        told = f"{whose(origin)}, {evidence.environment.cpu}{rests} · "
        return [
            paragraph(
                *badges,
                told[0].upper() + told[1:],
                link(span("raw data"), f"{stem}.json", "data"),
                " · ",
                link(span("trials"), f"trials-{stem}"),
                " · ",
                method,
                classes=["measured-stamp"],
            ),
            *notes,
        ]


def setup(app: Sphinx) -> None:
    app.add_directive("environment-record", EnvironmentRecord)
    app.add_directive("systems-table", SystemsTable)
    app.add_directive("trials-table", TrialsTable)
    app.add_directive("measured-stamp", MeasuredStamp)
