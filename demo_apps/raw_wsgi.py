"""The contract as a bare WSGI callable (PEP 3333): no framework.

Run it with ``gunicorn demo_apps.raw_wsgi:application``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs
from wsgiref.types import InputStream, StartResponse, WSGIEnvironment

from demo_apps import common

PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """A response before its headers: a whole body, or an iterator that streams."""

    body: bytes | Iterator[bytes]
    status: HTTPStatus = HTTPStatus.OK
    media: str = common.TEXT


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request."""
    started = time.monotonic()
    try:
        answer = _answer(environ)
    except common.BadQueryError as error:
        answer = Answer(str(error).encode(), HTTPStatus.BAD_REQUEST)
    headers = [("Content-Type", answer.media), *common.contract_headers(started)]
    if isinstance(answer.body, bytes):
        headers.append(("Content-Length", str(len(answer.body))))
    start_response(f"{answer.status.value} {answer.status.phrase}", headers)
    return [answer.body] if isinstance(answer.body, bytes) else answer.body


def _answer(environ: WSGIEnvironment) -> Answer:
    view = ROUTES.get(environ["PATH_INFO"])
    if view is None:
        return Answer(b"there is nothing at this path\n", HTTPStatus.NOT_FOUND)
    return view(environ)


def hello(environ: WSGIEnvironment) -> Answer:
    return Answer(b"hello, world\n")


def hold(environ: WSGIEnvironment) -> Answer:
    ms = common.milliseconds(_query(environ, "ms"), common.DEFAULT_HOLD_MS)
    time.sleep(ms / 1000)
    return Answer(common.held(ms).encode())


def burn(environ: WSGIEnvironment) -> Answer:
    ms = common.milliseconds(_query(environ, "ms"), common.DEFAULT_HOLD_MS)
    common.burn(ms)
    return Answer(common.burned(ms).encode())


def echo(environ: WSGIEnvironment) -> Answer:
    if environ["REQUEST_METHOD"] == "GET":
        return Answer(environ.get("QUERY_STRING", "").encode("latin-1"))
    return Answer(b"".join(_body(environ)))


def upload(environ: WSGIEnvironment) -> Answer:
    if environ["REQUEST_METHOD"] != "POST":
        return Answer(b"send the upload with POST\n", HTTPStatus.METHOD_NOT_ALLOWED)
    size = sum(len(piece) for piece in _body(environ))
    return Answer(json.dumps({"bytes": size}).encode(), media=common.JSON)


def stream(environ: WSGIEnvironment) -> Answer:
    return Answer(_paced(common.chunks(_pieces(environ)), _gap_ms(environ)))


def sse(environ: WSGIEnvironment) -> Answer:
    body = _paced(common.events(_pieces(environ)), _gap_ms(environ))
    return Answer(body, media=common.EVENTS)


def ticks(environ: WSGIEnvironment) -> Answer:
    """``/sse`` with events that say when they were made."""
    body = _ticks(_pieces(environ), _gap_ms(environ))
    return Answer(body, media=common.EVENTS)


def whoami(environ: WSGIEnvironment) -> Answer:
    body = json.dumps(common.whoami("raw", "wsgi", environ))
    return Answer(body.encode(), media=common.JSON)


# No /async/…: a WSGI callable has no event loop to await in, unless a framework brings one.
ROUTES: dict[str, Callable[[WSGIEnvironment], Answer]] = {
    "/hello": hello,
    "/hold": hold,
    "/sync/hold": hold,
    "/burn": burn,
    "/sync/burn": burn,
    "/echo": echo,
    "/upload": upload,
    "/stream": stream,
    "/sse": sse,
    "/ticks": ticks,
    "/whoami": whoami,
}


def _paced(texts: Iterator[str], gap_ms: float) -> Iterator[bytes]:
    # The server writes out each piece before it asks for the next one (PEP 3333, "Buffering and
    # Streaming"), so a sync application streams; the wait holds the worker's slot meanwhile.
    for index, text in enumerate(texts):
        if index:
            time.sleep(gap_ms / 1000)
        yield text.encode()


def _ticks(n: int, gap_ms: float) -> Iterator[bytes]:
    for index in range(n):
        if index:
            time.sleep(gap_ms / 1000)
        yield common.tick().encode()


def _body(environ: WSGIEnvironment) -> Iterator[bytes]:
    source: InputStream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        left = int(length)
    elif environ.get("wsgi.input_terminated"):
        left = -1  # a chunked body: this server promises an end of file
    else:
        left = 0  # reading on could block for ever
    while left:
        piece = source.read(PIECE_BYTES if left < 0 else min(left, PIECE_BYTES))
        if not piece:
            return
        left -= len(piece) if left > 0 else 0
        yield piece


def _query(environ: WSGIEnvironment, name: str) -> str | None:
    values = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).get(name)
    return values[0] if values else None


def _pieces(environ: WSGIEnvironment) -> int:
    return common.pieces(_query(environ, "n"))


def _gap_ms(environ: WSGIEnvironment) -> float:
    return common.milliseconds(_query(environ, "ms"), common.DEFAULT_GAP_MS)
