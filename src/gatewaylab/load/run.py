"""Put load on a server from a process of its own, and bring back raw samples.

The plan of scheduled starts is made here, before anything is sent; the generator only follows it.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import ssl
import subprocess
import time
from array import array
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from gatewaylab.errors import InputError, LoadError
from gatewaylab.load import http1, standby
from gatewaylab.load.request import Endpoint, Request, Target
from gatewaylab.load.samples import GeneratorReport, Samples
from gatewaylab.load.wire import BACKLOG_FULL, DEADLINE, FLOAT_COLUMNS, Job, decode
from gatewaylab.model.arrivals import Arrivals, Closed
from gatewaylab.timeline import session

TRANSPORTS = ("raw", "httpx", "websocket")

#: httpx costs up to 2 ms of CPU a request; above this rate it would measure itself.
HTTPX_MAX_RATE = 100.0

_STARTUP = 30.0
_LAST_WORDS = 10.0  # seconds that an interrupted generator may take to hand over what it has
_ASK_AGAIN = 0.5  # seconds


class RunInterrupted(KeyboardInterrupt):
    """An interrupt of `run`, with what was measured until then.

    Attributes:
        samples: of the requests that had been started; those that were unanswered then are
            censored, like those that no answer reached in time.
        report: as of a whole run.
        after: seconds from the trial's zero to the interrupt.
    """

    def __init__(self, samples: Samples, report: GeneratorReport, after: float) -> None:
        super().__init__()
        self.samples = samples
        self.report = report
        self.after = after


def run(
    target: Target,
    request: Request,
    arrivals: Arrivals,
    *,
    seconds: float,
    warmup: float = 1.0,
    seed: int = 0,
    deadline: float = 10.0,
    transport: str = "raw",
    trace: bool = True,
    pin: int | None = None,
    connections: int = 8,
    retry: bool = False,
) -> tuple[Samples, GeneratorReport]:
    """Measure one trial, with connections of its own.

    The plan spans ``warmup + seconds``, and all of its samples come back; a statistic uses those
    with ``scheduled_at >= warmup``. A request that has no answer ``deadline`` seconds after its
    scheduled start is censored: ``finished_at`` is NaN and its error ``deadline``. A request that
    failed (``connect``, ``reset``, ``cut off`` and so on) has no ``finished_at`` either; an answer
    with the wrong status or body has one, and the error ``status`` or ``body``. An answer that only
    the end of its connection ends is marked in ``length_unknown``: it may be a part of one.

    In the closed model ``scheduled_at`` is when the client meant to send: after the last answer
    and its think time.

    Args:
        target: the server, on this machine only.
        request: what each arrival sends. Over WebSocket its path and body.
        arrivals: when; planned, or closed clients.
        seconds: length of the measured window. warmup: seconds before it.
        seed: of the plan.
        deadline: seconds from scheduled start to giving up.
        transport: ``raw`` (the timing path), ``httpx`` (at most 100 requests/s) or ``websocket``.
        trace: keep the apps' own timing headers.
        pin: the core that the generator runs on.
        connections: how many connections the WebSocket transport opens beforehand in the open
            model; messages go round them in turn.
        retry: ask a unix socket whose backlog is full again, every millisecond, as no proxy does.
            The report counts it. By default such a request fails with ``backlog full``. Over TCP
            the kernel asks again by itself, after a second, and shows it to nobody.

    Raises:
        InputError: an argument makes no sense, or the target is not on loopback.
        LoadError: the generator failed, or no connection was ever made.
        RunInterrupted: a KeyboardInterrupt that came while it was sending.
    """
    endpoint = Endpoint.parse(target)
    _check(arrivals, seconds, warmup, deadline, transport, pin, connections)
    if retry and transport != "raw":
        raise InputError(f"retry=True works with transport='raw' only, not with {transport!r}")
    plan: NDArray[np.float64] = np.empty(0)
    clients, think = 0, 0.0
    if isinstance(arrivals, Closed):
        clients, think = arrivals.clients, arrivals.think
    else:
        plan = arrivals.plan(warmup + seconds, seed)
        if len(plan) == 0:
            raise InputError("the plan is empty: measure longer or raise the rate")
    job = Job(
        transport=transport,
        host=endpoint.host,
        port=endpoint.port,
        request=http1.encode(
            request.method, endpoint.authority, request.path, request.headers, request.body
        ),
        method=request.method,
        path=request.path,
        headers=list(request.headers),
        body=request.body,
        expected=list(request.expected),
        expected_body=request.expected_body,
        clients=clients,
        think=think,
        duration=warmup + seconds,
        deadline=deadline,
        trace=trace,
        pin=pin,
        parent=os.getpid(),
        lifeline=-1,
        connections=connections,
        plan=array("d", plan.tobytes()),
        retry=retry,
    )
    answer, interrupted_at = _generate(job, warmup + seconds + deadline + _STARTUP)
    samples, report = _results(answer, job, plan)
    if interrupted_at is not None:
        raise RunInterrupted(samples, report, interrupted_at - report.monotonic_start)
    if report.connections == 0 and not (samples.error == BACKLOG_FULL).any():
        raise LoadError(f"no connection to {target} could be made: is a server listening there?")
    return samples, report


def _generate(job: Job, limit: float) -> tuple[bytes, float | None]:
    """The generator's answer, and when an interrupt ended it, if one did."""
    interrupted_at = None
    generator = standby.take()
    process, job = generator.process, dataclasses.replace(job, lifeline=generator.lifeline)
    with generator, process:
        try:
            with session.under_load():
                try:
                    answer, complaint = process.communicate(job.encode(), timeout=limit)
                except KeyboardInterrupt:
                    interrupted_at = time.monotonic()
                    answer, complaint = _last_words(process)
        except subprocess.TimeoutExpired as error:
            if interrupted_at is not None:
                raise KeyboardInterrupt from None
            raise LoadError(
                f"the load generator did not finish in {limit:.0f} s; "
                "lower the rate or measure for less time"
            ) from error
        finally:
            process.kill()  # does nothing to one that has ended
    if process.returncode and interrupted_at is not None:
        raise KeyboardInterrupt  # it had nothing to hand over yet
    if process.returncode:
        tail = complaint.decode(errors="replace").strip()[-4000:]
        raise LoadError(f"the load generator failed (exit status {process.returncode}):\n{tail}")
    if interrupted_at is None:
        standby.prepare()
    return answer, interrupted_at


