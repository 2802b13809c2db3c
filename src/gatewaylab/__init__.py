"""Measure WSGI and ASGI servers with open-loop load, and publish what was seen.

What a notebook needs is imported from here, and nothing else is public. Each name is loaded when it
is first asked for: a load generator that starts must not wait for the figures.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "claims.claim": "claim",
    "errors": "ServerStartError",
    "guard.serve": "serve",
    "guard.services": "missing_services postgres redis",
    "guard.tree": "first_process workers_of",
    "load.clients": "ask inside most_at_once peak_inside reach_all settled span together",
    "load.crowds": "echoes slow_bodies slow_heads streams websockets",
    "load.in_process": "call_asgi call_wsgi",
    "load.request": "get post",
    "load.run": "run",
    "measure.compare": "compare",
    "measure.cores": "choose_cores",
    "measure.delay": "Delay both_ways every repeated sooner until",
    "measure.events": "listen",
    "measure.looks": "observe side_by_side",
    "measure.outcome": "predict setup",
    "measure.readings": "quantity readings",
    "measure.reference": "reference_server",
    "model.arrivals": "Closed ConstantRate Poisson",
    "model.queueing": "lindley slot_model slots_needed",
    "records.results": "Expected",
    "records.staging": "cite",
    "servers.registry": "missing project_root server",
    "servers.specs": "SERVERS",
    "show.charts": "Point events levels marks model_line reach spans strip sweep visitors",
    "show.figures": "present",
    "show.tables": "Table latencies",
    "show.waterfall": "Panel waterfall",
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"gatewaylab has no public name {name!r}; it has: {', '.join(_HOME)}")
    return getattr(import_module(f"gatewaylab.{_HOME[name]}"), name)
