"""The locustfile that `_peer_tools` runs: the fast client, as Locust's documentation has it.

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
_CLOCKS: dict[str, float] = {}


class Visitor(FastHttpUser):
    """One of the users, with a connection of its own."""

    wait_time = constant_throughput(_RATE) if _RATE else constant(0)

    @task
    def visit(self) -> None:
        """One request."""
        self.client.get(os.environ["PEER_PATH"])


def _begin(environment: Any, **_: Any) -> None:
    """Read the clocks, and set the one that ends the run."""
    _CLOCKS.update(cpu=time.process_time(), wall=time.perf_counter())
    gevent.spawn_later(_SECONDS, environment.runner.quit)


def _end(**_: Any) -> None:
    """Say what it took; the imports before and the reports after are not part of the load."""
    used = {
        "cpu_seconds": time.process_time() - _CLOCKS["cpu"],
        "seconds": time.perf_counter() - _CLOCKS["wall"],
    }
    Path(os.environ["PEER_USAGE"]).write_text(json.dumps(used), encoding="utf-8")


events.test_start.add_listener(_begin)  # type: ignore[no-untyped-call]
events.test_stop.add_listener(_end)  # type: ignore[no-untyped-call]
