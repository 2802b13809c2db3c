"""Whose numbers a page shows: said at its foot, and at a number that is an exception on its page.

The foot names the machines and the days. A mark stands only behind numbers of another machine than
most of the page's, and behind those that are not plainly accepted.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.osutil import relative_uri

from bookext import wording
from bookext.build import Piece, box, paragraph, span
from bookext.domain import depends_on, link, quoted
from bookext.shelf import Kind, Origin, shelf_of
from gatewaylab.publish.states import STATES, StateRecord
from gatewaylab.records.evidence import Evidence

#: Whose numbers need no mark where most of the page's are theirs.
_MACHINES: dict[Kind, str] = {"own": "this machine", "reference": "reference machine"}


#: What makes evidence of this machine stale.
CHANGED = "The code, a version or the machine has changed since."


class Mark(nodes.inline):
    """A place behind a number, until the whole page has been read: for a mark, or for nothing."""


def mark(notebook: str) -> nodes.Node:
    """What stands behind a number of a notebook."""
    return Mark("", "", notebook=notebook)


def state_badge(record: StateRecord) -> nodes.inline:
    """A state as text that style sheets turn into a badge."""
    return span(wording.state_of(record), "state-badge", f"state-{record.state}")


def whose(origin: Origin) -> str:
    """The machine and the day: "reference machine, 30 November 2026"."""
    if origin.evidence is None:
        return wording.NOT_MEASURED
    return f"{machine_of(origin)}, {wording.day(origin.evidence.measured_at)}"


def machine_of(origin: Origin) -> str | None:
    """Whose the numbers are; None without any."""
    if origin.evidence is None:
        return None
    return _MACHINES["reference" if origin.reference else "own"]


def chapter(env: BuildEnvironment, notebook: str) -> nodes.Element:
    """A link to a notebook's page under its title; its name where it has no page."""
    page = f"notebooks/{notebook}"
    if page not in env.found_docs:
        return span(notebook)
    reference: pending_xref = link(span(notebook), f"/{page}", "doc")
    reference["refexplicit"] = False  # then the text is the page's title
    return reference


def own_notebook(env: BuildEnvironment) -> str | None:
    """The notebook that the page being read is; None for any other page."""
    name = PurePosixPath(env.docname)
    shelf = shelf_of(env)
    is_one = name.parent.name == shelf.notebooks.name and name.name in shelf.chapters()
    return name.name if is_one else None


def announce(app: Sphinx, doctree: nodes.document) -> None:
    """Say whose numbers the page that has just been read shows."""
    env, shelf = app.env, shelf_of(app.env)
    own = own_notebook(env)
    if own is not None:
        depends_on(env, own)  # its outputs are evidence, too
        data = relative_uri(app.builder.get_target_uri(env.docname), f"data/{own}.json")
        sign_figures(doctree, whose(shelf.origin(own)), data)
    if not any("measured-stamp" in one["classes"] for one in doctree.findall(nodes.paragraph)):
        own = None  # no line under the title speaks of the chapter itself, so the foot does
    places = list(doctree.findall(Mark))
    names = quoted(env) | {place["notebook"] for place in places}
    origins = {name: shelf.origin(name) for name in sorted(names)}
    _fill_marks(places, origins, own)
    others = [origin for name, origin in origins.items() if name != own]
    if others:
        page: nodes.Element = next(iter(doctree.findall(nodes.section)), doctree)
        page.append(box(*_foot(env, origins.values(), others), classes=["numbers-foot"]))


def sign_figures(doctree: nodes.document, by: str, data: str) -> None:
    """Put the machine, the day and a link to the data under each figure of the chapter's outputs.

    In the section of the line that links to the data already, the link is left out.
    """
    stamps = (one for one in doctree.findall(nodes.paragraph) if "measured-stamp" in one["classes"])
    linked = {id(_section(one)) for one in stamps}
    for node in doctree.findall(nodes.raw):
        if "</figcaption>" in node.astext():
            end = f' <span class="whose">{html.escape(by)}</span>'
            if id(_section(node)) not in linked:
                end += f' · <a href="{html.escape(data)}">data</a>'
            signed = node.astext().replace("</figcaption>", f"{end}</figcaption>")
            node.children = [nodes.Text(signed)]


def _section(node: nodes.Node) -> nodes.Node:
    """The innermost section around a node; the page itself where there is none."""
    while not isinstance(node, nodes.section | nodes.document):
        node = node.parent
    return node


def _fill_marks(places: Sequence[Mark], origins: Mapping[str, Origin], own: str | None) -> None:
    """Write the marks that are needed, each once a paragraph, and remove the other places.

    A chapter's own numbers need none on its page: the line under its title speaks of them.
    """
    kinds = Counter(origins[place["notebook"]].kind for place in places)
    plain = max(_MACHINES, key=lambda kind: kinds[kind])
    if own is not None:
        plain = "reference" if origins[own].reference else "own"
    marked: set[tuple[int, str]] = set()
    for place in places:
        origin, block = origins[place["notebook"]], place.parent
        while isinstance(block, nodes.inline | pending_xref):
            block = block.parent
        here = id(block), origin.notebook
        if origin.kind in {plain, "missing"} or origin.notebook == own or here in marked:
            place.parent.remove(place)
            continue
        marked.add(here)
        word = _MACHINES.get(origin.kind) or wording.state_of(origin.state)
        badge = span(word, "state-badge", f"state-{origin.kind}")
        place.replace_self([nodes.Text(" "), badge])


