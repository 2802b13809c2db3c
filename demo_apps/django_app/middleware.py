"""The contract's headers on every response, under WSGI and under ASGI."""

# Django has no type hints, so its decorators are Any to the checker.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from demo_apps import common


@sync_and_async_middleware
def contract_headers(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    # Both kinds, because Django would run a sync-only middleware in a thread under ASGI, and an
    # async-only one on a new event loop under WSGI: two switches a request, paid by every view.
    if iscoroutinefunction(get_response):

        async def async_middleware(request: HttpRequest) -> HttpResponseBase:
            started = time.monotonic()
            return _with_headers(await get_response(request), started)

        return async_middleware

    def middleware(request: HttpRequest) -> HttpResponseBase:
        started = time.monotonic()
        return _with_headers(get_response(request), started)

    return middleware


def _with_headers(response: HttpResponseBase, started: float) -> HttpResponseBase:
    for name, value in common.contract_headers(started):
        response[name] = value
    return response
