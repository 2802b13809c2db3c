"""How each load tool is asked for load, and how its answer is read."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gatewaylab.errors import LoadError
from gatewaylab.load import run as load
from gatewaylab.load.request import split_url
from gatewaylab.load.samples import GeneratorReport, Samples
from gatewaylab.model.arrivals import Closed, ConstantRate
from gatewaylab.servers.commands import find_program
from gatewaylab.truth.peers import reports
from gatewaylab.truth.peers.run import Finished, run_tool


@dataclass(frozen=True)
class LoadTotal:
    """What a tool got out of a closed load, and what it spent.

    Attributes:
        requests: answered ones, as the tool counts them.
        seconds: how long it asked. cpu_seconds: its user and system time.
    """

    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cpu_per_request(self) -> float:
        """CPU seconds that the tool spent on one request."""
        return self.cpu_seconds / self.requests


@dataclass(frozen=True)
class Report:
    """What a tool itself says of latency.

    Attributes:
        quantiles: by level, in seconds: as printed, else of the latencies that it hands out.
        requests: answered ones, as the tool counts them.
        began: when it began, on ``time.monotonic()``; None where it does not say.
    """

    quantiles: Mapping[float, float]
    requests: int
    began: float | None = None


@dataclass(frozen=True)
class Ask:
    """One order to a tool: closed where ``rate`` is 0."""

    url: str
    workers: int
    rate: float
    seconds: float
    pin: int | None
    folder: Path

    @property
    def each(self) -> float:
        """Requests/s of one worker."""
        return self.rate / self.workers


def _run(title: str, ask: Ask, program: str, *options: str, **variables: str) -> Finished:
    return run_tool(
        title,
        [find_program(program) or program, *options],
        folder=ask.folder,
        seconds=ask.seconds,
        pin=ask.pin,
        variables=variables,
    )


# The lean transport.


def _lean(ask: Ask, arrivals: Closed | ConstantRate) -> tuple[Samples, GeneratorReport]:
    target, request = split_url(ask.url)
    samples, used = load.run(
        target, request, arrivals, seconds=ask.seconds, warmup=0, trace=False, pin=ask.pin
    )
    if (samples.error != 0).any():
        failed = int((samples.error != 0).sum())
        raise LoadError(f"{failed} of {len(samples)} requests failed, says the lean transport")
    return samples, used


def lean_tally(ask: Ask) -> LoadTotal:
    samples, used = _lean(ask, Closed(ask.workers))
    return LoadTotal(len(samples), used.wall_seconds, used.cpu_seconds)


def lean_report(ask: Ask) -> Report:
    samples, used = _lean(ask, ConstantRate(ask.rate))
    took = samples.latency
    return Report(reports.quantiles_of(took), len(took), used.monotonic_start)


# A script with httpx.


def _httpx(ask: Ask) -> dict[str, Any]:
    script = str(Path(__file__).with_name("httpx_client.py"))
    # -P, because this folder on the import path would hide modules of the standard library.
    done = _run(
        "the httpx script", ask, sys.executable, "-P", script,
        ask.url, str(ask.workers), str(ask.rate), str(ask.seconds),
    )  # fmt: skip
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def httpx_tally(ask: Ask) -> LoadTotal:
    said = _httpx(ask)
    return LoadTotal(len(said["latencies"]), said["seconds"], said["cpu_seconds"])


def httpx_report(ask: Ask) -> Report:
    said = _httpx(ask)
    took = np.array(said["latencies"])
    return Report(reports.quantiles_of(took), len(took), said["began"])


# Locust.


def _locust(ask: Ask) -> tuple[reports.Printed, float]:
    """What it said of itself, and its CPU seconds."""
    locustfile, report = ask.folder / "locustfile.py", ask.folder / "report.json"
    shutil.copyfile(Path(__file__).with_name("locust_file.py"), locustfile)
    target, request = split_url(ask.url)
    _run(
        "Locust", ask, sys.executable, "-P", "-m", "locust", "--locustfile", str(locustfile),
        "--headless", "--only-summary", "--host", target,
        "--users", str(ask.workers), "--spawn-rate", str(ask.workers),
        PEER_PATH=request.path, PEER_RATE=str(ask.each), PEER_SECONDS=str(ask.seconds),
        PEER_REPORT=str(report),
    )  # fmt: skip
    told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    cpu_seconds: float = told.pop("cpu_seconds")
    said = reports.Printed(**told | {"quantiles": dict(told["quantiles"])})
    return reports.checked("Locust", said), cpu_seconds


def locust_tally(ask: Ask) -> LoadTotal:
    said, cpu_seconds = _locust(ask)
    return LoadTotal(said.requests, said.seconds, cpu_seconds)


def locust_report(ask: Ask) -> Report:
    return _of_printed(_locust(ask)[0])  # its percentiles, of latencies that it rounds


# hey, h2load and wrk.


def hey_tally(ask: Ask) -> LoadTotal:
    done = _run("hey", ask, "hey", "-z", f"{ask.seconds:.6f}s", "-c", str(ask.workers), ask.url)
    said = reports.checked("hey", reports.hey(done.stdout))
    return LoadTotal(said.requests, said.seconds, done.cpu_seconds)


def hey_report(ask: Ask) -> Report:
    done = _run(
        "hey", ask, "hey", "-z", f"{ask.seconds:.6f}s", "-c", str(ask.workers),
        "-q", f"{ask.each:.9g}", "-o", "csv", ask.url,
    )  # fmt: skip
    took = reports.hey_csv(done.stdout)
    return Report(reports.quantiles_of(took), len(took))


def _h2load(ask: Ask, *options: str) -> tuple[reports.Printed, Finished]:
    done = _run(
        "h2load", ask, "h2load", "--h1", "--threads=1", f"--clients={ask.workers}",
        f"--duration={max(1, round(1000 * ask.seconds))}ms", *options, ask.url,
    )  # fmt: skip
    return reports.checked("h2load", reports.h2load(done.stdout)), done


def h2load_tally(ask: Ask) -> LoadTotal:
    said, done = _h2load(ask)
    return LoadTotal(said.requests, said.seconds, done.cpu_seconds)


def h2load_report(ask: Ask) -> Report:
    log = ask.folder / "log"
    epoch = time.time() - time.monotonic()
    said, _ = _h2load(ask, f"--rps={ask.each:.9g}", f"--log-file={log}")
    sent, took = reports.h2load_log(log.read_text(encoding="utf-8"))
    return Report(reports.quantiles_of(took), said.requests, float(sent.min()) - epoch)


def _wrk(ask: Ask, connections: int) -> tuple[reports.Printed, Finished]:
    done = _run(
        "wrk", ask, "wrk", "-t1", f"-c{connections}", f"-d{math.ceil(ask.seconds)}s", "--latency",
        ask.url,
    )  # fmt: skip
    return reports.checked("wrk", reports.wrk(done.stdout)), done


def wrk_tally(ask: Ask) -> LoadTotal:
    said, done = _wrk(ask, ask.workers)
    return LoadTotal(said.requests, said.seconds, done.cpu_seconds)


def wrk_report(ask: Ask) -> Report:
    return _of_printed(_wrk(ask, 1)[0])  # its distribution, with the samples that it makes up


def _of_printed(said: reports.Printed) -> Report:
    quantiles = {level: said.quantiles[level] for level in reports.LEVELS[:-1]}
    return Report(quantiles | {1.0: said.largest}, said.requests)
