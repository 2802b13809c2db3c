"""Looking at a server several times: one after another, or several servers side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from gatewaylab.guard.serve import Running, serve
from gatewaylab.servers.registry import Server

Job = TypeVar("Job")
Seen = TypeVar("Seen")


def observe(
    server: Server, look: Callable[[Running], Seen], times: int = 5, **options: Any
) -> list[Seen]:
    """Start a server, look at it ``times`` times one after another, and end it.

    Args:
        options: as for :func:`serve`.
    """
    with serve(server, **options) as running:
        return [look(running) for _ in range(times)]


def side_by_side(
    work: Callable[[Job], Seen], jobs: Mapping[Any, Job] | Sequence[Job], at_once: int = 4
) -> Any:
    """What ``work`` makes of each job, ``at_once`` of them at one time.

    For what no time decides: neighbours make each other slower.

    Returns:
        A list in the order of the jobs; a dict with their names if they have names.
    """
    with ThreadPoolExecutor(at_once) as pool:
        if isinstance(jobs, Mapping):
            return dict(zip(jobs, pool.map(work, jobs.values()), strict=True))
        return list(pool.map(work, jobs))
