"""Messages over WebSocket connections to an endpoint that echoes them.

Connections are opened before the trial begins: the handshake is not part of a message's latency.
On one connection answers come in the order of the messages, so several may be under way.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

import uvloop
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from gatewaylab.errors import LoadError
from gatewaylab.load.loops import columns_for, drive
from gatewaylab.load.request import Endpoint
from gatewaylab.load.wire import BODY, CONNECT, RESET, Columns, Job, Tally

_SWITCHING = 101


class _Channel:
    """One connection and the rows that wait for an answer on it."""

    def __init__(self, socket: ClientConnection | None) -> None:
        self.socket = socket
        self.pending: deque[tuple[int, asyncio.Future[None]]] = deque()


def run(job: Job) -> tuple[Columns, Tally]:
    """Send the plan (or play the closed clients) and return what was seen."""
    seen: tuple[Columns, Tally] = uvloop.run(_run(job))
    return seen


async def _run(job: Job) -> tuple[Columns, Tally]:
    tally = Tally()
    message = job.body.decode()
    wanted = message if job.expected_body is None else job.expected_body.decode()
    count = job.clients or job.connections
    channels = [_Channel(await _open(job)) for _ in range(count)]
    tally.connections = sum(channel.socket is not None for channel in channels)
    columns, zero = columns_for(job)
    readers = [asyncio.create_task(_read(channel, columns, wanted)) for channel in channels]

    async def exchange(row: int, client: int) -> None:
        channel = channels[client % count]
        if channel.socket is None:
            columns.error[row] = CONNECT
            return
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        channel.pending.append((row, answered))
        columns.sent_at[row] = time.monotonic()
        try:
            await channel.socket.send(message)
        except ConnectionClosed:
            columns.error[row] = RESET
            return
        await answered

    try:
        await drive(job, columns, tally, zero, exchange)
    finally:
        for reader in readers:
            reader.cancel()
        for channel in channels:
            if channel.socket is not None:
                channel.socket.transport.abort()  # a closing handshake could wait for a dead server
    await asyncio.gather(*readers, return_exceptions=True)
    return columns, tally


async def _open(job: Job) -> ClientConnection | None:
    endpoint = Endpoint(job.host, job.port)
    url = f"ws://{endpoint.authority}{job.path}"
    # No compression and no pings: nothing travels but the messages of the plan.
    try:
        async with asyncio.timeout(job.deadline):
            if endpoint.path is None:
                return await connect(
                    url,
                    additional_headers=job.headers,
                    compression=None,
                    ping_interval=None,
                    proxy=None,
                )
            return await unix_connect(
                endpoint.path,
                url,
                additional_headers=job.headers,
                compression=None,
                ping_interval=None,
            )
    except InvalidHandshake as error:
        raise LoadError(
            f"{job.path} is no WebSocket endpoint, choose a path that is one: {error}"
        ) from error
    except (OSError, TimeoutError):
        return None


async def _read(channel: _Channel, columns: Columns, wanted: str) -> None:
    if channel.socket is None:
        return
    try:
        while True:
            answer = await channel.socket.recv()
            now = time.monotonic()
            if not channel.pending:
                continue  # a greeting, or a broadcast: not an answer to anything
            row, answered = channel.pending.popleft()
            columns.first_byte_at[row] = columns.finished_at[row] = now
            columns.status[row] = _SWITCHING
            if answer != wanted:
                columns.error[row] = BODY
            if not answered.done():
                answered.set_result(None)
    except ConnectionClosed:
        while channel.pending:
            row, answered = channel.pending.popleft()
            columns.error[row] = RESET
            if not answered.done():
                answered.set_result(None)
