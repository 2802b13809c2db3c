"""``gatewaylab diff``, ``replicate`` and ``evidence export``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from gatewaylab.cli import app
from gatewaylab.publish import commands, renewal
from gatewaylab.publish.book import Book
from gatewaylab.records import evidence, replication
from tests import builders

ALIKE = builders.claim_record("C06")
PYTHON = builders.machine(python="CPython 3.13.1", kind="a processor × 2, Python 3.13")
DOUBTFUL = builders.claim_record("C05", "inconclusive", why="its interval is wide")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """A clone with a reference, and with a measurement in which one claim is undecided."""
    book = Book(tmp_path)
    monkeypatch.setattr(commands, "book", lambda: book)
    monkeypatch.setattr(commands, "console", Console(width=200, highlight=False))
    evidence.accept(builders.evidence(claims=(builders.claim_record(), ALIKE)), book.reference)
    mine = builders.evidence(claims=(DOUBTFUL, ALIKE), environment=PYTHON)
    evidence.accept(mine, book.evidence)
    return book


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


CHANGED = (
    "undecided: C05 (Some) is undecided on Python 3.13 (its interval is wide) and holds on "
    "Python 3.11, 6 × (5–7)."
)


def test_diff_prints_the_summary_the_surroundings_and_what_changed(clone: Book) -> None:
    result = run("diff", clone.reference, clone.evidence)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "1 of 2 claims hold in both; 1 undecided; none disagrees."
    assert f"  B: {clone.evidence}, a processor × 2, Python 3.13, 2026-01-01" in lines
    assert "  Python: CPython 3.11.7 → CPython 3.13.1" in lines
    assert f"  {CHANGED}" in lines
    assert "C06" not in result.output
    assert "same: C06 (Some) holds" in run("diff", clone.reference, clone.evidence, "--all").output


def test_replicate_holds_the_reference_against_this_machine(clone: Book) -> None:
    result = run("replicate")
    assert result.exit_code == 0
    assert result.output.startswith("1 of 2 claims hold here too; 1 undecided; none disagrees.")
    assert json.loads(run("replicate", "--json").output)["summary"] in result.output


def test_json_and_markdown_are_the_whole_output(clone: Book) -> None:
    told = json.loads(run("diff", clone.reference, clone.evidence, "--json").output)
    assert [row["id"] for row in told["claims"]] == ["C05", "C06"]
    text = run("diff", clone.reference, clone.evidence, "--markdown").output
    assert f"\n## Claims that changed\n\n- {CHANGED}\n" in text
    assert run("replicate", "--json", "--markdown").exit_code == 2


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal_breaks_lines_between_words(
    width: int, clone: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "console", Console(width=width, highlight=False))
    output = run("replicate").output
    assert max(map(len, output.splitlines())) <= width
    assert CHANGED in " ".join(output.split())


def test_bad_input_ends_with_2_and_a_sentence(clone: Book, tmp_path: Path) -> None:
    result = run("diff", clone.reference, tmp_path / "nothing")
    assert result.exit_code == 2
    assert "nothing does not exist; give a folder of evidence" in result.stderr
    for file in clone.evidence.iterdir():
        file.unlink()
    result = run("replicate")
    assert result.exit_code == 2
    assert "holds no evidence; measure first (scripts/build)" in result.stderr
    for file in clone.reference.iterdir():
        file.unlink()
    clone.reference.rmdir()
    result = run("replicate")
    assert result.exit_code == 2
    assert "has no reference" in result.stderr


def test_export_writes_what_diff_reads(clone: Book, tmp_path: Path) -> None:
    sent = tmp_path / "sent.json"
    result = run("evidence", "export", sent, "--note", "half a core was taken")
    assert result.exit_code == 0
    assert "2 claims of 1 chapters on a processor × 2, Python 3.13" in result.output
    assert replication.read(sent).note == "half a core was taken"
    output = run("diff", clone.evidence, sent).output
    assert "none disagrees" in output
    assert "half a core was taken" in output
    run("evidence", "export", sent, "--from", clone.reference)
    assert replication.read(sent).kinds == ("a processor × 2, Python 3.11",)


def test_export_renews_the_reference_or_writes_a_file_and_not_both(
    clone: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(renewal, "renew", lambda book, console, *, anyway: asked.append(anyway))
    assert run("evidence", "export", "--reference").exit_code == 0
    assert run("evidence", "export", "--reference", "--anyway").exit_code == 0
    assert asked == [False, True]
    both = run("evidence", "export", tmp_path / "mine.json", "--reference")
    neither = run("evidence", "export")
    assert (both.exit_code, neither.exit_code, asked) == (2, 2, [False, True])
    assert not (tmp_path / "mine.json").exists()
