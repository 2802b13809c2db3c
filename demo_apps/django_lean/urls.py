"""The paths that timed trials ask for, and the one by which a server is recognised."""

from __future__ import annotations

from django.urls import path

from demo_apps.django_app import views

urlpatterns = [
    path("hello", views.hello),
    path("sync/hold", views.hold),
    path("async/hold", views.async_hold),
    path("async/blocking-hold", views.blocking_hold),
    path("sync/burn", views.burn),
    path("async/burn", views.async_burn),
    path("whoami", views.whoami),
]

handler400 = "demo_apps.django_app.views.bad_request"
