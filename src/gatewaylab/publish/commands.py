"""The commands about what is there: compare evidence, pass it on, print the book.

Nothing of the pipeline is imported before a command asks for it: someone who installed the
instrument alone has not got the book's packages.
"""

from __future__ import annotations

import importlib
import json
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from gatewaylab.errors import BuildError, GatewaylabError, InputError

if TYPE_CHECKING:
    from gatewaylab.publish.differences import Contrast
    from gatewaylab.records.replication import Replication

evidence_app = typer.Typer(
    name="evidence", help="What was measured here, as files.", no_args_is_help=True
)
console = Console(highlight=False)

_AS_JSON = typer.Option("--json", help="Machine-readable.")
_AS_MARKDOWN = typer.Option("--markdown", help="For an issue or a page.")
_ALL = typer.Option("--all", help="Also the claims that came out alike.")


def book() -> Any:
    """The book of the clone that this is called in."""
    return part("book").of_clone()


def part(name: str) -> ModuleType:
    """A part of the pipeline, imported only when it is asked for.

    Raises:
        BuildError: the book's packages are missing.
    """
    try:
        return importlib.import_module(f"gatewaylab.publish.{name}")
    except ModuleNotFoundError as error:
        raise BuildError(f"{error}; the book is built from a clone: scripts/build") from error


@evidence_app.callback()
def _evidence() -> None:
    """Keeps ``export`` a command of its own while it is the only one."""


@evidence_app.command()
def export(
    path: Annotated[Path | None, typer.Argument(help="The file to write.")] = None,
    note: Annotated[str, typer.Option(help="What a reader should know of this machine.")] = "",
    evidence: Annotated[
        Path | None, typer.Option("--from", help="Another folder than this clone's evidence.")
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Renew book/records/reference instead.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also of chapters that are not whole or not accepted.")
    ] = False,
) -> None:
    """Write what this machine found as a small file to send in: no samples, and no names."""
    if reference:
        if path or note or evidence:
            raise typer.BadParameter("--reference writes this clone's evidence to its own place")
        part("renewal").renew(book(), console, anyway=anyway)
        return
    if path is None:
        raise typer.BadParameter("name the file to write, or say --reference")
    found = part("replications").export(evidence or book().evidence, path, note)
    console.out(
        f"wrote {path}: {len(found.claims)} claims of {len(found.chapters)} chapters on "
        f"{', '.join(found.kinds)}"
    )


def diff(
    a: Annotated[Path, typer.Argument(help="A folder of evidence, or a replication.")],
    b: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Annotated[bool, _AS_JSON] = False,
    as_markdown: Annotated[bool, _AS_MARKDOWN] = False,
    everything: Annotated[bool, _ALL] = False,
) -> None:
    """Compare two sets of evidence claim by claim; status 2 if one cannot be read."""
    with _bad_input():
        read_set = part("replications").read_set
        one, other = read_set(a), read_set(b)
        found = part("differences").contrast(one, other)
    heads = (f"A: {_described(one, a)}", f"B: {_described(other, b)}")
    _show(found, heads, as_json=as_json, as_markdown=as_markdown, everything=everything)


def replicate(
    as_json: Annotated[bool, _AS_JSON] = False,
    as_markdown: Annotated[bool, _AS_MARKDOWN] = False,
    everything: Annotated[bool, _ALL] = False,
) -> None:
    """Compare what this machine found with the book's reference; status 2 without either."""
    with _bad_input():
        here = book()
        if not here.reference.is_dir():
            raise InputError(
                f"this edition has no reference in {here.reference}; compare with a file that "
                "someone sent in: gatewaylab diff FILE _build/evidence"
            )
        read_set = part("replications").read_set
        one, other = read_set(here.reference), read_set(here.evidence)
        found = part("differences").contrast(one, other, ("in the reference", "here"))
    heads = (f"Reference: {_described(one)}", f"Here: {_described(other)}")
    _show(found, heads, as_json=as_json, as_markdown=as_markdown, everything=everything)


def print_book() -> None:
    """Make the whole book as an EPUB and as a PDF, and add both to the site in _build/html."""
    here = book()
    with part("build").exclusive(here):
        part("printed").add(here, console)


@contextmanager
def _bad_input() -> Iterator[None]:
    """End with status 2 and one sentence: 1 would read as "they differ"."""
    try:
        yield
    except GatewaylabError as error:
        Console(stderr=True, highlight=False).out(f"gatewaylab: {error}")
        raise typer.Exit(2) from None


def _described(found: Replication, path: Path | None = None) -> str:
    """A set in one line: where it lies, on what it was measured and when, and its note."""
    parts = [*([str(path)] if path else []), *found.kinds, found.at[:10], found.note]
    return ", ".join(filter(None, parts))


def _show(
    found: Contrast, heads: tuple[str, str], *, as_json: bool, as_markdown: bool, everything: bool
) -> None:
    if as_json and as_markdown:
        raise typer.BadParameter("--json and --markdown exclude each other; give one")
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
        return
    claims = found.claims if everything else found.changed
    sections = {
        "": heads,
        "What differs, the first → the second": [
            f"{row.what}: {row.one} → {row.other}" for row in found.surroundings
        ],
        "Not compared, or with a reservation": found.absent,
        "Claims" if everything else "Claims that changed": [
            f"{pair.judgement}: {pair.sentence}" for pair in claims
        ],
    }
    if as_markdown:
        typer.echo(found.summary)
    else:
        console.out(_wrapped(found.summary))
    for name, rows in sections.items():
        if rows:
            _print(name, rows, as_markdown=as_markdown)


def _print(name: str, rows: Sequence[str], *, as_markdown: bool) -> None:
    """A heading, which may be empty, and its rows; on a terminal they are as narrow as it is."""
    if as_markdown:
        head = f"\n## {name}\n" if name else ""
        typer.echo("\n".join([head, *(f"- {row}" for row in rows)]))
        return
    console.out(f"\n{_wrapped(name + ':')}" if name else "")
    for row in rows:
        console.out(_wrapped(row, "  "))


def _wrapped(text: str, indent: str = "") -> str:
    """Lines that the terminal has room for, without blanks at their ends."""
    return textwrap.fill(
        text, console.width, initial_indent=indent, subsequent_indent=2 * indent,
        break_on_hyphens=False,
    )  # fmt: skip
