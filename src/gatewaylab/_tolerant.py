"""One run of a notebook whose cells may fail, in a folder that no build looks at."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from rich.console import Console

from gatewaylab import evidence
from gatewaylab.book import Book, accepted, catalogue_of
from gatewaylab.errors import BuildError, ResultError
from gatewaylab.evidence import ClaimRecord
from gatewaylab.execution import error_of, execute, expected_seconds
from gatewaylab.progress import Watch

#: What the error of a cell begins with that did state its claim: it hides no other claim.
_STATED = ("ClaimError: the data refute", "ClaimError: the sabotage of")


@dataclass(frozen=True)
class Run:
    """The claims that one run stated, by id, and why it did not state the one that is asked for."""

    records: Mapping[str, ClaimRecord]
    why: Callable[[str], str]


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
        """The notebook's."""
        return self.path.stem

    @property
    def folder(self) -> Path:
        """Where its parts are staged."""
        return self.book.build / "rehearsal" / self.name

    def clear(self) -> None:
        """Remove what it staged."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, console: Console, *, sabotage: bool, later: float) -> Run:
        """Run every cell, also after one that raised.

        Args:
            sabotage: every claim meets its sabotage.
            later: seconds that the chapters behind this one will take.
        """
        progress = self.folder / "progress"
        try:
            with Watch(console, self.name, progress, expected=self.expected, later=later):
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
            stated = evidence.Staging(self.folder).parts()["claims"]
            return Run({record.id: record for record in stated}, lambda _: said)
        return Run(
            {record.id: record for record in done.parts["claims"]},
            lambda identifier: _why_missing(done.notebook, identifier),
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


def _why_missing(notebook: nbformat.NotebookNode, identifier: str) -> str:
    """The error of the cell that names a claim, with the notebook's first where they differ."""
    named = (f'"{identifier}"', f"'{identifier}'")
    own = first = None
    for cell in notebook.cells:
        error = error_of(cell)
        if error is None:
            continue
        if first is None and not error.startswith(_STATED):
            first = error
        if own is None and any(name in cell.source for name in named):
            own = error
    if own is None or own == first:
        return first or "no cell states it"
    return own if first is None else f"{own}; first of all {first}"
