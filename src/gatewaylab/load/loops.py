"""What the awaiting transports share: following the plan, or playing the closed clients."""

from __future__ import annotations

import asyncio
import gc
import time
from array import array
from collections.abc import Awaitable, Callable

from gatewaylab.load.timer import Pacer
from gatewaylab.load.wire import BACKOFF, LEAD, Columns, Job, Tally, Usage

#: Sends the request of one row and returns when it is answered or has failed. The second
#: argument is the client (closed model) or the row itself.
Exchange = Callable[[int, int], Awaitable[None]]


def columns_for(job: Job) -> tuple[Columns, float]:
    """Empty columns on a plan that starts shortly, and the trial's zero."""
    zero = time.monotonic() + LEAD
    return Columns(array("d", [zero + offset for offset in job.plan])), zero


async def drive(job: Job, columns: Columns, tally: Tally, zero: float, exchange: Exchange) -> None:
    """Start every exchange when it is due; return when all ended or the last deadline passed.

    An interrupt, which asyncio makes a cancellation, ends it too: rows not yet started are cut off.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    usage = Usage()
    tally.monotonic_start = zero
    in_flight = 0

    async def one(row: int, client: int) -> None:
        nonlocal in_flight
        in_flight += 1
        tally.peak_in_flight = max(tally.peak_in_flight, in_flight)
        try:
            await exchange(row, client)
        finally:
            in_flight -= 1

    async def client(number: int) -> None:
        due = zero
        while due < zero + job.duration:
            await asyncio.sleep(due - time.monotonic())
            row = columns.add(due)
            await one(row, number)
            pause = max(job.think, BACKOFF) if columns.error[row] else job.think
            due = time.monotonic() + pause

    tasks: set[asyncio.Task[None]] = set()
    try:
        if job.clients:
            tasks = {asyncio.create_task(client(number)) for number in range(job.clients)}
            last = zero + job.duration
        else:
            pacer = Pacer(asyncio.get_running_loop())
            try:
                for row in range(columns.rows):
                    await pacer.until(columns.scheduled_at[row])
                    tasks.add(asyncio.create_task(one(row, row)))
            finally:
                pacer.close()
            last = columns.scheduled_at[columns.rows - 1]
        await asyncio.wait(tasks, timeout=max(0.0, last + job.deadline - time.monotonic()))
    except asyncio.CancelledError:
        if not job.clients:
            columns.rows = len(tasks)
    for task in tasks:
        task.cancel()  # does nothing to one that has ended
    # A fault of the instrument must end the run; what a server does wrong is in the columns.
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
    usage.settle(tally)
