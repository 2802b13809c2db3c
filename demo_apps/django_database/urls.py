"""The contract's paths, and those that ask the database."""

from __future__ import annotations

from django.urls import include, path

from demo_apps.django_database import views

urlpatterns = [
    path("backend", views.backend),
    path("fan-out", views.fan_out),
    path("later", views.later),
    path("tasks", views.tasks),
    path("", include("demo_apps.django_app.urls")),
]
