"""The contract in FastAPI (Starlette underneath).

Run it with ``uvicorn demo_apps.fastapi_app:application``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo_apps import common

Milliseconds = Annotated[float, Query(ge=0, le=common.MAX_MS)]
Pieces = Annotated[int, Query(ge=0, le=common.MAX_PIECES)]


class ContractHeaders:
    """Pure ASGI middleware: unlike ``BaseHTTPMiddleware`` it adds no task and no queue."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.monotonic()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in common.contract_headers(started):
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, send_with_headers)


application = FastAPI(title="gatewaylab demo", default_response_class=PlainTextResponse)
application.add_middleware(ContractHeaders)


@application.exception_handler(RequestValidationError)
async def bad_query(request: Request, error: RequestValidationError) -> PlainTextResponse:
    # FastAPI's own answer is a 422 in JSON; the contract says 400 and a sentence.
    sentences = [f"{problem['loc'][-1]}: {problem['msg']}\n" for problem in error.errors()]
    return PlainTextResponse("".join(sentences), status_code=400)


@application.get("/hello")
async def hello() -> str:
    return "hello, world\n"


@application.get("/hold")
@application.get("/async/hold")
async def hold(ms: Milliseconds = common.DEFAULT_HOLD_MS) -> str:
    await asyncio.sleep(ms / 1000)
    return common.held(ms)


@application.get("/sync/hold")
def sync_hold(ms: Milliseconds = common.DEFAULT_HOLD_MS) -> str:
    time.sleep(ms / 1000)  # a plain def: Starlette runs it in its pool of threads
    return common.held(ms)


@application.get("/async/blocking-hold")
async def blocking_hold(ms: Milliseconds = common.DEFAULT_HOLD_MS) -> str:
    time.sleep(ms / 1000)  # wrong on purpose: nothing else on this event loop runs meanwhile
    return common.held(ms)


@application.get("/burn")
@application.get("/async/burn")
async def burn(ms: Milliseconds = common.DEFAULT_HOLD_MS) -> str:
    common.burn(ms)  # computing on the event loop blocks it, just as sleeping does
    return common.burned(ms)


@application.get("/sync/burn")
def sync_burn(ms: Milliseconds = common.DEFAULT_HOLD_MS) -> str:
    common.burn(ms)
    return common.burned(ms)


@application.get("/echo")
async def echo_query(request: Request) -> str:
    return request.url.query


@application.post("/echo")
async def echo_body(request: Request) -> Response:
    return PlainTextResponse(await request.body())


@application.post("/upload", response_class=JSONResponse)
async def upload(request: Request) -> dict[str, int]:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return {"bytes": size}


@application.get("/stream")
async def stream(
    n: Pieces = common.DEFAULT_PIECES, ms: Milliseconds = common.DEFAULT_GAP_MS
) -> StreamingResponse:
    return StreamingResponse(_paced(common.chunks(n), ms), media_type="text/plain")


@application.get("/sse")
async def sse(
    n: Pieces = common.DEFAULT_PIECES, ms: Milliseconds = common.DEFAULT_GAP_MS
) -> StreamingResponse:
    return StreamingResponse(_paced(common.events(n), ms), media_type=common.EVENTS)


@application.get("/whoami", response_class=JSONResponse)
async def whoami(request: Request) -> dict[str, Any]:
    return common.whoami("fastapi", "asgi", request.scope)


async def _paced(texts: Iterator[str], gap_ms: float) -> AsyncIterator[str]:
    for index, text in enumerate(texts):
        if index:
            await asyncio.sleep(gap_ms / 1000)
        yield text


@application.websocket("/ws/echo")
async def echo_socket(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in _incoming(websocket):
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


# The room belongs to this process: with two workers there are two rooms.
ROOM: set[WebSocket] = set()


@application.websocket("/ws/chat")
async def chat_socket(websocket: WebSocket) -> None:
    await websocket.accept()
    ROOM.add(websocket)
    try:
        async for message in _incoming(websocket):
            if message.get("text") is not None:
                await _tell_everyone(message["text"])
    finally:
        ROOM.discard(websocket)


async def _tell_everyone(text: str) -> None:
    # A member may leave while this runs; its failed send is no reason to stop the others.
    await asyncio.gather(*(member.send_text(text) for member in ROOM), return_exceptions=True)


async def _incoming(websocket: WebSocket) -> AsyncIterator[Message]:
    # ``iter_text`` would raise in a member whose last send failed because its client had left.
    while (message := await websocket.receive())["type"] == "websocket.receive":
        yield message
