"""The project of ``demo_apps.django_app`` with the paths of this package added."""

from __future__ import annotations

from demo_apps.django_app.settings import *  # noqa: F403
from demo_apps.django_app.settings import LOGGING as _LOGGING

ROOT_URLCONF = "demo_apps.django_streams.urls"

# What became of a task is in the log, where it can be read when the process is gone.
LOGGING = {
    **_LOGGING,
    "loggers": {
        **_LOGGING["loggers"],  # type: ignore[dict-item]
        "demo_apps": {"handlers": ["console"], "level": "INFO", "propagate": False},
    },
}
