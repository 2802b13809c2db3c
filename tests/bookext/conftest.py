from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_icons(monkeypatch: pytest.MonkeyPatch) -> None:
    """The theme's fonts are no part of the basic theme."""
    monkeypatch.setattr("bookext.site.cut_icons", lambda out, store: None)
