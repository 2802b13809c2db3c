from __future__ import annotations

import ast
import contextlib
import functools
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
from gatewaylab.errors import BuildError, InputError, ResultError
from gatewaylab.measure.delay import until
from gatewaylab.publish import build as publish
from gatewaylab.publish import rehearsal, tolerant
from gatewaylab.publish.book import Book, catalogue_of
from gatewaylab.publish.execution import Execution, read_notebook
from gatewaylab.publish.machines import NOISES
from gatewaylab.publish.noise_record import NoiseRecord, Rehearsed
from gatewaylab.publish.noise_rehearsal import under_noise
from gatewaylab.publish.rehearsal import Caught, all_caught, sabotage, sample, show, stability
from gatewaylab.publish.stability import ClaimRun, Rebuild, StabilityRecord, summarise
from gatewaylab.publish.tolerant import TolerantRun
from gatewaylab.records import environment
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import ClaimRecord, SabotageRecord, accept
from gatewaylab.records.storage import load, save
from tests import ROOT, builders

HEAD = (
    "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n  display_name: Python 3\n"
    "expected_seconds:\n  quick: 60\n  full: 100\n---\n"
)
IMPORTS = "from gatewaylab.claims.claim import behaviour, claim"
HELD, FELL = "[True] * 5", "[False] * 5"


def _claim(name: str, held: str = HELD, sabotaged: str = FELL) -> str:
    return (
        f"claim('{name}', behaviour('w', {held}, probe='p'),"
        f" sabotage=behaviour('without {name}', {sabotaged}, probe='p'))"
    )


