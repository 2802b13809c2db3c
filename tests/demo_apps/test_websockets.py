"""The demo applications' WebSockets, in process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.contract import EVERY_BYTE
from tests.in_process import WEBSOCKETS, Talk, application, http_scope, talking_to


def websocket_scope(path: str) -> dict[str, Any]:
    scope = http_scope(path) | {"type": "websocket", "scheme": "ws", "subprotocols": []}
    del scope["method"]
    return scope


@asynccontextmanager
async def socket_to(app: str, path: str) -> AsyncIterator[Talk]:
    async with talking_to(app, websocket_scope(path)) as talk:
        await talk.say("websocket.connect")
        assert (await talk.hear())["type"] == "websocket.accept"
        yield talk
        await talk.say("websocket.disconnect", code=1000)


async def hear(talk: Talk) -> Any:
    message = await talk.hear()
    assert message["type"] == "websocket.send"
    text, data = message.get("text"), message.get("bytes")
    assert (text is None) != (data is None)
    return data if text is None else text


@pytest.mark.parametrize("message", ["grüß dich", "", EVERY_BYTE])
@pytest.mark.parametrize("app", WEBSOCKETS)
def test_the_echo_returns_text_as_text_and_bytes_as_bytes(app: str, message: str | bytes) -> None:
    async def echo() -> Any:
        kind = "text" if isinstance(message, str) else "bytes"
        async with socket_to(app, "/ws/echo") as talk:
            await talk.say("websocket.receive", **{kind: message})
            return await hear(talk)

    assert asyncio.run(echo()) == message


@pytest.mark.parametrize("app", WEBSOCKETS)
def test_the_chat_reaches_everyone_in_the_room_and_outlives_a_member(app: str) -> None:
    async def chat() -> None:
        async with socket_to(app, "/ws/chat") as ann:
            async with socket_to(app, "/ws/chat") as bob:
                await ann.say("websocket.receive", text="hello")
                assert await hear(ann) == "hello"
                assert await hear(bob) == "hello"
            await ann.say("websocket.receive", text="alone")
            assert await hear(ann) == "alone"
            assert bob.heard.empty()

    asyncio.run(chat())


@pytest.mark.parametrize("app", ["raw", "fastapi"])
def test_a_member_whose_sends_fail_does_not_silence_the_room(app: str) -> None:
    async def chat() -> None:
        target = application(app, "asgi")
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await incoming.put({"type": "websocket.connect"})
        accepted = asyncio.Event()

        async def broken_send(message: Any) -> None:
            if message["type"] == "websocket.accept":
                accepted.set()
            else:
                raise OSError("the client has left")

        gone = asyncio.create_task(target(websocket_scope("/ws/chat"), incoming.get, broken_send))
        await accepted.wait()
        async with socket_to(app, "/ws/chat") as ann:
            for text in ("one", "two"):
                await ann.say("websocket.receive", text=text)
                assert await hear(ann) == text
            await incoming.put({"type": "websocket.disconnect", "code": 1006})
            await asyncio.wait_for(gone, 60)

    asyncio.run(chat())


async def connect_to_nothing(app: str) -> Any:
    async with talking_to(app, websocket_scope("/ws/nothing")) as talk:
        await talk.say("websocket.connect")
        return await talk.hear()


@pytest.mark.parametrize("app", ["raw", "fastapi"])
def test_an_unknown_websocket_is_closed_before_it_is_accepted(app: str) -> None:
    assert asyncio.run(connect_to_nothing(app))["type"] == "websocket.close"


def test_an_unknown_websocket_is_an_error_in_channels() -> None:
    # Channels' own router raises; the server then refuses the handshake.
    with pytest.raises(ValueError, match="No route found"):
        asyncio.run(connect_to_nothing("django"))
