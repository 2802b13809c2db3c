"""The lean project for WSGI servers: ``demo_apps.django_lean.wsgi:application``."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "demo_apps.django_lean.settings"

application = get_wsgi_application()
