"""How a view, or any other code outside of a consumer, talks to a group."""

from __future__ import annotations

import os

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.http import HttpRequest, JsonResponse

from demo_apps.django_channels.consumers import ROOM


def broadcast(request: HttpRequest) -> JsonResponse:
    """Send ``text`` to the room, from whichever process got the request."""
    text = request.GET.get("text", "")
    async_to_sync(get_channel_layer().group_send)(ROOM, {"type": "room.text", "text": text})
    return JsonResponse({"pid": os.getpid()})
