"""What decides whether work can be left out, as one hash each: of measuring, and of rendering."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gatewaylab.guard.services import SERVICES
from gatewaylab.publish.book import Book, catalogue_of
from gatewaylab.publish.execution import read_notebook
from gatewaylab.records import environment
from gatewaylab.servers.specs import NGINX
from gatewaylab.truth.peers.registry import PEERS

#: Parts of the instrument that cannot change a measured number; editing them measures nothing.
_NOT_MEASURING = (
    "src/gatewaylab/publish/",
    "src/gatewaylab/cli.py",
    "src/gatewaylab/truth/twins.py",
)


def staleness_key(book: Book, path: Path, profile: str, table: Sequence[dict[str, Any]]) -> str:
    """SHA-256 over all that can change what a notebook measures (decision 0005).

    Its code cells, the instrument, the demo apps, deploy/, the locked versions and those of the
    distribution's servers, the kinds and systems of its claims, the profile, and the machine.
    """
    digest = _Digest()
    add = digest.add
    for cell in read_notebook(path).cells:
        if cell.cell_type == "code":
            add("cell", cell.source)
    for folder in ("src/gatewaylab", "demo_apps", "deploy"):
        for file in filter(Path.is_file, sorted((book.root / folder).rglob("*"))):
            name = file.relative_to(book.root).as_posix()
            measures = not name.startswith(_NOT_MEASURING) and file.suffix != ".md"
            if measures and "__pycache__" not in name:
                content = file.read_bytes()
                add(name, _code(content) if file.suffix == ".py" else content)
    add("lock", (book.root / "requirements.txt").read_bytes())
    add("systems", json.dumps([[row["name"], row["version"]] for row in table]))
    add("nginx", NGINX.version() or "")
    add("services", json.dumps({name: one.version() for name, one in SERVICES.items()}))
    add("peers", json.dumps({name: peer.version() for name, peer in PEERS.items()}))
    add("python", f"{sys.version} {environment.gil_enabled()}")
    declared = catalogue_of(book, path.stem).items()
    add("declared", json.dumps({k: [v.kind, *v.systems] for k, v in declared}))
    add("profile", profile)
    add("machine", environment.machine_kind())
    return digest.hexadecimal()


def site_key(book: Book) -> str:
    """SHA-256 over all that the site is made from: sources, evidence, and the public addresses."""
    digest = _Digest()
    folders = [book.root / name for name in ("book", "notebooks", "src", "demo_apps", "deploy")]
    folders += [book.evidence, *(book.build / name for name in ("state", "history", "held"))]
    files = [one for one in book.root.iterdir() if one.is_file()]
    for folder in folders:
        files += [one for one in folder.rglob("*") if one.is_file() and one.suffix != ".pyc"]
    for file in sorted(files):
        digest.add(file.relative_to(book.root).as_posix(), file.read_bytes())
    for name in sorted(os.environ):
        if name.startswith("BOOK_"):
            digest.add(name, os.environ[name])
    digest.add("python", sys.version)
    return digest.hexadecimal()


class _Digest:
    """A hash over named parts: neither a name nor an end can move from one part to another."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        self._hash.update(f"{name}\0{len(data)}\0".encode())
        self._hash.update(data)

    def hexadecimal(self) -> str:
        return self._hash.hexdigest()


#: What can begin with a docstring.
_SPEAKING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _code(source: bytes) -> str:
    """What a module does, without what it only says: comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, _SPEAKING) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)
