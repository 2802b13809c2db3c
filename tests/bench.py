"""How fast the instrument is, and how exact, on this machine now: a report that judges nothing.

The last record stands beside each figure, so that a change shows. Most figures are ratios of two
things done in the same run, which carry over from one machine to another; seconds do not, so the
report says whether the record comes from a machine like this one.

Usage: scripts/bench [--only NAME ...] [--record]
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewaylab.errors import GatewaylabError
from gatewaylab.guard.serve import serve
from gatewaylab.load.request import get
from gatewaylab.load.run import run
from gatewaylab.measure.delay import Delay
from gatewaylab.measure.reference import reference_server
from gatewaylab.model.arrivals import ConstantRate
from gatewaylab.records.environment import machine_kind
from gatewaylab.records.storage import write_atomically
from gatewaylab.servers.registry import server
from gatewaylab.servers.specs import SERVERS
from gatewaylab.truth import selfcheck
from tests import ROOT
from tests.support import costs
from tests.support.million import million

RECORD = ROOT / "book" / "records" / "bench.json"
ROUNDS = 5


@dataclass(frozen=True)
class Figure:
    """One line of the report: what it is called, how much it came to, and in which unit."""

    name: str
    value: float
    unit: str


def against_wrk() -> Iterable[Figure]:
    """The lean transport beside wrk, as fast as both can; by the median of paired rounds."""
    if not costs.HAS_WRK:
        return
    for trace in (False, True):
        pairs = costs.against_wrk(ROUNDS, trace=trace)
        how = "traced" if trace else "plain"
        yield Figure(f"CPU per request against wrk, {how}", costs.cpu_ratio(pairs), "×")
        yield Figure(f"requests/s against wrk, {how}", costs.rate_ratio(pairs), "×")


def against_httpx() -> Iterable[Figure]:
    """The lean transport beside httpx, at the fastest that httpx is allowed."""
    yield Figure("CPU per request against httpx", costs.cpu_ratio(costs.against_httpx(3)), "×")


def open_plan() -> Iterable[Figure]:
    """What an open plan leaves of the generator's core."""
    with reference_server("null", pin=costs.SERVER) as ready:
        _, report = run(
            ready.url, get("/"), ConstantRate(5000), seconds=2, warmup=0, pin=costs.GENERATOR
        )
    share = report.cpu_seconds / report.wall_seconds
    yield Figure("core used at 5000 requests/s", 100 * share, "%")


def a_million() -> Iterable[Figure]:
    """A million samples recorded, handed over and summarised; a plain loop is the yardstick."""
    loop = _least(_plain_loop, 3)
    for trace in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            one = million(Path(folder), trace=trace)
        how = "a million traced samples" if trace else "a million samples"
        yield Figure(f"{how}, CPU", one.seconds, "s")
        yield Figure(f"{how}, in plain loops of as many", one.seconds / loop, "×")
        yield Figure(f"{how}, peak memory", one.memory, "MiB")


def _plain_loop() -> float:
    """CPU seconds of a million additions."""
    began = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number
    return time.process_time() - began


def truth() -> Iterable[Figure]:
    """Each line of the self-check: how far it is from what is exactly known."""
    for check in selfcheck.run():
        if check.error is not None:
            yield Figure(f"off the truth: {check.name}", check.error, check.error_unit)


def starts() -> Iterable[Figure]:
    """How long each server takes from its command to its first answer, and how long to be gone.

    The start of an interpreter that does nothing is the yardstick.
    """
    bare = _least(_bare_start, 5)
    yield Figure("start of a bare interpreter", bare, "s")
    for name, spec in SERVERS.items():
        if spec.available():
            seen = [_start_and_stop(name) for _ in range(3)]
            yield Figure(f"start of {name}, in bare starts", min(a for a, _ in seen) / bare, "×")
            yield Figure(f"stop of {name}", min(b for _, b in seen), "s")


def _bare_start() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return time.monotonic() - began


def _start_and_stop(name: str) -> tuple[float, float]:
    began = time.monotonic()
    with serve(server(name, app="raw")):
        ready = time.monotonic()
    return ready - began, time.monotonic() - ready


def _least(measure: Callable[[], float], times: int) -> float:
    """What noise can only add to is best told by the least."""
    return min(measure() for _ in range(times))


BENCHES: Mapping[str, Callable[[], Iterable[Figure]]] = {
    "wrk": against_wrk,
    "httpx": against_httpx,
    "open": open_plan,
    "million": a_million,
    "truth": truth,
    "starts": starts,
}


def main(arguments: list[str] | None = None, record: Path = RECORD) -> None:
    """Make the report; with ``--record``, keep it as the one that the next is held beside."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(BENCHES), default=list(BENCHES))
    parser.add_argument(
        "--record", action="store_true", help="keep the figures in book/records/bench.json"
    )
    given = parser.parse_args(arguments)
    last = read(record)
    print(f"here: {machine_kind()}\nlast: {last.get('machine', 'no record')}\n")
    print(f"{'':56} {'now':>10} {'last':>10} {'now/last':>9}")
    figures: list[Figure] = []
    with Delay() as delay:
        began = time.monotonic()
        for name in given.only:
            try:
                for figure in BENCHES[name]():
                    figures.append(figure)
                    print(line(figure, last.get("figures", {})), flush=True)
            except GatewaylabError as error:
                print(f"{name} broke off: {error}", flush=True)
        share = delay.seconds / (time.monotonic() - began)
    print(f"\nSomething waited for a processor in {share:.0%} of the time; in a quiet run, little.")
    if given.record:
        keep(figures, last, record, disturbed=share)


def read(record: Path) -> dict[str, Any]:
    """The last record, empty if there is none."""
    if not record.exists():
        return {}
    found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return found


def line(figure: Figure, last: Mapping[str, Any]) -> str:
    """A figure beside its last record."""
    before = float(last.get(figure.name, {}).get("value", math.nan))
    if math.isnan(before):
        beside = f"{'–':>10} {'–':>9}"
    else:
        change = figure.value / before if before else math.nan
        beside = f"{before:>10.3g} {change:>9.2f}"
    what = ", ".join(filter(None, (figure.name, figure.unit)))
    return f"{what:56} {figure.value:>10.3g} {beside}"


def keep(
    figures: Iterable[Figure], last: Mapping[str, Any], record: Path, *, disturbed: float
) -> None:
    """Write the record; a figure that was not made this time stays as it was.

    Each says in which share of its run something waited for a processor.
    """
    made = {
        one.name: {
            "value": float(f"{one.value:.4g}"), "unit": one.unit, "disturbed": round(disturbed, 2),
        }
        for one in figures
    }  # fmt: skip
    kept = {**last.get("figures", {}), **made}
    text = json.dumps({"machine": machine_kind(), "figures": kept}, indent=2, ensure_ascii=False)
    write_atomically(record, text + "\n")


if __name__ == "__main__":
    main()
