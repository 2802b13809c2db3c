"""``gunicorn myproject.wsgi:application``, and mod_wsgi's script."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.settings")

# mod_wsgi runs this file without its package, so the import names that.
from myproject.door import noted  # type: ignore[import-not-found]

application = noted(get_wsgi_application())
