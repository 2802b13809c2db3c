"""The ``book`` domain: where claims and trials are described, and links to these places.

Also remembers what each page reads, so that a change of evidence rebuilds it, and whose numbers
the page that is being read has quoted so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.domains import Domain
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode
from sphinx.util.osutil import relative_uri

from bookext.shelf import shelf_of
from gatewaylab.records.evidence import ClaimRecord


class BookDomain(Domain):
    """Anchors by name, such as ``c05`` or ``trials-slow-requests-and-slots``."""

    name = "book"
    label = "Book"
    initial_data: dict[str, Any] = {"anchors": {}, "readers": {}, "absent": {}}  # noqa: RUF012
    data_version = 2

    @property
    def anchors(self) -> dict[str, tuple[str, str]]:
        """Anchor name → (page, id)."""
        found: dict[str, tuple[str, str]] = self.data["anchors"]
        return found

    @property
    def readers(self) -> dict[str, tuple[str, ...]]:
        """Page that reads all evidence → the notebooks that it found."""
        found: dict[str, tuple[str, ...]] = self.data["readers"]
        return found

    @property
    def absent(self) -> dict[str, tuple[str, ...]]:
        """Page → the files that it asked for and that did not exist."""
        found: dict[str, tuple[str, ...]] = self.data["absent"]
        return found

    def clear_doc(self, docname: str) -> None:
        """Forget a page that is read again or gone."""
        for anchor, (page, _) in list(self.anchors.items()):
            if page == docname:
                del self.anchors[anchor]
        self.readers.pop(docname, None)
        self.absent.pop(docname, None)

    def merge_domaindata(self, docnames: list[str], otherdata: dict[str, Any]) -> None:
        """Take over what a parallel reader found."""
        for anchor, (page, node_id) in otherdata["anchors"].items():
            if page in docnames:
                self.anchors[anchor] = (page, node_id)
        self.readers.update((d, s) for d, s in otherdata["readers"].items() if d in docnames)
        self.absent.update((d, s) for d, s in otherdata["absent"].items() if d in docnames)

    def resolve_xref(
        self,
        env: BuildEnvironment,
        fromdocname: str,
        builder: Builder,
        typ: str,
        target: str,
        node: pending_xref,
        contnode: nodes.Element,
    ) -> nodes.reference | None:
        """Resolve ``anchor`` (a place) and ``data`` (a published file); None warns."""
        if typ == "data":
            uri = relative_uri(builder.get_target_uri(fromdocname), f"data/{target}")
            return nodes.reference("", "", contnode, internal=True, refuri=uri)
        page, node_id = self.anchors.get(target, ("", ""))
        if not page:
            return None
        return make_refnode(builder, fromdocname, page, node_id, contnode)


def book_of(env: BuildEnvironment) -> BookDomain:
    """The domain of this build."""
    domain = env.get_domain("book")
    assert isinstance(domain, BookDomain)
    return domain


def link(content: nodes.Element, target: str, kind: str = "anchor") -> pending_xref:
    """A link that is resolved when all pages are known; an unknown target warns.

    Args:
        content: what is shown.
        target: an anchor's name, a published file's name, or a page for ``kind="doc"``.
        kind: ``anchor``, ``data`` or ``doc``.
    """
    return pending_xref(
        "",
        content,
        refdomain="std" if kind == "doc" else "book",
        reftype=kind,
        reftarget=target,
        refexplicit=True,
        refwarn=True,
    )


def depends_on(env: BuildEnvironment, *notebooks: str) -> None:
    """The page that is being read quotes these notebooks: rebuild it when their evidence changes.

    That it quotes them is noted for its foot.
    """
    shelf = shelf_of(env)
    quoted(env).update(notebooks)
    files = [path for name in notebooks for path in (*shelf.paths(name), shelf.state_path(name))]
    for file in (*shelf.declaration_files(), *files):
        env.note_dependency(str(file))


def depends_on_claim(env: BuildEnvironment, record: ClaimRecord) -> None:
    """The page that is being read shows a claim; one that was never measured quotes no notebook."""
    depends_on(env, *(() if record.kind in {"cited", "opinion"} else (record.notebook,)))


def depends_on_all(env: BuildEnvironment) -> None:
    """Rebuild the page that is being read when any evidence changes, appears or goes away."""
    shelf = shelf_of(env)
    depends_on(env, *shelf.chapters())
    book_of(env).readers[env.docname] = shelf.names()


def quoted(env: BuildEnvironment) -> set[str]:
    """The notebooks whose evidence the page that is being read has quoted so far."""
    found: set[str] = env.temp_data.setdefault("bookext_quoted", set())
    return found


def _outdated(app: Sphinx, env: BuildEnvironment, *_: Any) -> Iterable[str]:
    domain = book_of(env)
    now = shelf_of(env).names()
    found = {docname for docname, then in domain.readers.items() if then != now}
    for docname, files in domain.absent.items():
        if any(Path(env.srcdir, file).is_file() for file in files):
            found.add(docname)
    return found


def _existing_dependencies(app: Sphinx, env: BuildEnvironment) -> None:
    """Evidence that did not exist counts as changed when it appears, and not before.

    Sphinx re-reads a page with a missing dependency at every build.
    """
    absent = book_of(env).absent
    for docname, files in env.dependencies.items():
        missing = {f for f in files if not Path(env.srcdir, f).is_file() and _is_evidence(f)}
        if missing:
            files -= missing
            absent[docname] = (*absent.get(docname, ()), *sorted(missing))


def _is_evidence(file: str) -> bool:
    return file.endswith((".json", ".toml"))


def setup(app: Sphinx) -> None:
    app.add_domain(BookDomain)
    app.connect("env-get-outdated", _outdated)
    app.connect("env-updated", _existing_dependencies)
