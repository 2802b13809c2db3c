"""Two of the routes through Django REST framework."""

# Django REST framework has no type hints, so its decorators are Any to the checker.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import time

from rest_framework.decorators import api_view
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from demo_apps import common


@api_view(["GET"])
def hello(request: Request) -> Response:
    return Response({"message": "hello, world"})


@api_view(["GET"])
def hold(request: Request) -> Response:
    try:
        ms = common.milliseconds(request.query_params.get("ms"), common.DEFAULT_HOLD_MS)
    except common.BadQueryError as error:
        raise ParseError(str(error)) from error
    time.sleep(ms / 1000)
    return Response({"message": common.held(ms).rstrip()})
