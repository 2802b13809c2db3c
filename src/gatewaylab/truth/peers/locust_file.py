"""The locustfile that `tools` runs: the fast client, as Locust's documentation has it.

Only Locust imports this, in a process of its own: it loads gevent, which replaces parts of the
standard library. It is copied out of the package first, because Locust puts its folder before all
others on the import path.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, constant, constant_throughput, events, task

_RATE = float(os.environ["PEER_RATE"])  # of each user; 0 to ask again at once
_SECONDS = float(os.environ["PEER_SECONDS"])  # --run-time takes whole ones only
_LEVELS = (0.5, 0.9, 0.99)
_CLOCKS: dict[str, float] = {}


class Visitor(FastHttpUser):
    """One of the users, with a connection of its own."""

    wait_time = constant_throughput(_RATE) if _RATE else constant(0)

    @task
    def visit(self) -> None:
        self.client.get(os.environ["PEER_PATH"])


def _begin(environment: Any, **_: Any) -> None:
    """Read the clocks, and set the one that ends the run."""
    _CLOCKS.update(cpu=time.process_time(), wall=time.perf_counter())
    gevent.spawn_later(_SECONDS, environment.runner.quit)


def _end(environment: Any, **_: Any) -> None:
    """Say what it took, without the imports before and this report, and what Locust counted.

    Locust rounds the latencies that its percentiles are made from: to whole milliseconds, above
    100 ms to two digits. Its mean and its maximum are exact.
    """
    used = {
        "cpu_seconds": time.process_time() - _CLOCKS["cpu"],
        "seconds": time.perf_counter() - _CLOCKS["wall"],
    }
    total = environment.stats.total
    said = used | {
        "requests": total.num_requests - total.num_failures,
        "failed": total.num_failures,
        "mean": total.avg_response_time / 1000,
        "largest": total.max_response_time / 1000,
        "quantiles": [
            (level, total.get_response_time_percentile(level) / 1000) for level in _LEVELS
        ],
    }
    Path(os.environ["PEER_REPORT"]).write_text(json.dumps(said), encoding="utf-8")


events.test_start.add_listener(_begin)  # type: ignore[no-untyped-call]
events.test_stop.add_listener(_end)  # type: ignore[no-untyped-call]
