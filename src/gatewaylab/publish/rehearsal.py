"""Run the book's notebooks and accept nothing: to see claims fail, and to see them hold again.

``sabotage`` gives every claim the system that was changed so that it must come out refuted: a
claim that survives shows nothing. ``stability`` measures the whole book several times: a claim
whose verdict flips was luck. ``under_noise`` measures it on a machine that is disturbed on purpose:
a claim that noise refutes, or a sabotage that it supports, is a fault of the instrument. None of
them touches what a build accepted.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table

from gatewaylab.claims.rule import FEWEST_REPETITIONS
from gatewaylab.errors import BuildError, InputError
from gatewaylab.measure.reference import once
from gatewaylab.publish import build as publish
from gatewaylab.publish import key
from gatewaylab.publish.book import Book, usable
from gatewaylab.publish.progress import Pace, clock
from gatewaylab.publish.stability import (
    OUTCOME_MARKS,
    ClaimRun,
    Rebuild,
    StabilityRecord,
    summarise,
)
from gatewaylab.publish.tolerant import Chapter, TolerantRun, chapters
from gatewaylab.records import environment
from gatewaylab.records.evidence import ClaimRecord, Verdict
from gatewaylab.records.storage import check_destination, save_or_rescue
from gatewaylab.servers.registry import servers_table


@dataclass(frozen=True)
class Caught:
    """A claim that met its sabotage.

    Attributes:
        verdict: of the claim then; *missing* when its notebook did not state it.
        what: the system that stood in place of the claim's own.
        noise: why the instrument stated no number, in both of two runs.
        why: what kept the claim from being measured, or from being stated.
    """

    id: str
    notebook: str
    verdict: Verdict | Literal["missing"]
    what: str = ""
    noise: tuple[str, ...] = ()
    why: str = ""

    @property
    def caught(self) -> bool:
        """Whether the claim failed, as it must."""
        return self.verdict == "refuted"

    @property
    def counted(self) -> bool:
        """Whether it was tried: a system was there, and quiet enough to be measured.

        Noise says nothing of a claim, neither that it can fail nor that it cannot.
        """
        return self.verdict != "not measured" and not self.noise

    def __str__(self) -> str:
        line = f"{self.id} {self.what}".rstrip() + f": {self.verdict}"
        if self.noise:
            return f"{line} (noise, twice: {'; '.join(self.noise)}), undecided"
        if self.why:
            line += f" ({self.why})"
        if not self.counted:
            return f"{line}, not counted"
        return f"{line}, {'caught' if self.caught else 'NOT CAUGHT'}"


def all_caught(found: Sequence[Caught]) -> bool:
    """Whether every sabotage that was tried was caught; that none was tried proves nothing."""
    counted = [one for one in found if one.counted]
    return bool(counted) and all(one.caught for one in counted)


def sabotage(
    book: Book,
    *,
    only: Sequence[str] = (),
    minutes: float | None = None,
    seed: int | None = None,
    profile: str = "quick",
    console: Console,
) -> list[Caught]:
    """Let every measured claim meet its sabotage, and print which were caught.

    Args:
        only: names of notebooks; all of them when empty.
        minutes: run no more notebooks than are expected to fit, but at least one. A notebook that
            is repeated for noise comes on top.
        seed: of the choice of these; by default the day, so that all get their turn over time.
        profile: how many blocks a comparison has.

    Raises:
        BuildError: there is no notebook of that name, or a build is running.
    """
    with publish.exclusive(book):
        chosen = [one for one in choose_chapters(book, only, profile) if one.declared]
        if minutes is not None:
            seed = datetime.now(UTC).toordinal() if seed is None else seed
            names = sample({one.name: one.expected for one in chosen}, 60 * minutes, seed)
            console.out(f"seed {seed} chose for {minutes:g} minutes: {', '.join(names)}")
            chosen = [one for one in chosen if one.name in names]
        found: list[Caught] = []
        once()
        pace = Pace([one.expected for one in chosen])
        for i, chapter in enumerate(chosen):
            console.out(
                f"[{i + 1}/{len(chosen)}] sabotaging {chapter.name} · about {clock(pace.left)} left"
            )
            found += _sabotage(chapter, pace, console)
    counted = [one for one in found if one.counted]
    caught = sum(one.caught for one in counted)
    share = f" ({100 * caught // len(counted)} %)" if counted else ""
    console.out(f"{caught} of {len(counted)} sabotages caught{share}")
    absent = sum(one.verdict == "not measured" for one in found)
    if absent:
        console.out(f"{absent} not measured on this machine")
    if undecided := len(found) - len(counted) - absent:
        console.out(f"{undecided} undecided: the machine was too noisy, twice")
    return found


def sample(expected: Mapping[str, float], seconds: float, seed: int) -> list[str]:
    """The notebooks, in their order, that ``seed`` draws until no further one fits.

    Args:
        expected: how long each takes, in seconds.
        seconds: how long they may take together. The first that is drawn runs in any case, so
            that a notebook longer than that has its turn, too.
    """
    drawn = random.Random(seed).sample(list(expected), len(expected))  # noqa: S311
    chosen, left = set(drawn[:1]), seconds - sum(expected[name] for name in drawn[:1])
    for name in drawn[1:]:
        if expected[name] <= left:
            chosen.add(name)
            left -= expected[name]
    return [name for name in expected if name in chosen]


def stability(
    book: Book, *, rebuilds: int, profile: str = "quick", out: Path | None = None, console: Console
) -> StabilityRecord:
    """Measure the whole book ``rebuilds`` times and keep what every claim came to.

    A record of the same keys at ``out`` is continued: an interrupt loses one rebuild at most.

    Args:
        out: the record; by default the one that the book prints.

    Raises:
        InputError: no rebuild is asked for, or its record cannot be written.
        BuildError: a build is running.
    """
    if rebuilds < 1:
        raise InputError(f"{rebuilds} rebuilds show nothing; ask for 1 or more")
    out = book.root / "book" / "records" / "stability.json" if out is None else out
    check_destination(out)
    with publish.exclusive(book):
        table = servers_table()
        keys = {
            path.stem: key.staleness_key(book, path, profile, table) for path in book.notebooks()
        }
        record = _stored(out, keys, profile, console)
        # Asked before anything is written: the record itself would make the checkout dirty.
        commit = environment.record(book.root).commit if record is None else record.commit
        while record is None or len(record.rebuilds) < rebuilds:
            done = () if record is None else record.rebuilds
            console.out(f"rebuild {len(done) + 1} of {rebuilds}")
            record = StabilityRecord(
                machine=environment.machine_kind(),
                commit=commit,
                profile=profile,
                keys=keys,
                rebuilds=(*done, _rebuild(book, profile, console)),
            )
            save_or_rescue(record, out)
    return record


def show(record: StabilityRecord, console: Console) -> None:
    """Print a line for every claim, and the flips of all."""
    table = Table("claim", "verdicts", "estimates", "flips", box=box.SIMPLE)
    for name in record.claims:
        marks = "".join(OUTCOME_MARKS[verdict] for verdict in record.verdicts(name))
        ends = record.estimates(name)
        estimates = "–" if ends is None else f"{ends[0]:.3g}–{ends[1]:.3g} {record.unit(name)}"
        table.add_row(name, marks, estimates, str(record.flips(name)))
    console.print(table)
    counts = ", ".join(f"{n} {verdict}" for verdict, n in record.counts().most_common())
    console.out(f"{len(record.rebuilds)} rebuilds in {clock(record.seconds)}: {counts}")
    console.out(f"flips between supported and refuted: {record.all_flips}")


def choose_chapters(book: Book, only: Sequence[str], profile: str) -> list[Chapter]:
    found = chapters(book, profile)
    known = sorted(one.name for one in found)
    for name in only:
        if name not in known:
            raise BuildError(f"no notebook {name!r}; there are: {', '.join(known)}")
    return [one for one in found if not only or one.name in only]


def _sabotage(chapter: Chapter, pace: Pace, console: Console) -> list[Caught]:
    def judged(pace: Pace) -> dict[str, Caught]:
        run = chapter.run(console, pace, sabotage=True)
        return {name: _judge(name, chapter.name, run) for name in chapter.declared}

    found = judged(pace)
    left = [name for name, one in found.items() if one.verdict == "inconclusive"]
    if left:
        console.out(f"    undecided: {', '.join(left)}; once more")
        again = judged(Pace([chapter.expected]))
        found |= {name: again[name] for name in left}
    for one in found.values():
        console.out(f"    {one}")
    if all(one.caught or one.verdict == "not measured" for one in found.values()):
        chapter.clear()  # what was not caught stays, to be looked at
    return list(found.values())


def _judge(name: str, notebook: str, run: TolerantRun) -> Caught:
    record = run.records.get(name)
    if record is None:
        return Caught(name, notebook, "missing", why=run.why(name))
    tried = record.sabotage
    # A build calls a claim with a blunt sabotage inconclusive; here it is told what happened.
    blunt = tried is not None and (record.verdict, tried.verdict) == ("inconclusive", "supported")
    return Caught(
        name,
        notebook,
        "supported" if blunt else record.verdict,
        what="" if tried is None else tried.what,
        noise=_noise(record) if record.verdict == "inconclusive" and not blunt else (),
        why="; ".join(record.missing) if record.verdict == "not measured" else "",
    )


def _noise(record: ClaimRecord) -> tuple[str, ...]:
    """Why the sabotaged system was left undecided; empty when it was not."""
    effect = record.effect if record.sabotage is None else record.sabotage.effect
    if effect is None:
        return ()
    if effect.refused:
        return tuple(dict.fromkeys(map(str, effect.refused)))
    if effect.undecided or effect.quiet is not None:
        return (record.why or "what was lost to others can explain it",)
    if effect.kind == "behaviour" and effect.blocks < FEWEST_REPETITIONS:
        return (f"{effect.blocks} of at least {FEWEST_REPETITIONS} repetitions accepted",)
    return ()


def _stored(
    path: Path, keys: Mapping[str, str], profile: str, console: Console
) -> StabilityRecord | None:
    unusable = "the stored record is unusable and begun anew"
    record = usable(StabilityRecord, path, console, unusable)
    if record is None:
        return None
    if (record.keys, record.profile) == (keys, profile):
        console.out(f"{len(record.rebuilds)} rebuilds are in {path}")
        return record
    console.out("the stored record is of other code, versions, profile or machine: begun anew")
    return None


def _rebuild(book: Book, profile: str, console: Console) -> Rebuild:
    begun, began = datetime.now(UTC), time.monotonic()
    claims: dict[str, ClaimRun] = {}
    for chapter, run in run_each(chapters(book, profile), console):
        for name in chapter.declared:
            record = run.records.get(name)
            if record is None:
                claims[name] = ClaimRun(verdict="missing", error=run.why(name))
            else:
                claims[name] = summarise(record)
    return Rebuild(
        begun=begun.isoformat(timespec="seconds"),
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 1),
        claims=claims,
    )


def run_each(every: Sequence[Chapter], console: Console) -> Iterator[tuple[Chapter, TolerantRun]]:
    """Every chapter with its run, one after another."""
    once()
    pace = Pace([one.expected for one in every])
    for chapter in every:
        yield chapter, chapter.run(console, pace)
        chapter.clear()
