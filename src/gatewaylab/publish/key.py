"""What decides whether work can be left out, as one hash each: of measuring, and of rendering."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gatewaylab.guard.services import SERVICES
from gatewaylab.publish import sources
from gatewaylab.publish.book import Book, catalogue_of
from gatewaylab.publish.execution import read_notebook
from gatewaylab.records import environment
from gatewaylab.servers.registry import App
from gatewaylab.servers.specs import NGINX, ServerSpec
from gatewaylab.truth.peers.registry import PEERS

#: Tables with an entry for each server and application: of them only the chosen entries count.
_TABLES = frozenset({"APPS", "_SPECS"})


def staleness_key(book: Book, path: Path, profile: str, table: Sequence[dict[str, Any]]) -> str:
    """SHA-256 over all that can change what a notebook measures (decision 0005).

    Its code cells and what they can reach (`sources`), the locked versions and those of the
    distribution's servers, the kinds and systems of its claims, the profile, and the machine.
    """
    digest = _Digest()
    add = digest.add
    cells = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "code"]
    for cell in cells:
        add("cell", cell)
    code = "\n".join(cells)
    for file in sources.modules(book.root, code):
        name = file.relative_to(book.root).as_posix()
        add(name, _code(file.read_bytes(), served=name.startswith("demo_apps/")))
    for file in sources.files(book.root, code):
        add(file.relative_to(book.root).as_posix(), file.read_bytes())
    for name, entry in (sources.chosen_apps(code) | sources.chosen_servers(code)).items():
        add(name, _entry(entry))
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
    folders += [
        book.evidence,
        *(book.build / name for name in ("state", "history", "held", "builds")),
    ]
    files = [one for one in book.root.iterdir() if one.is_file()]
    files += (book.root / "tests" / "faults").glob("README.md")  # a page includes its table
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


def _entry(entry: App | ServerSpec) -> str:
    """An entry of a table; a function in it by its name, as its code counts elsewhere."""
    fields = ((field.name, getattr(entry, field.name)) for field in dataclasses.fields(entry))
    return repr([(name, getattr(value, "__qualname__", value)) for name, value in fields])


#: What can begin with a docstring.
_SPEAKING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def _code(source: bytes, *, served: bool) -> str:
    """What a module does, without what it only says, and without the tables of all systems.

    It says comments, docstrings, and the sentences of the errors that it raises. An application
    that is served says those to its visitors, so there they count.
    """
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not _TABLES & {*_assigned(node)}]
    for node in ast.walk(tree):
        if isinstance(node, _SPEAKING) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        if not served and isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc.args = [one for one in node.exc.args if not _is_text(one)]
    return ast.dump(tree)


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return (target.id for target in targets if isinstance(target, ast.Name))


def _is_text(node: ast.expr) -> bool:
    """A sentence, with numbers and names put in or without."""
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
