"""Sphinx extension of this book: pages that quote evidence, and a site that stays small.

::

    shelf      reads the evidence that is shown and the declared claims
    wording    numbers, effects and dates as text
    domain     anchors of claims and trials, and the links to them
    roles      {measured} and {claim}
    cards      {claim-card}, {claims-ledger} and {claim-entries}
    claimed    the card under each cell that states a claim
    whose      at the foot of a page and at numbers: which machine measured them, and when
    conditions the servers' conditions once, at the foot of a chapter
    records    {environment-record}, {systems-table}, {trials-table}, {measured-stamp}
    standing   {states-table}
    rehearsed  {stability-record}, {aa-record}
    replicated {replicated}: other machines' verdicts beside this one's
    forest     how far each of them is from failing, drawn
    standings  what a page may say on the strength of a claim
    comparison {comparison-table}
    myths      {myth} and {myths-table}
    points     the slot model's prediction of everything that was measured
    slotmodel  {slot-model-figure} and {slot-model}
    loads      a load, and what a command makes of it
    calculator {slot-calculator}
    builds     {builds-record}
    sparkline  the small drawing of a claim from build to build
    playground {playground}
    experiments what the playground can play, planned and recorded
    still      the playground without its script
    waterfall  {recorded-waterfall}: an experiment of the playground as it was recorded
    answers    from answers to choices, by rules
    tree       from rules to the shortest tree of questions
    chooser    {chooser} and {choice}
    flowchart  {flow-chart}
    lanes      {where-it-runs}: Django's parts on threads and loops
    strip      the small drawing of an interval
    ways       {request-way}, {deployment-lanes} and {upload-lanes}
    build      docutils nodes, made in one line
    page       the last touch to each page's HTML, with its content policy
    unscripted the style sheet of readers without scripts
    mathml     equations without a script
    sheet      the one style sheet of all pages, with the rules that they can use
    icons      the icon fonts, cut to what the site shows
    buttons    the executed notebook and Codespaces, above a chapter
    feed       the changelog, for feed readers
    site       addresses from the environment, published data, clean-up
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

from bookext import (
    builds,
    buttons,
    calculator,
    cards,
    chooser,
    claimed,
    comparison,
    conditions,
    domain,
    feed,
    flowchart,
    lanes,
    mathml,
    myths,
    playground,
    records,
    rehearsed,
    replicated,
    roles,
    site,
    slotmodel,
    standing,
    waterfall,
    ways,
    whose,
)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("bookext_evidence", "_build/evidence", "env", types=(str,))
    app.add_config_value("bookext_reference", "book/records/reference", "env", types=(str,))
    app.add_config_value("bookext_states", "_build/state", "env", types=(str,))
    app.add_config_value("bookext_builds", "_build/builds", "env", types=(str,))
    app.add_config_value("bookext_measured", "book/how-measured", "env", types=(str,))
    app.add_config_value("bookext_claims", "book/claims", "env", types=(str,))
    app.add_config_value("bookext_method", "book/method", "env", types=(str,))
    # Sphinx does not look at an extension's code; a change of it must render every page anew.
    app.add_config_value("bookext_source", source_digest(), "env", types=(str,))
    app.connect("config-inited", count_assets)
    parts = (
        domain, roles, cards, claimed, conditions, records, standing, rehearsed, replicated, builds,
        comparison, myths, slotmodel, calculator, chooser, flowchart, lanes, playground,
        waterfall, ways, whose, mathml, buttons, feed, site,
    )  # fmt: skip
    for part in parts:
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def source_digest() -> str:
    """A digest of this extension's own modules."""
    return _digest(Path(__file__).parent.glob("*.py"))


def count_assets(app: Sphinx, config: Config) -> None:
    """Sphinx copies no changed style sheet when no page has changed: so each of them does."""
    folders = (Path(app.confdir, folder) for folder in config.html_static_path)
    files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
    config.bookext_source += _digest(files)


def _digest(files: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
