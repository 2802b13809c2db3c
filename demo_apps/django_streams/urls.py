"""The contract's paths, and those of this package."""

from __future__ import annotations

from django.urls import path

from demo_apps.django_app.urls import handler400
from demo_apps.django_app.urls import urlpatterns as contract
from demo_apps.django_streams import queue_views, stream_views, task_views

urlpatterns = [
    *contract,
    path("events/plain", stream_views.plain),
    path("events/async", stream_views.asynchronous),
    path("tasks/start", task_views.start),
    path("tasks/start-and-wait", task_views.start_and_wait),
    path("tasks/states", task_views.states),
    path("jobs", queue_views.push),
    path("jobs/<str:name>", queue_views.state),
]

__all__ = ["handler400", "urlpatterns"]
