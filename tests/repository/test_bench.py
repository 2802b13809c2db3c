"""The report of the bench: what stands beside what, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from gatewaylab.errors import LoadError
from tests import bench
from tests.bench import Figure


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterable[Figure]:
        yield Figure("one", 1.0, "s")
        raise LoadError("no answer")

    fine = [Figure("two", 3.0, "×"), Figure("new", 0.5, "s")]
    monkeypatch.setattr(bench, "BENCHES", {"fine": lambda: fine, "broken": broken})


def test_each_figure_stands_beside_its_last_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "bench.json"
    last = {"two": {"value": 2.0, "unit": "×"}}
    record.write_text(json.dumps({"machine": "another", "figures": last}))
    bench.main(["--only", "fine"], record)
    said = capsys.readouterr().out
    assert "last: another" in said
    rows = {row.split(",")[0]: row.split()[-3:] for row in said.splitlines() if "," in row}
    assert rows["two"] == ["3", "2", "1.50"]
    assert rows["new"] == ["0.5", "–", "–"]
    assert json.loads(record.read_text())["figures"] == last  # kept only on demand


def test_a_record_is_kept_on_demand_and_what_was_not_made_stays(tmp_path: Path) -> None:
    record = tmp_path / "records" / "bench.json"
    bench.main(["--only", "broken", "--record"], record)
    bench.main(["--only", "fine", "--record"], record)
    kept = json.loads(record.read_text())["figures"]
    assert {name: one["value"] for name, one in kept.items()} == {"one": 1, "two": 3, "new": 0.5}


def test_a_bench_that_breaks_off_is_told_and_ends_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.main(["--only", "broken", "fine"], tmp_path / "bench.json")
    said = capsys.readouterr().out
    assert "broken broke off: no answer" in said
    assert "two" in said
