"""Settings of the project: those of ``django_app``, with other paths and a file to serve."""

from __future__ import annotations

import os

from demo_apps.django_app.settings import *  # noqa: F403

ROOT_URLCONF = "demo_apps.django_files.urls"

# The file is made and removed by whoever runs the server, so it is named from outside.
DOWNLOAD = os.environ.get("DEMO_DOWNLOAD", "")
