"""Settings of a project that is served over TLS only, and cannot be read without secrets."""

from __future__ import annotations

import os
from pathlib import Path

from django.urls import path

from demo_apps.django_app import urls, views
from demo_apps.django_app.settings import *  # noqa: F403

SECRET_KEY = os.environ["SECRET_KEY"]
DATABASE_URL = os.environ["DATABASE_URL"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["REDIS_URL"],
    }
}
INSTALLED_APPS = ["django.contrib.staticfiles"]
STATIC_URL = "/static/"
STATIC_ROOT = Path("public/static").absolute()
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REDIRECT_EXEMPT = [r"^whoami$"]  # by which the harness recognises a server
ROOT_URLCONF = __name__

urlpatterns = [path("healthz", views.hello), *urls.urlpatterns]
