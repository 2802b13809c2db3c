"""What the generator saw of each request, and how it fared itself."""

from __future__ import annotations

import math
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from gatewaylab.load.columns import Integers, Seconds

#: The error of a sample, by the index that :attr:`Samples.error` stores.
ERRORS = (
    "",
    "deadline",  # no answer by then
    "connect",  # no connection
    "reset",  # the connection ended before the answer began
    "protocol",  # what came is no HTTP/1 answer, or more than the client reads
    "status",  # a wrong one
    "body",  # a wrong one
    "backlog full",  # the queue of a unix socket, so that it refused the connection
    "kept reset",  # a connection that had served before ended before the answer began
    "cut off",  # the connection ended within the answer
)


#: A float that may be ±∞ or NaN; JSON has it as text then (``ser_json_inf_nan`` below).
Number = Annotated[
    float,
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"]}]}),
]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, ser_json_inf_nan="strings"
    )


class Samples(Frozen):
    """One column per measured quantity, one row per planned request, in the plan's order.

    Attributes:
        scheduled_at: when the plan wanted the request to start.
        sent_at: when its bytes were handed to the kernel or, where it needed a new connection,
            when that was asked for, so that a full backlog counts as latency.
        first_byte_at: when the first byte of the answer arrived; interim heads (100, 103) are not
            of the answer.
        finished_at: when the last byte arrived; NaN if the deadline came first.
        status: HTTP status, 0 if none arrived.
        error: index into :data:`ERRORS`; 0 is "no error".
        service: seconds inside the application, from its ``Server-Timing`` header.
        started_at: when the application began, from its ``X-Started`` header.
        worker: index into :attr:`workers` of the process/thread that answered, -1 if unknown.
        workers: the distinct ``X-Worker`` values seen.
        length_unknown: 1 where the answer's only end was its connection's, so that no client can
            tell the whole from a part unless it knows the body; else 0.
    """

    scheduled_at: Seconds
    sent_at: Seconds
    first_byte_at: Seconds
    finished_at: Seconds
    status: Integers
    error: Integers
    service: Seconds
    started_at: Seconds
    worker: Integers
    workers: tuple[str, ...] = ()
    length_unknown: Integers = Field(
        default_factory=lambda seen: np.zeros(len(seen.get("status", ())), np.int32)
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        n = len(self.scheduled_at)
        for name in type(self).model_fields:
            if name != "workers" and len(getattr(self, name)) != n:
                raise ValueError(f"column {name} has {len(getattr(self, name))} rows, not {n}")
        if np.isnan(self.scheduled_at).any() or (self.scheduled_at < 0).any():
            raise ValueError("scheduled_at must be a non-negative number in every row")
        if n and (self.error.min() < 0 or self.error.max() >= len(ERRORS)):
            raise ValueError(f"error codes run from 0 to {len(ERRORS) - 1}")
        if n and not 0 <= self.length_unknown.min() <= self.length_unknown.max() <= 1:
            raise ValueError("length_unknown is 0 or 1 in every row")
        if n and not -1 <= self.worker.min() <= self.worker.max() < len(self.workers):
            raise ValueError("worker names an entry that the workers table does not have")
        if n and not 0 <= self.status.min() <= self.status.max() <= 999:
            raise ValueError("an HTTP status is 0 (none arrived) to 999")
        if (self.service < 0).any():  # False for NaN
            raise ValueError("a service time is negative")
        if (self.finished_at < self.scheduled_at - 1e-3).any():
            raise ValueError("a request finished before it was scheduled")
        if (np.isnan(self.finished_at) & (self.error == 0)).any():
            raise ValueError("a request that never finished must carry its error")
        if (~np.isnan(self.finished_at) & (self.error == ERRORS.index("deadline"))).any():
            raise ValueError("a request that missed the deadline has no finish time")
        return self

    def __eq__(self, other: object) -> bool:
        """Same columns, NaN equal to NaN."""
        if not isinstance(other, Samples):
            return NotImplemented
        return self.workers == other.workers and all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True)
            for name in type(self).model_fields
            if name != "workers"
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def __len__(self) -> int:
        return len(self.scheduled_at)

    @property
    def latency(self) -> NDArray[np.float64]:
        """Seconds from the scheduled start to the last byte; +∞ where it never came."""
        return np.where(np.isnan(self.finished_at), np.inf, self.finished_at - self.scheduled_at)

    @property
    def send_lag(self) -> NDArray[np.float64]:
        """Seconds that the generator was late; NaN where the request was never sent."""
        return self.sent_at - self.scheduled_at

    @property
    def peak_overlap(self) -> int:
        """Most requests that were inside the application at one moment, by its own trace."""
        traced = ~(np.isnan(self.started_at) | np.isnan(self.service))
        begin = np.sort(self.started_at[traced])
        end = np.sort((self.started_at + self.service)[traced])
        if not len(begin):
            return 0
        # At the start of each request: those begun so far, less those that have ended.
        inside = np.arange(1, len(begin) + 1) - np.searchsorted(end, begin, side="right")
        return int(inside.max())

    @property
    def peak_sharing(self) -> int:
        """Most requests that were inside the application at one moment on one and the same thread.

        Threads, and greenlets, are told apart by the answers' ``X-Worker``.
        """
        return max(
            (self.rows(self.worker == w).peak_overlap for w in {*self.worker} - {-1}), default=0
        )

    def rows(self, mask: NDArray[np.bool_]) -> Samples:
        """The samples where ``mask`` is true."""
        columns = {
            name: getattr(self, name)[mask] for name in type(self).model_fields if name != "workers"
        }
        return Samples(**columns, workers=self.workers)


class GeneratorReport(Frozen):
    """How the load generator itself fared; the noise rules read it.

    Attributes:
        transport: which client was used.
        planned: requests in the plan.
        sent: requests whose bytes were written.
        connections: TCP (or unix) connections opened.
        reconnects: connections that had to be replaced after the server closed them.
        retries: how often a unix socket with a full backlog was asked again.
        peak_in_flight: most requests that were unanswered at once.
        cpu_seconds: user and system time of the generator process while it sent.
        wall_seconds: how long it sent and waited.
        run_queue_seconds: time it was runnable and not running (``/proc/self/schedstat``); NaN
            where the system does not tell.
        monotonic_start: the trial's zero on ``time.monotonic()``.
    """

    transport: str
    planned: Count
    sent: Count
    connections: Count
    reconnects: Count
    retries: Count = 0
    peak_in_flight: Count
    cpu_seconds: Amount
    wall_seconds: Amount
    run_queue_seconds: Number
    monotonic_start: Amount

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sent > self.planned:
            raise ValueError(f"{self.sent} requests sent of {self.planned} planned")
        if self.run_queue_seconds < 0 or math.isinf(self.run_queue_seconds):
            raise ValueError("run_queue_seconds must be 0 or more and finite, or NaN if unknown")
        return self
