"""One set-up at a time at work, for all visits to it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewaylab.servers.commands import find_program
from gatewaylab.servers.specs import SERVERS
from tests.deploy.bed import Up, servers_up, web_server
from tests.deploy.setups import SetUp


def needed(one: SetUp) -> None:
    """Skip a set-up whose web server is not on this machine."""
    there = SERVERS["mod_wsgi"].available() if one.apache else find_program("nginx")
    if not there or find_program("openssl") is None:
        pytest.skip("the web server or openssl is not on this machine; scripts/install --system")


@pytest.fixture(scope="module")
def up(request: pytest.FixtureRequest, session_folder: str) -> Iterator[Up]:
    """The set-up that a test names, at work."""
    one: SetUp = request.param
    needed(one)
    folder = Path(tempfile.mkdtemp(prefix=f"{one.name}-")) / "f"
    with servers_up(one, folder) as servers, web_server(servers) as all_up:
        yield all_up
