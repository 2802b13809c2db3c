"""An answer that is sent word by word, under ASGI, to those who may ask."""

from __future__ import annotations

from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from .model import words  # in its place: the asynchronous client of your model


class MayAsk(APIView):  # type: ignore[misc]  # the framework has no types
    """Who may ask: a view as any other of the API. Its answer is sent only if it refuses."""

    authentication_classes = (TokenAuthentication, SessionAuthentication)
    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        return Response()


@sync_to_async
def checked(request: HttpRequest) -> HttpResponse:
    try:
        return MayAsk.as_view()(request)  # from now on request.user is the API's
    finally:
        connections.close_all()  # an open stream would keep its connection


async def answer(request: HttpRequest) -> HttpResponseBase:
    reply = await checked(request)
    return stream(request) if reply.status_code == 200 else reply


async def answer_without_drf(request: HttpRequest) -> HttpResponseBase:
    user = await request.auser()  # who is logged in, by the session's cookie
    await sync_to_async(connections.close_all)()
    return stream(request) if user.is_authenticated else HttpResponse(status=401)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        events(request.GET["question"]),
        content_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def events(question: str) -> AsyncIterator[str]:
    async for word in words(question):
        yield f"data: {word}\n\n"
