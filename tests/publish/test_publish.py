from __future__ import annotations

import ast
import fcntl
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import nbformat
import pytest
from rich.console import Console

from gatewaylab.errors import BuildError, ResultError
from gatewaylab.measure.delay import until
from gatewaylab.measure.design import BLOCKS
from gatewaylab.measure.reference import CEILINGS_VARIABLE
from gatewaylab.publish import build as publish
from gatewaylab.publish import execution, key, rendering, site, sources, states
from gatewaylab.publish.acceptance import Reason
from gatewaylab.publish.book import Book, accepted, catalogue_of
from gatewaylab.publish.build import Options, build, measure, observe
from gatewaylab.publish.key import staleness_key
from gatewaylab.records.evidence import Evidence, WorkRecord, accept, read
from gatewaylab.records.staging import Staging
from gatewaylab.records.storage import load
from gatewaylab.servers.registry import APPS
from gatewaylab.truth.peers.registry import Peer
from tests import ROOT, builders, printed
from tests.support import books
from tests.support.books import CLAIM, notebook


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """A book of one notebook, with one claim that holds."""
    books.write(tmp_path)
    monkeypatch.setattr(publish, "once", lambda: None)  # nothing here puts load on a server
    return Book(tmp_path)


TABLE: list[dict[str, Any]] = [
    {"name": "gunicorn-sync", "version": "1", "available": True, "install_hint": "scripts/install"}
]


def _console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=200), out


def _declare(book: Book, entry: str) -> None:
    with (book.root / "book/claims/some.toml").open("a") as declared:
        declared.write(entry)


def _write(book: Book, code: str, prose: str = "Some prose.") -> Path:
    path = book.root / "notebooks/some.md"
    path.write_text(notebook(code, prose))
    return path


def _key(book: Book, profile: str = "quick", table: list[dict[str, Any]] = TABLE) -> str:
    return staleness_key(book, book.root / "notebooks/some.md", profile, table)


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [
        ("notebooks/some.md", notebook(CLAIM + "\n1"), False),
        ("src/gatewaylab/claims/claim.py", "from gatewaylab.load import run as r\n", False),
        ("src/gatewaylab/load/wire.py", "y = 2\n", False),  # a module of the claim starts it
        ("demo_apps/django_app/urls.py", "x = 2\n", False),  # of a project all modules count
        ("demo_apps/common.py", "x = 2\n", False),
        ("requirements.txt", "django==5.3\n", False),
        ("notebooks/some.md", notebook(CLAIM, prose="Other prose."), True),
        ("src/gatewaylab/publish/build.py", "z = 2\n", True),
        ("src/gatewaylab/load/wire.py", '"""Said."""\n# why\ny = 1\n', True),
        ("src/gatewaylab/load/raw.py", "y = 2\n", True),  # nothing here leads to it
        ("demo_apps/raw_wsgi.py", "x = 2\n", True),
        ("deploy/site.conf", "listen 81;\n", True),
        ("src/gatewaylab/README.md", "A map.\n", True),
        ("book/claims/some.toml", builders.entry(statement="better worded"), True),
    ],
)
def test_the_key_is_of_what_changes_numbers(book: Book, file: str, text: str, same: bool) -> None:
    before = _key(book)
    (book.root / file).write_text(text)
    assert (_key(book) == before) is same


