"""The buttons above a chapter that measures: the executed notebook, and a machine to run it on."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from bookext.shelf import shelf_of

#: Where a repository must lie to be opened in a codespace, and where one is opened.
_GITHUB, _CODESPACES = "https://github.com/", "https://codespaces.new/"


def add(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add them to those that the theme has made."""
    if "header_buttons" not in context or "kernelspec" not in app.env.metadata.get(page, {}):
        return
    groups: list[dict[str, Any]] = context["header_buttons"]
    stem = PurePosixPath(page).name
    if shelf_of(app).path(stem) is not None:  # else no executed notebook lies beside the page
        notebook = _link("code", f"{stem}.ipynb", "Download the executed notebook")
        notebook["text"] = ".ipynb"
        for group in groups:
            if group["label"] == "download-buttons":
                group["buttons"].insert(0, notebook)
    repository = str(app.config.html_theme_options.get("repository_url", ""))
    if repository.startswith(_GITHUB):
        address = repository.replace(_GITHUB, _CODESPACES, 1)
        codespace = _link("rocket", address, "Open in Codespaces")
        codespace["classes"] = "pst-navbar-icon"
        groups.insert(0, codespace)


def _link(icon: str, url: str, tooltip: str) -> dict[str, Any]:
    fields = {"icon": f"fas fa-{icon}", "label": f"{icon}-button"}
    return {"type": "link", "url": url, "tooltip": tooltip, **fields}


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", add, priority=502)  # the theme makes its own before
