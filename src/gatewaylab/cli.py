"""The console command ``gatewaylab``: a thin layer that parses, calls and prints."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from gatewaylab import __version__
from gatewaylab.errors import GatewaylabError, ResultError, in_words
from gatewaylab.load import run as load
from gatewaylab.load.request import split_url
from gatewaylab.load.summary import summary
from gatewaylab.model import arrivals
from gatewaylab.publish import commands
from gatewaylab.publish.commands import book, part
from gatewaylab.records.results import LoadRecord
from gatewaylab.records.storage import check_destination, rescue, write_or_rescue
from gatewaylab.servers.registry import servers_table

app = typer.Typer(
    name="gatewaylab",
    help="Start WSGI and ASGI servers, put honest load on them, build the book.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(commands.evidence_app)
app.command()(commands.diff)
app.command()(commands.replicate)
app.command("print")(commands.print_book)
console = Console(highlight=False)

_BYTES_A_SAMPLE = 200  # of the JSON that `load` saves; rather more than it takes


class Profile(StrEnum):
    """How many blocks a comparison has."""

    quick = "quick"
    full = "full"


class Kind(StrEnum):
    """How requests arrive."""

    constant = "constant"
    poisson = "poisson"


class Transport(StrEnum):
    """Which client sends."""

    raw = "raw"
    httpx = "httpx"


def main() -> None:
    """Run a command; an expected error, or one of the system, is one message and exit status 1."""
    try:
        app()
    except (GatewaylabError, OSError) as error:
        said = in_words(error) if isinstance(error, OSError) else str(error)
        Console(stderr=True, highlight=False).out(f"gatewaylab: {said}")
        raise SystemExit(1) from None
    except _InterruptedError:
        raise SystemExit(130) from None
    except SystemExit as ended:
        if ended.code == 130:  # of typer, which says nothing
            console.out("interrupted")
        raise


class _InterruptedError(Exception):
    """A command was interrupted, and has said what is left of it."""


@contextmanager
def _interruptible(kept: str) -> Iterator[None]:
    """Let an interrupt end the command with one sentence, which says what is left, and 130."""
    try:
        yield
    except KeyboardInterrupt:
        console.out(f"interrupted; {kept}")
        raise _InterruptedError from None


@app.command()
def version() -> None:
    """Print the version."""
    console.print(__version__)


@app.command()
def servers(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """List the servers of the book, and whether this machine has them."""
    with _interruptible("nothing was started"):
        rows = servers_table()
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    server = Column("server", no_wrap=True)
    table = Table(server, "interface", "slot", "slots", "version", "here", box=box.SIMPLE)
    for row in rows:
        slots = "no bound" if row["default_slots"] is None else str(row["default_slots"])
        table.add_row(
            row["name"],
            row["interface"],
            row["slot_kind"],
            slots,
            row["version"] or "–",
            "yes" if row["available"] else f"no: {row['install_hint']}",
        )
    console.print(table)


@app.command("load")
def load_command(
    url: Annotated[str, typer.Argument(help="Such as http://127.0.0.1:8000/ or unix:/path")],
    rate: Annotated[float, typer.Option(help="Requests per second.")] = 50.0,
    seconds: Annotated[float, typer.Option(help="Length of the measured window.")] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds before it that do not count.")] = 1.0,
    kind: Annotated[
        Kind, typer.Option("--arrivals", help="How requests are spaced.")
    ] = Kind.poisson,
    transport: Annotated[Transport, typer.Option(help="Which client sends.")] = Transport.raw,
    seed: Annotated[int, typer.Option(help="Seed of the arrival plan.")] = 1,
    deadline: Annotated[float, typer.Option(help="Seconds until a request is given up.")] = 10.0,
    retry: Annotated[bool, typer.Option("--retry", help="Ask a full unix socket again.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--json", help="Save the raw samples to this file; - is standard output."),
    ] = None,
) -> None:
    """Send requests at a planned rate, however slow the server, and report latencies.

    Latency counts from the moment the plan wanted the request to start (an open model), so a
    stalled server cannot hide by being asked less.
    """
    plan = arrivals.parse_arrivals(kind.value, rate)
    target, request = split_url(url)
    to_stdout = out == Path("-")
    if out is not None and not to_stdout:
        check_destination(out, int(_BYTES_A_SAMPLE * rate * (warmup + seconds)))
    told = Console(stderr=True, highlight=False) if to_stdout else console
    interrupted = False
    try:
        samples, report = load.run(
            target,
            request,
            plan,
            seconds=seconds,
            warmup=warmup,
            seed=seed,
            deadline=deadline,
            transport=transport.value,
            retry=retry,
        )
    except load.RunInterrupted as stop:
        samples, report, interrupted = stop.samples, stop.report, True
        seconds = min(seconds, stop.after - warmup)
    except KeyboardInterrupt:
        seconds, interrupted = 0.0, True
    if seconds <= 0:
        told.out("interrupted; nothing was measured yet")
        raise _InterruptedError
    if out is not None:
        record = LoadRecord(
            url=url,
            request=request.as_dict(),
            arrivals=plan.as_dict(),
            seed=seed,
            warmup=warmup,
            seconds=seconds,
            deadline=deadline,
            retry=retry,
            samples=samples,
            generator=report,
        )
        _deliver(record.model_dump_json() + "\n", None if to_stdout else out)
    for key, value in summary(samples, report, seconds, warmup=warmup, deadline=deadline).items():
        told.out(f"{key:>24}  {value}")
    if out is not None:
        told.out(f"raw samples: {'standard output' if to_stdout else out}")
    if interrupted:
        told.out(f"interrupted; these are {seconds:.1f} s, and what was unanswered has no latency")
        raise _InterruptedError


def _deliver(text: str, out: Path | None) -> None:
    """Write to a file, or to standard output; what fails is kept elsewhere."""
    if out is not None:
        write_or_rescue(out, text)
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise ResultError(f"standard output failed: {error}; {rescue(text, 'load.json')}") from None


@app.command()
def build(
    profile: Annotated[Profile, typer.Option(help="6 blocks a comparison, or 10.")] = Profile.quick,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure everything again.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Measure only this notebook (may be repeated).")
    ] = None,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="A missing system is an error.")
    ] = False,
    render_only: Annotated[
        bool, typer.Option("--render-only", help="Measure nothing; use accepted evidence.")
    ] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the site until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of --serve; 0: a free one.")] = 0,
) -> None:
    """Make the site in _build/html, measure what is stale, and bring the site up to date."""
    publish = part("build")
    options = publish.Options(
        profile=profile.value,
        fresh=fresh,
        only=tuple(only or ()),
        require_all=require_all,
        render_only=render_only,
    )
    with _interruptible("what was accepted before is kept, and the next build goes on"):
        publish.build_to_read(book(), options, console, port if serve else None)


@app.command("readme-figure")
def readme_figure(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(
        "book/assets/readme-figure.svg"
    ),
) -> None:
    """Draw the README's figure from the accepted evidence."""
    part("rendering").readme_figure(book(), path)
    console.out(f"wrote {path}")


