"""The project for ASGI servers: ``uvicorn demo_apps.django_channels.asgi:application``."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_channels.settings")

http_application = get_asgi_application()

# Consumers may import models, so they come after the line above, which sets Django up.
from demo_apps.django_channels import consumers  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": http_application,
        "websocket": URLRouter(
            [
                path("ws/database", consumers.Database.as_asgi()),
                path("ws/sync", consumers.Sync.as_asgi()),
                path("ws/free-threads", consumers.FreeThreads.as_asgi()),
                path("ws/room", consumers.Room.as_asgi()),
            ]
        ),
    }
)
