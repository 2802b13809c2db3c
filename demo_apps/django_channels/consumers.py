"""Consumers that leave the event loop, and one that talks to a group."""

# Channels has no type hints, so its base classes are Any to the checker.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer

ROOM = "room"


def wait(ms: str) -> str:
    """What stands for a query: it keeps its thread for ``ms`` milliseconds, names it, says when."""
    began = time.monotonic()
    time.sleep(float(ms) / 1000)
    return json.dumps([threading.get_ident(), began, time.monotonic()])


class Database(AsyncWebsocketConsumer):
    """Waits as Channels' documentation says that database code should be called."""

    async def receive(self, text_data: str) -> None:
        await self.send(await database_sync_to_async(wait)(text_data))


class Sync(WebsocketConsumer):
    """A consumer without any ``async``."""

    def receive(self, text_data: str) -> None:
        self.send(wait(text_data))


class FreeThreads(AsyncWebsocketConsumer):
    """Waits on any thread of the event loop's own pool."""

    async def receive(self, text_data: str) -> None:
        await self.send(await sync_to_async(wait, thread_sensitive=False)(text_data))


class Room(AsyncWebsocketConsumer):
    """Says which process it is in, and passes each text on to the whole group."""

    groups = (ROOM,)

    async def connect(self) -> None:
        await self.accept()
        await self.send(str(os.getpid()))

    async def receive(self, text_data: str) -> None:
        await self.channel_layer.group_send(ROOM, {"type": "room.text", "text": text_data})

    async def room_text(self, event: dict[str, Any]) -> None:
        await self.send(event["text"])
