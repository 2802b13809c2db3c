"""The contract's paths."""

from __future__ import annotations

from django.urls import path

from demo_apps.django_app import drf_views, views

urlpatterns = [
    path("hello", views.hello),
    path("hold", views.hold),
    path("sync/hold", views.hold),
    path("async/hold", views.async_hold),
    path("async/blocking-hold", views.blocking_hold),
    path("burn", views.burn),
    path("sync/burn", views.burn),
    path("async/burn", views.async_burn),
    path("echo", views.echo),
    path("upload", views.upload),
    path("stream", views.stream),
    path("sse", views.sse),
    path("whoami", views.whoami),
    path("drf/hello", drf_views.hello),
    path("drf/hold", drf_views.hold),
]

handler400 = "demo_apps.django_app.views.bad_request"
