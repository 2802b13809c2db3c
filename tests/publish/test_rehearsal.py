from __future__ import annotations

import ast
import contextlib
import io
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
from rich.console import Console

from gatewaylab.claims.claim import behaviour
from gatewaylab.errors import BuildError, InputError
from gatewaylab.measure.delay import until
from gatewaylab.publish import build as publish
from gatewaylab.publish import rehearsal, tolerant
from gatewaylab.publish.book import Book, catalogue_of
from gatewaylab.publish.execution import Execution, read_notebook
from gatewaylab.publish.machines import NOISES
from gatewaylab.publish.noise_record import NoiseRecord
from gatewaylab.publish.noise_rehearsal import under_noise
from gatewaylab.publish.rehearsal import Caught, all_caught, sabotage, sample, show, stability
from gatewaylab.publish.stability import ClaimRun, Rebuild, StabilityRecord, summarise
from gatewaylab.publish.tolerant import TolerantRun
from gatewaylab.records import environment
from gatewaylab.records.effects import Bounds, Effect
from gatewaylab.records.evidence import ClaimRecord, SabotageRecord, accept
from gatewaylab.records.storage import load, save
from tests import ROOT, builders

HEAD = (
    "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n"
    "expected_seconds:\n  quick: 60\n  full: 100\n---\n"
)
ENTRY = (
    '[{id}]\ntitle="t"\nstatement="s"\nkind="{kind}"\ncommon_verdict="true"\n'
    'nuance="n"\nnotebook="{notebook}"\nsources=[]\n'
)
IMPORTS = "from gatewaylab.claims.claim import behaviour, claim"
HELD, FELL = "[True] * 5", "[False] * 5"


def _claim(name: str, held: str = HELD, sabotaged: str = FELL) -> str:
    return (
        f"claim('{name}', behaviour('w', {held}, probe='p'),"
        f" sabotage=behaviour('without {name}', {sabotaged}, probe='p'))"
    )


def _write(book: Book, name: str, *cells: str) -> None:
    code = "\n".join(f"```{{code-cell}} python\n{cell}\n```\n" for cell in (IMPORTS, *cells))
    (book.root / "notebooks" / f"{name}.md").write_text(f"{HEAD}\n# {name}\n\n{code}")


