"""A load script as people write it: asyncio, one httpx client, a few tasks, a stopwatch each.

Run by `_peer_tools` in a process of its own; it imports nothing of the instrument. Each task
takes its time around one ``get``, then sleeps for what is left of its interval. When an answer
takes longer than that, the slots it has missed are gone and nobody notices.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httpx


async def ask(client: httpx.AsyncClient, url: str, pause: float, until: float) -> list[float]:
    """One task: the latencies that it saw, in seconds."""
    latencies = []
    while time.perf_counter() < until:
        began = time.perf_counter()
        (await client.get(url)).raise_for_status()
        took = time.perf_counter() - began
        latencies.append(took)
        if pause > took:
            await asyncio.sleep(pause - took)
    return latencies


async def run(url: str, tasks: int, rate: float, seconds: float) -> None:
    """Ask for ``seconds`` at ``rate`` in all (0: as fast as it goes), and print what was seen."""
    async with httpx.AsyncClient() as client:
        # The imports before and the printing after are not part of the load.
        cpu, began, monotonic = time.process_time(), time.perf_counter(), time.monotonic()
        pause = tasks / rate if rate else 0.0
        seen = await asyncio.gather(
            *(ask(client, url, pause, began + seconds) for _ in range(tasks))
        )
        used = {
            "cpu_seconds": time.process_time() - cpu,
            "seconds": time.perf_counter() - began,
            "began": monotonic,
        }
    json.dump({"latencies": [one for task in seen for one in task], **used}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
