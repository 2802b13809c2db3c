"""The project with a throttle, which counts in Redis where ``REDIS_URL`` names one."""

from __future__ import annotations

import os
from typing import Any

from demo_apps.django_app.settings import *  # noqa: F403
from demo_apps.django_app.settings import REST_FRAMEWORK as PLAIN

_throttle: dict[str, Any] = {
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "5/day"},
}
REST_FRAMEWORK = {**PLAIN, **_throttle}

# Django's default cache is in the memory of one process.
if "REDIS_URL" in os.environ:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["REDIS_URL"],
        }
    }
