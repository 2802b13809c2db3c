from __future__ import annotations

import pytest

from gatewaylab.timeline import Session


@pytest.fixture(autouse=True)
def _no_server_was_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests started says nothing below these tables and figures."""
    monkeypatch.setattr("gatewaylab.servers.conditions.session", Session())
