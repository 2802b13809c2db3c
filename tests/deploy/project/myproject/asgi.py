"""``uvicorn myproject.asgi:application``: Django for HTTP, Channels for WebSockets."""

from __future__ import annotations

import os

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings")
http = get_asgi_application()

from .door import noted_async  # noqa: E402


class Echo(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Sends back what it gets."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


sockets = URLRouter([path("ws/echo", Echo.as_asgi())])
application = noted_async(
    ProtocolTypeRouter({"http": http, "websocket": AllowedHostsOriginValidator(sockets)})
)
