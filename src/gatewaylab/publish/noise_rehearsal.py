"""Measure the book on a machine that is disturbed on purpose, accepting nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from gatewaylab.errors import InputError
from gatewaylab.publish import build as publish
from gatewaylab.publish.book import Book, usable
from gatewaylab.publish.machines import NOISES
from gatewaylab.publish.noise_record import NoiseRecord, Rehearsed
from gatewaylab.publish.progress import clock
from gatewaylab.publish.rehearsal import choose_chapters, run_each
from gatewaylab.publish.stability import Outcome
from gatewaylab.records import environment
from gatewaylab.records.evidence import ClaimRecord, Verdict
from gatewaylab.records.storage import check_destination, save_or_rescue


def under_noise(
    book: Book,
    noise: str,
    *,
    only: Sequence[str] = (),
    profile: str = "quick",
    out: Path | None = None,
    console: Console,
) -> Rehearsed:
    """Measure the book while the machine is disturbed on purpose, and print what became of it.

    Args:
        noise: one of :data:`gatewaylab.publish.machines.NOISES`.
        only: names of notebooks; then no record is written. All of them when empty.
        out: the record that this noise's part is replaced in; by default the one that the book
            prints.

    Raises:
        InputError: an unknown noise, one that this user may not make, or a record that cannot be
            written.
        BuildError: there is no notebook of that name, or a build is running.
    """
    if noise not in NOISES:
        raise InputError(f"no noise {noise!r}; there are: {', '.join(NOISES)}")
    out = book.root / "book" / "records" / "noise.json" if out is None else out
    check_destination(out)
    make, what = NOISES[noise]
    machine = environment.machine_kind()  # of the machine as it is, not as the noise leaves it
    with publish.exclusive(book):
        chosen = choose_chapters(book, only, profile)
        commit = environment.record(book.root).commit
        begun, began = datetime.now(UTC), time.monotonic()
        claims: dict[str, Outcome] = {}
        sabotages: dict[str, Verdict] = {}
        errors: dict[str, tuple[str, ...]] = {}
        with make():
            for chapter, run in run_each(chosen, console):
                if run.errors:
                    errors[chapter.name] = run.errors
                    console.out(*run.errors, sep="\n")
                for name in chapter.declared:
                    record = run.records.get(name)
                    claims[name] = "missing" if record is None else record.verdict
                    if record is not None and record.sabotage is not None:
                        sabotages[name] = record.sabotage.verdict
                    console.out(f"    {name} {_outcome(record)}")
        found = Rehearsed(
            what=what,
            at=begun.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - began, 1),
            commit=commit,
            claims=claims,
            sabotages=sabotages,
            errors=errors,
        )
        if not only:
            _keep(found, noise, machine, profile, out, console)
    counts = Counter(claims.values())
    console.out(
        f"{noise}, {clock(found.seconds)}: "
        + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        + f"; sabotages: {found.caught} caught, "
        f"{len(sabotages) - found.caught - found.unnoticed} undecided, {found.unnoticed} supported"
    )
    return found


def _outcome(record: ClaimRecord | None) -> str:
    if record is None:
        return "missing"
    told = record.verdict + (f" ({record.why})" if record.why else "")
    if record.sabotage is not None and record.sabotage.verdict != "refuted":
        told += f", its sabotage {record.sabotage.verdict}"
    return told


def _keep(
    found: Rehearsed, noise: str, machine: str, profile: str, out: Path, console: Console
) -> None:
    """Put one noise's part into the record; a record of another machine is begun anew."""
    old = usable(NoiseRecord, out, console, "the stored record is unusable and begun anew")
    same = old is not None and (old.machine, old.profile) == (machine, profile)
    noises = dict(old.noises) if old is not None and same else {}
    noises[noise] = found
    ordered = {name: noises[name] for name in NOISES if name in noises}
    save_or_rescue(NoiseRecord(machine=machine, profile=profile, noises=ordered), out)
