"""The demo applications driven in process: by httpx where it can, else by hand."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from wsgiref.util import setup_testing_defaults

import httpx

from tests.contract import STACKS, has_websockets

MODULES = {
    ("raw", "wsgi"): "demo_apps.raw_wsgi",
    ("raw", "asgi"): "demo_apps.raw_asgi",
    ("flask", "wsgi"): "demo_apps.flask_app",
    ("fastapi", "asgi"): "demo_apps.fastapi_app",
    ("django", "wsgi"): "demo_apps.django_app.wsgi",
    ("django", "asgi"): "demo_apps.django_app.asgi",
}

WSGI = [app for app, interface in STACKS if interface == "wsgi"]
ASGI = [app for app, interface in STACKS if interface == "asgi"]
WEBSOCKETS = [app for app in ASGI if has_websockets(app, "asgi")]


def application(app: str, interface: str) -> Any:
    return importlib.import_module(MODULES[app, interface]).application


def ask(
    app: str, interface: str, path: str, method: str = "GET", send: bytes = b""
) -> tuple[httpx.Response, float, float]:
    """The response to one request, and the monotonic seconds just before and after it."""
    target = application(app, interface)
    before = time.monotonic()
    if interface == "wsgi":
        transport = httpx.WSGITransport(target)
        with httpx.Client(transport=transport, base_url="http://127.0.0.1") as client:
            response = client.request(method, path, content=send)
    else:
        response = asyncio.run(ask_asgi(target, path, method, send))
    return response, before, time.monotonic()


async def ask_asgi(
    target: Any, path: str, method: str = "GET", send: bytes = b"", *, raises: bool = True
) -> httpx.Response:
    transport = httpx.ASGITransport(target, raise_app_exceptions=raises)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.request(method, path, content=send)


def pieces(app: str, interface: str, path: str) -> list[tuple[float, bytes]]:
    """Each piece of a response's body, with the moment at which it comes."""
    if interface == "wsgi":
        body = application(app, "wsgi")(environ_of(path), lambda *_: None)
        got = [(time.monotonic(), piece) for piece in body if piece]
        getattr(body, "close", lambda: None)()
        return got

    async def listen() -> list[tuple[float, bytes]]:
        async with talking_to(app, http_scope(path)) as talk:
            await talk.say("http.request")
            assert (await talk.hear())["type"] == "http.response.start"
            got, more = [], True
            while more:
                message = await talk.hear()
                if message.get("body"):
                    got.append((time.monotonic(), message["body"]))
                more = message.get("more_body", False)
            await talk.say("http.disconnect")
        return got

    return asyncio.run(listen())


def environ_of(path: str) -> dict[str, Any]:
    path, _, query = path.partition("?")
    environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": ""}
    setup_testing_defaults(environ)
    return environ


def http_scope(path: str, method: str = "GET") -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


class Talk:
    """One scope of an application, driven by hand: we say what a server would."""

    def __init__(self, target: Any, scope: dict[str, Any]) -> None:
        self._said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task = asyncio.create_task(target(scope, self._said.get, self.heard.put))

    async def say(self, kind: str, **rest: Any) -> None:
        await self._said.put({"type": kind, **rest})

    async def hear(self) -> dict[str, Any]:
        """The application's next message; its error, if it ended with one."""
        message = asyncio.create_task(self.heard.get())
        await asyncio.wait({message, self._task}, timeout=60, return_when="FIRST_COMPLETED")
        if message.done():
            return message.result()
        message.cancel()
        await self.end()
        raise AssertionError("the application ended and said nothing")

    async def end(self) -> None:
        """Wait until the application returns."""
        await asyncio.wait_for(self._task, 60)


@asynccontextmanager
async def talking_to(app: str, scope: dict[str, Any]) -> AsyncIterator[Talk]:
    talk = Talk(application(app, "asgi"), scope)
    yield talk
    await talk.end()
