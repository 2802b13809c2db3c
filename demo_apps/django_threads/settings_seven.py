"""The same project with the seven middleware that ``startproject`` lists, in its order."""

from __future__ import annotations

from demo_apps.django_threads.settings import *  # noqa: F403

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# Sessions in the cookie itself, so that no database is behind them.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
