"""Renewing the reference from what this machine has accepted: all of its files, or none."""

from __future__ import annotations

import contextlib
import getpass
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console

from gatewaylab.errors import BuildError
from gatewaylab.publish.book import Book, accepted
from gatewaylab.publish.build import describe_state, exclusive, review
from gatewaylab.publish.reference import slimmed
from gatewaylab.records import evidence
from gatewaylab.records.evidence import Evidence
from gatewaylab.records.replication import anonymous
from gatewaylab.servers.registry import servers_table

#: Names that say nothing of anybody, and that outputs may contain.
_COMMON = frozenset({"", "root", "localhost"})


def renew(book: Book, console: Console, *, anyway: bool = False) -> None:
    """Replace the reference by this machine's accepted evidence, slimmed and without names.

    Args:
        anyway: also take chapters that are stale, too noisy, not whole, or of no commit, and keep
            the present file of a chapter that has no evidence here.

    Raises:
        BuildError: a chapter is not accepted and whole, the chapters are of several machines, or a
            name of this machine, of its user or of a folder is in them. The reference is untouched.
    """
    with exclusive(book):
        doubts: list[str] = []
        chapters: dict[str, Evidence] = {}
        table = servers_table()
        for path in book.notebooks():
            record = review(book, path, table, console)
            stored = accepted(book, path.stem)
            kept = book.reference / f"{path.stem}.json"
            if stored is None and anyway and kept.exists():
                stored = evidence.read(kept)
            if record.state != "accepted":
                doubts.append(describe_state(record))
            if stored is None:
                continue
            chapters[path.stem] = stored
            if lacking := dict.fromkeys(one for claim in stored.claims for one in claim.missing):
                doubts.append(f"{path.stem}: not measured here are {', '.join(lacking)}")
            commit = stored.environment.commit
            if commit is None or commit.endswith("+dirty"):
                doubts.append(f"{path.stem}: measured with code of no commit ({commit})")
        if doubts and (not anyway or len(chapters) < len(book.notebooks())):
            raise BuildError(
                "the reference is of whole, accepted chapters; measure these first (scripts/build)"
                ", or take what there is of each with --anyway:\n" + "\n".join(doubts)
            )
        kinds = {one.environment.kind for one in chapters.values()}
        if len(kinds) > 1:
            raise BuildError(
                f"the reference is of one machine, and these chapters are of {len(kinds)}: "
                f"{', '.join(sorted(kinds))}; measure all on one: scripts/build --fresh"
            )
        texts = {f"{name}.json": _text(found, book) for name, found in chapters.items()}
        _exchange(book.reference, texts)
    size = sum(map(len, texts.values())) / 1e6
    console.out(f"wrote {len(texts)} chapters, {size:.1f} MB, to {book.reference}")


def _text(found: Evidence, book: Book) -> str:
    """A chapter's file; paths in it begin at the project's folder.

    Raises:
        BuildError: a name is left in it.
    """
    slim = slimmed(found.model_copy(update={"environment": anonymous(found.environment)}))
    text = slim.model_dump_json().replace(f"{book.root}/", "") + "\n"
    for what, pattern in _names(book):
        if seen := re.search(pattern, text):
            near = text[max(0, seen.start() - 60) : seen.end() + 60]
            raise BuildError(
                f"{found.notebook}: {what} is in the evidence, and the reference is for everybody; "
                f"let the cell print something else, or measure where no name is in its way: "
                f"…{near}…"
            )
    return text


def _names(book: Book) -> Iterator[tuple[str, str]]:
    """What must not be in the repository, each with a pattern that finds it."""
    names = {"the machine's name": platform.node()}
    with contextlib.suppress(OSError, KeyError):  # a user who has no name
        names["the user's name"] = getpass.getuser()
    for what, name in names.items():
        if name not in _COMMON:
            yield what, rf"(?<!\w){re.escape(name)}(?!\w)"
    for folder in (book.root, Path.home(), Path(tempfile.gettempdir())):
        yield f"a path in {folder}", rf"(?<![\w.]){re.escape(str(folder))}(?![\w.])"


def _exchange(folder: Path, texts: Mapping[str, str]) -> None:
    """Put a folder of these files in the place of another; what fails leaves the old one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    old = new / "old"
    try:
        made = new / "new"
        made.mkdir()
        for name, text in texts.items():
            (made / name).write_text(text, encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        try:
            made.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
