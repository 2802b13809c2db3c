"""A WebSocket for who has logged in by token: a ticket that is good for half a minute."""

from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.middleware import BaseMiddleware
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.signing import BadSignature, TimestampSigner
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

SIGNER = TimestampSigner(salt="websocket")  # signs with SECRET_KEY, which both servers know
SECONDS = 30


class Ticket(APIView):  # type: ignore[misc]  # the framework has no types
    """`POST` with the token, as any other call of the API; in urls.py, `Ticket.as_view()`."""

    authentication_classes = (TokenAuthentication,)  # or that of your JWTs
    permission_classes = (IsAuthenticated,)

    def post(self, request: Request) -> Response:
        return Response({"ticket": SIGNER.sign(request.user.pk)})


class TicketMiddleware(BaseMiddleware):  # type: ignore[misc]  # Channels has no types
    """With `?ticket=` in the address, the user is the ticket's, or nobody."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if "ticket" in query:
            scope = {**scope, "user": await holder(query["ticket"][0])}
        await super().__call__(scope, receive, send)


@database_sync_to_async  # type: ignore[untyped-decorator]
def holder(ticket: str) -> Any:
    users = get_user_model().objects.filter(is_active=True)
    try:
        return users.get(pk=SIGNER.unsign(ticket, max_age=SECONDS))
    except (BadSignature, get_user_model().DoesNotExist):
        return AnonymousUser()
