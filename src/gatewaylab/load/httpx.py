"""The client that readers know, as a second transport at low rates.

It costs up to 2 ms of CPU a request, so its own latency is part of what it reports. Stamps come
from httpcore's trace events, which lie right beside its reads and writes.
"""

from __future__ import annotations

import math
import time
from typing import Any

import httpx
import uvloop

from gatewaylab.load import unix
from gatewaylab.load.loops import columns_for, drive
from gatewaylab.load.request import Endpoint
from gatewaylab.load.wire import (
    BACKLOG_FULL,
    BODY,
    CONNECT,
    CUT_OFF,
    KEPT_RESET,
    PROTOCOL,
    RESET,
    STATUS,
    Columns,
    Job,
    Tally,
)


def run(job: Job) -> tuple[Columns, Tally]:
    """Send the plan (or play the closed clients) and return what was seen."""
    seen: tuple[Columns, Tally] = uvloop.run(_run(job))
    return seen


async def _run(job: Job) -> tuple[Columns, Tally]:
    endpoint = Endpoint(job.host, job.port)
    transport = unix.transport(
        endpoint.path,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
    )
    base = f"http://{endpoint.authority}"
    tally = Tally()
    async with httpx.AsyncClient(transport=transport, base_url=base, timeout=None) as client:  # noqa: S113 - the plan's deadline cancels
        columns, zero = columns_for(job)
        fresh: set[int] = set()  # rows that had a new connection

        async def exchange(row: int, _: int) -> None:
            async def stamp(event: str, __: dict[str, Any]) -> None:
                if event in (
                    "connection.connect_tcp.started",
                    "connection.connect_unix_socket.started",
                    "http11.send_request_headers.started",
                ):
                    if columns.sent_at[row] != columns.sent_at[row]:  # NaN: the first of them
                        columns.sent_at[row] = time.monotonic()
                elif event == "http11.receive_response_headers.complete":
                    columns.first_byte_at[row] = time.monotonic()
                elif event in (
                    "connection.connect_tcp.complete",
                    "connection.connect_unix_socket.complete",
                ):
                    tally.connections += 1
                    fresh.add(row)

            error = await _exchange(job, client, columns, row, stamp)
            columns.error[row] = KEPT_RESET if error == RESET and row not in fresh else error

        await drive(job, columns, tally, zero, exchange)
    # A lower bound: more connections than were ever needed at once means that some were replaced.
    tally.reconnects = max(0, tally.connections - tally.peak_in_flight)
    return columns, tally


async def _exchange(
    job: Job, client: httpx.AsyncClient, columns: Columns, row: int, stamp: Any
) -> int:
    try:
        response = await client.request(
            job.method,
            job.path,
            headers=job.headers,
            content=job.body or None,
            extensions={"trace": stamp},
        )
    except httpx.ConnectError as error:
        columns.sent_at[row] = math.nan
        return BACKLOG_FULL if isinstance(error, unix.BacklogFull) else CONNECT
    except httpx.RemoteProtocolError as error:
        if "disconnected" in str(error):
            return RESET
        return CUT_OFF if "without sending complete" in str(error) else PROTOCOL
    except httpx.NetworkError:
        return RESET if math.isnan(columns.first_byte_at[row]) else CUT_OFF
    except httpx.HTTPError:
        return PROTOCOL
    if job.method != "HEAD" and response.status_code not in (204, 304):
        ends = response.headers.keys() & {"content-length", "transfer-encoding"}
        columns.length_unknown[row] = not ends
    columns.finished_at[row] = time.monotonic()
    columns.status[row] = response.status_code
    if job.trace:
        lines = [b"%s: %s" % pair for pair in response.headers.raw]
        columns.heads[row] = b"\r\n".join([b"", *lines])
    if not job.accepts(response.status_code):
        return STATUS
    if job.expected_body is not None and response.content != job.expected_body:
        return BODY
    return 0
