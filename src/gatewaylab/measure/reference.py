"""Servers whose behaviour is known exactly, so that the instrument can be held against it."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import httpx

from gatewaylab.errors import InputError, ServerError, ServerStartError
from gatewaylab.load import run as load
from gatewaylab.load.request import get
from gatewaylab.measure.cores import choose_cores
from gatewaylab.model.arrivals import Closed
from gatewaylab.timeline import session

#: What a reference server can be; :func:`reference_server` says what each does.
MODES = ("null", "delay", "slots", "stall", "mute", "warming", "early", "wrong", "empty")

_PATIENCE = 15.0
#: Noise can only lower a ceiling, so the best of a few runs is the one to trust.
_CEILING_RUNS = 3


@dataclass(frozen=True)
class Lognormal:
    """Service times with a long tail, drawn in order of arrival from a seeded generator.

    Attributes:
        mean: in seconds.
        sigma: standard deviation of the logarithm.
        seed: of the server's generator.

    Raises:
        InputError: a mean or sigma that is not finite and above 0, or a seed below 0.
    """

    mean: float
    sigma: float
    seed: int = 1

    def __post_init__(self) -> None:
        if not (0 < self.mean < math.inf and 0 < self.sigma < math.inf and self.seed >= 0):
            raise InputError(f"service times need a mean and sigma above 0 and a seed, not {self}")


@dataclass(frozen=True)
class ReferenceServer:
    """A running one.

    Attributes:
        url: where it listens. pid: its process.
    """

    url: str
    pid: int

    def report(self) -> dict[str, Any]:
        """What it did: ``requests`` taken, ``muted`` ones never answered, ``stalls`` as pairs.

        The begin and end of a stall are readings of ``time.monotonic()``, the clock that
        :attr:`~gatewaylab.load.samples.GeneratorReport.monotonic_start` is read from.

        Raises:
            ServerError: it does not answer.
        """
        try:
            did: dict[str, Any] = httpx.get(f"{self.url}/report", trust_env=False).json()
        except (httpx.HTTPError, ValueError) as error:
            raise ServerError(
                f"the reference server gives no account, has it ended? {error!r}"
            ) from error
        return did


@contextlib.contextmanager
def reference_server(
    mode: str = "null",
    *,
    hold: float = 0.0,
    at: float = 0.0,
    slots: int = 1,
    services: Lognormal | None = None,
    warm: float = 0.0,
    first: int = 0,
    trace: bool = True,
    pin: int | None = None,
) -> Iterator[ReferenceServer]:
    """Run a server in ``mode``, ready to be asked; it is gone afterwards.

    It has a process of its own on 127.0.0.1 and ends with the thread that started it. Unless
    ``trace`` is off, each answer carries the app's own account of its service time
    (``Server-Timing``) and start (``X-Started``), as the demo apps' answers do.

    Modes:
        null: answers at once.
        delay: answers every request ``hold`` seconds after it arrived, side by side.
        slots: so many ``slots`` (threads) on one queue, first come, first served. A request holds
            its slot for ``hold`` seconds, or for a time drawn from ``services``.
        stall: answers at once, but stops for ``hold`` seconds, ``at`` seconds after its first
            request; what arrived meanwhile is then answered in order.
        mute: never answers every 20th request.
        warming: answers ``hold`` seconds after arrival; the ``first`` requests, and those in the
            first ``at`` seconds, take ``warm`` seconds longer.
        early: says that it held the request for ``hold`` seconds, and answers at once.
        wrong: answers at once with status 500.
        empty: answers at once with status 200 and no body.

    Args:
        trace: whether answers carry the app's account.
        pin: the core that it runs on.

    Raises:
        InputError: an argument makes no sense.
        ServerStartError: it did not come up.
    """
    if mode not in MODES:
        raise InputError(f"unknown mode {mode!r}; choose one of {', '.join(MODES)}")
    for name, value in (("hold", hold), ("at", at), ("warm", warm), ("first", first)):
        if not 0 <= value < math.inf:
            raise InputError(f"{name} must be 0 or more and finite, not {value!r}")
    if slots < 1:
        raise InputError(f"slots must be at least 1, not {slots!r}")
    if services is not None and mode != "slots":
        raise InputError(f"only the mode 'slots' draws service times, not {mode!r}")
    load.check_core(pin)
    command = [
        sys.executable, "-m", "gatewaylab.measure.reference_process", mode,
        f"--parent={os.getpid()}",
        f"--hold={hold if services is None else services.mean}", f"--at={at}",
        f"--slots={slots}", f"--warm={warm}", f"--first={first}",
    ]  # fmt: skip
    if services is not None:
        command += [f"--sigma={services.sigma}", f"--seed={services.seed}"]
    if trace:
        command.append("--trace")
    if pin is not None:
        command.append(f"--pin={pin}")
    with (
        session.at_work("reference"),
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            yield ReferenceServer(f"http://127.0.0.1:{_port(process, log)}", process.pid)
        finally:
            process.kill()


def _port(process: subprocess.Popen[bytes], log: IO[bytes]) -> int:
    """What it prints when it is ready."""
    began = time.monotonic()
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
    line = process.stdout.readline() if ready else b""
    if line.strip().isdigit():
        return int(line)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)  # its output ends a moment before it does
    log.seek(0)
    raise ServerStartError(
        "the reference server did not come up",
        command=[str(part) for part in process.args],  # type: ignore[union-attr]
        exit_code=process.poll(),
        elapsed=time.monotonic() - began,
        log_tail="\n".join(log.read().decode(errors="replace").splitlines()[-40:]),
    )


#: Set by a build: what :func:`ceiling` came to, once for all notebooks, as JSON by transport.
CEILINGS_VARIABLE = "GATEWAYLAB_CEILINGS"


def once() -> None:
    """Measure the ceiling of the timing path now, for every process that is started from here on.

    The other transports' are measured where they are asked for.
    """
    os.environ[CEILINGS_VARIABLE] = json.dumps({"raw": ceiling("raw")})


@functools.cache
def ceiling(transport: str = "raw", connections: int = 8, seconds: float = 0.5) -> float:
    """Requests/s that a transport gets from the null server; measured once a build.

    The raw transport runs closed, each connection asking again as soon as it is answered, and
    the best of three runs counts. So the slower of the two, generator or null server, decides.
    The httpx transport is held to 100 requests/s everywhere (above, it would measure itself), so
    for it the answer is what one core could send at most: the inverse of its CPU time a request
    at a closed load that is allowed.

    Args:
        transport: ``raw`` or ``httpx``. connections: closed clients.
        seconds: length of each run.

    Raises:
        InputError: the null server does not speak this transport's protocol.
    """
    if transport not in ("raw", "httpx"):
        raise InputError(f"the null server speaks plain HTTP/1.1, not {transport!r}")
    known = json.loads(os.environ.get(CEILINGS_VARIABLE, "{}"))
    if transport in known:
        return float(known[transport])
    paced = transport == "httpx"
    arrivals = Closed(connections, think=connections / load.HTTPX_MAX_RATE if paced else 0.0)
    best, cores = 0.0, choose_cores()
    with reference_server("null", pin=cores.server) as server:
        for _ in range(_CEILING_RUNS):
            samples, report = load.run(
                server.url, get("/"), arrivals,
                seconds=seconds, warmup=0, transport=transport, pin=cores.generator,
            )  # fmt: skip
            answered = int((samples.error == 0).sum())
            spent = report.cpu_seconds if paced else report.wall_seconds
            best = max(best, answered / spent)
    return best
