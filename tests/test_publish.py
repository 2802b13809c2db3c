from __future__ import annotations

import fcntl
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from rich.console import Console

from gatewaylab import execution, publish
from gatewaylab.errors import BuildError
from gatewaylab.evidence import accept, read
from gatewaylab.publish import Book, Options, build, measure, observe, staleness_key
from gatewaylab.servers import project_root
from tests import builders

HEAD = "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n"
ENTRY = (
    '[{id}]\ntitle="t"\nstatement="{statement}"\nkind="behaviour"\ncommon_verdict="true"\n'
    'nuance="n"\nnotebook="some"\nsources=[]\n'
)
CLAIM = (
    "from gatewaylab.claims import behaviour, claim\n"
    "claim('C01', behaviour('w', [True] * 5, probe='p'),"
    " sabotage=behaviour('s', [False] * 5, probe='p'))"
)


def _notebook(code: str, prose: str = "Some prose.") -> str:
    return f"{HEAD}\n# Some\n\n{prose}\n\n```{{code-cell}} python\n{code}\n```\n"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """A book of one notebook, with one claim that holds."""
    for folder in ("book", "notebooks", "src/gatewaylab", "demo_apps"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "requirements.txt").write_text("django==5.2\n")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: i\nchapters:\n- file: notebooks/some\n"
    )
    (tmp_path / "demo_apps" / "app.py").write_text("x = 1\n")
    (tmp_path / "src/gatewaylab/load.py").write_text("y = 1\n")
    (tmp_path / "src/gatewaylab/publish.py").write_text("z = 1\n")
    (tmp_path / "book/claims.toml").write_text(ENTRY.format(id="C01", statement="s"))
    (tmp_path / "notebooks/some.md").write_text(_notebook(CLAIM))
    return Book(tmp_path)


TABLE: list[dict[str, Any]] = [
    {"name": "gunicorn-sync", "version": "1", "available": True, "install_hint": "scripts/install"}
]


def _console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=200), out


def _key(book: Book, profile: str = "quick", table: list[dict[str, Any]] = TABLE) -> str:
    return staleness_key(book, book.root / "notebooks/some.md", profile, table)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("notebooks/some.md", _notebook(CLAIM + "\n1")),
        ("src/gatewaylab/load.py", "y = 2\n"),
        ("demo_apps/app.py", "x = 2\n"),
        ("requirements.txt", "django==5.3\n"),
    ],
)
def test_what_can_change_a_number_changes_the_key(book: Book, file: str, text: str) -> None:
    before = _key(book)
    (book.root / file).write_text(text)
    assert _key(book) != before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("notebooks/some.md", _notebook(CLAIM, prose="Other prose.")),
        ("src/gatewaylab/publish.py", "z = 2\n"),
        ("book/claims.toml", ENTRY.format(id="C01", statement="better worded")),
    ],
)
def test_what_cannot_change_a_number_does_not(book: Book, file: str, text: str) -> None:
    before = _key(book)
    (book.root / file).write_text(text)
    assert _key(book) == before


def test_profile_and_server_versions_are_part_of_the_key(book: Book) -> None:
    assert (
        len({_key(book), _key(book, "full"), _key(book, table=[{**TABLE[0], "version": "2"}])}) == 3
    )


def test_a_notebook_runs_and_its_claim_becomes_evidence(book: Book) -> None:
    console, out = _console()
    measure(book, Options(), TABLE, console)
    found = read(book.evidence / "some.json")
    assert [(c.id, c.verdict) for c in found.claims] == [("C01", "supported")]
    assert found.key == _key(book)
    assert found.executed["cells"][1]["outputs"]
    assert not book.staging("some").exists()
    assert "C01 supported" in out.getvalue()
    measure(book, Options(), TABLE, console)
    assert "nothing to measure" in out.getvalue()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "kernel died"),
        ("import sys; print('x', file=sys.stderr)", "stderr"),
        ("1", "declares"),
        (CLAIM.replace("[True]", "[False]"), "refute"),
    ],
)
def test_a_failing_notebook_fails_the_build_and_keeps_the_old_evidence(
    book: Book, code: str, says: str
) -> None:
    accept(builders.evidence(key="old"), book.evidence)
    path = book.root / "notebooks/some.md"
    path.write_text(_notebook(code))
    with pytest.raises(BuildError, match=says):
        observe(book, path, "new", "quick")
    assert read(book.evidence / "some.json").key == "old"


