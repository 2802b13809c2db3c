"""All that an API with Django REST framework has to set, under either interface."""

from __future__ import annotations

# A constant for a demonstration that signs nothing; a real project reads its key from a secret.
SECRET_KEY = "gatewaylab-demo-not-a-secret"  # noqa: S105

# The servers under test bind 127.x.y.z, a new address each run, and never anything else.
ALLOWED_HOSTS = ["*"]

ROOT_URLCONF = "demo_apps.django_async.urls"

INSTALLED_APPS = ["rest_framework"]

MIDDLEWARE = ["demo_apps.django_app.middleware.contract_headers"]

# Django sets the whole process's time zone, by default to America/Chicago.
TIME_ZONE = "UTC"

# No users, so no authentication and no database behind it.
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
