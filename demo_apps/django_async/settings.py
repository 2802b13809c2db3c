"""Settings of the project: those of ``django_app``, with more paths and a database of its own."""

from __future__ import annotations

import os
from typing import Any

from demo_apps.django_app.settings import *  # noqa: F403

ROOT_URLCONF = "demo_apps.django_async.urls"
WSGI_APPLICATION = "demo_apps.django_async.wsgi.application"
ASGI_APPLICATION = "demo_apps.django_async.asgi.application"

# A real database that lives in the process: the views ask it only whether a transaction is open.
DATABASES: dict[str, dict[str, Any]] = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
}

# By default each process has a cache of its own, in its memory.
if "REDIS_URL" in os.environ:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["REDIS_URL"],
        }
    }