def test_a_hanging_cell_is_bounded_by_its_timeout(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "CELL_TIMEOUT", 1)
    path = book.root / "notebooks/some.md"
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    path.write_text(_notebook(stubborn))
    with pytest.raises(BuildError, match="longer than 1 s"):
        observe(book, path, "new", "quick")


def test_a_new_wording_reaches_accepted_evidence_without_measuring(book: Book) -> None:
    console, _ = _console()
    measure(book, Options(), TABLE, console)
    before = read(book.evidence / "some.json")
    (book.root / "book/claims.toml").write_text(ENTRY.format(id="C01", statement="better"))
    measure(book, Options(), TABLE, console)
    after = read(book.evidence / "some.json")
    assert after.claims[0].statement == "better"
    assert after.measured_at == before.measured_at


def test_unreadable_evidence_is_measured_again(book: Book) -> None:
    console, out = _console()
    book.evidence.mkdir(parents=True)
    (book.evidence / "some.json").write_text("{")
    measure(book, Options(), TABLE, console)
    assert "unusable" in out.getvalue()
    assert read(book.evidence / "some.json").claims


def test_the_renderer_gets_outputs_only_for_the_code_that_made_them(book: Book) -> None:
    console, _ = _console()
    measure(book, Options(), TABLE, console)

    def cached() -> list[Any]:
        publish._fill_cache(book)
        (path,) = book.cache.glob("executed/*/base.ipynb")
        return list(nbformat.read(path, 4).cells[0].outputs)

    assert cached()
    (book.root / "notebooks/some.md").write_text(_notebook("2 + 2"))
    assert cached() == []


def test_two_builds_at_once_are_refused(book: Book) -> None:
    book.build.mkdir()
    with (book.build / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        with pytest.raises(BuildError, match="pid 4711"), publish.exclusive(book):
            pass


def test_require_all_names_what_is_missing(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = [{**TABLE[0], "available": False}]
    monkeypatch.setattr(publish, "servers_table", lambda: absent)
    console, out = _console()
    with pytest.raises(BuildError, match="gunicorn-sync missing"):
        build(book, Options(require_all=True), console)
    assert "not measured on this machine: gunicorn-sync (scripts/install)" in out.getvalue()


def test_only_names_a_notebook_of_the_book(book: Book) -> None:
    console, _ = _console()
    with pytest.raises(BuildError, match="there are: some"):
        measure(book, Options(only=("other",)), TABLE, console)


def test_a_warning_of_the_renderer_removes_the_half_made_site(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    console, _ = _console()
    measure(book, Options(), TABLE, console)
    (book.root / "_config.yml").write_text("title: t\nexecute: {execute_notebooks: 'off'}\n")
    (book.root / "i.md").write_text("# Front\n\n[dead](nowhere.md)\n")
    with pytest.raises(BuildError, match="nowhere"):
        publish.render(book, console)
    assert not (book.html / "index.html").exists()
    assert read(book.evidence / "some.json").claims


def test_every_notebook_of_the_book_can_be_read() -> None:
    real = Book(project_root())
    assert real.notebooks()
    for path in real.notebooks():
        notebook = execution.read_notebook(path)
        assert notebook.metadata.kernelspec.name == "python3"
        assert set(notebook.metadata.expected_seconds) == set(publish.PROFILES)
        assert json.dumps(publish.catalogue_of(real, path.stem), default=str) != "{}"


def test_an_interrupt_ends_the_build_at_once_and_keeps_what_was_accepted(
    book: Book,
) -> None:
    (book.root / "notebooks/some.md").write_text(_notebook("import time; time.sleep(60)"))
    accept(builders.evidence(key="old"), book.evidence)
    code = (
        "from pathlib import Path; import sys\n"
        "from gatewaylab import publish\n"
        f"book = publish.Book(Path({str(book.root)!r}))\n"
        "print('ready', flush=True)\n"
        "try: publish.observe(book, book.root / 'notebooks/some.md', 'new', 'quick')\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(4)  # the kernel is up and in the cell
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    assert said == "interrupted\n"
    assert read(book.evidence / "some.json").key == "old"
