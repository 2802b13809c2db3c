"""Every path that a visit asks for."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path

from . import notifications, views

PATHS = [
    path("page", views.page),
    path("large", views.large),
    path("whoami", views.WhoAmI.as_view()),
    path("token", views.token),
    path("save", views.save),
    path("upload/", views.upload),
    path("cookies", views.cookies),
    path("letters/<name>", views.private),
    path("events/live", views.events),
    path("paid", notifications.paid),
]
urlpatterns = [path("healthz", views.healthz), path(settings.PREFIX, include(PATHS))]
