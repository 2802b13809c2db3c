"""Run every test that the table of faults names, all in one go, and write its figures.

``.venv/bin/python -m tests.faults.record [any option of pytest]``
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from gatewaylab.records.storage import write_atomically
from tests import ROOT

TABLE = ROOT / "tests" / "faults" / "README.md"
NAMED = re.compile(r"`([\w/]+\.py::test_\w+)`")


class Cases:
    """Whether each case came out as it has to, and how many tries it made.

    One that was skipped is not there. A case that tries more than once records the property
    ``tries``.
    """

    def __init__(self) -> None:
        self.survived: dict[str, dict[str, bool]] = defaultdict(dict)
        self.tries: dict[str, int] = defaultdict(int)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or (report.when == "call" and report.passed):
            name = report.nodeid.partition("[")[0].removeprefix("tests/")
            cases = self.survived[name]
            cases[report.nodeid] = report.passed and cases.get(report.nodeid, True)
            if report.when == "call":
                self.tries[report.nodeid] = int(str(dict(report.user_properties).get("tries", 1)))


def filled(
    table: str,
    survived: Mapping[str, Mapping[str, bool]],
    tries: Mapping[str, int] = MappingProxyType({}),
) -> str:
    """The table with the figures of these cases, by test; a case is one try unless it says more."""

    def row(found: re.Match[str]) -> str:
        cases = [one for name in NAMED.findall(found[2]) for one in survived.get(name, {}).items()]
        tried = sum(tries.get(case, 1) for case, _ in cases)
        whole = sum(tries.get(case, 1) for case, good in cases if good)
        return f"{found[1]} {tried} | {whole} {found[2]}"

    return re.sub(r"^(\|.*\|) \d+ \| \d+ (\|.*::.*)$", row, table, flags=re.MULTILINE)


def main(*options: str) -> int:
    """Pytest's status; the figures are written whatever it is."""
    named, cases = dict.fromkeys(NAMED.findall(TABLE.read_text(encoding="utf-8"))), Cases()
    status = pytest.main([*(f"{ROOT}/tests/{one}" for one in named), *options], plugins=[cases])
    write_atomically(TABLE, filled(TABLE.read_text(encoding="utf-8"), cases.survived, cases.tries))
    return int(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
