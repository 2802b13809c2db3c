"""The project's settings without the applications that the timed views do not use."""

from __future__ import annotations

from demo_apps.django_app.settings import *  # noqa: F403

ROOT_URLCONF = "demo_apps.django_lean.urls"
WSGI_APPLICATION = "demo_apps.django_lean.wsgi.application"
ASGI_APPLICATION = "demo_apps.django_lean.asgi.application"
INSTALLED_APPS = []