def _declare(book: Book, **notebooks: Sequence[str]) -> None:
    """Declare claims and list the notebooks in the table of contents."""
    chapters = "".join(f"- file: notebooks/{name}\n" for name in notebooks)
    (book.root / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{chapters}")
    (book.root / "book" / "claims" / "all.toml").write_text(
        "".join(
            ENTRY.format(id=name, kind="behaviour", notebook=notebook)
            for notebook, names in notebooks.items()
            for name in names
        )
    )


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """A book of one notebook with one claim, whose sabotage is caught."""
    for folder in ("book/claims", "notebooks", "src/gatewaylab", "demo_apps"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "requirements.txt").write_text("django==5.2\n")
    found = Book(tmp_path)
    _declare(found, some=["C01"])
    _write(found, "some", _claim("C01"))
    monkeypatch.setattr(rehearsal, "servers_table", list)
    monkeypatch.setattr(rehearsal, "once", lambda: None)  # nothing here puts load on a server
    return found


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(said: io.StringIO) -> Console:
    return Console(file=said, width=200)


# Notebooks that are only pretended to run.

Stated = Callable[[str, bool], Sequence[ClaimRecord]]
Pretend = Callable[[Stated], list[str]]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """In place of a kernel: a function from notebook and mode to claims; returns what was run."""

    def install(stated: Stated) -> list[str]:
        ran: list[str] = []

        def execute(path: Path, *, sabotage: bool, **_: Any) -> Execution:
            ran.append(path.stem)
            now = datetime.now(UTC)
            parts = {"claims": tuple(stated(path.stem, sabotage))}
            return Execution(parts, nbformat.v4.new_notebook(), now, now)

        monkeypatch.setattr(tolerant, "execute", execute)
        return ran

    return install


def _record(name: str = "C01", verdict: str = "refuted", sabotaged: str = FELL) -> ClaimRecord:
    held = {HELD: [True] * 5, FELL: [False] * 5}.get(sabotaged, [])
    effect = behaviour(f"without {name}", held, probe="p")
    tried = {"what": f"without {name}", "effect": effect, "verdict": verdict}
    record = builders.claim_record(name, verdict).model_dump()
    return ClaimRecord.model_validate({**record, "effect": effect, "sabotage": tried})


# Sabotage.


def test_every_way_a_sabotage_ends_is_told_and_only_refuted_is_caught(
    book: Book, console: Console, said: io.StringIO
) -> None:
    accept(builders.evidence(key="old"), book.evidence)
    before = (book.evidence / "some.json").read_bytes()
    _declare(book, some=["C01", "C02", "C03", "C04", "C05", "C06"])
    _write(
        book,
        "some",
        _claim("C01"),
        _claim("C02", sabotaged=HELD),
        _claim("C03", sabotaged="[]"),
        "claim('C04', None, sabotage=None, missing=['mod_wsgi'])",
        "held = 1 / 0",
        _claim("C05", held="held"),
    )
    found = {one.id: one for one in sabotage(book, console=console)}
    assert {name: one.verdict for name, one in found.items()} == {
        "C01": "refuted",
        "C02": "supported",
        "C03": "inconclusive",
        "C04": "not measured",
        "C05": "missing",
        "C06": "missing",
    }
    assert [name for name, one in found.items() if one.caught] == ["C01"]
    assert [name for name, one in found.items() if not one.counted] == ["C03", "C04"]
    lines = said.getvalue()
    assert "    C01 without C01: refuted, caught\n" in lines
    assert "    C02 without C02: supported, NOT CAUGHT\n" in lines
    assert "undecided: C03; once more" in lines
    assert "C03 without C03: inconclusive (noise, twice: no repetition was made), undecid" in lines
    assert "C04: not measured (mod_wsgi), not counted" in lines
    assert "C05: missing (NameError: name 'held' is not defined; first of all ZeroDiv" in lines
    assert "C06: missing (ZeroDivisionError: division by zero), NOT CAUGHT" in lines
    assert (
        "1 of 4 sabotages caught (25 %)\n1 not measured on this machine\n"
        "1 undecided: the machine was too noisy, twice\n"
    ) in lines
    assert (book.evidence / "some.json").read_bytes() == before
    assert list((book.build / "rehearsal" / "some").glob("claim-*.json"))
    assert not book.staging("some").exists()


def test_a_book_whose_sabotages_are_caught_leaves_nothing_behind(
    book: Book, console: Console, said: io.StringIO
) -> None:
    found = sabotage(book, console=console)
    assert all_caught(found)
    assert "1 of 1 sabotages caught (100 %)\n" in said.getvalue()
    assert not (book.build / "rehearsal" / "some").exists()
    assert not book.evidence.exists()


def test_what_was_stated_before_the_kernel_died_still_counts(book: Book, console: Console) -> None:
    _declare(book, some=["C01", "C02"])
    dies = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    _write(book, "some", _claim("C01"), dies, _claim("C02"))
    first, second = sabotage(book, console=console)
    assert first.caught
    assert second.verdict == "missing"
    assert "kernel died" in second.why


def test_a_claim_that_its_sabotage_did_not_replace_is_not_caught(
    book: Book, console: Console, pretend: Pretend
) -> None:
    """A kernel that never heard of the sabotage states its own, supported claim."""
    plain = builders.claim_record("C01", "supported")
    assert plain.sabotage is not None
    assert plain.sabotage.verdict == "refuted"
    pretend(lambda name, sabotaged: [plain])
    (one,) = sabotage(book, console=console)
    assert not one.caught


def test_noise_is_given_a_second_run_and_what_was_caught_stays_caught(
    book: Book, console: Console, pretend: Pretend
) -> None:
    _declare(book, some=["C01", "C02"])
    noisy = [
        [_record("C01"), _record("C02", "inconclusive", "[]")],
        [_record("C01", "inconclusive", "[]"), _record("C02")],
    ]
    ran = pretend(lambda name, sabotaged: noisy[len(ran) - 1])
    assert all_caught(sabotage(book, console=console))
    assert ran == ["some", "some"]


def test_too_few_repetitions_are_noise_and_a_wide_interval_is_not() -> None:
    few = behaviour("w", [False] * 4, probe="p")
    record = _record(verdict="inconclusive")
    short = record.model_copy(
        update={"sabotage": record.sabotage.model_copy(update={"effect": few})}  # type: ignore[union-attr]
    )
    assert rehearsal._noise(short) == ("4 of at least 5 repetitions accepted",)
    assert rehearsal._noise(record) == ()


def _met(one: Effect, verdict: str, tried: str, why: str = "") -> ClaimRecord:
    """A claim that met its sabotage: what was seen, and the verdicts on both."""
    record = builders.claim_record("C01", verdict)
    sabotage = SabotageRecord.model_validate({"what": "s", "effect": one, "verdict": tried})
    return record.model_copy(update={"effect": one, "sabotage": sabotage, "why": why})


def _quiet(one: Effect, low: float, high: float) -> Effect:
    bounds = Bounds(low=low, high=high, low90=low, high90=high)
    return one.model_copy(update={"quiet": bounds, "shifts": (0.5,) * 6})


LOST = "what was lost to others can explain it"
DOUBTFUL = _quiet(builders.effect(1.0, 0.9, 1.1), 0.8, 3.0)
UNNOTICED = _quiet(builders.effect(6.0, 5.0, 7.0), 4.0, 7.0)
UNDECIDED = behaviour("without C01", [False] * 3 + [None] * 4, probe="p")


@pytest.mark.parametrize(
    ("record", "verdict", "noise"),
    [
        (_met(DOUBTFUL, "inconclusive", "inconclusive", LOST), "inconclusive", (LOST,)),
        (
            _met(
                builders.effect(1, 1, 1, refused=(builders.finding(),)),
                "inconclusive",
                "inconclusive",
            ),
            "inconclusive",
            ("steal: 9.0 of 1.0 allowed",),
        ),
        (
            _met(UNDECIDED, "inconclusive", "inconclusive", "only 3 of at least 5"),
            "inconclusive",
            ("only 3 of at least 5",),
        ),
        # That something was lost is no excuse for a sabotage that went unnoticed all the same.
        (
            _met(UNNOTICED, "inconclusive", "supported", "its sabotage was not noticed"),
            "supported",
            (),
        ),
        (_met(DOUBTFUL, "refuted", "refuted"), "refuted", ()),
    ],
)
def test_noise_excuses_a_sabotage_that_it_left_undecided_and_no_other(
    record: ClaimRecord, verdict: str, noise: tuple[str, ...]
) -> None:
    found = rehearsal._judge("C01", "some", TolerantRun({"C01": record}, lambda _: ""))
    assert (found.verdict, found.noise) == (verdict, noise)
    assert found.caught == (verdict == "refuted")
    assert found.counted == (not noise)


def test_that_nothing_was_there_to_catch_proves_nothing() -> None:
    noisy = Caught("C03", "some", "inconclusive", noise=("steal",))
    assert not all_caught([])
    assert not all_caught([noisy])
    assert all_caught([Caught("C01", "some", "refuted"), noisy])
    assert not all_caught([Caught("C01", "some", "not measured")])
    assert all_caught([Caught("C01", "some", "refuted"), Caught("C02", "some", "not measured")])
    assert not all_caught([Caught("C01", "some", "refuted"), Caught("C02", "some", "missing")])


def test_a_rehearsal_and_a_build_exclude_each_other(
    book: Book, console: Console, pretend: Pretend
) -> None:
    ran = pretend(lambda name, sabotaged: [])
    with publish.exclusive(book):
        with pytest.raises(BuildError, match="another build"):
            sabotage(book, console=console)
        with pytest.raises(BuildError, match="another build"):
            stability(book, rebuilds=1, console=console)
        with pytest.raises(BuildError, match="another build"):
            under_noise(book, "none", console=console)
    assert ran == []


# The choice of notebooks.

EXPECTED = {"a": 100.0, "b": 200.0, "c": 300.0, "d": 50.0}


@pytest.mark.parametrize("seconds", [0, 120, 360, 1000])
def test_a_sample_fits_the_time_or_is_a_single_notebook(seconds: float) -> None:
    for seed in range(50):
        chosen = sample(EXPECTED, seconds, seed)
        assert chosen == sample(EXPECTED, seconds, seed)
        assert chosen == [name for name in EXPECTED if name in chosen]
        assert len(chosen) == 1 or sum(EXPECTED[name] for name in chosen) <= seconds
        left = seconds - sum(EXPECTED[name] for name in chosen)
        assert all(EXPECTED[name] > left for name in EXPECTED if name not in chosen)


def test_in_the_course_of_time_every_notebook_has_its_turn() -> None:
    today = datetime(2026, 11, 22, tzinfo=UTC).toordinal()
    weekly = [sample(EXPECTED, 60, today + 7 * week)[0] for week in range(30)]
    assert set(weekly) == set(EXPECTED)


def test_nothing_is_drawn_from_nothing() -> None:
    assert sample({}, 60, 1) == []


def test_minutes_and_seed_choose_among_the_notebooks_that_state_claims(
    book: Book, console: Console, said: io.StringIO, pretend: Pretend
) -> None:
    _declare(book, some=["C01"], other=["C02"], third=["C03"], silent=[])
    for name in ("other", "third", "silent"):
        _write(book, name)
    ran = pretend(lambda name, sabotaged: [])
    sabotage(book, minutes=2, seed=3, console=console)  # each is expected to take one
    first = list(ran)
    sabotage(book, minutes=2, seed=3, console=console)
    assert ran == 2 * first
    assert len(first) == 2
    assert f"seed 3 chose for 2 minutes: {', '.join(first)}\n" in said.getvalue()
    ran.clear()
    sabotage(book, console=console)
    assert ran == ["some", "other", "third"]


def test_the_day_is_the_default_seed(
    book: Book, console: Console, said: io.StringIO, pretend: Pretend
) -> None:
    pretend(lambda name, sabotaged: [_record()])
    before = datetime.now(UTC).toordinal()
    sabotage(book, minutes=1, console=console)
    days = {before, datetime.now(UTC).toordinal()}
    assert any(f"seed {day} chose" in said.getvalue() for day in days)


def test_the_last_build_tells_how_long_a_notebook_takes(book: Book) -> None:
    assert tolerant.chapters(book, "quick")[0].expected == 60
    accept(builders.evidence(), book.evidence)
    assert tolerant.chapters(book, "quick")[0].expected == 100
    (book.evidence / "some.json").write_text("{")
    assert tolerant.chapters(book, "quick")[0].expected == 60


def test_only_names_a_notebook_of_the_book(book: Book, console: Console, pretend: Pretend) -> None:
    _declare(book, some=["C01"], other=["C02"])
    _write(book, "other")
    ran = pretend(lambda name, sabotaged: [_record("C02")])
    sabotage(book, only=["other"], console=console)
    assert ran == ["other"]
    with pytest.raises(BuildError, match="there are: other, some"):
        sabotage(book, only=["else"], console=console)


# Stability.


def _rebuild(**verdicts: str) -> Rebuild:
    claims = {
        name: ClaimRun.model_validate(
            {"verdict": verdict, "estimate": 2.0 + i, "low": 1, "high": 9}
        )
        for i, (name, verdict) in enumerate(verdicts.items())
    }
    at = "2026-11-22T08:00:00+00:00"
    return Rebuild(begun=at, ended=at, seconds=60, claims=claims)


def _stable(*rebuilds: Rebuild) -> StabilityRecord:
    return StabilityRecord(machine="m", commit="c", profile="quick", keys={}, rebuilds=rebuilds)


@pytest.mark.parametrize(
    ("verdicts", "flips"),
    [
        (["supported"] * 5, 0),
        (["supported", "refuted", "supported"], 2),
        (["supported", "inconclusive", "refuted"], 1),
        (["inconclusive", "supported", "inconclusive", "supported", "not measured"], 0),
        (["missing", "refuted", "refuted"], 0),
    ],
)
def test_a_flip_is_a_change_between_supported_and_refuted(verdicts: list[str], flips: int) -> None:
    record = _stable(*(_rebuild(C01=verdict, C02="supported") for verdict in verdicts))
    assert record.flips("C01") == record.all_flips == flips
    assert record.counts("C02") == {"supported": len(verdicts)}
    assert record.steady == (flips == 0 and "missing" not in verdicts)


def test_a_claim_that_a_rebuild_does_not_know_is_missing_there() -> None:
    record = _stable(_rebuild(C01="supported"), _rebuild(C01="supported", C02="supported"))
    assert record.claims == ("C01", "C02")
    assert record.verdicts("C02") == ("missing", "supported")
    assert not record.steady


@pytest.mark.parametrize(
    ("estimates", "ends", "spread"),
    [
        ([2.0, 3.0, None], (2.0, 3.0), 1.5),
        ([2.0, math.inf], (2.0, math.inf), None),
        ([0.0, 1.0], (0.0, 1.0), None),
        ([None], None, None),
    ],
)
def test_the_spread_is_the_highest_estimate_by_the_lowest(
    estimates: list[float | None], ends: tuple[float, float] | None, spread: float | None
) -> None:
    at = "2026-11-22T08:00:00+00:00"
    rebuilds = (
        Rebuild(
            begun=at,
            ended=at,
            seconds=1,
            claims={"C01": ClaimRun(verdict="supported", estimate=e)},
        )
        for e in estimates
    )
    record = _stable(*rebuilds)
    assert record.estimates("C01") == ends
    assert record.spread("C01") == spread


def test_a_rebuild_keeps_no_number_that_the_instrument_refused() -> None:
    refused = builders.claim_record(verdict="inconclusive").model_copy(
        update={
            "effect": builders.effect(math.nan, math.nan, math.nan, refused=(builders.finding(),))
        }
    )
    kept = summarise(refused)
    assert (kept.estimate, kept.refused, kept.sabotage) == (
        None,
        ("steal: 9.0 of 1.0 allowed",),
        "refuted",
    )
    whole = summarise(builders.claim_record())
    assert (whole.estimate, whole.low, whole.high, whole.floor) == (6.0, 5.0, 7.0, 1.0)
    assert whole.unit == "×"


def test_a_record_survives_its_file_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    infinite = ClaimRun(verdict="supported", estimate=math.inf, low=2.0, high=math.inf, floor=1.0)
    rebuild = _rebuild().model_copy(update={"claims": {"C01": infinite}})
    record = _stable(rebuild)
    save(record, tmp_path / "r.json", indent=1)
    assert load(StabilityRecord, tmp_path / "r.json") == record
    text = (tmp_path / "r.json").read_text()
    (tmp_path / "r.json").write_text(text.replace('"machine"', '"surprise"'))
    with pytest.raises(Exception, match="not a valid StabilityRecord"):
        load(StabilityRecord, tmp_path / "r.json")


def test_an_interrupt_loses_one_rebuild_and_the_next_run_goes_on(
    book: Book, console: Console, pretend: Pretend
) -> None:
    def stated(name: str, sabotaged: bool) -> Sequence[ClaimRecord]:
        assert not sabotaged
        if len(ran) == 3:
            raise KeyboardInterrupt
        return [builders.claim_record("C01")]

    ran = pretend(stated)
    out = book.root / "book" / "records" / "stability.json"
    with pytest.raises(KeyboardInterrupt):
        stability(book, rebuilds=4, console=console)
    assert len(load(StabilityRecord, out).rebuilds) == 2
    record = stability(book, rebuilds=4, console=console)
    assert len(ran) == 5
    assert record.verdicts("C01") == ("supported",) * 4
    assert record == load(StabilityRecord, out)
    assert stability(book, rebuilds=3, console=console) == record
    assert len(ran) == 5
    assert not book.evidence.exists()


@pytest.mark.parametrize("change", ["code", "profile", "damage"])
def test_a_record_of_something_else_is_begun_anew(
    book: Book, console: Console, pretend: Pretend, change: str
) -> None:
    pretend(lambda name, sabotaged: [builders.claim_record("C01")])
    out = book.root / "r.json"
    stability(book, rebuilds=2, out=out, console=console)
    if change == "code":
        _write(book, "some", _claim("C01"), "1")
    elif change == "damage":
        out.write_text("{")
    profile = "full" if change == "profile" else "quick"
    record = stability(book, rebuilds=1, profile=profile, out=out, console=console)
    assert len(record.rebuilds) == 1


def test_a_rebuild_runs_whole_notebooks_and_says_why_a_claim_is_missing(
    book: Book, console: Console, said: io.StringIO
) -> None:
    _declare(book, some=["C01", "C02", "C03"])
    _write(book, "some", _claim("C01", held=FELL), "1 / 0", _claim("C02"))
    record = stability(book, rebuilds=1, console=console)
    (rebuild,) = record.rebuilds
    assert record.verdicts("C01") == ("refuted",)
    assert record.verdicts("C02") == ("supported",)
    assert rebuild.claims["C03"].error == "ZeroDivisionError: division by zero"
    assert not (book.build / "rehearsal" / "some").exists()
    show(record, console)
    assert "flips between supported and refuted: 0\n" in said.getvalue()
    assert "1 refuted" in said.getvalue()


def test_the_table_shows_a_mark_for_every_rebuild(console: Console, said: io.StringIO) -> None:
    verdicts = ("supported", "refuted", "inconclusive", "not measured", "missing")
    show(_stable(*(_rebuild(C01=verdict) for verdict in verdicts)), console)
    assert "✓✗?–!" in said.getvalue()
    assert "flips between supported and refuted: 1\n" in said.getvalue()


def test_no_rebuild_is_no_record(book: Book, console: Console) -> None:
    with pytest.raises(InputError, match="1 or more"):
        stability(book, rebuilds=0, console=console)


def test_an_interrupt_ends_the_kernel_and_keeps_the_record(book: Book, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    waits = (
        "import os, time\nfrom pathlib import Path\n"
        f"inside, first = Path({str(inside)!r}), Path({str(tmp_path / 'first')!r})\n"
        "if first.exists():\n"
        "    inside.with_suffix('.new').write_text(str(os.getpid()))\n"
        "    inside.with_suffix('.new').rename(inside)\n"
        "    time.sleep(600)\n"
        "first.touch()"
    )
    _write(book, "some", _claim("C01"), waits)
    code = (
        "from pathlib import Path\nfrom rich.console import Console\n"
        "from gatewaylab.publish import rehearsal\nfrom gatewaylab.publish.book import Book\n"
        "try:\n"
        f"    rehearsal.stability(Book(Path({str(book.root)!r})), rebuilds=2, console=Console())\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert until(lambda: inside.exists() or process.poll() is not None, within=120)
        kernel = int(inside.read_text())
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=120)
    assert told.endswith("interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    record = load(StabilityRecord, book.root / "book" / "records" / "stability.json")
    assert record.verdicts("C01") == ("supported",)


# Under a noise.


@pytest.fixture
def noises(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In place of the real ones, two noises that only note their beginning and their end."""
    log: list[str] = []

    def make(name: str) -> Callable[[], contextlib.AbstractContextManager[None]]:
        @contextlib.contextmanager
        def noise() -> Iterator[None]:
            log.append(f"{name} begins")
            try:
                yield
            finally:
                log.append(f"{name} ends")

        return noise

    for name in ("bursts", "burner"):
        monkeypatch.setitem(NOISES, name, (make(name), f"what {name} does"))
    return log


def _noise_file(book: Book) -> Path:
    return book.root / "book" / "records" / "noise.json"


def test_every_run_is_made_under_the_noise_and_the_record_says_what_came_of_it(
    book: Book, console: Console, said: io.StringIO, pretend: Pretend, noises: list[str]
) -> None:
    accept(builders.evidence(key="old"), book.evidence)
    before = (book.evidence / "some.json").read_bytes()
    _declare(book, some=["C01"], other=["C03"])
    _write(book, "other")

    def stated(name: str, sabotaged: bool) -> Sequence[ClaimRecord]:
        assert not sabotaged
        assert noises == ["bursts begins"]
        return [_met(DOUBTFUL, "inconclusive", "inconclusive", LOST)] if name == "some" else []

    ran = pretend(stated)
    found = under_noise(book, "bursts", console=console)
    assert ran == ["some", "other"]
    assert noises == ["bursts begins", "bursts ends"]
    assert found.claims == {"C01": "inconclusive", "C03": "missing"}
    assert found.sabotages == {"C01": "inconclusive"}
    assert found.what == "what bursts does"
    assert not found.right  # a claim is missing
    record = load(NoiseRecord, _noise_file(book))
    assert record.noises == {"bursts": found}
    assert (record.machine, record.profile) == (environment.machine_kind(), "quick")
    assert f"C01 inconclusive ({LOST}), its sabotage inconclusive" in said.getvalue()
    assert "1 inconclusive, 1 missing; sabotages: 0 caught, 1 undecided, 0 supp" in said.getvalue()
    assert (book.evidence / "some.json").read_bytes() == before


def test_the_noise_ends_with_a_rehearsal_that_is_interrupted_and_no_record_is_touched(
    book: Book, console: Console, pretend: Pretend, noises: list[str]
) -> None:
    def interrupted(name: str, sabotaged: bool) -> Sequence[ClaimRecord]:
        raise KeyboardInterrupt

    pretend(interrupted)
    with pytest.raises(KeyboardInterrupt):
        under_noise(book, "bursts", console=console)
    assert noises == ["bursts begins", "bursts ends"]
    assert not _noise_file(book).exists()


@pytest.mark.parametrize("name", ["hammer", "", "Burner"])
def test_an_unknown_noise_is_refused_with_a_list(
    book: Book, console: Console, pretend: Pretend, name: str
) -> None:
    ran = pretend(lambda name, sabotaged: [])
    with pytest.raises(InputError) as refused:
        under_noise(book, name, console=console)
    assert f"there are: {', '.join(NOISES)}" in str(refused.value)
    assert ran == []


def test_only_a_rehearsal_of_the_whole_book_is_recorded(
    book: Book, console: Console, pretend: Pretend, noises: list[str]
) -> None:
    _declare(book, some=["C01"], other=["C02"])
    _write(book, "other")
    ran = pretend(lambda name, sabotaged: [builders.claim_record("C02")])
    found = under_noise(book, "burner", only=["other"], console=console)
    assert (ran, found.claims) == (["other"], {"C02": "supported"})
    assert found.right
    assert not _noise_file(book).exists()
    with pytest.raises(BuildError, match="there are: other, some"):
        under_noise(book, "burner", only=["else"], console=console)


def test_a_noise_replaces_its_own_part_of_the_record_and_leaves_the_others(
    book: Book, console: Console, pretend: Pretend, noises: list[str]
) -> None:
    verdicts = ["supported", "supported", "inconclusive"]
    ran = pretend(lambda name, sabotaged: [builders.claim_record("C01", verdicts[len(ran) - 1])])
    for name in ("burner", "bursts", "burner"):
        under_noise(book, name, console=console)
    record = load(NoiseRecord, _noise_file(book))
    assert list(record.noises) == ["bursts", "burner"]  # the order of NOISES
    assert record.noises["bursts"].claims == {"C01": "supported"}
    assert record.noises["burner"].claims == {"C01": "inconclusive"}


@pytest.mark.parametrize("change", ["machine", "profile", "damage"])
def test_a_noise_record_of_something_else_is_begun_anew(
    book: Book,
    console: Console,
    said: io.StringIO,
    pretend: Pretend,
    noises: list[str],
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    pretend(lambda name, sabotaged: [builders.claim_record("C01")])
    out = book.root / "n.json"
    under_noise(book, "bursts", out=out, console=console)
    if change == "machine":
        monkeypatch.setattr(environment, "machine_kind", lambda: "another machine")
    elif change == "damage":
        out.write_text("{")
    profile = "full" if change == "profile" else "quick"
    under_noise(book, "burner", profile=profile, out=out, console=console)
    record = load(NoiseRecord, out)
    assert list(record.noises) == ["burner"]
    assert record.profile == profile
    assert (record.machine == "another machine") == (change == "machine")
    assert ("unusable and begun anew" in said.getvalue()) == (change == "damage")
    assert not _noise_file(book).exists()


def test_a_cell_that_breaks_off_under_noise_is_told_and_makes_it_wrong(
    book: Book, console: Console, said: io.StringIO
) -> None:
    _declare(book, some=["C01", "C02"])
    _write(book, "some", _claim("C01"), "1 / 0", _claim("C02", held="[True] * 4 + [None] * 3"))
    found = under_noise(book, "none", console=console)
    assert found.claims == {"C01": "supported", "C02": "inconclusive"}
    assert found.sabotages == {"C01": "refuted", "C02": "refuted"}
    assert found.errors == {"some": ("ZeroDivisionError: division by zero",)}
    assert not found.right
    assert "ZeroDivisionError: division by zero" in said.getvalue()
    # A refuted claim ends its cell, too; that is told by its verdict and not as an error.
    _write(book, "some", _claim("C01", held=FELL), _claim("C02", sabotaged=HELD))
    found = under_noise(book, "none", console=console)
    assert found.errors == {}
    assert (found.claims["C01"], found.sabotages["C02"]) == ("refuted", "supported")
    assert not found.right


@pytest.mark.parametrize("act", [sabotage, under_noise, stability])
def test_the_ceiling_is_measured_once_for_all_notebooks_and_under_the_noise(
    book: Book,
    console: Console,
    pretend: Pretend,
    noises: list[str],
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[..., object],
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(rehearsal, "once", lambda: seen.append(list(noises)))
    _declare(book, some=["C01"], other=["C02"])
    _write(book, "other")
    ran = pretend(lambda name, sabotaged: [_record({"some": "C01", "other": "C02"}[name])])
    options: dict[Any, dict[str, Any]] = {
        sabotage: {},
        under_noise: {"noise": "burner"},
        stability: {"rebuilds": 1},
    }
    act(book, console=console, **options[act])
    assert ran == ["some", "other"]
    assert seen == [["burner begins"] if act is under_noise else []]


# The book itself.

REAL = Book(ROOT)


def _claim_calls(path: Path) -> list[tuple[ast.Module, ast.Call]]:
    """Each call of ``claim`` with its cell."""
    found = []
    for cell in read_notebook(path).cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            found += [
                (tree, node)
                for node in ast.walk(tree)
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "claim"
            ]
    return found


@pytest.mark.parametrize("path", REAL.notebooks(), ids=lambda path: path.stem)
def test_every_declared_claim_of_the_book_is_stated_once_with_its_sabotage(path: Path) -> None:
    stated = []
    for _, call in _claim_calls(path):
        name = ast.literal_eval(call.args[0])
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        assert "sabotage" in given, name
        assert not (isinstance(given["sabotage"], ast.Constant)), f"{name} has no sabotage"
        stated.append(name)
    entries = catalogue_of(REAL, path.stem)
    measured = [n for n, entry in entries.items() if entry.kind not in {"cited", "opinion"}]
    assert sorted(stated) == sorted(measured)


@pytest.mark.parametrize("path", REAL.notebooks(), ids=lambda path: path.stem)
def test_a_claim_ends_its_cell_so_that_its_failure_hides_no_other(path: Path) -> None:
    for tree, call in _claim_calls(path):
        last = tree.body[-1]
        assert isinstance(last, ast.Expr), ast.unparse(call)
        assert last.value is call, ast.unparse(call)
