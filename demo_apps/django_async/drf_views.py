"""Django REST framework with a plain method, with an ``async def`` one, and with adrf."""

# Django REST framework and adrf have no type hints, so their base classes are Any to the checker.
# mypy: disallow-subclassing-any=False

from __future__ import annotations

from typing import ClassVar

from adrf.views import APIView as AdrfAPIView  # type: ignore[import-untyped]
from asgiref.sync import async_to_sync
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from demo_apps.django_async.views import (
    calls_and_ms,
    gather_upstream,
    pool_upstream,
    where_am_i,
)


class Where(APIView):
    def get(self, request: Request) -> Response:
        return Response(where_am_i())


class AsyncWhere(APIView):
    """What does not work: DRF calls ``get`` and takes the coroutine for the response."""

    async def get(self, request: Request) -> Response:
        return Response(where_am_i())


class AdrfWhere(AdrfAPIView):
    async def get(self, request: Request) -> Response:
        return Response(where_am_i())


class Gathered(APIView):
    """A plain DRF view whose calls to other services wait together, under either interface."""

    def get(self, request: Request) -> Response:
        calls, ms = calls_and_ms(request)
        return Response({"calls": async_to_sync(gather_upstream)(calls, ms)})


class Pooled(APIView):
    """The same without a coroutine: it needs no event loop, so it works on greenlets, too."""

    def get(self, request: Request) -> Response:
        calls, ms = calls_and_ms(request)
        return Response({"calls": pool_upstream(calls, ms)})


class FiveAnHour(AnonRateThrottle):
    rate = "5/hour"


class Throttled(APIView):
    """Counts in Django's default cache, whose default is the memory of one process."""

    throttle_classes: ClassVar = [FiveAnHour]

    def get(self, request: Request) -> Response:
        return Response({"passed": True})
