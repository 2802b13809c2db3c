"""What the parent tells the generator, and what comes back: one job, one set of raw columns.

The generator is started often and must start fast, so nothing here needs numpy or pydantic.
"""

from __future__ import annotations

import json
import math
import re
import time
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, BinaryIO

# Indices into gatewaylab.load.samples.ERRORS; a test holds the two together.
OK, DEADLINE, CONNECT, RESET, PROTOCOL, STATUS, BODY = range(7)
BACKLOG_FULL, KEPT_RESET, CUT_OFF = range(7, 10)

FLOAT_COLUMNS = ("scheduled_at", "sent_at", "first_byte_at", "finished_at", "service", "started_at")
INTEGER_COLUMNS = ("status", "error", "length_unknown", "worker")

#: A head is a server's text: neither ``1.2.3``, ``1e999`` nor 400 digits may count as a number.
_NUMBER = rb"([0-9]{1,20}(?:\.[0-9]{0,20})?)(?![\w.])"
#: As the apps write them, one after the other, which is how most servers pass them on.
_USUAL = re.compile(
    rb"\r\nserver-timing: app;dur=([0-9]{1,20}\.[0-9]{3})"
    rb"\r\nx-worker: ([0-9/]{1,200})"
    rb"\r\nx-started: ([0-9]{1,20}\.[0-9]{6})(?:\r|$)",
    re.IGNORECASE,
)
#: In any order, among others. Slower, but still half of the time that three searches take.
_HEADERS = re.compile(
    rb"\r\n(?:server-timing:[^\r\n]*?\bapp;dur="
    + _NUMBER
    + rb"|x-started:[ \t]*"
    + _NUMBER
    + rb"|x-worker:[ \t]*([^\r\n]{1,200}))",
    re.IGNORECASE,
)
#: Seconds between "ready" and the first scheduled start.
LEAD = 0.01
#: A closed client whose request failed waits at least this long, or it would spin.
BACKOFF = 0.01
#: Heads that wait to be read. A run of fewer answers reads none while it sends.
KEPT_HEADS = 131_072
#: Heads that such a run reads together: a pause of five microseconds.
_AT_ONCE = 8
_GROWTH = 65_536


@dataclass(frozen=True)
class Job:
    """One run of the generator.

    Attributes:
        transport: ``raw``, ``httpx`` or ``websocket``.
        host, port: the loopback address; port 0 means that ``host`` is a unix socket's path.
        request: pre-encoded bytes for the raw transport.
        method, path, headers, body: the same request in parts, for the other transports.
        expected: statuses that are right; empty for any 2xx.
        expected_body: what every answer must contain, None to accept any.
        clients, think: the closed model; 0 clients means that ``plan`` rules.
        duration: seconds in which requests may start.
        deadline: seconds after its scheduled start at which a request is given up.
        trace: keep each answer's head and read the apps' headers from it afterwards.
        pin: the core to run on, None for any.
        parent: process id of the owner; the generator does not outlive it.
        lifeline: descriptor that ends when the owner does.
        connections: how many connections the WebSocket transport opens.
        plan: scheduled starts, seconds from the trial's zero.
        retry: ask a unix socket with a full backlog again.
    """

    transport: str
    host: str
    port: int
    request: bytes
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    expected: list[int]
    expected_body: bytes | None
    clients: int
    think: float
    duration: float
    deadline: float
    trace: bool
    pin: int | None
    parent: int
    lifeline: int
    connections: int
    plan: array[float]
    retry: bool = False

    def encode(self) -> bytes:
        """The job as bytes: a length, a JSON object, the plan's doubles."""
        head = asdict(self) | {"plan": None}
        for name, value in head.items():
            if isinstance(value, bytes):
                head[name] = {"latin-1": value.decode("latin-1")}
        return _framed(head) + self.plan.tobytes()

    @classmethod
    def read(cls, file: BinaryIO) -> Job:
        """The job in ``file``, which is read to its end."""
        head = json.loads(file.read(int.from_bytes(file.read(8), "big")))
        for name, value in head.items():
            if isinstance(value, dict):
                head[name] = value["latin-1"].encode("latin-1")
        head["headers"] = [(k, v) for k, v in head["headers"]]
        head["plan"] = array("d", file.read())
        return cls(**head)

    def accepts(self, status: int) -> bool:
        """Whether ``status`` is what the request hoped for."""
        return status in self.expected if self.expected else 200 <= status < 300


@dataclass
class Tally:
    """What a transport counted while it ran; absolute times are on ``time.monotonic()``."""

    connections: int = 0
    reconnects: int = 0
    retries: int = 0
    peak_in_flight: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    run_queue_seconds: float = 0.0
    monotonic_start: float = 0.0


