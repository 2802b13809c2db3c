"""The paths of the large file; ``/whoami`` says that the server is up."""

from __future__ import annotations

from django.urls import path

from demo_apps.django_app.views import hello, whoami
from demo_apps.django_files import views

urlpatterns = [
    path("hello", hello),
    path("whoami", whoami),
    path("download", views.download),
    path("download/pieces", views.download_in_pieces),
]