@app.command()
def sabotage(
    notebook: Annotated[
        list[str] | None, typer.Argument(help="Names of notebooks; all of them without any.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Only as many notebooks as fit, at least one.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which ones --minutes chooses; by default, by the day.")
    ] = None,
) -> None:
    """Let every claim meet a system under which it must fail; status 1 unless all do."""
    rehearsal = part("rehearsal")
    with _interruptible("no evidence was touched"):
        found = rehearsal.sabotage(
            book(), only=tuple(notebook or ()), minutes=minutes, seed=seed, console=console
        )
    if not rehearsal.all_caught(found):
        raise typer.Exit(1)


@app.command()
def stability(
    rebuilds: Annotated[int, typer.Option(min=1, help="How often to measure the whole book.")],
    out: Annotated[
        Path | None, typer.Option(help="The record; without it, book/records/stability.json.")
    ] = None,
) -> None:
    """Measure the whole book several times, accepting nothing; status 1 if a verdict flips.

    A record of the same code and machine is continued.
    """
    rehearsal = part("rehearsal")
    with _interruptible("finished rebuilds are kept, and the same command goes on"):
        record = rehearsal.stability(book(), rebuilds=rebuilds, out=out, console=console)
    rehearsal.show(record, console)
    if not record.steady:
        raise typer.Exit(1)


