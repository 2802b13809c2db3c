"""The contract's paths, and one for a view that says when it began and ended."""

from __future__ import annotations

import time

from django.core.exceptions import BadRequest
from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from demo_apps import common
from demo_apps.django_app import urls as contract


def moments(request: HttpRequest) -> JsonResponse:
    """Hold its thread as ``/sync/hold`` does; a request may have waited for one before."""
    try:
        ms = common.milliseconds(request.GET.get("ms"), common.DEFAULT_HOLD_MS)
    except common.BadQueryError as error:
        raise BadRequest(str(error)) from error
    began = time.monotonic()
    time.sleep(ms / 1000)
    return JsonResponse({"began": began, "ended": time.monotonic()})


urlpatterns = [
    path("sync/moments", moments),
    path("", include("demo_apps.django_app.urls")),
]

handler400 = contract.handler400