class Heads:
    """What the answers' heads say of the application: when it began, how long it took, who it was.

    Reading a head takes half a microsecond, so it is put off until the run is over. Only a run of
    very many answers reads some on the way, or the heads would fill the memory.
    """

    def __init__(self, rows: int) -> None:
        self.service = array("d", [math.nan]) * rows
        self.started_at = array("d", [math.nan]) * rows
        self.worker = array("i", [-1]) * rows
        self._names: dict[bytes, int] = {}
        self._waiting: deque[tuple[int, bytes]] = deque()

    def __setitem__(self, row: int, head: bytes) -> None:
        self._waiting.append((row, head))
        if len(self._waiting) > KEPT_HEADS:
            self._read(_AT_ONCE)

    def extend(self, rows: int) -> None:
        """Room for so many more rows."""
        self.service.extend(array("d", [math.nan]) * rows)
        self.started_at.extend(array("d", [math.nan]) * rows)
        self.worker.extend(array("i", [-1]) * rows)

    def settle(self) -> list[str]:
        """Read what still waits; returns the workers' names in the order of their numbers."""
        self._read(len(self._waiting))
        return [name.decode("latin-1") for name in self._names]

    def _read(self, count: int) -> None:
        service, started_at, worker = self.service, self.started_at, self.worker
        names, take = self._names, self._waiting.popleft
        for _ in range(count):
            row, head = take()
            if usual := _USUAL.search(head):
                took, name, began = usual.groups()
                service[row] = float(took) / 1e3
                started_at[row] = float(began)
                worker[row] = names.setdefault(name, len(names))
                continue
            for took, began, name in _HEADERS.findall(head):
                if took:
                    service[row] = float(took) / 1e3
                elif began:
                    started_at[row] = float(began)
                else:
                    worker[row] = names.setdefault(name.strip(), len(names))


class Columns:
    """Preallocated raw columns; times are absolute, NaN until they happen.

    Args:
        plan: scheduled starts as absolute times; empty for the closed model, which adds rows.
    """

    def __init__(self, plan: array[float]) -> None:
        rows = len(plan)
        self.rows = rows
        self.scheduled_at = array("d", plan)
        self.sent_at = array("d", [math.nan]) * rows
        self.first_byte_at = array("d", [math.nan]) * rows
        self.finished_at = array("d", [math.nan]) * rows
        self.status = array("i", [0]) * rows
        self.error = array("i", [0]) * rows
        self.length_unknown = array("i", [0]) * rows
        self.heads = Heads(rows)

    def add(self, scheduled_at: float) -> int:
        """A new row (closed model), as its index."""
        row = self.rows
        if row == len(self.scheduled_at):
            missing = array("d", [math.nan]) * _GROWTH
            for name in ("scheduled_at", "sent_at", "first_byte_at", "finished_at"):
                getattr(self, name).extend(missing)
            zeros = array("i", [0]) * _GROWTH
            self.status.extend(zeros)
            self.error.extend(zeros)
            self.length_unknown.extend(zeros)
            self.heads.extend(_GROWTH)
        self.scheduled_at[row] = scheduled_at
        self.rows = row + 1
        return row

    def parts(self, tally: Tally) -> Iterator[bytes | memoryview]:
        """All that was seen, piece by piece for :func:`decode`; a column is not copied."""
        workers = self.heads.settle()
        yield _framed({"rows": self.rows, "workers": workers, "tally": asdict(tally)})
        for name in FLOAT_COLUMNS + INTEGER_COLUMNS:
            holder = self.heads if name in ("service", "started_at", "worker") else self
            yield memoryview(getattr(holder, name))[: self.rows].cast("B")

    def encode(self, tally: Tally) -> bytes:
        """The same in one piece."""
        return b"".join(self.parts(tally))


def decode(answer: bytes) -> tuple[dict[str, memoryview], list[str], Tally]:
    """The columns by name (as buffers), the worker names and the tally of one run.

    Raises:
        ValueError: the bytes are not a whole answer.
    """
    size = int.from_bytes(answer[:8], "big")
    head: dict[str, Any] = json.loads(answer[8 : 8 + size])
    rows = int(head["rows"])
    view, at = memoryview(answer), 8 + size
    if len(answer) - at != rows * (8 * len(FLOAT_COLUMNS) + 4 * len(INTEGER_COLUMNS)):
        raise ValueError("the generator's answer is cut short")
    columns = {}
    for names, width in ((FLOAT_COLUMNS, 8), (INTEGER_COLUMNS, 4)):
        for name in names:
            columns[name] = view[at : at + rows * width]
            at += rows * width
    known = {field.name for field in fields(Tally)}
    return columns, list(head["workers"]), Tally(**{k: head["tally"][k] for k in known})


class Usage:
    """CPU and run-queue time of this process since the object was made."""

    def __init__(self) -> None:
        self._cpu, self._queue, self._wall = time.process_time(), run_queue(), time.monotonic()

    def settle(self, tally: Tally) -> None:
        """Write what was used until now into ``tally``."""
        tally.wall_seconds = time.monotonic() - self._wall
        tally.cpu_seconds = time.process_time() - self._cpu
        tally.run_queue_seconds = run_queue() - self._queue


def run_queue(pid: int | str = "self") -> float:
    """Seconds that a process's main thread has been runnable but not running.

    NaN where the kernel keeps no such account. Source: Linux, Documentation/scheduler/sched-stats.
    """
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:  # noqa: PTH123 - starts faster
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return math.nan


def _framed(head: dict[str, Any]) -> bytes:
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "big") + text
