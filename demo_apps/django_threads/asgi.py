"""The counted project for ASGI servers.

Run it with ``uvicorn demo_apps.django_threads.asgi:application`` and ask for ``/counts``.
"""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from demo_apps.django_threads.counting import counted_asgi, install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_threads.settings")

install()

application = counted_asgi(get_asgi_application())
