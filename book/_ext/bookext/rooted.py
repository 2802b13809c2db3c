"""An HTML builder that writes the toc's root page as ``index.html`` at the top of the site.

The root page lives in ``book/``. Left alone, the site's ``index.html`` would be a bare redirect
to ``book/index.html``. Sphinx asks the builder for each page's address and file, so it is enough
to answer differently for one page; all links, the search index included, follow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

ROOT = "index"


class RootedHTMLBuilder(StandaloneHTMLBuilder):
    """The standard builder, with the root page at the top."""

    def place(self, pagename: str) -> str:
        """Where a page goes: the root page to the top, others where their source is."""
        return ROOT if pagename == self.config.root_doc else pagename

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        """The address of a page, relative to the site."""
        return super().get_target_uri(self.place(docname), typ)

    def get_outfilename(self, pagename: str) -> str:
        """The file of a page."""
        name: str = super().get_outfilename(self.place(pagename))
        return name

    def load_indexer(self, docnames: Iterable[str]) -> None:
        """Load the search index, in which the root page has its new name."""
        indexer = self.indexer
        assert indexer is not None
        prune = indexer.prune

        def prune_placed(kept: Iterable[str]) -> None:
            prune([self.place(name) for name in kept])

        indexer.prune = prune_placed  # type: ignore[method-assign,assignment]
        super().load_indexer(docnames)

    def index_page(self, pagename: str, doctree: nodes.document, title: str) -> None:
        """Feed a page to the search index."""
        if pagename != self.place(pagename) and self.indexer is not None and title:
            self.indexer.feed(ROOT, os.fspath(self.env.doc2path(pagename, False)), title, doctree)
        else:
            super().index_page(pagename, doctree, title)


def setup(app: Sphinx) -> None:
    """Take the place of the standard builder."""
    app.add_builder(RootedHTMLBuilder, override=True)