def _last_words(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What a generator hands over when it is told to end; one that still starts doesn't hear it."""
    until = time.monotonic() + _LAST_WORDS
    while True:
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=_ASK_AGAIN)
        except subprocess.TimeoutExpired:
            if time.monotonic() > until:
                raise


def _results(answer: bytes, job: Job, plan: NDArray[np.float64]) -> tuple[Samples, GeneratorReport]:
    try:
        buffers, workers, tally = decode(answer)
    except (ValueError, KeyError, TypeError) as problem:
        raise LoadError(f"the load generator's answer cannot be read: {problem}") from problem
    zero = tally.monotonic_start
    columns: dict[str, NDArray[Any]] = {
        name: np.frombuffer(data, np.float64 if name in FLOAT_COLUMNS else np.int32)
        for name, data in buffers.items()
    }
    for name in FLOAT_COLUMNS:
        # Service is a length, not a moment. A copy of it, too, or it would keep all the bytes.
        columns[name] = columns[name] - (0.0 if name == "service" else zero)
    # The plan itself, without the rounding of adding and subtracting the clock's reading.
    plan = plan[: len(columns["sent_at"])]  # not all of it after an interrupt
    columns["scheduled_at"] = plan if not job.clients else np.maximum(columns["scheduled_at"], 0.0)
    error, finished = columns["error"].copy(), columns["finished_at"]
    with np.errstate(invalid="ignore"):
        late = finished - columns["scheduled_at"] > job.deadline
    late |= np.isnan(finished) & (error == 0)
    error[late] = DEADLINE
    columns["finished_at"] = np.where(late, np.nan, finished)
    columns["error"] = error
    samples = Samples(**columns, workers=tuple(workers))
    report = GeneratorReport(
        transport=job.transport,
        planned=len(samples),
        sent=int(np.count_nonzero(~np.isnan(samples.sent_at))),
        connections=tally.connections,
        reconnects=tally.reconnects,
        retries=tally.retries,
        peak_in_flight=tally.peak_in_flight,
        cpu_seconds=tally.cpu_seconds,
        wall_seconds=tally.wall_seconds,
        run_queue_seconds=tally.run_queue_seconds,
        monotonic_start=zero,
    )
    return samples, report


