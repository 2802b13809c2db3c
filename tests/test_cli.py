from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatewaylab import cli
from gatewaylab.load.samples import ERRORS
from gatewaylab.measure.reference import reference_server
from gatewaylab.publish import noise_rehearsal, rehearsal
from gatewaylab.publish.machines import NOISES
from gatewaylab.publish.noise_record import Rehearsed
from gatewaylab.publish.stability import ClaimRun, Rebuild, StabilityRecord
from gatewaylab.records.results import LoadRecord
from gatewaylab.records.storage import load
from gatewaylab.servers.specs import SERVERS
from gatewaylab.truth import selfcheck, twins
from gatewaylab.truth.line import Check
from gatewaylab.truth.twins import AARecord, Ratio


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


@pytest.mark.parametrize("url", ["http://[::1", "http://[", "http://[x]:1/"])
def test_an_address_that_cannot_be_read_is_one_sentence(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "load", url) == 1
    said = capsys.readouterr().err
    assert said.startswith("gatewaylab: ")
    assert said.count("\n") == 1


def test_a_hyphen_sends_the_samples_to_standard_output_and_the_summary_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--seconds", "0.5", "--warmup", "0", "--json", "-"]
    with reference_server() as server:
        assert _run(monkeypatch, "load", server.url, *options) == 0
    said = capsys.readouterr()
    assert len(LoadRecord.model_validate_json(said.out).samples) > 0
    assert "p50_ms" in said.err


@pytest.mark.parametrize("command", ["build", "sabotage"])
def test_the_instrument_works_without_the_packages_of_the_book(command: str) -> None:
    # In a process of its own, because here they may be imported already; and for a notebook that
    # does not exist, so that a failure of this test builds nothing.
    nowhere = {"build": ["--only", "nowhere"], "sabotage": ["nowhere"]}[command]
    code = (
        "import sys; sys.modules['nbclient'] = None\n"
        f"import gatewaylab.cli; sys.argv[1:] = {[command, *nowhere]!r}; gatewaylab.cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 1
    assert "scripts/build" in done.stderr


def test_load_prints_a_summary_and_saves_raw_samples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "raw.json"
    with reference_server() as server:
        arguments = ["--rate", "50", "--seconds", "1", "--warmup", "0.2", "--json", str(out)]
        assert _run(monkeypatch, "load", server.url, "--arrivals", "constant", *arguments) == 0
    record = load(LoadRecord, out)
    assert record.arrivals["kind"] == "constant"
    assert len(record.samples) == pytest.approx(60, abs=1)
    assert "p50" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "error"), [((), "backlog full"), (("--retry",), "deadline")])
def test_load_asks_a_full_unix_backlog_again_if_it_is_told_to(
    options: tuple[str, ...], error: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)  # the first waits in vain; there is no room for the others
        arguments = ["--rate", "20", "--seconds", "0.5", "--warmup", "0", "--deadline", "0.5"]
        arguments += ["--arrivals", "constant", "--json", str(tmp_path / "x.json"), *options]
        assert _run(monkeypatch, "load", f"unix:{tmp_path}/s", *arguments) == 0
    record = load(LoadRecord, tmp_path / "x.json")
    assert {ERRORS[code] for code in record.samples.error[1:]} == {error}
    assert record.retry == (record.generator.retries > 0) == bool(options)
    assert f"retries  {record.generator.retries}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [(["refuted", "not measured"], 0), (["refuted", "supported"], 1), (["missing"], 1), ([], 1)],
)
def test_sabotage_fails_unless_all_are_caught(
    monkeypatch: pytest.MonkeyPatch, verdicts: list[Any], status: int
) -> None:
    asked: dict[str, Any] = {}

    def sabotage(book: object, **options: Any) -> list[rehearsal.Caught]:
        asked.update(options)
        return [rehearsal.Caught("C01", "some", verdict) for verdict in verdicts]

    monkeypatch.setattr(rehearsal, "sabotage", sabotage)
    assert _run(monkeypatch, "sabotage", "some", "--minutes", "6", "--seed", "7") == status
    assert (asked["only"], asked["minutes"], asked["seed"]) == (("some",), 6, 7)


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (["supported", "inconclusive", "supported"], 0),
        (["supported", "refuted"], 1),
        (["supported", "missing"], 1),
    ],
)
def test_stability_prints_the_record_and_fails_at_a_flip(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    verdicts: list[Any],
    status: int,
) -> None:
    def stability(book: object, *, rebuilds: int, out: Path, console: object) -> StabilityRecord:
        assert (rebuilds, out) == (3, tmp_path / "r.json")
        done = (
            Rebuild(begun="b", ended="e", seconds=1, claims={"C01": ClaimRun(verdict=verdict)})
            for verdict in verdicts
        )
        return StabilityRecord(
            machine="m", commit=None, profile="quick", keys={}, rebuilds=tuple(done)
        )

    monkeypatch.setattr(rehearsal, "stability", stability)
    out = ["--out", str(tmp_path / "r.json")]
    assert _run(monkeypatch, "stability", "--rebuilds", "3", *out) == status
    assert "flips between supported and refuted: " in capsys.readouterr().out


