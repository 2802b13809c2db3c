"""The demo project without any middleware: what is left is what Django's handlers do themselves."""

from __future__ import annotations

from demo_apps.django_app.settings import *  # noqa: F403

# What the middleware of `settings_seven` import; without middleware they do nothing.
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]

MIDDLEWARE = []
