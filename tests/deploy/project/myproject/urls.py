"""Every path that a visit asks for."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path

from . import notifications, streams, tickets, views

PATHS = [
    path("page", views.page),
    path("large", views.large),
    path("whoami", views.WhoAmI.as_view()),
    path("token", views.token),
    path("save", views.save),
    path("upload/", views.upload),
    path("cookies", views.cookies),
    path("letters/<name>", views.private),
    path("events/whoami", views.WhoAmI.as_view()),
    path("events/live", views.events),
    path("paid", notifications.paid),
    path("ticket", tickets.Ticket.as_view()),
    path("events/crowd", views.crowd),
    path("events/answer", streams.answer),
    path("events/answer-without-drf", streams.answer_without_drf),
]
urlpatterns = [
    path("healthz", views.healthz),
    path("admin/", views.page),
    path(settings.PREFIX, include(PATHS)),
]
