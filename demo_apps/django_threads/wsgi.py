"""The counted project for WSGI servers: ``gunicorn demo_apps.django_threads.wsgi:application``."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from demo_apps.django_threads.counting import counted_wsgi, install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_threads.settings")

install()

application = counted_wsgi(get_wsgi_application())
