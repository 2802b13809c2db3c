"""The contract as a bare ASGI callable: HTTP, WebSocket and lifespan, no framework.

Run it with ``uvicorn demo_apps.raw_asgi:application``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from demo_apps import common
from demo_apps.common import Message, Receive, Scope, Send


@dataclass(frozen=True)
class Paced:
    """Texts to stream, with a wait of ``gap_ms`` before each but the first."""

    texts: Iterator[str]
    gap_ms: float


@dataclass(frozen=True)
class Answer:
    """A response before its headers: a whole body, or a paced stream."""

    body: bytes | Paced
    status: HTTPStatus = HTTPStatus.OK
    media: str = common.TEXT


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one scope: a request, a WebSocket connection, or the server's whole life."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _websocket(scope, receive, send)
    else:
        await _http(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    # There is nothing to open or close here; the server still waits for both answers.
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _http(scope: Scope, receive: Receive, send: Send) -> None:
    started = time.monotonic()
    try:
        answer = await _answer(scope, receive)
    except common.BadQueryError as error:
        answer = Answer(str(error).encode(), HTTPStatus.BAD_REQUEST)
    headers = [("Content-Type", answer.media), *common.contract_headers(started)]
    if isinstance(answer.body, bytes):
        headers.append(("Content-Length", str(len(answer.body))))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status.value,
            # ASGI wants bytes, and names in lower case.
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        }
    )
    if isinstance(answer.body, bytes):
        await send({"type": "http.response.body", "body": answer.body})
    else:
        await _send_paced(answer.body, receive, send)


async def _send_paced(stream: Paced, receive: Receive, send: Send) -> None:
    # Waiting for the client to leave instead of sleeping: whoever closes the page frees the
    # coroutine at once.
    gone = asyncio.create_task(_disconnected(receive))
    try:
        for index, text in enumerate(stream.texts):
            if index:
                await asyncio.wait({gone}, timeout=stream.gap_ms / 1000)
            if gone.done():
                return
            body = text.encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(scope: Scope, receive: Receive) -> Answer:
    view = ROUTES.get(scope["path"])
    if view is None:
        return Answer(b"there is nothing at this path\n", HTTPStatus.NOT_FOUND)
    return await view(scope, receive)


async def hello(scope: Scope, receive: Receive) -> Answer:
    return Answer(b"hello, world\n")


async def hold(scope: Scope, receive: Receive) -> Answer:
    ms = _ms(scope, common.DEFAULT_HOLD_MS)
    await asyncio.sleep(ms / 1000)
    return Answer(common.held(ms).encode())


async def blocking_hold(scope: Scope, receive: Receive) -> Answer:
    ms = _ms(scope, common.DEFAULT_HOLD_MS)
    time.sleep(ms / 1000)  # wrong on purpose: nothing else on this event loop runs meanwhile
    return Answer(common.held(ms).encode())


async def sync_hold(scope: Scope, receive: Receive) -> Answer:
    ms = _ms(scope, common.DEFAULT_HOLD_MS)
    await asyncio.to_thread(time.sleep, ms / 1000)
    return Answer(common.held(ms).encode())


async def burn(scope: Scope, receive: Receive) -> Answer:
    ms = _ms(scope, common.DEFAULT_HOLD_MS)
    common.burn(ms)  # computing on the event loop blocks it, just as sleeping does
    return Answer(common.burned(ms).encode())


async def sync_burn(scope: Scope, receive: Receive) -> Answer:
    ms = _ms(scope, common.DEFAULT_HOLD_MS)
    await asyncio.to_thread(common.burn, ms)
    return Answer(common.burned(ms).encode())


async def echo(scope: Scope, receive: Receive) -> Answer:
    if scope["method"] == "GET":
        return Answer(scope["query_string"])
    return Answer(b"".join([piece async for piece in _body(receive)]))


async def upload(scope: Scope, receive: Receive) -> Answer:
    if scope["method"] != "POST":
        return Answer(b"send the upload with POST\n", HTTPStatus.METHOD_NOT_ALLOWED)
    size = 0
    async for piece in _body(receive):
        size += len(piece)
    return Answer(json.dumps({"bytes": size}).encode(), media=common.JSON)


async def stream(scope: Scope, receive: Receive) -> Answer:
    n = common.pieces(_query(scope, "n"))
    return Answer(Paced(common.chunks(n), _ms(scope, common.DEFAULT_GAP_MS)))


async def sse(scope: Scope, receive: Receive) -> Answer:
    n = common.pieces(_query(scope, "n"))
    body = Paced(common.events(n), _ms(scope, common.DEFAULT_GAP_MS))
    return Answer(body, media=common.EVENTS)


async def whoami(scope: Scope, receive: Receive) -> Answer:
    body = json.dumps(common.whoami("raw", "asgi", scope))
    return Answer(body.encode(), media=common.JSON)


ROUTES: dict[str, Callable[[Scope, Receive], Awaitable[Answer]]] = {
    "/hello": hello,
    "/hold": hold,
    "/sync/hold": sync_hold,
    "/async/hold": hold,
    "/async/blocking-hold": blocking_hold,
    "/burn": burn,
    "/sync/burn": sync_burn,
    "/async/burn": burn,
    "/echo": echo,
    "/upload": upload,
    "/stream": stream,
    "/sse": sse,
    "/whoami": whoami,
}


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while (message := await receive())["type"] == "http.request":
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def _query(scope: Scope, name: str) -> str | None:
    values = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get(name)
    return values[0] if values else None


def _ms(scope: Scope, default: float) -> float:
    return common.milliseconds(_query(scope, "ms"), default)


# WebSockets. The room belongs to this process: with two workers there are two rooms.
ROOM: set[Send] = set()


async def _websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()  # websocket.connect
    if scope["path"] == "/ws/echo":
        await _echo_socket(receive, send)
    elif scope["path"] == "/ws/chat":
        await _chat_socket(receive, send)
    else:
        await send({"type": "websocket.close"})  # before accepting: the client sees a 403


async def _echo_socket(receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    async for message in _incoming(receive):
        kind = "bytes" if message.get("text") is None else "text"
        await send({"type": "websocket.send", kind: message[kind]})


async def _chat_socket(receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    ROOM.add(send)
    try:
        async for message in _incoming(receive):
            if message.get("text") is not None:
                await _tell_everyone(message["text"])
    finally:
        ROOM.discard(send)


async def _tell_everyone(text: str) -> None:
    # A member may leave while this runs; its failed send is no reason to stop the others.
    await asyncio.gather(
        *(member({"type": "websocket.send", "text": text}) for member in ROOM),
        return_exceptions=True,
    )


async def _incoming(receive: Receive) -> AsyncIterator[Message]:
    while (message := await receive())["type"] == "websocket.receive":
        yield message
