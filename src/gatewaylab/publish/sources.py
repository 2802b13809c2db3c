"""What a notebook's numbers rest on: the modules, demo applications and files that it can reach.

It is read from its code cells. What they import from the instrument is followed from import to
import, and to the programs that a module names in a string, since those are started as processes.
An application is known by its name in `APPS`, a server by its name in `SERVERS`; of a demo
application all of its folder counts, because settings name modules in strings.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import gatewaylab
from gatewaylab.servers.registry import APPS, App
from gatewaylab.servers.specs import SERVERS, ServerSpec

#: Parts of the instrument that cannot change a measured number; editing them measures nothing.
_NOT_MEASURING = ("gatewaylab.publish", "gatewaylab.cli", "gatewaylab.truth.twins")
_MODULE = re.compile(r"\b(?:gatewaylab|demo_apps)(?:\.\w+)+")
#: What a notebook asks for when it chooses a server and no application.
_DEFAULT_APP = "django"


def modules(root: Path, code: str) -> list[Path]:
    """The modules of the instrument and of the demo applications, sorted by path.

    Args:
        code: the notebook's code cells, joined.
    """
    apps = [target for app in chosen_apps(code).values() for target in _targets(app)]
    instrument = _reach(root / "src", [*_public(code), *_named(code, "gatewaylab")])
    served = _reach(root, [*apps, *_named(code, "demo_apps")])
    return sorted(instrument | served)


def files(root: Path, code: str) -> list[Path]:
    """The configurations, if the notebook names one: all of them, as one may include another."""
    folders = [name for name in ("deploy", "demo_apps/nginx") if f"{name}/" in code]
    found = (file for name in folders for file in (root / name).rglob("*"))
    return sorted(one for one in found if one.is_file() and one.suffix not in {".md", ".pyc"})


def chosen_apps(code: str) -> dict[str, App]:
    """The entries of `APPS` that the notebook names, and the one that it gets without a name."""
    return {name: app for name, app in APPS.items() if name == _DEFAULT_APP or _quoted(name, code)}


def chosen_servers(code: str) -> dict[str, ServerSpec]:
    """The entries of `SERVERS` that the notebook names; all, if it goes through the registry."""
    whole = re.search(r"\bSERVERS\b", code) is not None
    return {name: spec for name, spec in SERVERS.items() if whole or _quoted(name, code)}


def _quoted(name: str, code: str) -> bool:
    return f'"{name}"' in code


def _targets(app: App) -> Iterator[str]:
    for name in (*app.targets.values(), app.settings):
        yield name.partition(":")[0]


def _public(code: str) -> Iterator[str]:
    """The modules behind the names that are imported from the package itself."""
    for names in re.findall(r"^from gatewaylab import (\([^)]*\)|.*)$", code, re.M):
        for name in re.findall(r"\w+", names):
            if name in gatewaylab._HOME:
                yield f"gatewaylab.{gatewaylab._HOME[name]}"


def _named(text: str, package: str) -> Iterator[str]:
    return (name for name in _MODULE.findall(text) if name.startswith(package))


def _reach(base: Path, names: Iterable[str]) -> set[Path]:
    """The files of these modules and of all that they lead to, within their own package."""
    found: set[Path] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name.startswith(_NOT_MEASURING):
            continue
        for file in _files(base, name):
            if file not in found:
                found.add(file)
                package = name.partition(".")[0]
                waiting += (one for one in _leads_to(file.read_bytes()) if one.startswith(package))
    return found


def _files(base: Path, name: str) -> list[Path]:
    """The module's own file; of a demo application in a folder, every module there.

    A name may end in an attribute, or in several; the longest module that is there counts.
    """
    parts = name.split(".")
    if (
        parts[0] == "demo_apps"
        and len(parts) > 1
        and (folder := base.joinpath(*parts[:2])).is_dir()
    ):
        return sorted(folder.rglob("*.py"))
    while len(parts) > 1:
        path = base.joinpath(*parts)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return [file]
        parts.pop()
    return []


@cache
def _leads_to(source: bytes) -> tuple[str, ...]:
    """What a module imports, and every module that it names in a string."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += _MODULE.findall(node.value)
    return tuple(found)
