"""One run of a notebook whose cells may fail, in a folder that no build looks at."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from rich.console import Console

from gatewaylab.errors import BuildError, ResultError
from gatewaylab.publish.book import Book, accepted, catalogue_of
from gatewaylab.publish.execution import error_of, execute, expected_seconds
from gatewaylab.publish.progress import Pace, ProgressWatch
from gatewaylab.records import staging
from gatewaylab.records.evidence import ClaimRecord


@dataclass(frozen=True)
class TolerantRun:
    """The claims that one run stated, by id.

    Attributes:
        why: why it did not state the one that is asked for.
        errors: of cells that broke off without stating a claim, a line each.
    """

    records: Mapping[str, ClaimRecord]
    why: Callable[[str], str]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """A notebook that is about to be run.

    Attributes:
        declared: its claims that a measurement decides, by ``book/claims/``.
        expected: seconds that it will take.
    """

    book: Book
    path: Path
    profile: str
    declared: tuple[str, ...]
    expected: float

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def folder(self) -> Path:
        return self.book.build / "rehearsal" / self.name

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, console: Console, pace: Pace, *, sabotage: bool = False) -> TolerantRun:
        """Run every cell, also after one that raised.

        Args:
            pace: of all chapters; this one is at hand.
            sabotage: every claim meets its sabotage.
        """
        stage = staging.Staging(self.folder)
        try:
            with ProgressWatch(console, self.name, stage, pace):
                done = execute(
                    self.path,
                    root=self.book.root,
                    staging=self.folder,
                    profile=self.profile,
                    sabotage=sabotage,
                    tolerant=True,
                )
        except BuildError as error:  # what was stated before the kernel died still counts
            said = str(error).partition("\n")[0]
            records = {record.id: record for record in stage.claims()}
            return TolerantRun(records, lambda _: said, (said,))
        records = {record.id: record for record in done.parts["claims"]}
        return TolerantRun(
            records,
            lambda identifier: _why_missing(done.notebook, identifier, records),
            tuple(said for said, _ in _broken(done.notebook, records)),
        )


def chapters(book: Book, profile: str) -> list[Chapter]:
    """Every notebook of the book, in its order."""
    found = []
    for path in book.notebooks():
        entries = catalogue_of(book, path.stem).items()
        declared = (name for name, entry in entries if entry.kind not in {"cited", "opinion"})
        last = None
        with contextlib.suppress(ResultError):  # unreadable evidence is the build's business
            last = accepted(book, path.stem)
        expected = expected_seconds(path, profile, last)
        found.append(Chapter(book, path, profile, tuple(declared), expected))
    return found


def _broken(
    notebook: nbformat.NotebookNode, stated: Collection[str]
) -> Iterator[tuple[str, nbformat.NotebookNode]]:
    """The cells that ended with an error, but for those that did state a claim before it.

    A refuted claim and an unnoticed sabotage end their cell, too; of them the records tell.
    """
    for cell in notebook.cells:
        error = error_of(cell)
        if error is not None and not any(_names(cell, identifier) for identifier in stated):
            yield error, cell


def _names(cell: nbformat.NotebookNode, identifier: str) -> bool:
    return f'"{identifier}"' in cell.source or f"'{identifier}'" in cell.source


def _why_missing(notebook: nbformat.NotebookNode, identifier: str, stated: Collection[str]) -> str:
    """The error of the cell that names a claim, with the notebook's first where they differ."""
    broken = list(_broken(notebook, stated))
    own = next((error for error, cell in broken if _names(cell, identifier)), None)
    first = broken[0][0] if broken else None
    if own is None or own == first:
        return first or "no cell states it"
    return f"{own}; first of all {first}"
