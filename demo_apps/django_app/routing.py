"""The WebSocket paths; the HTTP ones are in ``urls``."""

from __future__ import annotations

from django.urls import path

from demo_apps.django_app.consumers import Chat, Echo

websocket_urlpatterns = [
    path("ws/echo", Echo.as_asgi()),
    path("ws/chat", Chat.as_asgi()),
]
