"""The table of faults names tests that exist, and every test of `tests/faults` that it can."""

from __future__ import annotations

import re

import pytest

from tests import ROOT
from tests.faults.record import filled

TABLE = (ROOT / "tests" / "faults" / "README.md").read_text(encoding="utf-8")
ROWS = [line.split("|")[1:-1] for line in TABLE.splitlines() if "::" in line]


def test_the_table_is_there() -> None:
    assert len(ROWS) >= 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_every_test_that_a_row_names_exists(row: list[str]) -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row[4])
    assert named
    for file, name in named:
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", text, re.MULTILINE), f"{file} has no {name}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_no_row_has_more_survived_than_tried(row: list[str]) -> None:
    tried, survived = map(int, row[2:4])
    assert 0 <= survived <= tried


def test_the_figures_of_a_row_are_those_of_all_its_tests() -> None:
    row = "| a fault | gone | 9 | 9 | `a.py::test_x`, `b/c.py::test_y` |"
    one = {"a.py::test_x": {"[1]": True, "[2]": False}, "b/c.py::test_y": {"": True}}
    assert filled(f"text\n{row}\n", one) == f"text\n{row.replace('9 | 9', '3 | 2')}\n"
    assert filled(row, one, {"[2]": 100}) == row.replace("9 | 9", "102 | 2")
    assert filled(row, {}) == row.replace("9 | 9", "0 | 0")
