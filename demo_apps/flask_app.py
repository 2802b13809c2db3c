"""The contract in Flask, with its optional async views (``flask[async]``).

Run it with ``gunicorn demo_apps.flask_app:application``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, g, request

from demo_apps import common

PIECE_BYTES = 64 * 1024

application = Flask(__name__)


@application.before_request
def note_start() -> None:
    g.started = time.monotonic()


@application.after_request
def add_contract_headers(response: Response) -> Response:
    response.headers.extend(common.contract_headers(g.started))
    return response


@application.errorhandler(common.BadQueryError)
def bad_query(error: common.BadQueryError) -> Response:
    return _text(str(error), status=400)


@application.get("/hello")
def hello() -> Response:
    return _text("hello, world\n")


@application.get("/hold")
@application.get("/sync/hold")
def hold() -> Response:
    ms = _ms(common.DEFAULT_HOLD_MS)
    time.sleep(ms / 1000)
    return _text(common.held(ms))


@application.get("/async/hold")
async def async_hold() -> Response:
    # Flask runs this coroutine to its end on an event loop of its own: the worker still waits.
    ms = _ms(common.DEFAULT_HOLD_MS)
    await asyncio.sleep(ms / 1000)
    return _text(common.held(ms))


@application.get("/async/blocking-hold")
async def blocking_hold() -> Response:
    ms = _ms(common.DEFAULT_HOLD_MS)
    time.sleep(ms / 1000)  # wrong on purpose
    return _text(common.held(ms))


@application.get("/burn")
@application.get("/sync/burn")
def burn() -> Response:
    ms = _ms(common.DEFAULT_HOLD_MS)
    common.burn(ms)
    return _text(common.burned(ms))


@application.get("/async/burn")
async def async_burn() -> Response:
    ms = _ms(common.DEFAULT_HOLD_MS)
    common.burn(ms)
    return _text(common.burned(ms))


@application.route("/echo", methods=["GET", "POST"])
def echo() -> Response:
    if request.method == "GET":
        return _text(request.query_string)
    return _text(request.get_data())


@application.post("/upload")
def upload() -> dict[str, int]:
    size = 0
    while piece := request.stream.read(PIECE_BYTES):
        size += len(piece)
    return {"bytes": size}


@application.get("/stream")
def stream() -> Response:
    n = common.pieces(request.args.get("n"))
    return _text(_paced(common.chunks(n), _ms(common.DEFAULT_GAP_MS)))


@application.get("/sse")
def sse() -> Response:
    n = common.pieces(request.args.get("n"))
    body = _paced(common.events(n), _ms(common.DEFAULT_GAP_MS))
    return Response(body, content_type=common.EVENTS)


@application.get("/whoami")
def whoami() -> dict[str, Any]:
    return common.whoami("flask", "wsgi", request.environ)


def _ms(default: float) -> float:
    return common.milliseconds(request.args.get("ms"), default)


def _text(body: str | bytes | Iterator[str], status: int = 200) -> Response:
    return Response(body, status=status, content_type=common.TEXT)


def _paced(texts: Iterator[str], gap_ms: float) -> Iterator[str]:
    for index, text in enumerate(texts):
        if index:
            time.sleep(gap_ms / 1000)
        yield text
