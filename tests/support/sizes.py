"""How large the house's modules and the notebooks' cells are; `scripts/sizes` prints it."""

from __future__ import annotations

import re
from collections import defaultdict
from statistics import median, quantiles

from tests import ROOT

_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FUNCTION = re.compile(r"^\s*(?:async )?def (\w+)", re.MULTILINE)


def modules() -> dict[str, int]:
    """Lines of each module of the package, by its path below it."""
    package = ROOT / "src" / "gatewaylab"
    return {
        str(file.relative_to(package)): len(file.read_text(encoding="utf-8").splitlines())
        for file in sorted(package.rglob("*.py"))
        if file.name != "__init__.py"
    }


def cells() -> dict[str, list[str]]:
    """The code of each cell, by notebook."""
    return {
        file.stem: _CELL.findall(file.read_text(encoding="utf-8"))
        for file in sorted((ROOT / "notebooks").glob("*.md"))
    }


def lines(cell: str) -> int:
    """Lines of code in a cell: without empty lines, and without its options for the page."""
    return sum(bool(line.strip()) and not line.startswith(":") for line in cell.splitlines())


def shared_functions() -> dict[str, set[str]]:
    """Functions that more than one notebook defines, and which."""
    found: dict[str, set[str]] = defaultdict(set)
    for notebook, code in cells().items():
        for cell in code:
            for name in _FUNCTION.findall(cell):
                found[name].add(notebook)
    return {name: books for name, books in found.items() if len(books) > 1}


def main() -> None:
    sizes = sorted(modules().values())
    counts = [lines(cell) for code in cells().values() for cell in code]
    tenths = quantiles(counts, n=10)
    print(f"modules: {len(sizes)}, median {median(sizes):g} lines, largest {sizes[-1]}")
    print(
        f"cells: {len(counts)}, median {median(counts):g} lines, nine of ten at most "
        f"{tenths[-1]:g}, largest {max(counts)}, {sum(counts)} lines in all"
    )
    for folder in ("src", "book/_ext", "tests"):
        total = sum(
            len(file.read_text(encoding="utf-8").splitlines())
            for file in (ROOT / folder).rglob("*.py")
        )
        print(f"{folder}: {total} lines")


if __name__ == "__main__":
    main()
