from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gatewaylab import cli
from gatewaylab.results import LoadRecord, load
from gatewaylab.servers import SERVERS
from tests.support.null_server import null_server


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["gatewaylab", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_servers_lists_every_one_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "servers", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(SERVERS)
    assert len(rows) >= 13
    assert {"interface", "slot_kind", "default_slots", "version", "available"} <= set(rows[0])


def test_bad_input_is_one_sentence_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "load", "http://192.0.2.1/", "--seconds", "1") == 1
    said = capsys.readouterr().err
    assert "this machine only" in said
    assert "Traceback" not in said


def test_the_instrument_works_without_the_packages_of_the_book(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "gatewaylab.publish", raising=False)
    monkeypatch.setitem(sys.modules, "nbclient", None)
    code = "import sys; sys.modules['nbclient'] = None; import gatewaylab.cli"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert _run(monkeypatch, "build") == 1
    assert "scripts/build" in capsys.readouterr().err


def test_load_prints_a_summary_and_saves_raw_samples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "raw.json"
    with null_server() as server:
        arguments = ["--rate", "50", "--seconds", "1", "--warmup", "0.2", "--json", str(out)]
        assert _run(monkeypatch, "load", server.url, "--arrivals", "constant", *arguments) == 0
    record = load(LoadRecord, out)
    assert record.arrivals["kind"] == "constant"
    assert len(record.samples) == pytest.approx(60, abs=1)
    assert "p50" in capsys.readouterr().out
