"""A bare ASGI callable that shows what its server passes; the rest is ``raw_asgi``'s.

``/scope`` and the WebSocket ``/ws/scope`` give back the scope as Python writes it down, with every
type as the application sees it. ``/meet`` answers as soon as three calls of it are inside at once.

Run it with ``uvicorn demo_apps.scopes:application``.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time

from demo_apps import common, raw_asgi
from demo_apps.common import Message, Receive, Scope, Send

#: How many calls of ``/meet`` have to be inside at once.
PARTY = 3

#: Seconds after which a call gives up: many for ``/meet``, because on a slow machine companions
#: take their time; few for ``/blocking-meet``, which keeps the thread that they need to come.
PATIENCE, BLOCKING_PATIENCE = 30.0, 0.05

_meeting = asyncio.Barrier(PARTY)
_blocking_meeting = threading.Barrier(PARTY)

# The scope of the server's announcement that it starts, if it makes one.
_lifespans: list[Scope] = []


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one scope."""
    started = time.monotonic()
    if scope["type"] == "lifespan":
        _lifespans.append({**scope})
        await raw_asgi.application(scope, receive, send)
    elif scope["type"] == "websocket" and scope["path"] == "/ws/scope":
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": repr(scope)})
        await send({"type": "websocket.close"})
    elif scope["path"] == "/scope":
        await _respond(send, repr(scope), started)
    elif scope["path"] == "/lifespan":
        await _respond(send, repr(_lifespans), started)
    elif scope["path"] == "/meet":
        await _respond(send, json.dumps({"met": await _meet()}), started)
    elif scope["path"] == "/blocking-meet":
        await _respond(send, json.dumps({"met": _meet_blocking()}), started)
    else:
        await raw_asgi.application(scope, receive, send)


async def _meet() -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await _meeting.wait()
    except TimeoutError:
        return False
    return True


def _meet_blocking() -> bool:
    # Wrong on purpose: the calls that this one waits for need the thread that it keeps.
    try:
        _blocking_meeting.wait(BLOCKING_PATIENCE)
    except threading.BrokenBarrierError:
        _blocking_meeting.reset()
        return False
    return True


async def _respond(send: Send, text: str, started: float) -> None:
    headers = [("Content-Type", common.TEXT), *common.contract_headers(started)]
    head: Message = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    await send(head)
    await send({"type": "http.response.body", "body": text.encode()})