def _rehearsed(**changes: Any) -> Rehearsed:
    fields: dict[str, Any] = {
        "what": "w", "at": "2026-01-01T00:00:00+00:00", "seconds": 60, "commit": None,
        "claims": {"C01": "supported", "C02": "inconclusive"}, "sabotages": {"C01": "refuted"},
    }  # fmt: skip
    return Rehearsed(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 0),
        ({"sabotages": {"C01": "inconclusive"}}, 0),
        ({"claims": {"C01": "refuted"}}, 1),
        ({"claims": {"C01": "missing"}}, 1),
        ({"sabotages": {"C01": "supported"}}, 1),
        ({"errors": {"some": ("ValueError: x",)}}, 1),
    ],
)
def test_rehearse_fails_if_noise_changes_what_is_true(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, Any], status: int
) -> None:
    asked: list[Any] = []

    def under_noise(book: object, noise: str, **options: Any) -> Rehearsed:
        asked.append((noise, options["only"], options["out"]))
        return _rehearsed(**changes)

    monkeypatch.setattr(noise_rehearsal, "under_noise", under_noise)
    assert _run(monkeypatch, "rehearse", "--noise", "bursts") == status
    more = ["--only", "a", "--only", "b", "--out", str(tmp_path / "n.json")]
    assert _run(monkeypatch, "rehearse", "--noise", "slow", *more) == status
    assert asked == [("bursts", (), None), ("slow", ("a", "b"), tmp_path / "n.json")]


def test_rehearse_lists_the_noises_when_it_does_not_know_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "rehearse", "--noise", "hammer") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"no noise 'hammer'; there are: {', '.join(NOISES)}" in said
    assert _run(monkeypatch, "rehearse") == 2  # the noise must be named


@pytest.mark.parametrize(
    "command", [["sabotage"], ["stability", "--rebuilds", "2"], ["rehearse", "--noise", "slow"]]
)
def test_an_interrupted_rehearsal_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if command[0] == "rehearse":
        monkeypatch.setattr(noise_rehearsal, "under_noise", interrupted)
    else:
        monkeypatch.setattr(rehearsal, command[0], interrupted)
    assert _run(monkeypatch, *command) == 130
    assert "interrupted; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("differ", "numbers", "status"), [(0, 20, 0), (1, 20, 0), (2, 20, 1), (0, 0, 1)]
)
def test_aa_fails_above_five_percent_or_without_a_number(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    differ: int,
    numbers: int,
    status: int,
) -> None:
    record = AARecord(
        at="2026-01-01T00:00:00+00:00", machine="m", commit=None, python="3", planned=20,
        comparisons=20, blocks=6, hold=0.002, rate=250, window=0.15, trials=360,
        refused_trials=1, without_number=20 - numbers, interval_excludes_one=differ,
        rule_false_positives=0, verdicts={}, expected=0.031, seconds=60,
        ratios=(Ratio(estimate=1, low=0.9, high=1.1, floor=1.1),) * numbers,
    )  # fmt: skip

    def false_positives(comparisons: int, *, out: Path, progress: Any) -> AARecord:
        assert (comparisons, out) == (20, tmp_path / "aa.json")
        progress(record)
        return record

    monkeypatch.setattr(twins, "false_positives", false_positives)
    out = str(tmp_path / "aa.json")
    assert _run(monkeypatch, "aa", "--comparisons", "20", "--out", out) == status
    said = capsys.readouterr().out
    assert "1 of 361 trials refused" in said
    assert f"{differ} of {numbers} intervals exclude 1" in said


def test_an_interrupted_aa_run_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(twins, "false_positives", interrupted)
    assert _run(monkeypatch, "aa") == 130
    assert "kept" in capsys.readouterr().out


def _line(verdict: str, **changes: Any) -> Check:
    fields: dict[str, Any] = {
        "name": "stall", "what": "w", "unit": "ms", "truth": 570.0, "measured": 571.25,
        "error": 0.219, "allowed": 1.0, "error_unit": "%", "verdict": verdict, "samples": 600,
    }  # fmt: skip
    return Check(**{**fields, **changes})


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (["green", "green"], 0),
        (["green", "red"], 1),
        (["inconclusive", "green"], 0),
        (["inconclusive", "inconclusive"], 0),
        (["inconclusive", "red"], 1),
    ],
)
def test_selfcheck_prints_a_line_each_and_fails_if_one_is_red(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verdicts: list[str],
    status: int,
) -> None:
    def run(names: list[str] | None, progress: Callable[[str], None]) -> list[Check]:
        assert names is None
        progress("stall (1 of 2)")
        return [_line(verdict, why=("because of something",)) for verdict in verdicts]

    monkeypatch.setattr(selfcheck, "run", run)
    assert _run(monkeypatch, "selfcheck") == status
    said = capsys.readouterr()
    for word in ("570 ms", "571.2 ms", "0.219 %", "1 %", *verdicts, "stall: because of something"):
        assert word in said.out
    assert said.err == "stall (1 of 2)\n"


def test_selfcheck_gives_the_named_lines_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(names: list[str] | None, progress: Callable[[str], None]) -> list[Check]:
        assert names == ["stall", "saturated"]
        words = {"truth": "refused", "measured": "accepted", "error": None, "allowed": None}
        progress("stall (1 of 2)")
        return [_line("green"), _line("red", **words)]

    monkeypatch.setattr(selfcheck, "run", run)
    assert _run(monkeypatch, "selfcheck", "--json", "stall", "saturated") == 1
    first, second = json.loads(capsys.readouterr().out)
    assert (first["truth"], first["verdict"]) == (570.0, "green")
    assert (second["measured"], second["error"]) == ("accepted", None)
