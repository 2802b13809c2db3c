"""What enters the application and what has left it: a line each in the file `calls` of `SITE`.

Written at the interface's own door, before Django reads a body: a call that has begun and not
ended holds a slot.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

CALLS = Path(os.environ["MYPROJECT_SITE"], "calls")


def note(what: str, path: str) -> None:
    with CALLS.open("a") as file:
        file.write(f"{what} {path}\n")


def noted(application: Any) -> Any:
    """A WSGI application that is counted."""

    def counted(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        note("begin", environ["PATH_INFO"])
        return _Body(application(environ, start_response), environ["PATH_INFO"])

    return counted


class _Body:
    def __init__(self, body: Any, path: str) -> None:
        self.body, self.path = body, path

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        self.body.close()
        note("end", self.path)


def noted_async(application: Any) -> Any:
    """An ASGI application that is counted."""

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        note("begin", scope["path"])
        try:
            await application(scope, receive, send)
        finally:
            note("end", scope["path"])

    return counted
