"""What is in memory before the first request: the difference between the two WSGI modules."""

from __future__ import annotations

from tests import printed


def views_are_loaded_by(module: str) -> bool:
    """Import ``module`` in a fresh interpreter and see whether the views came with it."""
    code = f"import sys, {module}; print('demo_apps.django_app.views' in sys.modules)"
    return printed(code).strip() == "True"


def test_only_the_loaded_module_does_not_leave_the_views_to_the_first_request() -> None:
    assert not views_are_loaded_by("demo_apps.django_app.wsgi")
    assert views_are_loaded_by("demo_apps.django_app.wsgi_loaded")


def test_both_modules_serve_one_and_the_same_application() -> None:
    code = (
        "from demo_apps.django_app import wsgi, wsgi_loaded; "
        "assert wsgi.application is wsgi_loaded.application"
    )
    printed(code)