@app.command()
def rehearse(
    noise: Annotated[str, typer.Option(help="What disturbs the machine; a wrong name lists all.")],
    only: Annotated[
        list[str] | None, typer.Option(help="A notebook; may be given several times.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The record; without it, book/records/noise.json.")
    ] = None,
) -> None:
    """Measure the book under a noise, accepting nothing; status 1 if that changes what is true.

    That is: a claim was refuted, a sabotage was supported, or a cell broke off. Only a rehearsal of
    all notebooks is recorded.
    """
    rehearsal = part("noise_rehearsal")
    with _interruptible("no evidence and no record was touched"):
        found = rehearsal.under_noise(
            book(), noise, only=tuple(only or ()), out=out, console=console
        )
    if not found.right:
        raise typer.Exit(1)


@app.command()
def aa(
    comparisons: Annotated[int, typer.Option(min=1, help="How many, of six blocks each.")] = 240,
    out: Annotated[
        Path | None, typer.Option(help="The record, saved now and then on the way.")
    ] = None,
) -> None:
    """Compare a server with itself, over and over; status 1 if over 5 % differ, or none is left."""
    twins = importlib.import_module("gatewaylab.truth.twins")

    def tell(record: Any) -> None:
        left = record.seconds / record.comparisons * (comparisons - record.comparisons)
        console.out(
            f"{record.comparisons} of {comparisons}: {record.interval_excludes_one} differ; "
            f"{record.refused_trials} of {record.trials + record.refused_trials} trials refused; "
            f"about {left:.0f} s left"
        )

    with _interruptible("what was saved is kept"):
        record = twins.false_positives(comparisons, out=out, progress=tell)
    console.out(
        f"{record.interval_excludes_one} of {len(record.ratios)} intervals exclude 1 "
        f"({record.interval_rate:.1%}; {record.expected:.1%} expected, 5 % allowed); the rules of "
        f"the claims erred in {record.rule_false_positives}; {record.without_number} comparisons "
        f"were too noisy for a number"
    )
    if not record.passed:
        raise typer.Exit(1)


@app.command("selfcheck")
def selfcheck_command(
    name: Annotated[
        list[str] | None, typer.Argument(help="Names of checks; all of them without any.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Hold the instrument against exactly known servers; status 1 if a line is red.

    A line is inconclusive where what was lost to others explains its error.
    """
    selfcheck = importlib.import_module("gatewaylab.truth.selfcheck")
    told = Console(stderr=True, highlight=False)
    with _interruptible("no line was judged"):
        lines = selfcheck.run(name or None, progress=told.out)
    if as_json:
        typer.echo(json.dumps([line.as_dict() for line in lines], indent=2))
    else:
        verdict = Column("verdict", min_width=12)
        table = Table("check", "truth", "measured", "error", "allowed", verdict, box=box.SIMPLE)
        for line in lines:
            truth, measured = _shown(line.truth, line.unit), _shown(line.measured, line.unit)
            error, allowed = (_shown(v, line.error_unit) for v in (line.error, line.allowed))
            table.add_row(line.name, truth, measured, error, allowed, line.verdict)
        console.print(table)
        for line in lines:
            for reason in line.why:
                console.out(f"{line.name}: {reason}")
    if any(line.verdict == "red" for line in lines):
        raise typer.Exit(1)


def _shown(value: float | str | None, unit: str) -> str:
    if isinstance(value, float):
        return f"{value:.4g} {unit}".rstrip()
    return value or "–"


if __name__ == "__main__":
    main()
