"""From evidence to the site, and to the README's figure; nothing is measured here."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from rich.console import Console

from gatewaylab.errors import BuildError
from gatewaylab.publish import site
from gatewaylab.publish.book import Book, same_code
from gatewaylab.publish.execution import read_notebook
from gatewaylab.publish.key import site_key
from gatewaylab.publish.reference import chosen, shown
from gatewaylab.publish.serving import SiteServer
from gatewaylab.records.storage import check_destination, write_atomically
from gatewaylab.servers.specs import SERVERS
from gatewaylab.show.waterfall import Panel, waterfall


def render(book: Book, console: Console) -> Path:
    """Make the site from evidence, unless it is the present one; a warning is an error.

    Raises:
        BuildError: jupyter-book warned or failed. The last whole site stays in its place.
    """
    began = time.monotonic()
    page, key = book.html / "index.html", site_key(book)
    if site.made_from(book) == key:
        console.out("nothing to render")
        return page
    half = site.assemble(book, _pages(book))
    _downloads(book, half)
    site.exchange(book, half, key)
    console.out(_whose(book))
    console.out(f"rendered in {time.monotonic() - began:.1f} s")
    return page


class Preview:
    """What can be read while the build still measures.

    A warning is told and no more, because what is yet to be measured may be what a page misses;
    then only the last rendering, which can fail the build, is tried again.

    Args:
        server: of the site, if there is one; its open pages are told of each rendering.
    """

    def __init__(self, book: Book, console: Console, server: SiteServer | None = None) -> None:
        self._book, self._console, self._server = book, console, server
        self._possible, self._told = True, False

    @property
    def address(self) -> str:
        """Where the front page is."""
        if self._server is not None:
            return self._server.address
        return (self._book.html / "index.html").as_uri()

    def update(self) -> None:
        """Render what is there, as far as it has changed; says the first time where it is."""
        if not self._possible:
            return
        try:
            self.finish()
        except BuildError as error:
            self._possible = False
            self._console.out(f"the pages can be rendered only after measuring: {error}")
            return
        if not self._told:
            self._told = True
            self._console.out(f"open {self.address} now: each chapter changes once it is measured")

    def finish(self) -> None:
        """Render what is there.

        Raises:
            BuildError: jupyter-book warned or failed.
        """
        render(self._book, self._console)
        if self._server is not None:
            self._server.tell()


def _pages(book: Book) -> Path:
    """The folder of all pages, after those were rendered that need it.

    What an interrupted or failed rendering has left is removed first: the next one would not
    repeat its warnings, since those pages have not changed. So are the pages of another table of
    contents, which Sphinx does not place anew.
    """
    whole, pages = book.rendering / "whole", book.rendering / "_build" / "html"
    contents = (book.root / "_toc.yml").read_text(encoding="utf-8")
    if not whole.exists() or whole.read_text(encoding="utf-8") != contents:
        shutil.rmtree(book.rendering, ignore_errors=True)
    whole.unlink(missing_ok=True)
    fill_cache(book)
    log = book.build / "render.log"
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "gatewaylab.publish.renderer",
                str(os.getpid()),
                book.root,
                book.rendering,
            ],
            cwd=book.root,
            # Nothing on a page comes from where or by whom it is rendered.
            env={**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"},
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    if done.returncode != 0 or not (pages / "index.html").exists():
        lines = log.read_text(encoding="utf-8").splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines
        raise BuildError(f"jupyter-book failed (whole log: {log}):\n" + "\n".join(told[-40:]))
    whole.write_text(contents, encoding="utf-8")
    return pages


def _whose(book: Book) -> str:
    """How many chapters show whose numbers, in one line of the console."""
    names = [path.stem for path in book.notebooks()]
    files = [chosen(name, book.evidence, book.reference) for name in names]
    own, reference = (
        sum(file is not None and file.parent == folder for file in files)
        for folder in (book.evidence, book.reference)
    )
    return (
        f"of {len(names)} chapters {own} show this machine's numbers, {reference} the reference "
        f"machine's, {len(names) - own - reference} none"
    )


def fill_cache(book: Book) -> None:
    """Put each notebook's outputs where the renderer looks for them.

    A notebook without evidence is given as "executed, no outputs", since rendering must never
    start a server; and so is one whose code is not that of its evidence, since no output may stand
    beside other code.
    """
    shutil.rmtree(book.cache, ignore_errors=True)
    cache = get_cache(str(book.cache))
    try:
        for path in book.notebooks():
            notebook = read_notebook(path)
            # What a kernel would have told; without it the code is not highlighted.
            notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
            stored = shown(book, path.stem)
            if stored is not None and same_code(path, stored):
                executed = nbformat.reads(json.dumps(stored.executed), as_version=4)
                _take_outputs(notebook, executed)
            cache.cache_notebook_bundle(
                CacheBundleIn(notebook, str(path)), check_validity=False, overwrite=True
            )
    finally:
        cache.db.dispose()  # the cache itself leaves its database open


def _take_outputs(notebook: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> None:
    sources = (cell for cell in executed.cells if cell.cell_type == "code")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            source = next(sources)
            cell.outputs, cell.execution_count = source.outputs, source.execution_count


def readme_figure(book: Book, path: Path) -> None:
    """Write the README's figure from the evidence that is shown: one trial of two set-ups, as SVG.

    Raises:
        BuildError: there is none of the notebook that it comes from.
        InputError: no file can be written at ``path``.
    """
    check_destination(path)
    stored = shown(book, "slow-requests-and-slots")
    if stored is None:
        raise BuildError("measure first: scripts/build")
    comparison = next(one for one in stored.comparisons if one.name == "blocking")
    panels = [
        Panel(label, next(iter(comparison.of(label)), None), SERVERS[server].color)
        for label, server in (("one sync worker", "gunicorn-sync"), ("one event loop", "uvicorn"))
    ]
    figure = waterfall(panels)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", facecolor="white", metadata={"Date": None})
    write_atomically(path, drawn.getvalue())


def _downloads(book: Book, pages: Path) -> None:
    """Beside each notebook's page, the executed notebook itself; none where there is none."""
    for path in book.notebooks():
        stored = shown(book, path.stem)
        if stored is not None:
            target = pages / "notebooks" / f"{path.stem}.ipynb"
            target.write_text(json.dumps(stored.executed, indent=1) + "\n", encoding="utf-8")