@pytest.mark.parametrize(
    ("names", "file"),
    [
        ('server("gunicorn-sync", app="raw")', "demo_apps/raw_wsgi.py"),
        ('"demo_apps.other:application"', "demo_apps/other.py"),
        ('site="deploy/site.conf"', "deploy/site.conf"),
        ("from gatewaylab.load.raw import *", "src/gatewaylab/load/raw.py"),
    ],
)
def test_what_a_notebook_names_counts_for_it(book: Book, names: str, file: str) -> None:
    _write(book, f"{CLAIM}\n{names}")
    before = _key(book)
    (book.root / file).write_text("x = 2")
    assert _key(book) != before
    changed = _key(book)
    (book.root / file).unlink()
    assert _key(book) not in {before, changed}


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("raise E('a')", "raise E(f'better: {x}')", True),
        ("raise E('a', kind=1)", "raise E('a', kind=2)", False),
        ("raise E(x)", "raise E(y)", False),
        ("APPS: dict = {'a': 1}", "APPS: dict = {'a': 1, 'b': 2}", True),
        ("OTHER = {'a': 1}", "OTHER = {'a': 1, 'b': 2}", False),
    ],
)
def test_what_a_module_says_and_what_the_tables_list_is_not_what_it_does(
    before: str, after: str, same: bool
) -> None:
    codes = {key._code(text.encode(), served=False) for text in (before, after)}
    assert (len(codes) == 1) is same


def test_what_a_served_application_raises_is_read_by_its_visitors() -> None:
    codes = {key._code(f"raise E('{said}')".encode(), served=True) for said in ("no", "never")}
    assert len(codes) == 2


