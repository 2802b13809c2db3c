"""The project for ASGI servers: ``uvicorn demo_apps.django_app.asgi:application``.

HTTP goes to Django's own handler, WebSockets to Channels. There is no lifespan: Django has none.
"""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_app.settings")

http_application = get_asgi_application()

# Consumers may import models, so they come after the line above, which sets Django up.
from demo_apps.django_app.routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": http_application,
        "websocket": URLRouter(websocket_urlpatterns),
    }
)
