"""The same project with every request in a transaction, as many projects have it."""

from __future__ import annotations

from demo_apps.django_async.settings import *  # noqa: F403
from demo_apps.django_async.settings import DATABASES as PLAIN

DATABASES = {"default": {**PLAIN["default"], "ATOMIC_REQUESTS": True}}
