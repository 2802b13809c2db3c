"""Views that name the database connection that answered them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import psycopg
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, JsonResponse

from demo_apps import common
from demo_apps.django_database.models import Backend


def backend(request: HttpRequest) -> JsonResponse:
    """One query that takes ``ms`` milliseconds, through the ORM."""
    ms = common.milliseconds(request.GET.get("ms"), 0)
    return JsonResponse({"backends": [Backend.mine(ms / 1000).get().pid]})


async def fan_out(request: HttpRequest) -> JsonResponse:
    """``n`` queries of ``ms`` milliseconds at once, as ``how`` says, and the seconds they took."""
    n = common.pieces(request.GET.get("n"))
    ms = common.milliseconds(request.GET.get("ms"), 100)
    ask = WAYS[request.GET.get("how", "orm")]
    begun = time.monotonic()
    pids = await asyncio.gather(*(ask(ms / 1000) for _ in range(n)))
    return JsonResponse({"backends": pids, "seconds": time.monotonic() - begun})


async def orm(seconds: float) -> int:
    """The async ORM, as its documentation shows it."""
    row = await Backend.mine(seconds).aget()
    return int(row.pid)


async def threads(seconds: float) -> int:
    """The same query on any thread that is free; each thread opens a connection of its own."""

    def ask() -> int:
        # At the end of a request Django looks after the connection of the request's own thread
        # and of no other.
        try:
            return int(Backend.mine(seconds).get().pid)
        finally:
            connection.close()

    return await sync_to_async(ask, thread_sensitive=False)()


async def driver(seconds: float) -> int:
    """The same wait through psycopg's async connections, without Django's ORM."""
    # No arguments: libpq reads PGHOST, PGUSER and PGDATABASE itself.
    async with await psycopg.AsyncConnection.connect() as own:
        cursor = await own.execute("SELECT pg_backend_pid(), pg_sleep(%s)", [seconds])
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


WAYS: Mapping[str, Callable[[float], Awaitable[int]]] = {
    "orm": orm,
    "threads": threads,
    "driver": driver,
}
