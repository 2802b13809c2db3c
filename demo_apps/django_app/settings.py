"""Settings of the Django project under test: production mode, no database, no sessions."""

from __future__ import annotations

DEBUG = False  # debug mode keeps every query and renders tracebacks: nothing to measure with

# A constant for a demonstration that signs nothing; a real project reads its key from a secret.
SECRET_KEY = "gatewaylab-demo-not-a-secret"  # noqa: S105

# The servers under test bind 127.x.y.z, a new address each run, and never anything else.
ALLOWED_HOSTS = ["*"]

ROOT_URLCONF = "demo_apps.django_app.urls"
WSGI_APPLICATION = "demo_apps.django_app.wsgi.application"
ASGI_APPLICATION = "demo_apps.django_app.asgi.application"

INSTALLED_APPS = ["rest_framework", "channels"]

# What an API without cookies keeps of the seven middleware that startproject lists: sessions,
# CSRF, authentication, messages and the clickjacking header all serve pages with a login.
# The first one adds the contract's headers, so it also times the other two.
MIDDLEWARE = [
    "demo_apps.django_app.middleware.contract_headers",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]

# Django sets the whole process's time zone, by default to America/Chicago.
TIME_ZONE = "UTC"

# No users, so no authentication and no database behind it.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}

# Groups in the memory of one process: with two workers there are two rooms.
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# Without this, production mode mails errors to nobody; a failed view should be in the log.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django": {"handlers": ["console"], "level": "ERROR", "propagate": False}},
}
