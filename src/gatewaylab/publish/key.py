"""The staleness key: what can change a notebook's numbers, as one hash."""

from __future__ import annotations

import ast
import hashlib
import json
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
    digest = hashlib.sha256()

    def add(name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)

    for cell in read_notebook(path).cells:
        if cell.cell_type == "code":
            add("cell", cell.source)
    for folder in ("src/gatewaylab", "demo_apps", "deploy"):
        for file in filter(Path.is_file, sorted((book.root / folder).rglob("*"))):
            name = file.relative_to(book.root).as_posix()
            if not name.startswith(_NOT_MEASURING) and "__pycache__" not in name:
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
    return digest.hexdigest()


@cache
def _code(source: bytes) -> str:
    """What a module does, without what it only says: comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                del node.body[0]
    return ast.dump(tree)
