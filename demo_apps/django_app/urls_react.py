"""The contract's paths below ``/api/``, where ``deploy/nginx/react.conf`` sends them.

They stay where they were as well: whoever watches the server asks it behind the proxy.
"""

from __future__ import annotations

from django.urls import include, path

from demo_apps.django_app import urls

urlpatterns = [path("api/", include(urls.urlpatterns)), *urls.urlpatterns]

handler400 = urls.handler400
