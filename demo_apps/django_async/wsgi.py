"""The project for WSGI servers: ``gunicorn demo_apps.django_async.wsgi:application``."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_async.settings")

application = get_wsgi_application()