@pytest.mark.parametrize(
    "notebook", ["how-these-numbers-were-made", "why-benchmarks-disagree", "workers"]
)
def test_nothing_that_a_notebook_imports_is_missing_from_its_key(notebook: str) -> None:
    cells = execution.read_notebook(ROOT / f"notebooks/{notebook}.md").cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    tree = compile(code, notebook, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    imports = [ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    tell = "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('gatewaylab.')))"
    said = printed("\n".join([*imports, "import sys", tell])).split()
    loaded = {path for path in map(Path, said) if path.name != "__init__.py"}
    assert loaded
    assert loaded <= set(sources.modules(ROOT, code))


def test_programs_that_are_started_by_their_name_are_in_the_key() -> None:
    code = "from gatewaylab.truth.peers import compared as peers\nfrom gatewaylab import serve, run"
    names = {path.name for path in sources.modules(ROOT, code)}
    assert {"guard.py", "generator.py", "reference_process.py", "locust_file.py"} <= names


def test_a_changed_entry_counts_where_chosen(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _key(book)
    changed = {**APPS, "raw": replace(APPS["raw"], systems=("new",))}
    monkeypatch.setattr(sources, "APPS", changed)
    assert _key(book) == before
    changed["django"] = replace(changed["django"], systems=("new",))
    assert _key(book) != before


def test_profile_and_the_versions_of_servers_and_services_are_part_of_the_key(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {_key(book), _key(book, "full"), _key(book, table=[{**TABLE[0], "version": "2"}])}
    for version in ("7.0", "7.2"):
        one = SimpleNamespace(version=lambda version=version: version)
        monkeypatch.setattr(key, "SERVICES", {"redis": one})
        keys.add(_key(book))
    assert len(keys) == 5


def test_a_notebook_runs_and_its_claim_becomes_evidence(book: Book) -> None:
    _, said = _measure(book)
    found = read(book.evidence / "some.json")
    assert [(c.id, c.verdict) for c in found.claims] == [("C01", "supported")]
    assert found.key == _key(book)
    assert found.executed["cells"][1]["outputs"]
    assert not book.staging("some").exists()
    assert "C01 supported" in said
    assert "nothing to measure" in _measure(book)[1]


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
def test_a_notebook_that_fails_keeps_the_old_evidence(book: Book, code: str, says: str) -> None:
    accept(builders.evidence(key="old"), book.evidence)
    with pytest.raises(BuildError, match=says):
        observe(book, _write(book, code), "new", "quick")
    assert read(book.evidence / "some.json").key == "old"


def test_a_cell_that_hangs_ends_by_its_timeout(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "CELL_TIMEOUT", 1)
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    with pytest.raises(BuildError, match="longer than 1 s"):
        observe(book, _write(book, stubborn), "new", "quick")


@pytest.mark.parametrize(("loaded", "told"), [(0, "0%"), (40, "40%"), (100, "100%"), (400, "100%")])
def test_the_build_says_how_much_of_the_time_was_under_load(loaded: float, told: str) -> None:
    fresh = builders.evidence(work=WorkRecord(seconds=100.0, loaded=loaded))
    assert publish._told_time(*publish._time_spent(fresh)) == f"100 s, {told} of it under load"


def test_a_new_wording_reaches_accepted_evidence_without_measuring(book: Book) -> None:
    _measure(book)
    before = read(book.evidence / "some.json")
    better = builders.entry(statement="better")
    for text, versions in ((better, ""), (better + 'versions = "Django 5.2"\n', "Django 5.2")):
        (book.root / "book/claims/some.toml").write_text(text)
        _measure(book)
        after = read(book.evidence / "some.json")
        assert (after.claims[0].statement, after.claims[0].versions) == ("better", versions)
        assert after.measured_at == before.measured_at


def test_unreadable_evidence_is_measured_again(book: Book) -> None:
    book.evidence.mkdir(parents=True)
    (book.evidence / "some.json").write_text("{")
    assert "unusable" in _measure(book)[1]
    assert (book.build / "unusable" / "some.json").read_text() == "{"
    assert read(book.evidence / "some.json").claims


def test_the_renderer_gets_outputs_only_for_the_code_that_made_them(book: Book) -> None:
    _measure(book)

    def cached() -> list[Any]:
        rendering.fill_cache(book)
        (path,) = book.cache.glob("executed/*/base.ipynb")
        return list(nbformat.read(path, 4).cells[0].outputs)

    assert cached()
    # The reference stands in, and counts as no evidence of this machine.
    book.reference.mkdir(parents=True)
    (book.evidence / "some.json").rename(book.reference / "some.json")
    assert accepted(book, "some") is None
    assert cached()
    pages = book.root / "pages"
    (pages / "notebooks").mkdir(parents=True)
    rendering._downloads(book, pages)
    assert (pages / "notebooks" / "some.ipynb").exists()
    _write(book, "2 + 2")
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
    monkeypatch.setattr(Peer, "available", lambda peer: peer.name != "hey")
    with pytest.raises(BuildError, match="gunicorn-sync, hey missing"):
        build(book, Options(require_all=True), console)
    assert "not measured on this machine: gunicorn-sync (scripts/install)" in out.getvalue()
    assert "not measured on this machine: hey (scripts/install --system)" in out.getvalue()


def test_only_names_a_notebook_of_the_book(book: Book) -> None:
    with pytest.raises(BuildError, match="there are: some"):
        _measure(book, only=("other",))


def _dead_link(book: Book) -> None:
    (book.root / "_config.yml").write_text("title: t\nexecute: {execute_notebooks: 'off'}\n")
    (book.root / "index.md").write_text("# Front\n\n[dead](nowhere.md)\n")


def test_a_warning_of_the_renderer_leaves_the_last_whole_site(
    book: Book, rendered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    _dead_link(book)
    for _ in range(2):  # a second time as well, although no page has changed
        with pytest.raises(BuildError, match="nowhere"):
            rendering.render(book, _console()[0])
    assert (book.html / "index.html").read_text() == rendered[0]
    assert read(book.evidence / "some.json").claims


@pytest.fixture
def rendered(book: Book, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A book that has just been rendered, and the front page of each rendering."""
    runs: list[str] = []

    def renderer(command: list[str], **_: object) -> SimpleNamespace:
        pages = Path(command[-1], "_build/html")
        (pages / "notebooks").mkdir(parents=True, exist_ok=True)
        runs.append(f"rendering {len(runs) + 1}")
        (pages / "index.html").write_text(runs[-1])
        return SimpleNamespace(returncode=0)

    _measure(book)
    monkeypatch.setattr(subprocess, "run", renderer)
    rendering.render(book, _console()[0])
    assert len(runs) == 1
    return runs


def test_pages_are_made_anew_when_the_table_of_contents_changes(
    book: Book, rendered: list[str]
) -> None:
    left = book.rendering / "left"
    left.touch()
    for name, kept in (("index.md", True), ("_toc.yml", False)):
        with (book.root / name).open("a") as file:
            file.write("\n")
        rendering.render(book, _console()[0])
        assert left.exists() == kept
    assert len(rendered) == 3


def test_a_site_that_is_up_to_date_is_not_rendered_again(book: Book, rendered: list[str]) -> None:
    console, out = _console()
    rendering.render(book, console)
    assert len(rendered) == 1
    assert "nothing to render" in out.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda book, _: _write(book, CLAIM, prose="New"),
        lambda book, _: (book.evidence / "some.json").unlink(),
        lambda book, _: (book.html / "index.html").unlink(),
        lambda _, patch: patch.setenv("BOOK_SITE_URL", "https://example.org/"),
    ],
    ids=["prose", "evidence", "site", "address"],
)
def test_whatever_a_page_is_made_from_renders_it_again(
    book: Book, rendered: list[str], monkeypatch: pytest.MonkeyPatch, change: Callable[..., object]
) -> None:
    change(book, monkeypatch)
    rendering.render(book, _console()[0])
    assert len(rendered) == 2
    assert (book.html / "index.html").read_text() == rendered[1]
    assert list(book.sites.iterdir()) == [book.html.resolve()]
    assert site.made_from(book) == key.site_key(book)


def test_an_interrupted_rendering_leaves_the_last_site_and_nothing_to_the_next_one(
    book: Book, rendered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(book, CLAIM, prose="New")
    half = book.rendering / "_build" / "html" / "half"
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rendering.render(book, _console()[0])
    half.touch()
    assert (book.html / "index.html").read_text() == rendered[0]
    rendering.render(book, _console()[0])
    assert not half.exists()
    assert (book.html / "index.html").read_text() == rendered[1]


def test_a_site_of_a_version_without_the_link_is_replaced(book: Book, rendered: list[str]) -> None:
    book.html.unlink()
    book.html.mkdir()
    (book.html / "index.html").touch()
    rendering.render(book, _console()[0])
    assert (book.html / "index.html").read_text() == rendered[1]


def test_every_notebook_of_the_book_can_be_read() -> None:
    real = Book(ROOT)
    assert real.notebooks()
    for path in real.notebooks():
        notebook = execution.read_notebook(path)
        assert notebook.metadata.kernelspec.name == "python3"
        assert set(notebook.metadata.expected_seconds) == set(BLOCKS)
        assert json.dumps(catalogue_of(real, path.stem), default=str) != "{}"


def test_an_interrupt_ends_the_build_at_once_and_keeps_what_was_accepted(book: Book) -> None:
    inside = book.root / "inside"
    waits = f"import pathlib, time; pathlib.Path({str(inside)!r}).touch(); time.sleep(600)"
    _write(book, waits)
    accept(builders.evidence(key="old"), book.evidence)
    code = (
        "from pathlib import Path; import sys\n"
        "from gatewaylab.publish import build as publish\n"
        "from gatewaylab.publish.book import Book\n"
        f"book = Book(Path({str(book.root)!r}))\n"
        "print('ready', flush=True)\n"
        "try: publish.observe(book, book.root / 'notebooks/some.md', 'new', 'quick')\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert until(inside.exists, within=120)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert said == "interrupted\n"
    assert read(book.evidence / "some.json").key == "old"


# States


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise ValueError(7.77)", "a cell raised ValueError"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its kernel died"),
        (CLAIM.replace("[True]", "[False]"), "the data refute C01"),
        (CLAIM.replace("[False]", "[True]"), "the sabotage of C01 went unnoticed"),
        (
            "from gatewaylab.errors import InvalidTrialError\n"
            "from gatewaylab.records.staging import staging\n"
            "from gatewaylab.records.results import Finding\n"
            "kept = dict(kind='wrong data', measured=777, allowed=0, message='777 requests')\n"
            "staging().fault(tuple(Finding(rule=r, **kept) for r in ('errors', 'slots')))\n"
            "raise InvalidTrialError('c: x gave wrong data: time order: 7.77')",
            "its data are wrong (errors, slots)",
        ),
    ],
)
def test_a_page_is_told_why_without_any_number_of_the_run(book: Book, code: str, says: str) -> None:
    _write(book, code)
    rejected, _ = _measure(book)
    (reason,) = _state(book).reasons
    assert reason.kind == "wrong"
    assert reason.text.startswith(says)
    assert "777" not in reason.text
    assert "7.77" not in reason.text
    assert rejected["some"]


def test_what_a_run_left_behind_decides_and_not_the_words_of_its_error(book: Book) -> None:
    said = "raise RuntimeError('the data refute C01: wrong data: errors: 7.77')"
    _write(book, f"{CLAIM}\n{said}")
    _measure(book)
    assert _state(book).reasons == (_wrong("a cell raised RuntimeError"),)
    # What an earlier run left is not this one's.
    _write(book, CLAIM.replace("[True]", "[False]"))
    _measure(book)
    assert _state(book).reasons == (_wrong("the data refute C01"),)
    _write(book, "raise ValueError")
    _measure(book)
    assert _state(book).reasons == (_wrong("a cell raised ValueError"),)


def test_every_claim_that_a_broken_run_has_stated_wrongly_is_named(two: Book) -> None:
    _declare(two, builders.entry("C03"))
    fails = CLAIM.replace("[True]", "[False]")
    first = "\n".join(f"    {line}" for line in fails.splitlines())
    blunt = CLAIM.replace("C01", "C03").replace("[False]", "[True]")
    code = f"try:\n{first}\nexcept Exception: pass\n{blunt}"
    _write(two, code)
    _measure(two, only=("some",))
    assert _state(two).reasons == (
        _wrong("the data refute C01"),
        _wrong("the sabotage of C03 went unnoticed"),
    )


def _wrong(text: str) -> Reason:
    return Reason(kind="wrong", text=text)


def _whole(key: str, at: str = "2026-01-02T00:00:00+00:00", **changes: Any) -> Evidence:
    return builders.evidence(key=key, measured_at=at, **changes)


def _noisy(key: str) -> Evidence:
    effect = builders.effect(7.77, 7.0, 8.0, refused=(builders.finding(),))
    claims = (builders.claim_record(verdict="inconclusive", effect=effect),)
    return _whole(key, "2026-01-02T01:00:00+00:00", claims=claims)


def _disputed(key: str) -> Evidence:
    """A claim whose verdict is another when what noise can have done is taken off."""
    effect = builders.quieted(builders.effect(6.0, 5.0, 7.0), 1.0, 7.0)
    why = "what was lost to others can explain it"
    claims = (builders.claim_record(verdict="inconclusive", effect=effect, why=why),)
    return _whole(key, "2026-01-02T01:00:00+00:00", claims=claims)


def _refuted(key: str) -> Evidence:
    claims = (builders.claim_record(verdict="refuted"),)
    return _whole(key, "2026-01-02T01:00:00+00:00", claims=claims)


def _change_code(book: Book, code: str = "x = 2\n") -> None:
    (book.root / "demo_apps/common.py").write_text(code)


def _review(book: Book) -> states.StateRecord:
    return publish.review(book, book.notebooks()[0], TABLE, _console()[0])


def _state(book: Book, notebook: str = "some") -> states.StateRecord:
    return load(states.StateRecord, book.state(notebook))


def _states(book: Book) -> tuple[str, str]:
    return _state(book).state, _state(book, "other").state


class Runs:
    """Stands for the kernel: gives each notebook's run what the test says, and notes the calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.next: Any = _whole
        monkeypatch.setattr(publish, "observe", self._observe)

    def _observe(self, book: Book, path: Path, key: str, profile: str) -> Evidence:
        self.calls.append(path.stem)
        outcome = self.next[path.stem] if isinstance(self.next, dict) else self.next
        if isinstance(outcome, BaseException):
            raise outcome
        found: Evidence = outcome(key)
        return found.model_copy(update={"notebook": path.stem, "profile": profile})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(monkeypatch)


def _measure(book: Book, **options: Any) -> tuple[dict[str, str], str]:
    console, out = _console()
    return measure(book, Options(**options), TABLE, console), out.getvalue()


@pytest.mark.parametrize("old", ["none", "same key", "other key"])
@pytest.mark.parametrize(
    ("run", "state", "reasons"),
    [
        (_whole, "accepted", ()),
        (_disputed, "accepted", ()),
        (_noisy, "unstable", (Reason(kind="noise", text="C05: steal"),)),
        (_refuted, "rejected", (_wrong("the data refute C05"),)),
        (BuildError("some: a cell was slow"), "rejected", (_wrong("a cell was slow"),)),
        (ResultError("recorded 7.77"), "rejected", (_wrong("what it recorded is not valid"),)),
    ],
)
def test_every_run_over_every_old_evidence_leaves_a_true_state(
    book: Book, runs: Runs, run: Any, state: str, reasons: tuple[Reason, ...], old: str
) -> None:
    if old != "none":
        accept(builders.evidence(key=_key(book) if old == "same key" else "old"), book.evidence)
    runs.next = run
    rejected, said = _measure(book, fresh=True)
    found = _state(book)
    assert (found.state, found.reasons) == (state, reasons)
    assert f"some: {state}" in said
    assert set(rejected) == ({"some"} if state == "rejected" else set())
    path = book.evidence / "some.json"
    kept = state == "accepted" or (state == "unstable" and old == "none")
    assert path.exists() == (kept or old != "none")
    if path.exists():
        assert (read(path).measured_at > "2026-01-02") == kept
    assert found.current == (kept or old != "other key")


@pytest.mark.parametrize("run", [_noisy, _refuted])
def test_a_failed_attempt_is_remembered_and_made_again(book: Book, runs: Runs, run: Any) -> None:
    _measure(book)
    runs.next = run
    _measure(book, fresh=True)
    failed = _state(book)
    assert failed.state in {"unstable", "rejected"}
    (book.root / "book/claims/some.toml").touch()
    assert _review(book) == failed
    runs.next = lambda key: _whole(key, "2026-01-03T00:00:00+00:00")
    _measure(book)
    assert _state(book).state == "accepted"
    _measure(book)
    assert runs.calls == ["some"] * 3  # and an accepted one is left alone


def test_a_run_whose_claims_noise_leaves_inconclusive_is_accepted_and_not_made_again(
    book: Book, runs: Runs
) -> None:
    runs.next = _disputed
    rejected, said = _measure(book)
    assert (rejected, _state(book).state) == ({}, "accepted")
    assert "C05 inconclusive" in said
    assert read(book.evidence / "some.json").claims[0].verdict == "inconclusive"
    _measure(book)
    assert runs.calls == ["some"]


def test_the_ceiling_is_measured_once_a_build_and_handed_to_every_kernel(
    two: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def once() -> None:
        asked.append(1)
        monkeypatch.setenv(CEILINGS_VARIABLE, '{"raw": 4711}')

    monkeypatch.setattr(publish, "once", once)
    tell = "from gatewaylab.measure.reference import ceiling\nprint(ceiling())\n"
    for name, claim in (("some", CLAIM), ("other", CLAIM.replace("C01", "C02"))):
        (two.root / f"notebooks/{name}.md").write_text(notebook(tell + claim))
    _measure(two)
    assert asked == [1]
    for name in ("some", "other"):
        cells = read(two.evidence / f"{name}.json").executed["cells"]
        (cell,) = (cell for cell in cells if "outputs" in cell)
        assert cell["outputs"][0]["text"] == ["4711.0\n"]
    _measure(two)
    assert asked == [1]  # nothing to measure needs no ceiling


def test_the_share_under_load_is_told_for_each_notebook_and_for_all(two: Book, runs: Runs) -> None:
    def worked(loaded: float) -> Any:
        finished = "2026-01-02T00:01:40+00:00"
        return lambda key: _whole(key, finished_at=finished, work=WorkRecord(loaded=loaded))

    runs.next = {"some": worked(40.0), "other": worked(80.0)}
    _, said = _measure(two)
    for told in ("  100 s, 40%", "  100 s, 80%", "all measuring: 200 s, 60%"):
        assert f"{told} of it under load" in said


def test_a_notebook_in_work_leaves_its_position_behind(book: Book) -> None:
    _write(book, "1\n```\n\nMore.\n\n```{code-cell} python\n1 / 0")
    _measure(book)
    where = Staging(book.staging("some")).where()
    assert (where.cell, where.cells, str(where)) == (2, 2, "cell 2 of 2")


def test_a_first_run_spoilt_by_noise_is_made_again_next_time(book: Book, runs: Runs) -> None:
    runs.next = _noisy
    _measure(book)
    assert _state(book).state == "unstable"
    _measure(book)
    assert runs.calls == ["some", "some"]


def test_a_held_run_is_accepted_by_the_build_that_finds_it_again(book: Book, runs: Runs) -> None:
    def at(estimate: float) -> Any:
        effect = builders.effect(estimate, estimate / 1.01, estimate * 1.01)
        record = builders.claim_record(effect=effect)
        time = f"2026-01-02T00:00:{len(runs.calls):02d}+00:00"
        return lambda key: _whole(key, time, claims=(record,))

    for estimate in (5.8, 5.9, 6.0, 6.1, 6.2, 60.0):
        runs.next = at(estimate)
        _measure(book, fresh=True)
    held = Reason(kind="held", text="C05 lies far above its earlier numbers")
    assert _state(book).reasons == (held,)
    runs.next = at(60.0)
    _measure(book)
    assert _state(book).state == "accepted"
    effect = read(book.evidence / "some.json").claims[0].effect
    assert effect is not None
    assert effect.estimate == 60.0


def test_other_code_makes_evidence_stale_and_another_profile_not(book: Book, runs: Runs) -> None:
    _measure(book)
    _change_code(book)
    assert _review(book).state == "stale"
    _change_code(book, "x = 1\n")
    assert _review(book).state == "accepted"
    _measure(book, profile="full")
    assert _review(book).state == "accepted"
    assert runs.calls == ["some", "some"]


@pytest.fixture
def two(book: Book) -> Book:
    """A second notebook, after the first."""
    books.add_other(book.root)
    return book


def test_a_notebook_that_was_not_chosen_says_when_evidence_is_stale(two: Book, runs: Runs) -> None:
    _measure(two)
    _change_code(two)
    _measure(two, only=("other",))
    assert _states(two) == ("stale", "accepted")


def test_the_next_notebook_is_measured_after_a_rejected_one(two: Book, runs: Runs) -> None:
    runs.next = {"some": BuildError("some failed:\nTraceback 7.77"), "other": _whole}
    rejected, _ = _measure(two)
    assert rejected == {"some": "Traceback 7.77"}
    assert _states(two) == ("rejected", "accepted")


def test_an_interrupted_build_leaves_true_states(two: Book, runs: Runs) -> None:
    _measure(two)
    _change_code(two)
    runs.next = {"some": _whole, "other": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        _measure(two)
    assert _states(two) == ("accepted", "stale")
    (two.evidence / "other.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        _measure(two)
    assert _state(two, "other").state == "missing"


def test_an_unusable_state_file_is_told_and_found_out_anew(book: Book, runs: Runs) -> None:
    book.state("some").parent.mkdir(parents=True)
    book.state("some").write_text("{")
    _, said = _measure(book)
    assert "the state of some is unusable" in said
    assert _state(book).state == "accepted"


def test_a_rejected_notebook_fails_the_build_after_the_site_is_rendered(
    two: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "servers_table", lambda: TABLE)
    failing = "print(1111 * 1111)\nraise ValueError(f'saw {1111 * 1111}')"
    _write(two, failing)
    books.add_front(two.root)
    console, out = _console()
    with pytest.raises(BuildError, match=r"(?s)1 notebook was rejected.*some: .*ValueError"):
        build(two, Options(), console)
    assert "some: rejected (a cell raised ValueError)" in out.getvalue()
    assert "other: accepted" in out.getvalue()
    page = (two.html / "notebooks/some.html").read_text()
    assert "was rejected (a cell raised ValueError)." in page
    assert 'class="cell_output' not in page
    assert "was rejected" not in (two.html / "notebooks/other.html").read_text()
    assert 'class="cell_output' in (two.html / "notebooks/other.html").read_text()
    assert "5 of 5 repetitions" in (two.html / "index.html").read_text()
    for file in two.html.rglob("*"):
        assert not file.is_file() or b"1234321" not in file.read_bytes(), file
    # The next rendering still says so, and fails nobody.
    publish.build(two, Options(render_only=True), console)
    assert "was rejected" in (two.html / "index.html").read_text()


def test_the_book_can_be_read_before_it_is_measured_and_changes_chapter_by_chapter(
    two: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "servers_table", lambda: TABLE)
    books.add_front(two.root)
    for name, claim in (("some", "C01"), ("other", "C02")):
        records = (builders.claim_record(claim),)
        accept(builders.evidence(notebook=name, claims=records), two.reference)
    console, out = _console()
    seen: list[tuple[str, str, str]] = []

    def whose(name: str) -> str:
        page = (two.html / f"notebooks/{name}.html").read_text()
        return "reference" if "reference machine" in page else "own"

    def look(book: Book, path: Path, key: str, profile: str) -> Evidence:
        assert out.getvalue().count(f"open {(two.html / 'index.html').as_uri()} now") == 1
        seen.append((path.stem, whose("some"), whose("other")))
        return observe(book, path, key, profile)

    monkeypatch.setattr(publish, "observe", look)
    build(two, Options(), console)
    assert seen == [("some", "reference", "reference"), ("other", "own", "reference")]
    assert whose("other") == "own"


def test_a_book_that_cannot_be_rendered_yet_is_measured_all_the_same(
    two: Book, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "servers_table", lambda: TABLE)
    renderer = Mock(side_effect=[BuildError("a page misses a value"), two.html])
    monkeypatch.setattr(rendering, "render", renderer)
    console, out = _console()
    build(two, Options(), console)
    assert runs.calls == ["some", "other"]
    assert renderer.call_count == 2  # before the first chapter, and after the last
    assert "only after measuring: a page misses a value" in out.getvalue()
    assert "open" not in out.getvalue()


def test_a_failing_renderer_does_not_hide_the_rejected_notebooks(
    two: Book, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "servers_table", lambda: TABLE)
    monkeypatch.setattr(rendering, "render", Mock(side_effect=BuildError("jupyter-book failed")))
    runs.next = {"some": BuildError("some: too slow"), "other": _refuted}
    with pytest.raises(BuildError, match=r"(?s)jupyter-book failed.*2 notebooks.*too slow.*refute"):
        build(two, Options(), _console()[0])


def test_an_executed_notebook_is_offered_only_while_there_is_evidence(
    book: Book, rendered: list[str]
) -> None:
    page = book.html / "notebooks" / "some.ipynb"
    assert page.exists()
    (book.evidence / "some.json").unlink()
    rendering.render(book, _console()[0])
    assert not page.exists()
