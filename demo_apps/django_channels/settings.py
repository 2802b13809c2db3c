"""The demo project with a channel layer in Redis where ``REDIS_URL`` names one, else in memory."""

from __future__ import annotations

import os
from typing import Any

from demo_apps.django_app.settings import *  # noqa: F403

ASGI_APPLICATION = "demo_apps.django_channels.asgi.application"
ROOT_URLCONF = "demo_apps.django_channels.urls"
MIDDLEWARE = ["demo_apps.django_app.middleware.contract_headers"]

_redis = os.environ.get("REDIS_URL")

IN_MEMORY: dict[str, Any] = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
IN_REDIS: dict[str, Any] = {
    "BACKEND": "channels_redis.core.RedisChannelLayer",
    # redis-py 8 allows a process 100 by default; of more who join at once, the rest is turned away.
    "CONFIG": {"hosts": [{"address": _redis, "max_connections": 10_000}]},
}

CHANNEL_LAYERS = {"default": IN_REDIS if _redis else IN_MEMORY}
