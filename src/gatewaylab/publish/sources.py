"""What a notebook's numbers rest on: the modules, demo applications and files that it can reach.

It is read from its code cells. What they import from the instrument is followed from import to
import, and to the programs that a module names in a string (``"gatewaylab.load.generator"``, or
``"locust_file.py"`` beside it), since those are started as processes.
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
_SCRIPT = re.compile(r"\w+\.py")
#: What a notebook asks for when it chooses a server and no application.
_DEFAULT_APP = "django"


def modules(root: Path, code: str) -> list[Path]:
    """The modules of the instrument and of the demo applications, sorted by path.

    Args:
        code: the notebook's code cells, joined.
    """
    apps = [target for app in chosen_apps(code).values() for target in _targets(app)]
    named = _leads_to(code)
    return sorted(
        _reach(root / "src", [*map(_home, named)]) | _reach(root, [*apps, *named])
    )  # fmt: skip


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
    return f'"{name}"' in code or f"'{name}'" in code


def _targets(app: App) -> Iterator[str]:
    for name in (*app.targets.values(), app.settings):
        yield name.partition(":")[0]


def _home(name: str) -> str:
    """The module behind a name that is imported from the package itself; others as they are."""
    package, _, public = name.partition(".")
    return f"{package}.{gatewaylab._HOME[public]}" if public in gatewaylab._HOME else name


def _reach(base: Path, names: Iterable[str]) -> set[Path]:
    """The files below a folder of these modules, and of all that they lead to there."""
    found: set[Path] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        for file in () if name.startswith(_NOT_MEASURING) else _files(base, name):
            if file not in found:
                found.add(file)
                folder = ".".join(file.relative_to(base).parts[:-1])
                for lead in _leads_to(file.read_bytes()):
                    script = f"{folder}.{lead.removesuffix('.py')}"
                    waiting.append(script if _SCRIPT.fullmatch(lead) else lead)
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
def _leads_to(source: bytes | str) -> tuple[str, ...]:
    """What code imports, and every module and script that it names in a string.

    Of a cell that is no Python, nothing: its notebook cannot be executed either.
    """
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = compile(source, "code", "exec", flags=flags, dont_inherit=True)
    except SyntaxError:
        return ()
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += _MODULE.findall(node.value)
            found += filter(_SCRIPT.fullmatch, [node.value])
    return tuple(found)
