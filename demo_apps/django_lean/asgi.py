"""The lean project for ASGI servers: ``demo_apps.django_lean.asgi:application``."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "demo_apps.django_lean.settings"

application = get_asgi_application()