def stream(target: Target, request: Request, *, timeout: float = 30.0) -> list[float]:
    """When each piece of one streamed answer arrived, in seconds from sending the request.

    An event stream is timed by event (at its blank line), any other answer by chunk as read.
    This runs in the caller's process and is meant for looking at one answer, not for load.

    Raises:
        InputError: the target is not on loopback.
        LoadError: the request failed, or its status is not an expected one.
    """
    seen: list[float] = []
    events = 0
    text = b""
    with _client(target, timeout) as client:
        begin = time.monotonic()
        try:
            with client.stream(
                request.method,
                request.path,
                headers=list(request.headers),
                content=request.body or None,
            ) as response:
                _check_status(response.status_code, request)
                by_event = "text/event-stream" in response.headers.get("content-type", "")
                for piece in response.iter_raw():
                    now = time.monotonic() - begin
                    if not by_event:
                        seen.append(now)
                        continue
                    text += piece
                    complete = text.replace(b"\r\n", b"\n").count(b"\n\n")
                    seen.extend([now] * (complete - events))
                    events = complete
        except httpx.HTTPError as error:
            raise LoadError(f"streaming {request.path} failed: {error!r}") from error
    return seen


def constant_body(
    target: Target, request: Request, *, times: int = 2, timeout: float = 30.0
) -> bytes | None:
    """The body that a request is answered with, asked some ``times``; None if they differ.

    Raises:
        InputError: the target is not on loopback.
        LoadError: the request failed, or its status is not an expected one.
    """
    bodies = set()
    with _client(target, timeout) as client:
        for _ in range(times):
            try:
                response = client.request(
                    request.method,
                    request.path,
                    headers=list(request.headers),
                    content=request.body or None,
                )
            except httpx.HTTPError as error:
                raise LoadError(f"asking for {request.path} failed: {error!r}") from error
            _check_status(response.status_code, request)
            bodies.add(response.content)
    return bodies.pop() if len(bodies) == 1 else None


def _client(target: Target, timeout: float) -> httpx.Client:
    """A client for looking at single answers."""
    endpoint = Endpoint.parse(target)
    # Without TLS there are no certificates to read, which takes longer than a request.
    transport = httpx.HTTPTransport(
        uds=endpoint.path, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    return httpx.Client(
        transport=transport, base_url=f"http://{endpoint.authority}", timeout=timeout
    )


def check_core(pin: int | None) -> None:
    """Refuse a core that this process may not use, with an InputError."""
    cores = sorted(os.sched_getaffinity(0))
    if pin is not None and pin not in cores:
        raise InputError(f"core {pin} is not one that this process may use; choose one of {cores}")


def _check_status(status: int, request: Request) -> None:
    if status not in (request.expected or range(200, 300)):
        raise LoadError(
            f"{request.path} answered with {status}; ask for a path that answers with "
            f"{' or '.join(map(str, request.expected)) or '2xx'}, or name {status} as expected"
        )


def _check(
    arrivals: Arrivals,
    seconds: float,
    warmup: float,
    deadline: float,
    transport: str,
    pin: int | None,
    connections: int,
) -> None:
    if not (np.isfinite(seconds) and seconds > 0):
        raise InputError(f"seconds must be more than 0, not {seconds!r}")
    if not (np.isfinite(warmup) and warmup >= 0):
        raise InputError(f"warmup must be 0 or more seconds, not {warmup!r}")
    if not (np.isfinite(deadline) and deadline > 0):
        raise InputError(f"deadline must be more than 0 seconds, not {deadline!r}")
    if transport not in TRANSPORTS:
        raise InputError(f"unknown transport {transport!r}; choose one of {', '.join(TRANSPORTS)}")
    if connections < 1:
        raise InputError(f"connections must be at least 1, not {connections!r}")
    check_core(pin)
    if transport == "httpx":
        if isinstance(arrivals, Closed):
            rate = arrivals.clients / arrivals.think if arrivals.think else np.inf
        else:
            rate = arrivals.rate
        if rate > HTTPX_MAX_RATE:
            raise InputError(
                f"httpx is for at most {HTTPX_MAX_RATE:g} requests/s and this asks for up to "
                f"{rate:g}; it would measure itself: use transport='raw'"
            )
