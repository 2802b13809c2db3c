"""Messages to whoever is logged in: a consumer on uvicorn, and views that speak to it."""

from typing import Any

from asgiref.sync import async_to_sync
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST


class Notifications(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """The sockets of one user are one group."""

    async def connect(self) -> None:
        user = self.scope["user"]
        self.group = f"user-{user.pk}"
        if not user.is_authenticated:
            await self.close()  # before accept: the handshake is answered with 403
            return
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def notify(self, event: dict[str, Any]) -> None:
        await self.send_json(event["message"])


def tell(user: int, message: object) -> None:
    """From a plain view, on whichever server it runs. On greenlets, async_to_sync fails."""
    send = async_to_sync(get_channel_layer().group_send)
    send(f"user-{user}", {"type": "notify", "message": message})


@require_POST  # type: ignore[untyped-decorator]
@login_required  # type: ignore[untyped-decorator]
def paid(request: HttpRequest) -> HttpResponse:
    tell(request.user.pk, {"paid": request.POST["order"]})
    return HttpResponse(status=204)
