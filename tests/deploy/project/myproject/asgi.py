"""``uvicorn myproject.asgi:application``: Django for HTTP, Channels for WebSockets."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings")
http = get_asgi_application()

# After the line above, which sets Django up.
from .door import noted_async  # noqa: E402
from .notifications import Notifications  # noqa: E402


class Echo(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Sends back what it gets."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


# Who comes from a page of another site is refused; scope["user"] is who the session's cookie says.
sockets = AllowedHostsOriginValidator(
    AuthMiddlewareStack(
        URLRouter(
            [
                path("ws/echo", Echo.as_asgi()),
                path("ws/notifications", Notifications.as_asgi()),
            ]
        )
    )
)
application = noted_async(ProtocolTypeRouter({"http": http, "websocket": sockets}))
