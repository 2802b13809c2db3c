"""The contract's paths, and the one that talks to the room."""

from __future__ import annotations

from django.urls import include, path

from demo_apps.django_channels import views

urlpatterns = [
    path("broadcast", views.broadcast),
    path("", include("demo_apps.django_app.urls")),
]