class Desk:
    """A book of one notebook with one claim, whose sabotage is caught; and what is said of it."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.book, self.patch = Book(root), patch
        self._out = io.StringIO()
        self.console = Console(file=self._out, width=200)
        for folder in ("book/claims", "book/records", "notebooks", "src/gatewaylab", "demo_apps"):
            (root / folder).mkdir(parents=True)
        (root / "pyproject.toml").write_text("")
        (root / "requirements.txt").write_text("django==5.2\n")
        self.declare(some=["C01"])
        self.write("some", _claim("C01"))
        patch.setattr(rehearsal, "servers_table", list)
        patch.setattr(rehearsal, "once", lambda: None)  # nothing here puts load on a server
        #: In place of the real ones, two noises that only note here that they begin and end.
        self.noises: list[str] = []
        for name in ("bursts", "burner"):
            make = functools.partial(self._noise, name)
            patch.setitem(NOISES, name, (make, f"what {name} does"))

    @contextlib.contextmanager
    def _noise(self, name: str) -> Iterator[None]:
        self.noises.append(f"{name} begins")
        try:
            yield
        finally:
            self.noises.append(f"{name} ends")

    @property
    def said(self) -> str:
        return self._out.getvalue()

    def record(self, name: str) -> Path:
        return self.book.root / "book" / "records" / f"{name}.json"

    def write(self, name: str, *cells: str) -> None:
        code = "\n".join(f"```{{code-cell}} python\n{cell}\n```\n" for cell in (IMPORTS, *cells))
        (self.book.root / "notebooks" / f"{name}.md").write_text(f"{HEAD}\n# {name}\n\n{code}")

    def declare(self, **notebooks: Sequence[str]) -> None:
        """Declare claims, list the notebooks in the table of contents, and write the new ones."""
        root = self.book.root
        chapters = "".join(f"- file: notebooks/{name}\n" for name in notebooks)
        (root / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{chapters}")
        entries = (
            builders.entry(name, notebook=notebook)
            for notebook, names in notebooks.items()
            for name in names
        )
        (root / "book" / "claims" / "all.toml").write_text("".join(entries))
        for name in notebooks.keys() - {"some"}:
            self.write(name)

    def pretend(self, stated: Callable[[str, bool], Sequence[ClaimRecord]]) -> list[str]:
        """In place of a kernel, a function from notebook and mode; returns what will be run."""
        ran: list[str] = []

        def execute(path: Path, *, sabotage: bool, **_: Any) -> Execution:
            ran.append(path.stem)
            now = datetime.now(UTC)
            parts = {"claims": tuple(stated(path.stem, sabotage))}
            return Execution(parts, nbformat.v4.new_notebook(), now, now)

        self.patch.setattr(tolerant, "execute", execute)
        return ran

    def sabotage(self, **options: Any) -> tuple[Caught, ...]:
        return tuple(sabotage(self.book, console=self.console, **options))

    def stability(self, rebuilds: int = 1, **options: Any) -> StabilityRecord:
        return stability(self.book, rebuilds=rebuilds, console=self.console, **options)

    def under_noise(self, noise: str = "none", **options: Any) -> Rehearsed:
        return under_noise(self.book, noise, console=self.console, **options)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def _record(name: str = "C01", verdict: str = "refuted", sabotaged: str = FELL) -> ClaimRecord:
    held = {HELD: [True] * 5, FELL: [False] * 5}.get(sabotaged, [])
    effect = behaviour(f"without {name}", held, probe="p")
    tried = {"what": f"without {name}", "effect": effect, "verdict": verdict}
    record = builders.claim_record(name, verdict).model_dump()
    return ClaimRecord.model_validate({**record, "effect": effect, "sabotage": tried})


# Sabotage.


def test_every_way_a_sabotage_ends_is_told_and_only_refuted_is_caught(desk: Desk) -> None:
    accept(builders.evidence(key="old"), desk.book.evidence)
    before = (desk.book.evidence / "some.json").read_bytes()
    desk.declare(some=["C01", "C02", "C03", "C04", "C05", "C06"])
    desk.write(
        "some",
        _claim("C01"),
        _claim("C02", sabotaged=HELD),
        _claim("C03", sabotaged="[]"),
        "claim('C04', None, sabotage=None, missing=['mod_wsgi'])",
        "held = 1 / 0",
        _claim("C05", held="held"),
    )
    found = {one.id: one for one in desk.sabotage()}
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
    lines = desk.said
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
    assert (desk.book.evidence / "some.json").read_bytes() == before
    assert list((desk.book.build / "rehearsal" / "some").glob("claim-*.json"))
    assert not desk.book.staging("some").exists()


def test_a_book_whose_sabotages_are_caught_leaves_nothing_behind(desk: Desk) -> None:
    assert all_caught(desk.sabotage())
    assert "1 of 1 sabotages caught (100 %)\n" in desk.said
    assert not (desk.book.build / "rehearsal" / "some").exists()
    assert not desk.book.evidence.exists()


def test_what_was_stated_before_the_kernel_died_still_counts(desk: Desk) -> None:
    desk.declare(some=["C01", "C02"])
    dies = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    desk.write("some", _claim("C01"), dies, _claim("C02"))
    first, second = desk.sabotage()
    assert first.caught
    assert second.verdict == "missing"
    assert "kernel died" in second.why


def test_a_claim_that_its_sabotage_did_not_replace_is_not_caught(desk: Desk) -> None:
    """A kernel that never heard of the sabotage states its own, supported claim."""
    plain = builders.claim_record("C01", "supported")
    assert plain.sabotage is not None
    assert plain.sabotage.verdict == "refuted"
    desk.pretend(lambda name, sabotaged: [plain])
    (one,) = desk.sabotage()
    assert not one.caught


def test_noise_is_given_a_second_run_and_what_was_caught_stays_caught(desk: Desk) -> None:
    desk.declare(some=["C01", "C02"])
    noisy = [
        [_record("C01"), _record("C02", "inconclusive", "[]")],
        [_record("C01", "inconclusive", "[]"), _record("C02")],
    ]
    ran = desk.pretend(lambda name, sabotaged: noisy[len(ran) - 1])
    assert all_caught(desk.sabotage())
    assert ran == ["some", "some"]


def test_too_few_repetitions_are_noise_and_a_wide_interval_is_not() -> None:
    few = behaviour("w", [False] * 4, probe="p")
    record = _record(verdict="inconclusive")
    tried = SabotageRecord(what="s", effect=few, verdict="inconclusive")
    short = record.model_copy(update={"sabotage": tried})
    assert rehearsal._noise(short) == ("4 of at least 5 repetitions accepted",)
    assert rehearsal._noise(record) == ()


def _met(one: Effect, verdict: str, tried: str, why: str = "") -> ClaimRecord:
    """A claim that met its sabotage: what was seen, and the verdicts on both."""
    record = builders.claim_record("C01", verdict)
    sabotage = SabotageRecord.model_validate({"what": "s", "effect": one, "verdict": tried})
    return record.model_copy(update={"effect": one, "sabotage": sabotage, "why": why})


LOST, FEW = "what was lost to others can explain it", "only 3 of at least 5"
STOLEN = builders.effect(1, 1, 1, refused=(builders.finding(),))
DOUBTFUL = builders.quieted(builders.effect(1.0, 0.9, 1.1), 0.8, 3.0)
UNNOTICED = builders.quieted(builders.effect(6.0, 5.0, 7.0), 4.0, 7.0)
UNDECIDED = behaviour("without C01", [False] * 3 + [None] * 4, probe="p")


@pytest.mark.parametrize(
    ("record", "verdict", "noise"),
    [
        (_met(DOUBTFUL, "inconclusive", "inconclusive", LOST), "inconclusive", (LOST,)),
        (_met(STOLEN, "inconclusive", "inconclusive"), "inconclusive", (str(builders.finding()),)),
        (_met(UNDECIDED, "inconclusive", "inconclusive", FEW), "inconclusive", (FEW,)),
        # That something was lost is no excuse for a sabotage that went unnoticed all the same.
        (_met(UNNOTICED, "inconclusive", "supported", "it was not noticed"), "supported", ()),
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


def test_a_rehearsal_and_a_build_exclude_each_other(desk: Desk) -> None:
    ran = desk.pretend(lambda name, sabotaged: [])
    with publish.exclusive(desk.book):
        for act in (desk.sabotage, desk.stability, desk.under_noise):
            with pytest.raises(BuildError, match="another build"):
                act()
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


def test_minutes_and_seed_choose_among_the_notebooks_that_state_claims(desk: Desk) -> None:
    desk.declare(some=["C01"], other=["C02"], third=["C03"], silent=[])
    ran = desk.pretend(lambda name, sabotaged: [])
    desk.sabotage(minutes=2, seed=3)  # each is expected to take one
    first = list(ran)
    desk.sabotage(minutes=2, seed=3)
    assert ran == 2 * first
    assert len(first) == 2
    assert f"seed 3 chose for 2 minutes: {', '.join(first)}\n" in desk.said
    ran.clear()
    desk.sabotage()
    assert ran == ["some", "other", "third"]


def test_the_day_is_the_default_seed(desk: Desk) -> None:
    desk.pretend(lambda name, sabotaged: [_record()])
    before = datetime.now(UTC).toordinal()
    desk.sabotage(minutes=1)
    days = {before, datetime.now(UTC).toordinal()}
    assert any(f"seed {day} chose" in desk.said for day in days)


def test_the_last_build_tells_how_long_a_notebook_takes(desk: Desk) -> None:
    assert tolerant.chapters(desk.book, "quick")[0].expected == 60
    accept(builders.evidence(), desk.book.evidence)
    assert tolerant.chapters(desk.book, "quick")[0].expected == 100
    (desk.book.evidence / "some.json").write_text("{")
    assert tolerant.chapters(desk.book, "quick")[0].expected == 60


def test_only_names_a_notebook_of_the_book(desk: Desk) -> None:
    desk.declare(some=["C01"], other=["C02"])
    ran = desk.pretend(lambda name, sabotaged: [_record("C02")])
    desk.sabotage(only=["other"])
    assert ran == ["other"]
    with pytest.raises(BuildError, match="there are: other, some"):
        desk.sabotage(only=["else"])


# Stability.


def _rebuild(**verdicts: str) -> Rebuild:
    claims = {
        name: ClaimRun.model_validate({"verdict": verdict, "estimate": 2.0, "low": 1, "high": 9})
        for name, verdict in verdicts.items()
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
    runs = [ClaimRun(verdict="supported", estimate=estimate) for estimate in estimates]
    record = _stable(*(_rebuild().model_copy(update={"claims": {"C01": run}}) for run in runs))
    assert record.estimates("C01") == ends
    assert record.spread("C01") == spread


def test_a_rebuild_keeps_no_number_that_the_instrument_refused() -> None:
    refused = builders.effect(math.nan, math.nan, math.nan, refused=(builders.finding(),))
    kept = summarise(builders.claim_record(verdict="inconclusive", effect=refused))
    assert (kept.estimate, kept.sabotage) == (None, "refuted")
    assert kept.refused == ("steal: 9.0 of 1.0 allowed",)
    whole = summarise(builders.claim_record())
    assert (whole.estimate, whole.low, whole.high, whole.floor) == (6.0, 5.0, 7.0, 1.0)
    assert whole.unit == "×"


def test_a_record_survives_its_file_and_a_damaged_one_does_not(tmp_path: Path) -> None:
    infinite = ClaimRun(verdict="supported", estimate=math.inf, low=2.0, high=math.inf, floor=1.0)
    record = _stable(_rebuild().model_copy(update={"claims": {"C01": infinite}}))
    path = tmp_path / "r.json"
    save(record, path, indent=1)
    assert load(StabilityRecord, path) == record
    path.write_text(path.read_text().replace('"machine"', '"surprise"'))
    with pytest.raises(ResultError, match="not a valid StabilityRecord"):
        load(StabilityRecord, path)


def test_an_interrupt_loses_one_rebuild_and_the_next_run_goes_on(desk: Desk) -> None:
    def stated(name: str, sabotaged: bool) -> Sequence[ClaimRecord]:
        assert not sabotaged
        if len(ran) == 3:
            raise KeyboardInterrupt
        return [builders.claim_record("C01")]

    ran = desk.pretend(stated)
    out = desk.record("stability")
    with pytest.raises(KeyboardInterrupt):
        desk.stability(rebuilds=4)
    assert len(load(StabilityRecord, out).rebuilds) == 2
    record = desk.stability(rebuilds=4)
    assert len(ran) == 5
    assert record.verdicts("C01") == ("supported",) * 4
    assert record == load(StabilityRecord, out)
    assert desk.stability(rebuilds=3) == record
    assert len(ran) == 5
    assert not desk.book.evidence.exists()


@pytest.mark.parametrize("change", ["code", "profile", "damage"])
def test_a_record_of_something_else_is_begun_anew(desk: Desk, change: str) -> None:
    desk.pretend(lambda name, sabotaged: [builders.claim_record("C01")])
    out = desk.book.root / "r.json"
    desk.stability(rebuilds=2, out=out)
    if change == "code":
        desk.write("some", _claim("C01"), "1")
    elif change == "damage":
        out.write_text("{")
    profile = "full" if change == "profile" else "quick"
    record = desk.stability(profile=profile, out=out)
    assert len(record.rebuilds) == 1


def test_a_rebuild_runs_whole_notebooks_and_says_why_a_claim_is_missing(desk: Desk) -> None:
    desk.declare(some=["C01", "C02", "C03"])
    desk.write("some", _claim("C01", held=FELL), "1 / 0", _claim("C02"))
    record = desk.stability()
    (rebuild,) = record.rebuilds
    assert record.verdicts("C01") == ("refuted",)
    assert record.verdicts("C02") == ("supported",)
    assert rebuild.claims["C03"].error == "ZeroDivisionError: division by zero"
    assert not (desk.book.build / "rehearsal" / "some").exists()
    show(record, desk.console)
    assert "flips between supported and refuted: 0\n" in desk.said
    assert "1 refuted" in desk.said


def test_the_table_shows_a_mark_for_every_rebuild(desk: Desk) -> None:
    verdicts = ("supported", "refuted", "inconclusive", "not measured", "missing")
    show(_stable(*(_rebuild(C01=verdict) for verdict in verdicts)), desk.console)
    assert "✓✗?–!" in desk.said
    assert "flips between supported and refuted: 1\n" in desk.said


def test_no_rebuild_is_no_record(desk: Desk) -> None:
    with pytest.raises(InputError, match="1 or more"):
        desk.stability(rebuilds=0)


def test_an_interrupt_ends_the_kernel_and_keeps_the_record(desk: Desk, tmp_path: Path) -> None:
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
    desk.write("some", _claim("C01"), waits)
    code = (
        "from pathlib import Path\nfrom rich.console import Console\n"
        "from gatewaylab.publish import rehearsal\nfrom gatewaylab.publish.book import Book\n"
        "try:\n"
        f"    rehearsal.stability(Book(Path({str(tmp_path)!r})), rebuilds=2, console=Console())\n"
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
    record = load(StabilityRecord, desk.record("stability"))
    assert record.verdicts("C01") == ("supported",)


# Under a noise.


def test_every_run_is_made_under_the_noise_and_the_record_says_what_came_of_it(desk: Desk) -> None:
    accept(builders.evidence(key="old"), desk.book.evidence)
    before = (desk.book.evidence / "some.json").read_bytes()
    desk.declare(some=["C01"], other=["C03"])

    def stated(name: str, sabotaged: bool) -> Sequence[ClaimRecord]:
        assert not sabotaged
        assert desk.noises == ["bursts begins"]
        return [_met(DOUBTFUL, "inconclusive", "inconclusive", LOST)] if name == "some" else []

    ran = desk.pretend(stated)
    found = desk.under_noise("bursts")
    assert ran == ["some", "other"]
    assert desk.noises == ["bursts begins", "bursts ends"]
    assert found.claims == {"C01": "inconclusive", "C03": "missing"}
    assert found.sabotages == {"C01": "inconclusive"}
    assert found.what == "what bursts does"
    assert not found.right  # a claim is missing
    record = load(NoiseRecord, desk.record("noise"))
    assert record.noises == {"bursts": found}
    assert (record.machine, record.profile) == (environment.machine_kind(), "quick")
    assert f"C01 inconclusive ({LOST}), its sabotage inconclusive" in desk.said
    assert "1 inconclusive, 1 missing; sabotages: 0 caught, 1 undecided, 0 supp" in desk.said
    assert (desk.book.evidence / "some.json").read_bytes() == before


def test_an_interrupt_ends_the_noise_and_no_record_is_touched(
    desk: Desk,
) -> None:
    def interrupted(name: str, sabotaged: bool) -> Sequence[ClaimRecord]:
        raise KeyboardInterrupt

    desk.pretend(interrupted)
    with pytest.raises(KeyboardInterrupt):
        desk.under_noise("bursts")
    assert desk.noises == ["bursts begins", "bursts ends"]
    assert not desk.record("noise").exists()


@pytest.mark.parametrize("name", ["hammer", "", "Burner"])
def test_an_unknown_noise_is_refused_with_a_list(desk: Desk, name: str) -> None:
    ran = desk.pretend(lambda name, sabotaged: [])
    with pytest.raises(InputError, match=f"there are: {', '.join(NOISES)}"):
        desk.under_noise(name)
    assert ran == []


def test_only_a_rehearsal_of_the_whole_book_is_recorded(desk: Desk) -> None:
    desk.declare(some=["C01"], other=["C02"])
    ran = desk.pretend(lambda name, sabotaged: [builders.claim_record("C02")])
    found = desk.under_noise("burner", only=["other"])
    assert (ran, found.claims) == (["other"], {"C02": "supported"})
    assert found.right
    assert not desk.record("noise").exists()
    with pytest.raises(BuildError, match="there are: other, some"):
        desk.under_noise("burner", only=["else"])


def test_a_noise_replaces_its_own_part_of_the_record_and_leaves_the_others(desk: Desk) -> None:
    verdicts = ["supported", "supported", "inconclusive"]
    desk.pretend(lambda name, sabotaged: [builders.claim_record("C01", verdicts.pop(0))])
    for name in ("burner", "bursts", "burner"):
        desk.under_noise(name)
    record = load(NoiseRecord, desk.record("noise"))
    assert list(record.noises) == ["bursts", "burner"]  # the order of NOISES
    assert record.noises["bursts"].claims == {"C01": "supported"}
    assert record.noises["burner"].claims == {"C01": "inconclusive"}


@pytest.mark.parametrize("change", ["machine", "profile", "damage"])
def test_a_noise_record_of_something_else_is_begun_anew(desk: Desk, change: str) -> None:
    desk.pretend(lambda name, sabotaged: [builders.claim_record("C01")])
    out = desk.book.root / "n.json"
    desk.under_noise("bursts", out=out)
    if change == "machine":
        desk.patch.setattr(environment, "machine_kind", lambda: "another machine")
    elif change == "damage":
        out.write_text("{")
    profile = "full" if change == "profile" else "quick"
    desk.under_noise("burner", profile=profile, out=out)
    record = load(NoiseRecord, out)
    assert list(record.noises) == ["burner"]
    assert record.profile == profile
    assert (record.machine == "another machine") == (change == "machine")
    assert ("unusable and begun anew" in desk.said) == (change == "damage")
    assert not desk.record("noise").exists()


def test_a_cell_that_breaks_off_under_noise_is_told_and_makes_it_wrong(desk: Desk) -> None:
    desk.declare(some=["C01", "C02"])
    desk.write("some", _claim("C01"), "1 / 0", _claim("C02", held="[True] * 4 + [None] * 3"))
    found = desk.under_noise()
    assert found.claims == {"C01": "supported", "C02": "inconclusive"}
    assert found.sabotages == {"C01": "refuted", "C02": "refuted"}
    assert found.errors == {"some": ("ZeroDivisionError: division by zero",)}
    assert not found.right
    assert "ZeroDivisionError: division by zero" in desk.said
    # A refuted claim ends its cell, too; that is told by its verdict and not as an error.
    desk.write("some", _claim("C01", held=FELL), _claim("C02", sabotaged=HELD))
    found = desk.under_noise()
    assert found.errors == {}
    assert (found.claims["C01"], found.sabotages["C02"]) == ("refuted", "supported")
    assert not found.right


@pytest.mark.parametrize(
    ("act", "options"),
    [("sabotage", {}), ("under_noise", {"noise": "burner"}), ("stability", {})],
)
def test_the_ceiling_is_measured_once_for_all_notebooks_and_under_the_noise(
    desk: Desk, act: str, options: dict[str, Any]
) -> None:
    seen: list[list[str]] = []
    desk.patch.setattr(rehearsal, "once", lambda: seen.append(list(desk.noises)))
    desk.declare(some=["C01"], other=["C02"])
    ran = desk.pretend(lambda name, sabotaged: [])
    getattr(desk, act)(**options)
    assert ran == ["some", "other"]
    assert seen == [["burner begins"] if act == "under_noise" else []]


# The book itself.

REAL = Book(ROOT)


def _claim_calls(path: Path) -> list[tuple[ast.Module, ast.Call]]:
    """Each call of ``claim`` with its cell."""
    found = []
    for cell in read_notebook(path).cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
            found += [(tree, call) for call in calls if ast.unparse(call.func) == "claim"]
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