def _foot(
    env: BuildEnvironment, origins: Collection[Origin], others: Sequence[Origin]
) -> list[nodes.Node]:
    """The machines, the days and how many chapters; then what there is to say of single chapters.

    Args:
        origins: all that the page quotes. others: those of them whose own page this is not.
    """
    groups = [
        [one for one in origins if one.evidence is not None and one.reference == reference]
        for reference in (False, True)
    ]
    told = [_told(group) for group in sorted(groups, key=len, reverse=True) if group]
    found: list[nodes.Node] = []
    if told:
        pieces: list[Piece] = [f"Numbers on this page: {'; '.join(told)}"]
        page = env.config.bookext_measured
        if page in env.found_docs and page != env.docname:
            pieces += [" · ", link(span("machines and versions"), f"/{page}", "doc")]
        found.append(paragraph(*pieces))
    alike: dict[tuple[str, ...], list[Origin]] = {}
    for origin in sorted(others, key=lambda one: STATES.index(one.state.state)):
        alike.setdefault(_alike(origin), []).append(origin)
    for same in alike.values():
        subject = _listed([chapter(env, one.notebook) for one in same])
        said = remark(same[0], subject, many=len(same) > 1)
        if said:
            found.append(paragraph(*said, classes=[f"state-{same[0].kind}"]))
    return found


def _told(group: Sequence[Origin]) -> str:
    """Whose and of when the numbers of some chapters are: all of one machine."""
    moments = [one.evidence.measured_at for one in group if one.evidence is not None]
    many = wording.many(len(group), "chapter")
    older = sum(one.reference and not one.figures for one in group)
    more = f", the code of {older} has changed since" if older else ""
    return f"{machine_of(group[0])}, {wording.days(moments)} ({many}{more})"


def _alike(origin: Origin) -> tuple[str, ...]:
    """What two notebooks have in common that one sentence can speak of."""
    state = origin.state.state
    if state in {"unstable", "rejected"} or origin.lacking:
        return state, origin.notebook
    if state != "stale" or origin.reference or origin.evidence is None:
        return state, origin.kind
    return state, _moment(origin.evidence)


def remark(origin: Origin, subject: Sequence[Piece], *, many: bool = False) -> list[Piece]:
    """What there is to say of a chapter's numbers; nothing if they are plainly whose they are.

    Args:
        subject: what the chapter is called in the sentence. many: it names several.
    """
    state, stored = origin.state, origin.evidence
    pieces: list[Piece] = []
    if origin.kind == "missing" and state.state == "missing":
        verb = "have" if many else "has"
        return [*subject, f" {verb} not been measured on this machine: no number is shown."]
    if state.state == "stale" and not origin.reference:
        assert stored is not None  # a stale record is one of evidence
        pieces += ["The numbers of ", *subject, f" are of {_moment(stored)}. {CHANGED}"]
    elif state.state in {"unstable", "rejected"}:
        incomplete = not origin.reference and stored is not None and state.at == stored.measured_at
        pieces += _attempt(origin, subject, incomplete=incomplete)
        if stored is None:
            return [*pieces, " There is no earlier measurement, so no number is shown."]
        if incomplete:
            pieces.append(" What was refused is left out.")
        elif not origin.reference:
            pieces.append(f" The numbers shown are of {_moment(stored)}.")
            if not state.current:
                pieces.append(f" {CHANGED}")
        else:
            pieces.append(" The numbers shown are the reference machine’s.")
    elif origin.lacking:
        pieces += [*subject, f" needs what this machine lacks: {', '.join(origin.lacking)}."]
    if pieces and isinstance(pieces[0], str):
        pieces[0] = pieces[0][:1].upper() + pieces[0][1:]
    return pieces


def _listed(items: Sequence[Piece]) -> list[Piece]:
    """The items with commas and a last "and" between them."""
    found: list[Piece] = []
    for place, item in enumerate(items):
        if place:
            found.append(" and " if place == len(items) - 1 else ", ")
        found.append(item)
    return found


def _attempt(origin: Origin, subject: Sequence[Piece], *, incomplete: bool) -> list[Piece]:
    record = origin.state
    if incomplete:
        return ["The measurement of ", *subject, f" was disturbed ({wording.why(record)})."]
    when = f" of {wording.minute(record.at)}" if record.at else ""
    begin: list[Piece] = [f"The attempt{when} to measure ", *subject, " on this machine"]
    if wording.is_held(record):
        return [
            *begin,
            f" is held back: {wording.why(record)}. It counts when a second one agrees.",
        ]
    verb = "too noisy" if record.state == "unstable" else "rejected"
    return [*begin, f" was {verb} ({wording.why(record)})."]


def _moment(stored: Evidence) -> str:
    """When and where evidence was measured."""
    machine = stored.environment
    return f"{wording.day(stored.measured_at)}, on {machine.cpu} with {machine.python}"


def setup(app: Sphinx) -> None:
    app.add_node(Mark)
    app.connect("doctree-read", announce)
