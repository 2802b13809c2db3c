"""From evidence to the site, and to the README's figure; nothing is measured here."""

from __future__ import annotations

import io
import json
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
from gatewaylab.publish.book import Book, same_code
from gatewaylab.publish.execution import read_notebook
from gatewaylab.publish.key import site_key
from gatewaylab.publish.reference import chosen, shown
from gatewaylab.records.storage import check_destination, write_atomically
from gatewaylab.show.waterfall import Panel, waterfall


def render(book: Book, console: Console) -> Path:
    """Make the site from evidence, unless it is the present one; a warning is an error.

    Raises:
        BuildError: jupyter-book warned or failed. The half-made site is removed, because a
            second run would not repeat the warnings of pages that did not change.
    """
    began = time.monotonic()
    page, made_from, key = book.html / "index.html", book.build / "rendered", site_key(book)
    if page.exists() and made_from.exists() and made_from.read_text(encoding="ascii") == key:
        console.out("nothing to render")
        return page
    made_from.unlink(missing_ok=True)  # until this rendering is whole, the site is of nothing
    fill_cache(book)
    log = book.build / "render.log"
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(book.root)]
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            [*command, "-W", "-n", "--keep-going", "--path-output", str(book.root)],
            cwd=book.root,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    if done.returncode != 0 or not page.exists():
        for folder in (book.html, book.build / ".doctrees"):
            shutil.rmtree(folder, ignore_errors=True)
        lines = log.read_text(encoding="utf-8").splitlines()
        told = [line for line in lines if "WARNING" in line or "ERROR" in line] or lines
        raise BuildError(f"jupyter-book failed (whole log: {log}):\n" + "\n".join(told[-40:]))
    _downloads(book)
    console.out(_whose(book))
    made_from.write_text(key, encoding="ascii")
    console.out(f"rendered in {time.monotonic() - began:.1f} s")
    return page


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
    shades = {"one sync worker": "#EE6677", "one event loop": "#4477AA"}
    panels = [
        Panel(label, next(iter(comparison.of(label)), None), shade)
        for label, shade in shades.items()
    ]
    figure = waterfall(panels)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", facecolor="white", metadata={"Date": None})
    write_atomically(path, drawn.getvalue())


def _downloads(book: Book) -> None:
    """Beside each notebook's page, the executed notebook itself; none where there is none."""
    for path in book.notebooks():
        stored = shown(book, path.stem)
        target = book.html / "notebooks" / f"{path.stem}.ipynb"
        if stored is None:
            target.unlink(missing_ok=True)  # of an earlier rendering
        else:
            target.write_text(json.dumps(stored.executed, indent=1) + "\n", encoding="utf-8")
