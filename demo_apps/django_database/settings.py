"""The demo project on a PostgreSQL, which is found through libpq's own environment variables.

``DATABASE_MAX_AGE`` is the number of seconds that a connection may be kept. ``DATABASE_POOL``,
when set, is the size of a pool, which Django refuses to combine with kept connections.
"""

from __future__ import annotations

import os
from typing import Any

from demo_apps.django_app.settings import *  # noqa: F403

ROOT_URLCONF = "demo_apps.django_database.urls"
INSTALLED_APPS = ["demo_apps.django_database"]
MIDDLEWARE = []

_pool = int(os.environ.get("DATABASE_POOL", "0"))

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("PGHOST", ""),
        "USER": os.environ.get("PGUSER", ""),
        "NAME": os.environ.get("PGDATABASE", "postgres"),
        "CONN_MAX_AGE": 0 if _pool else int(os.environ.get("DATABASE_MAX_AGE", "0")),
        "OPTIONS": {"pool": {"min_size": 1, "max_size": _pool}} if _pool else {},
    }
}
