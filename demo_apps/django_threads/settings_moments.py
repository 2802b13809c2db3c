"""The demo project with its own middleware, and the view that says when it began and ended."""

from __future__ import annotations

from demo_apps.django_app.settings import *  # noqa: F403

ROOT_URLCONF = "demo_apps.django_threads.urls"
