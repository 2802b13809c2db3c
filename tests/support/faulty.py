"""Raw ASGI applications that go wrong now and then, for the tests of what refuses a trial."""

from __future__ import annotations

import itertools

from demo_apps import raw_asgi
from demo_apps.common import Message, Receive, Scope, Send

#: One answer in so many is wrong.
EVERY = 10

_asked = itertools.count(1)


async def sometimes_empty(scope: Scope, receive: Receive, send: Send) -> None:
    """A status of 200 and, every tenth time at ``/hello``, no body."""
    empty = scope["type"] == "http" and scope["path"] == "/hello" and next(_asked) % EVERY == 0

    async def send_less(message: Message) -> None:
        if empty and message["type"] == "http.response.start":
            kept = [(name, v) for name, v in message["headers"] if name != b"content-length"]
            message = {**message, "headers": [*kept, (b"content-length", b"0")]}
        elif empty and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    await raw_asgi.application(scope, receive, send_less)


async def another_clock(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells its start by a clock that is a second slow."""

    async def send_shifted(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (name, b"%.6f" % (float(v) - 1.0) if name == b"x-started" else v)
                for name, v in message["headers"]
            ]
            message = {**message, "headers": headers}
        await send(message)

    await raw_asgi.application(scope, receive, send_shifted)
