"""Every kind of figure that the book draws, with made-up numbers and the book's longest words."""

from __future__ import annotations

import numpy as np

from gatewaylab.model.arrivals import Poisson
from gatewaylab.model.queueing import slot_model
from gatewaylab.servers.palette import PURPLE
from gatewaylab.servers.specs import SERVERS
from gatewaylab.show import charts
from gatewaylab.show.figures import Picture, present
from gatewaylab.show.waterfall import Panel, waterfall
from tests import builders

SYNC, THREADS, LOOP = (
    SERVERS[name].color for name in ("gunicorn-sync", "gunicorn-gthread", "uvicorn")
)
_SET_UPS = {
    "gunicorn sync": "gunicorn-sync",
    "gunicorn, 4 threads": "gunicorn-gthread",
    "uWSGI, 4 threads": "uwsgi",
    "granian WSGI, 4 threads": "granian-wsgi",
    "mod_wsgi, 4 threads": "mod_wsgi",
    "waitress, 4 threads": "waitress",
    "nginx → gunicorn sync": "gunicorn-sync",
    "uvicorn": "uvicorn",
    "gunicorn asgi": "gunicorn-asgi",
}
_TOOLS = "what visitors wait", "this book’s generator", "httpx, in a script", "Locust", "wrk"


def gallery() -> dict[str, Picture]:
    """The finished figures by name."""
    drawn = {
        "waterfall": waterfall([
            _panel("one sync worker", 1, SYNC),
            _panel("the view blocks in a thread", 8, THREADS),
            _panel("one event loop", 40, LOOP),
            Panel("two sync workers", None, SYNC),
        ]),
        "strip of three thousands": charts.strip(
            {
                "quick page, fast client": [29_100.0, 29_518.0, 30_400.0],
                "waitress, 16 threads": [4_333.0, 4_300.0],
                "heavy page, slow client": [56.1, 56.7, 57.2],
            },
            unit="per second", x="answers per second, as the client sees it",
        ),
        "strip of few": charts.strip(
            {"computes, 8 clients": [48.0, 48.5, 47.0], "waits, 8 clients": [368.0, 390.0]},
            unit="per second", x="answers per second",
        ),
        "strip from zero": charts.strip(
            {"gunicorn alone": [0.8, 0.814, 0.9], "nginx → gunicorn": [1.4, 1.48, 1.71]},
            unit="ms", x="median latency of one block, ms", log=False,
        ),
        "events": charts.events(
            {"WSGI, plain": [0.1, 0.2, 0.3, 0.4], "WSGI, async": [0.4] * 5},
            colors={"WSGI, plain": SYNC, "WSGI, async": PURPLE},
        ),
        "model line": charts.model_line(
            [1, 2, 3, 4, 6, 8], [620.0, 90.0, 56.0, 52.0, 50.5, 50.1],
            [
                charts.Point(1, 640.0, 300.0, 1000.0, "one sync worker", SYNC),
                charts.Point(2, 92.0, 70.0, 160.0, "two sync workers", SYNC),
                charts.Point(4, 54.0, 52.0, 60.0, "four threads", PURPLE),
                charts.Point(8, 53.0, 51.0, 58.0, "eight threads", THREADS),
            ],
        ),
        "sweep": charts.sweep(
            {
                "the view waits": ([6.7, 20.0, 40.0], [[6.5], [19.0, 20.0], [38.0, 39.0]]),
                "the view computes": ([50.0] * 3, [[48.0, 49.0], [47.0], [46.0, 49.0]]),
            },
            (1, 3, 6), x="workers on one core", y="answers per second", mark=(3, "2n + 1"),
            color=SYNC,
        ),
        "visitors": charts.visitors({
            name: (builders.samples(np.linspace(0.4, 0.001, 60), spacing=0.025), (0.6, 1.0))
            for name in ("visitors, who come when they come", "a client that waits for each answer")
        }),
        "levels": charts.levels({
            tool: {"p90": low, "p99": 395.0, "longest": 402.0}
            for tool, low in zip(_TOOLS, (370.0, 366.0, 3.0, 0.4, 200.0), strict=True)
        }),
        "spans": charts.spans(
            {
                "Django: at most 100 views at one moment": [(0.0, 0.1, 0.3)] * 100,
                "FastAPI: at most 40 views at one moment": [(0.0, 0.2, 0.7)] * 100,
                "gunicorn gthread, WSGI": [(0.0, 0.1 * k, 0.1 * k + 0.1) for k in range(6)],
            },
            x="seconds since the first request came to the application",
            ends=("first stream", "last stream"),
        ),
        "marks": charts.marks(
            {
                title: {name: [0.1, 1.0, 1.02, 40.0] for name in _SET_UPS}
                for title in ("Eight half-sent requests", "Eight slow uploads")
            },
            {name: (SERVERS[kind].color, SERVERS[kind].marker) for name, kind in _SET_UPS.items()},
            x="when the bystander was served, as a share of the stay of the slow",
            line=(1, "the slow clients are let go"),
        ),
        "reach": charts.reach(
            {
                "sync, 1 slot": {0: True, 1: False},
                "gthread, 8 slots": {7: True, 8: False},
                "gevent, 1000 slots": {50: True},
            },
            x="clients that listen (not to scale)",
        ),
    }  # fmt: skip
    return {name: present(figure, alt=name, caption=f"A {name}.") for name, figure in drawn.items()}


def _panel(title: str, slots: int, color: str) -> Panel:
    """A trial of the book's plan as the slot model plays it."""
    plan, hold = Poisson(30.0).plan(0.7, seed=6), 0.05
    latency = slot_model(plan, hold, slots)
    samples = builders.samples(
        latency, service=hold, scheduled_at=plan, started_at=plan + latency - hold,
        finished_at=plan + latency,
    )  # fmt: skip
    return Panel(title, builders.trial(title, 0, [0.1], samples=samples, seconds=0.7), color)
