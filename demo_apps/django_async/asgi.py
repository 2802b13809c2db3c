"""The project for ASGI servers as ``startproject`` writes it: Django alone, without Channels."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_async.settings")

application = get_asgi_application()
