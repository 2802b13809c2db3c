"""``uvicorn myproject.asgi:application``: Django for HTTP, Channels for WebSockets."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings")
http = get_asgi_application()

# After the line above, which sets Django up.
from .notifications import Notifications  # noqa: E402
from .tickets import TicketMiddleware  # noqa: E402

paths = [path("ws/notifications", Notifications.as_asgi())]
# A page of another site is refused. scope["user"] is who the session's cookie or a ticket names.
sockets = AllowedHostsOriginValidator(AuthMiddlewareStack(TicketMiddleware(URLRouter(paths))))
application = ProtocolTypeRouter({"http": http, "websocket": sockets})

# What follows is for the tests; the book prints what stands above.
from .door import noted_async  # noqa: E402
from .echo import Echo  # noqa: E402

paths.append(path("ws/echo", Echo.as_asgi()))
application = noted_async(application)
