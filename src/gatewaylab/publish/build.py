"""From notebooks to a site: render, execute what is not accepted, settle what each run comes to.

Measuring and rendering are separate. The first writes evidence and state files and nothing else;
the second reads them and nothing else, so that a change of prose measures nothing and an
interrupted build keeps what it had. They take turns: the whole book is rendered before the first
notebook is measured, and after each one the pages that it has changed. A notebook that is rejected
does not keep the others from being measured, nor the pages from being rendered; it makes the build
fail at its end.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from nbclient.exceptions import CellExecutionError
from pydantic import ValidationError
from rich.console import Console

from gatewaylab.errors import BuildError, ResultError
from gatewaylab.guard.services import SERVICES
from gatewaylab.measure.reference import once
from gatewaylab.publish import acceptance, states
from gatewaylab.publish.acceptance import Reason
from gatewaylab.publish.book import Book, accepted, catalogue_of, same_code, usable
from gatewaylab.publish.execution import execute, expected_seconds
from gatewaylab.publish.key import staleness_key
from gatewaylab.publish.progress import Pace, ProgressWatch, clock
from gatewaylab.publish.rendering import Preview
from gatewaylab.publish.serving import serving
from gatewaylab.publish.states import Attempt, StateRecord
from gatewaylab.records import environment, evidence
from gatewaylab.records.staging import Staging
from gatewaylab.servers.registry import servers_table
from gatewaylab.servers.specs import NGINX
from gatewaylab.truth.peers.registry import PEERS


@dataclass(frozen=True)
class Options:
    profile: str = "quick"
    fresh: bool = False
    only: tuple[str, ...] = ()
    require_all: bool = False
    render_only: bool = False


@contextlib.contextmanager
def exclusive(book: Book) -> Iterator[None]:
    """Hold the project's build lock; two builds at once would measure each other."""
    book.build.mkdir(exist_ok=True)
    with (book.build / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise BuildError(
                f"another build of this project is running (pid {lock.read().strip() or '?'}); "
                f"wait for it or end it"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def build_to_read(book: Book, options: Options, console: Console, port: int | None = None) -> None:
    """Build, and say where to read the book: on the disk, or from a server until an interrupt.

    Args:
        port: of the server, which also outlives a build that failed; 0 is any free one.

    Raises:
        BuildError: as :func:`build`, or the port is taken.
    """
    began = time.monotonic()
    with serving(book, port) if port is not None else contextlib.nullcontext() as server:
        preview, failed = Preview(book, console, server), None
        try:
            build(book, options, console, preview)
            console.out(f"built in {time.monotonic() - began:.0f} s")
        except BuildError as error:
            if server is None:
                raise
            console.out(f"the build failed: {error}")
            failed = error
        console.out(f"open {preview.address}")
        if server is not None:
            console.out("it is served until Ctrl-C")
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
        if failed is not None:
            raise failed


def build(book: Book, options: Options, console: Console, preview: Preview | None = None) -> Path:
    """Render, measure what is not accepted, and render again; returns the front page.

    Raises:
        BuildError: a system is missing under ``require_all``, the last rendering warned, or a
            notebook was rejected; in the last case everything else is done first. What was accepted
            before is untouched.
    """
    preview = preview or Preview(book, console)
    with exclusive(book):
        table = servers_table()
        _preflight(table, options, console)
        rejected = {}
        if not options.render_only:
            rejected = measure(book, options, table, console, between=preview.update)
        for path in book.notebooks():
            console.out(describe_state(review(book, path, table, console)))
        try:
            preview.finish()
        except BuildError as error:
            if rejected:
                raise BuildError(f"{error}\n{_all(rejected)}") from error
            raise
        if rejected:
            raise BuildError(_all(rejected))
        return book.html / "index.html"


def _all(rejected: Mapping[str, str]) -> str:
    which = "1 notebook was" if len(rejected) == 1 else f"{len(rejected)} notebooks were"
    texts = "\n".join(f"{name}: {why}" for name, why in rejected.items())
    return f"{which} rejected; the pages show what was accepted before:\n{texts}"


def _preflight(table: Sequence[dict[str, Any]], options: Options, console: Console) -> None:
    absent = {
        row["name"]: (row["name"], row["install_hint"]) for row in table if not row["available"]
    }
    console.out(
        f"{len(table) - len(absent)} of {len(table)} servers are here; "
        f"machine: {environment.machine_kind()}"
    )
    if not NGINX.available():
        absent["nginx"] = "nginx", NGINX.install_hint()
    for name, service in SERVICES.items():
        if not service.available():
            absent[name] = service.title, service.install_hint()
    for name, peer in PEERS.items():
        if not peer.available():
            absent[name] = peer.title, peer.install_hint
    for title, hint in absent.values():
        console.out(f"  not measured on this machine: {title} ({hint})")
    if absent and options.require_all:
        raise BuildError(f"--require-all: {', '.join(absent)} missing; install them as told above")


def measure(
    book: Book,
    options: Options,
    table: Sequence[dict[str, Any]],
    console: Console,
    between: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Execute one after another the notebooks that need it, and settle what each one saw.

    Those that need it have no whole evidence for the present code, or their last attempt was not
    accepted.

    Args:
        between: is called before each notebook is executed, while nothing is measured.

    Returns:
        The rejected notebooks, each with the whole reason.
    """
    notebooks = book.notebooks()
    known = {path.stem for path in notebooks}
    for name in options.only:
        if name not in known:
            raise BuildError(f"no notebook {name!r}; there are: {', '.join(sorted(known))}")
    chosen = []
    for path in notebooks:
        key = staleness_key(book, path, options.profile, table)
        last = review(book, path, table, console)  # true also if this build is interrupted
        old = _accepted_or_none(book, path.stem, console)
        current = old is not None and old.key == key and last.state == "accepted"
        if old is not None and last.current:
            old = _reword(book, old)
        if (not options.only or path.stem in options.only) and (options.fresh or not current):
            chosen.append((path, key, old))
    if not chosen:
        console.out("nothing to measure")
        return {}
    between()
    once()
    pace = Pace([expected_seconds(path, options.profile, old) for path, _, old in chosen])
    rejected: dict[str, str] = {}
    spent: list[tuple[float, float]] = []
    for i, (path, key, old) in enumerate(chosen):
        if i:
            between()
        console.out(
            f"[{i + 1}/{len(chosen)}] measuring {path.stem} · about {clock(pace.left)} left"
        )
        begun = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            with ProgressWatch(console, path.stem, Staging(book.staging(path.stem)), pace):
                fresh = observe(book, path, key, options.profile)
            decision = acceptance.settle(fresh, old, book, console)
        except (BuildError, ResultError) as error:
            rejected[path.stem] = str(error).removeprefix(f"{path.stem} ").removeprefix("failed:\n")
            reasons = _why(path.stem, Staging(book.staging(path.stem)), error)
            failed: Attempt | None = Attempt("rejected", reasons, begun)
        else:
            for record in fresh.claims:
                console.out(f"    {record.id} {record.verdict}")
            spent.append(_time_spent(fresh))
            console.out(f"    {_told_time(*spent[-1])}")
            failed = None
            if decision.state == "rejected":
                rejected[path.stem] = "; ".join(map(str, decision.reasons))
                failed = Attempt("rejected", decision.reasons, fresh.measured_at)
            elif not decision.kept:
                failed = Attempt("unstable", decision.reasons, fresh.measured_at)
            else:
                shutil.rmtree(book.staging(path.stem), ignore_errors=True)
        console.out(
            f"    {describe_state(review(book, path, table, console, failed=failed, ran=True))}"
        )
    if spent:
        whole, loaded = map(sum, zip(*spent, strict=True))
        console.out(f"all measuring: {_told_time(whole, loaded)}")
    return rejected


def _time_spent(fresh: evidence.Evidence) -> tuple[float, float]:
    """Seconds that a notebook took, and those of them in which something was measured."""
    begun, ended = map(datetime.fromisoformat, (fresh.measured_at, fresh.finished_at))
    whole = max((ended - begun).total_seconds(), 1.0)
    return whole, min(fresh.work.loaded, whole)


def _told_time(whole: float, loaded: float) -> str:
    return f"{whole:.0f} s, {loaded / whole:.0%} of it under load"


def review(
    book: Book,
    path: Path,
    table: Sequence[dict[str, Any]],
    console: Console,
    *,
    failed: Attempt | None = None,
    ran: bool = False,
) -> StateRecord:
    """Find out what a notebook's accepted evidence is worth now, and write that down.

    Args:
        ran: the notebook has just been run; ``failed`` is that run if it was not accepted.
            Otherwise a failed attempt is taken from the state file.
    """
    file = book.state(path.stem)
    anew = f"the state of {path.stem} is unusable and found out anew"
    last = usable(StateRecord, file, console, anew)
    stored = _accepted_or_none(book, path.stem, console)
    record = states.derive(
        path.stem,
        stored,
        # Its own profile: a full measurement is not stale because a quick one was asked for.
        current=stored is None or stored.key == staleness_key(book, path, stored.profile, table),
        figures=stored is None or same_code(path, stored),
        failed=failed if ran else states.recalled(last, stored),
    )
    return states.write(file, last, record, datetime.now(UTC).isoformat(timespec="seconds"))


def describe_state(record: StateRecord) -> str:
    """A notebook's state in one line of the console."""
    why = "; ".join(map(str, record.reasons))
    if record.state == "stale":
        why = "shown as it was measured before the last change"
    elif record.state == "missing":
        why = "never measured here"
    return f"{record.notebook}: {record.state}" + (f" ({why})" if why else "")


def _why(notebook: str, stage: Staging, error: Exception) -> tuple[Reason, ...]:
    """The reasons of a rejection for the pages, without any number of the run.

    Held by what the run left behind, where it can: claims that were refuted, wrong data.
    """
    if isinstance(error, ResultError):
        return (Reason(kind="wrong", text="what it recorded is not valid"),)
    stated = acceptance.wrong_claims(stage.claims())
    if stated:
        return stated
    if faults := stage.faults():
        return (Reason(kind="wrong", text=f"its data are wrong ({acceptance.rules(faults)})"),)
    cause = error.__cause__
    if isinstance(cause, CellExecutionError):
        return (Reason(kind="wrong", text=f"a cell raised {cause.ename}"),)
    said = str(error).partition("\n")[0].rstrip(":")
    return (Reason(kind="wrong", text=said.removeprefix(notebook).lstrip(": ")),)


def _accepted_or_none(book: Book, notebook: str, console: Console) -> evidence.Evidence | None:
    try:
        return accepted(book, notebook)
    except ResultError as error:
        aside = book.build / "unusable" / f"{notebook}.json"
        aside.parent.mkdir(exist_ok=True)
        (book.evidence / f"{notebook}.json").replace(aside)
        console.out(
            f"the stored evidence of {notebook} is unusable and now lies in {aside}: {error}"
        )
        return None


def observe(book: Book, path: Path, key: str, profile: str) -> evidence.Evidence:
    """What a fresh run of one notebook saw.

    Raises:
        BuildError: it failed, or states other claims than are declared for it. The staging folder
            keeps the parts.
        ResultError: what it recorded cannot be read back.
    """
    run = execute(path, root=book.root, staging=book.staging(path.stem), profile=profile)
    stated = {claim.id for claim in run.parts["claims"]}
    declared = {
        identifier
        for identifier, entry in catalogue_of(book, path.stem).items()
        if entry.kind not in {"cited", "opinion"}  # those need no measurement
    }
    if stated != declared:
        raise BuildError(
            f"{path.stem} states {sorted(stated)} and book/claims/ declares "
            f"{sorted(declared)} for it; make them agree"
        )
    try:
        return evidence.Evidence(
            notebook=path.stem,
            key=key,
            profile=profile,
            measured_at=run.begun.isoformat(timespec="seconds"),
            finished_at=run.ended.isoformat(timespec="seconds"),
            environment=environment.record(book.root),
            executed=json.loads(nbformat.writes(run.notebook)),
            **run.parts,
        )
    except ValidationError as error:
        raise ResultError(f"{path.stem} recorded what is not evidence: {error}") from error


def _reword(book: Book, old: evidence.Evidence) -> evidence.Evidence:
    """Bring the declared texts of accepted claims up to date; no number changes."""
    entries = catalogue_of(book, old.notebook)
    claims = []
    for record in old.claims:
        entry = entries.get(record.id)
        if entry is not None:
            texts = entry.model_dump(
                include={"title", "statement", "common_verdict", "nuance", "versions"}
            )
            record = record.model_copy(update={**texts, "sources": entry.sources})
        claims.append(record)
    new = old.model_copy(update={"claims": tuple(claims)})
    if new.claims != old.claims:
        evidence.accept(new, book.evidence)
    return new
