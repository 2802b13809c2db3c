"""The WebSocket routes as Channels consumers."""

# Channels has no type hints, so its base classes are Any to the checker.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer


class Echo(AsyncWebsocketConsumer):
    """Sends back what it gets."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


class Chat(AsyncWebsocketConsumer):
    """One room: each text goes to every member, the sender included."""

    groups = ("chat",)  # Channels joins these on connecting and leaves them on disconnecting

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data is not None:
            await self.channel_layer.group_send("chat", {"type": "chat.text", "text": text_data})

    async def chat_text(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])
