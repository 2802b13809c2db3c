"""The same project for ASGI servers, but through its WSGI door and a pool of forty threads.

This is what Django under ASGI does not do: the pool keeps its threads, and bounds them.
"""

from __future__ import annotations

import os

from a2wsgi import WSGIMiddleware
from django.core.wsgi import get_wsgi_application

from demo_apps.django_threads.counting import Asgi, counted_asgi, install
from demo_apps.fastapi_app import ContractHeaders

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_threads.settings")

install()

# As many as FastAPI has for its plain functions.
pooled: Asgi = WSGIMiddleware(get_wsgi_application(), workers=40)

# Django's own middleware runs in the pool. This one tells when a request came, before it waits.
application = counted_asgi(ContractHeaders(pooled))
