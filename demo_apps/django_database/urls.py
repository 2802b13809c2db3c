"""The contract's paths, and the two that ask the database."""

from __future__ import annotations

from django.urls import include, path

from demo_apps.django_database import views

urlpatterns = [
    path("backend", views.backend),
    path("fan-out", views.fan_out),
    path("", include("demo_apps.django_app.urls")),
]
