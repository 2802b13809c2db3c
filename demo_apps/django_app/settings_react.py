"""The project as the API of a React front end: all of its paths below ``/api/``."""

from __future__ import annotations

from demo_apps.django_app.settings import *  # noqa: F403

ROOT_URLCONF = "demo_apps.django_app.urls_react"
