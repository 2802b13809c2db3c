"""What is in memory before the first request: the difference between the two WSGI modules."""

from __future__ import annotations

import subprocess
import sys

from tests import ROOT


def views_are_loaded_by(module: str) -> bool:
    """Import ``module`` in a fresh interpreter and see whether the views came with it."""
    code = f"import sys, {module}; print('demo_apps.django_app.views' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.strip() == "True"


def test_the_ordinary_module_leaves_the_views_to_the_first_request() -> None:
    assert not views_are_loaded_by("demo_apps.django_app.wsgi")


def test_the_loaded_module_brings_the_views_with_it() -> None:
    assert views_are_loaded_by("demo_apps.django_app.wsgi_loaded")


def test_both_modules_serve_one_and_the_same_application() -> None:
    code = (
        "from demo_apps.django_app import wsgi, wsgi_loaded; "
        "assert wsgi.application is wsgi_loaded.application"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
