"""The banner under a page's title: whose numbers the page shows that are not plainly accepted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.writers.html5 import HTML5Translator

from bookext import wording
from bookext.build import Piece, paragraph, span
from bookext.domain import depends_on, link, quoted
from bookext.shelf import shelf_of
from gatewaylab.publish.states import STATES, StateRecord
from gatewaylab.records.evidence import Evidence

#: What the banner says first.
_HEADS = {
    "stale": "Older numbers.",
    "unstable": "Too noisy.",
    "rejected": "Rejected.",
    "missing": "Not measured.",
}


class Banner(nodes.Admonition, nodes.Element):
    """A remark on the page as a whole; as an admonition, it is no part of a page's description."""


def visit(self: HTML5Translator, node: Banner) -> None:
    """Open the box; a note by its role, since it needs no landmark of its own."""
    classes = " ".join(node["classes"])
    self.body.append(f'<div class="{classes}" role="note" aria-label="State of the numbers">\n')


def depart(self: HTML5Translator, node: Banner) -> None:
    self.body.append("</div>\n")


def state_badge(record: StateRecord) -> nodes.inline:
    """A state as text that style sheets turn into a badge."""
    return span(wording.state_of(record), "state-badge", f"state-{record.state}")


def state_mark(record: StateRecord) -> list[Piece]:
    """The badge, to stand behind numbers that are not plainly accepted; nothing behind others."""
    return [] if record.state in {"accepted", "missing"} else [" ", state_badge(record)]


def chapter(env: BuildEnvironment, notebook: str) -> nodes.Element:
    """A link to a notebook's page under its title; its name where it has no page."""
    page = f"notebooks/{notebook}"
    if page not in env.found_docs:
        return span(notebook)
    reference: pending_xref = link(span(notebook), f"/{page}", "doc")
    reference["refexplicit"] = False  # then the text is the page's title
    return reference


def announce(app: Sphinx, doctree: nodes.document) -> None:
    """Put the banner under the title of the page that has just been read."""
    env = app.env
    own = own_notebook(env)
    if own is not None:
        depends_on(env, own)  # its outputs are evidence, too
    shelf = shelf_of(env)
    records = [shelf.state(notebook) for notebook in sorted(quoted(env))]
    records = [
        record
        for record in records
        if record.state != "accepted"
        and not (record.state == "missing" and shelf.stored(record.notebook))
    ]
    if not records:
        return
    records.sort(key=lambda record: STATES.index(record.state))
    banner = Banner(classes=["state-banner", f"state-{records[0].state}"])
    groups: dict[tuple[str, ...], list[StateRecord]] = {}
    for record in records:
        groups.setdefault(_alike(record, shelf.stored(record.notebook), own), []).append(record)
    for group in groups.values():
        stored = shelf.stored(group[0].notebook)
        pieces = sentences(env, group, stored, own=group[0].notebook == own)
        banner += paragraph(*pieces, classes=[f"state-{group[0].state}"])
    page = next(iter(doctree.findall(nodes.section)), doctree)
    title = page.first_child_matching_class(nodes.title)
    page.insert(0 if title is None else title + 1, banner)


def own_notebook(env: BuildEnvironment) -> str | None:
    """The notebook that the page being read is; None for any other page."""
    name = PurePosixPath(env.docname)
    shelf = shelf_of(env)
    is_one = name.parent.name == shelf.notebooks.name and name.name in shelf.chapters()
    return name.name if is_one else None


def _alike(record: StateRecord, stored: Evidence | None, own: str | None) -> tuple[str, ...]:
    """What two notebooks have in common that one sentence can speak of."""
    if record.notebook != own:
        if record.state == "missing":
            return (record.state,)
        if record.state == "stale" and stored is not None:
            machine = stored.environment
            return record.state, wording.day(stored.measured_at), machine.cpu, machine.python
    return record.state, record.notebook


def sentences(
    env: BuildEnvironment, group: Sequence[StateRecord], stored: Evidence | None, *, own: bool
) -> list[Piece]:
    """What the state of one notebook, or of several that are alike, means for the page.

    Args:
        stored: its accepted evidence. own: the page is that notebook.
    """
    record = group[0]
    state = record.state
    head = "Held back." if state == "unstable" and wording.is_held(record) else _HEADS[state]
    subject: list[Piece] = ["this chapter"]
    if not own:
        subject = _listed([chapter(env, one.notebook) for one in group])
    pieces: list[Piece] = [nodes.strong(head, head), " "]
    if state == "missing":
        verb = "has" if len(group) == 1 else "have"
        begin: list[Piece] = ["This chapter"] if own else subject
        return [*pieces, *begin, f" {verb} not been measured on this machine: no number is shown."]
    if state == "stale":
        assert stored is not None  # a stale record is one of evidence
        whose: list[Piece] = [] if own else [" of ", *subject]
        pieces += ["The numbers", *whose, " come from the measurement of ", *_origin(env, stored)]
    elif stored is not None and record.at == stored.measured_at:
        pieces += ["The measurement of ", *subject, f" was disturbed ({wording.why(record)})."]
        pieces += [" What was refused is left out; the rest is of ", *_origin(env, stored)]
    else:
        pieces += ["The last attempt to measure ", *subject, *_attempt(record)]
        if stored is None:
            return [*pieces, " There is no earlier measurement, so no number is shown."]
        pieces += [" The numbers shown are those of ", *_origin(env, stored)]
    pieces.append(".")
    if not record.current:
        pieces.append(" The code, a version or the machine has changed since.")
    if own and not record.figures:
        pieces.append(
            " Figures and other outputs are left out, because the code beside them has changed."
        )
    return pieces


def _listed(items: Sequence[Piece]) -> list[Piece]:
    """The items with commas and a last "and" between them."""
    found: list[Piece] = []
    for place, item in enumerate(items):
        if place:
            found.append(" and " if place == len(items) - 1 else ", ")
        found.append(item)
    return found


def _attempt(record: StateRecord) -> list[Piece]:
    when = f", {wording.minute(record.at)}," if record.at else ""
    if wording.is_held(record):
        return [f"{when} is held back: {wording.why(record)}. It counts when a second one agrees."]
    verb = "refused" if record.state == "unstable" else "rejected"
    return [f"{when} was {verb} ({wording.why(record)})."]


def _origin(env: BuildEnvironment, stored: Evidence) -> list[Piece]:
    """When and where evidence was measured, and where all versions are listed."""
    machine = stored.environment
    pieces: list[Piece] = [
        f"{wording.day(stored.measured_at)} on {machine.cpu} with {machine.python}"
    ]
    page = env.config.bookext_measured
    if page in env.found_docs and page != env.docname:
        pieces += [" (", link(span("all versions"), f"/{page}", "doc"), ")"]
    return pieces


def setup(app: Sphinx) -> None:
    app.add_node(Banner, html=(visit, depart))
    app.connect("doctree-read", announce)
