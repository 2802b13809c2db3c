"""A WSGI and an ASGI application of a few lines for the tests of processes.

What they do at import is chosen by the variable TINY, so that one module stands for every kind of
application that a server may be given.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

FLOOD_BYTES = 1_000_000_000


def _flood() -> None:
    line = b"x" * 99 + b"\n"
    for _ in range(FLOOD_BYTES // (len(line) * 640)):
        os.write(2, line * 640)
    os.write(2, b"the flood is over\n")


def _leave_a_daemon() -> None:
    """Fork twice into a new session and ignore what a stop sends: escape, as daemons do."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            import signal

            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(300)
        os._exit(0)


_KIND = os.environ.get("TINY", "")
if _KIND == "never":
    time.sleep(300)
elif _KIND == "late":
    while not os.path.exists(os.environ["TINY_GATE"]):  # noqa: PTH110
        time.sleep(0.01)
elif _KIND == "lagging":  # the first worker is ready at once, the others wait for the gate
    try:
        os.close(os.open(os.environ["TINY_GATE"] + ".first", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        while not os.path.exists(os.environ["TINY_GATE"]):  # noqa: PTH110
            time.sleep(0.01)
elif _KIND == "broken":
    import no_such_module_anywhere  # type: ignore[import-not-found]  # noqa: F401
elif _KIND == "flood":
    threading.Thread(target=_flood, daemon=True).start()
elif _KIND == "daemon":
    _leave_a_daemon()
elif _KIND == "wide":
    _wide = socket.create_server(("0.0.0.0", 0))
elif _KIND == "quoting":
    sys.stderr.write(f"{os.environ['DB_PASSWORD']} redis://me:{'pass'}@host/0 \n")


def _whoami(interface: str) -> bytes:
    if _KIND == "lagging":
        with open(os.environ["TINY_GATE"] + ".asked", "a") as file:  # noqa: PTH123
            file.write(".")
    nonce = "somebody else's" if _KIND == "foreign" else os.environ.get("GATEWAYLAB_NONCE", "")
    if _KIND == "silent":
        return b"somebody"
    return json.dumps(
        {
            "pid": os.getpid(),
            "interface": interface,
            "nonce": nonce,
            "affinity": sorted(os.sched_getaffinity(0)),
            "environment": dict(os.environ),
        }
    ).encode()


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    """WSGI: /whoami, an endless /sse, and 404."""
    path = environ["PATH_INFO"]
    if path == "/whoami" and _KIND == "mute":
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return [b""]
    if path == "/whoami":
        body = _whoami("wsgi")
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    if path == "/sse":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return _endless()
    start_response("404 Not Found", [("Content-Length", "0")])
    return [b""]


def _endless() -> Iterator[bytes]:
    while True:
        yield b"data: tick\n\n"
        time.sleep(0.05)


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """ASGI: the same."""
    import asyncio

    if scope["type"] != "http":
        raise RuntimeError(f"{scope['type']} is not spoken here")
    path = scope["path"]
    status = 200 if path in ("/whoami", "/sse") else 404
    await send({"type": "http.response.start", "status": status, "headers": []})
    if path == "/sse":
        while True:
            await send({"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True})
            await asyncio.sleep(0.05)
    body = _whoami("asgi") if path == "/whoami" else b""
    await send({"type": "http.response.body", "body": body})
