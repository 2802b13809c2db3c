"""One large file, twice: as Django's documentation shows it, and as an event loop needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from django.conf import settings
from django.http import FileResponse, HttpRequest, StreamingHttpResponse

PIECE_BYTES = 64 * 1024


def download(request: HttpRequest) -> FileResponse:
    # Under WSGI the server reads the file as the client takes it. Under ASGI Django reads it to
    # its end before the first byte leaves, because a file is not an asynchronous iterator.
    return FileResponse(Path(settings.DOWNLOAD).open("rb"))


def download_in_pieces(request: HttpRequest) -> StreamingHttpResponse:
    # An asynchronous iterator, which Django sends piece by piece under ASGI. Under WSGI it is the
    # other way round: there this is the view that is read to its end first.
    path = Path(settings.DOWNLOAD)
    return StreamingHttpResponse(
        pieces_of(path),
        content_type="application/octet-stream",
        headers={"Content-Length": str(path.stat().st_size)},
    )


async def pieces_of(path: Path) -> AsyncIterator[bytes]:
    # Reading a file blocks, so each read happens in a thread; the loop is free meanwhile.
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece
    finally:
        await asyncio.to_thread(file.close)
