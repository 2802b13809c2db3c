"""Views that name the database connection that answered them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import psycopg
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, JsonResponse

from demo_apps import common
from demo_apps.django_database.models import Backend

Query: TypeAlias = tuple[int, float]

TASKS: set[asyncio.Task[None]] = set()


def backend(request: HttpRequest) -> JsonResponse:
    """One query that takes ``ms`` milliseconds, through the ORM."""
    ms = common.milliseconds(request.GET.get("ms"), 0)
    return answer([told(Backend.mine(ms / 1000).get())])


async def fan_out(request: HttpRequest) -> JsonResponse:
    """``n`` queries of ``ms`` milliseconds at once, as ``how`` says, and the seconds they took."""
    n = common.pieces(request.GET.get("n"))
    ms = common.milliseconds(request.GET.get("ms"), 100)
    ask = WAYS[request.GET.get("how", "orm")]
    begun = time.monotonic()
    queries = await asyncio.gather(*(ask(ms / 1000) for _ in range(n)))
    return answer(queries, seconds=time.monotonic() - begun)


async def later(request: HttpRequest) -> JsonResponse:
    """Answer at once; a task makes its query when Django is done with the request."""
    response = answer([])
    task = asyncio.create_task(afterwards(response, close="close" in request.GET))
    TASKS.add(task)  # the event loop itself keeps only a weak reference
    task.add_done_callback(TASKS.discard)
    return response


async def afterwards(response: JsonResponse, *, close: bool) -> None:
    while not response.closed:
        await asyncio.sleep(0.01)
    if close:
        await sync_to_async(query_and_close)()
    else:
        await Backend.mine(0).aget()


def query_and_close() -> None:
    """In one call, hence on one thread, whose connection it closes."""
    try:
        Backend.mine(0).get()
    finally:
        connection.close()


async def tasks(request: HttpRequest) -> JsonResponse:
    """How many tasks are not done yet."""
    return JsonResponse({"tasks": len(TASKS)})


def told(row: Backend) -> Query:
    """Which connection a query came in on, and when, by the database's clock."""
    return int(row.pid), row.query_start.timestamp()


def answer(queries: Sequence[Query], **more: float) -> JsonResponse:
    backends, began = zip(*queries, strict=True) if queries else ((), ())
    return JsonResponse({"backends": backends, "began": began, **more})


async def orm(seconds: float) -> Query:
    """The async ORM, as its documentation shows it."""
    return told(await Backend.mine(seconds).aget())


async def threads(seconds: float) -> Query:
    """The same query on any thread that is free; each thread opens a connection of its own."""

    def ask() -> Query:
        # At the end of a request Django looks after the connection of the request's own thread
        # and of no other.
        try:
            return told(Backend.mine(seconds).get())
        finally:
            connection.close()

    return await sync_to_async(ask, thread_sensitive=False)()


async def driver(seconds: float) -> Query:
    """The same wait through psycopg's async connections, without Django's ORM."""
    # No arguments: libpq reads PGHOST, PGUSER and PGDATABASE itself.
    async with await psycopg.AsyncConnection.connect() as own:
        cursor = await own.execute(
            "SELECT pg_backend_pid(), statement_timestamp(), pg_sleep(%s)", [seconds]
        )
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0]), row[1].timestamp()


WAYS: Mapping[str, Callable[[float], Awaitable[Query]]] = {
    "orm": orm,
    "threads": threads,
    "driver": driver,
}
