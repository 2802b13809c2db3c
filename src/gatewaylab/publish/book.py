"""The book's folders, its notebooks, and what was declared and accepted of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from sphinx_external_toc.parsing import parse_toc_yaml

from gatewaylab.claims.catalogue import Entry, catalogue
from gatewaylab.errors import BuildError, ResultError
from gatewaylab.publish.execution import read_notebook
from gatewaylab.records import evidence
from gatewaylab.records.storage import Model, load
from gatewaylab.servers.registry import project_root


@dataclass(frozen=True)
class Book:
    """The project's folders, all derived from its root."""

    root: Path

    @property
    def title(self) -> tuple[str, str]:
        """The book's title and its authors."""
        config = yaml.safe_load((self.root / "_config.yml").read_text(encoding="utf-8"))
        return str(config["title"]), str(config["author"])

    @property
    def build(self) -> Path:
        return self.root / "_build"

    @property
    def evidence(self) -> Path:
        return self.build / "evidence"

    @property
    def reference(self) -> Path:
        """The evidence of the reference machine, which lies in the repository."""
        return self.root / "book" / "records" / "reference"

    @property
    def html(self) -> Path:
        """The site: a link to the one of `sites` that is the present one."""
        return self.build / "html"

    @property
    def sites(self) -> Path:
        return self.build / "sites"

    @property
    def rendering(self) -> Path:
        """Where the renderer works, and finds what has not changed since the last time."""
        return self.build / "rendering"

    @property
    def cache(self) -> Path:
        return self.rendering / "_build" / ".jupyter_cache"  # the renderer chooses these names

    def staging(self, notebook: str) -> Path:
        """Where a running notebook writes its parts."""
        return self.build / "staging" / notebook

    def state(self, notebook: str) -> Path:
        """The file that says what the notebook's accepted evidence is worth."""
        return self.build / "state" / f"{notebook}.json"

    def history(self, notebook: str) -> Path:
        """The file of the notebook's earlier accepted numbers."""
        return self.build / "history" / f"{notebook}.json"

    def held(self, notebook: str) -> Path:
        """The file of a run that waits for a second one to agree."""
        return self.build / "held" / f"{notebook}.json"

    def notebooks(self) -> list[Path]:
        """The executable chapters in the order of the table of contents."""
        names = parse_toc_yaml(self.root / "_toc.yml")
        return [self.root / f"{name}.md" for name in names if name.startswith("notebooks/")]


def of_clone() -> Book:
    """The book of the clone that the working directory is in.

    Raises:
        BuildError: it is in none.
    """
    root = project_root()
    if not (root / "_toc.yml").is_file():
        raise BuildError(f"{root} is in no clone of the book; go into one, and call this there")
    return Book(root)


def catalogue_of(book: Book, notebook: str) -> dict[str, Entry]:
    entries = catalogue(book.root / "book" / "claims")
    return {k: v for k, v in entries.items() if v.notebook == notebook}


def accepted(book: Book, notebook: str) -> evidence.Evidence | None:
    """The accepted evidence of a notebook; None when there is none.

    Raises:
        ResultError: there is some, and it cannot be read.
    """
    path = book.evidence / f"{notebook}.json"
    if not path.exists():
        return None
    return evidence.read(path)


def usable(kind: type[Model], path: Path, console: Console, otherwise: str) -> Model | None:
    """A stored record; None when there is none, or when it cannot be read, which is then told.

    Args:
        otherwise: what is told then, before the reason.
    """
    if not path.exists():
        return None
    try:
        return load(kind, path)
    except ResultError as error:
        console.out(f"{otherwise}: {error}")
        return None


def same_code(path: Path, stored: evidence.Evidence) -> bool:
    """Whether the notebook at ``path`` still has the code cells that evidence was made by.

    If not, no output may stand beside them.
    """
    return _code(read_notebook(path)) == _code(stored.executed)


def _code(notebook: Any) -> list[str]:
    cells = [cell for cell in notebook.get("cells", ()) if cell["cell_type"] == "code"]
    # A notebook file may have a cell's source as one text or as a list of lines.
    return ["".join(cell["source"]) for cell in cells]
