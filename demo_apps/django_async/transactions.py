"""Which views are inside a transaction; with ``settings_atomic`` every plain one should be."""

# Django has no type hints, so its decorators are Any to the checker.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.http import HttpRequest, JsonResponse


def plain(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"transaction": connection.in_atomic_block})


async def coroutine(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"transaction": connection.in_atomic_block})


@transaction.non_atomic_requests
async def exempt(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"transaction": connection.in_atomic_block})


@transaction.non_atomic_requests
async def async_with(request: HttpRequest) -> JsonResponse:
    """What does not work: a transaction is not an asynchronous context manager."""
    async with transaction.atomic():
        return JsonResponse({"transaction": connection.in_atomic_block})


def unit_of_work() -> bool:
    """The part that must succeed or fail as a whole, in one plain function."""
    with transaction.atomic():
        return bool(connection.in_atomic_block)


@transaction.non_atomic_requests
async def in_thread(request: HttpRequest) -> JsonResponse:
    """What works: one switch into a thread for the whole of the transaction."""
    return JsonResponse({"transaction": await sync_to_async(unit_of_work)()})
