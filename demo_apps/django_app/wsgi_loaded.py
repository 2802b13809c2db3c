"""The project for ``gunicorn --preload``: ``wsgi.py``, with the views loaded as well.

``get_wsgi_application`` loads the settings, the apps and the middleware. The URL configuration,
and with it every view and what the views import, is loaded by the first request: after the fork,
and so once in each worker. Importing it here brings it before the fork.
"""

from __future__ import annotations

from importlib import import_module

from django.conf import settings

from demo_apps.django_app.wsgi import application

__all__ = ["application"]

import_module(settings.ROOT_URLCONF)
