"""A job queue: a view pushes a job to Redis, and `demo_apps.django_streams.worker` takes it out.

Both views are plain functions, as they would be in a project of 2010. Libraries such as Celery and
RQ put retries, schedules and results on top of these two commands.
"""

# Django has no type hints, so its decorators are Any to the checker.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import os
import uuid

import redis
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from demo_apps.django_streams.worker import QUEUE


@require_POST
def push(request: HttpRequest) -> JsonResponse:
    name = uuid.uuid4().hex
    with _redis() as store:
        store.hset(name, "state", "waiting")
        store.rpush(QUEUE, name)
    return JsonResponse({"name": name}, status=202)


def state(request: HttpRequest, name: str) -> JsonResponse:
    """What the worker has written about a job: its state, and the process that did it."""
    with _redis() as store:
        return JsonResponse(store.hgetall(name))


def _redis() -> redis.Redis:
    return redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
