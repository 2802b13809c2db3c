"""The split set-up at work: a plain view on gunicorn speaks to WebSockets on both uvicorns."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from gatewaylab.guard.services import missing_services, redis
from tests.deploy.bed import PATIENCE, Up, run, servers_up, web_server
from tests.deploy.conftest import needed
from tests.deploy.files import PROJECT
from tests.deploy.lines import websocket
from tests.deploy.setups import SET_UPS

LOG_IN = """
from django.contrib.auth.models import User
from django.test import Client
for name in ("reader", "other"):
    client = Client()
    client.force_login(User.objects.create_user(name))
    print("session", client.session.session_key)
"""
SOCKETS = 6  # of one user, on two workers of uvicorn


@contextmanager
def split(folder: Path, environment: dict[str, str], patch: pytest.MonkeyPatch) -> Iterator[Up]:
    """both.conf, its two servers and, if the environment names one, Redis."""
    (one,) = (each for each in SET_UPS if each.name == "both")
    needed(one)
    for name, value in environment.items():
        patch.setenv(name, value)
    with servers_up(one, folder) as servers, web_server(servers) as up:
        yield up


def sessions(up: Up) -> list[str]:
    """The cookies of two users who are logged in."""
    run(sys.executable, "-m", "django", "migrate", cwd=PROJECT, env=up.env)
    said = run(sys.executable, "-m", "django", "shell", "-c", LOG_IN, cwd=PROJECT, env=up.env)
    return [f"sessionid={key}" for key in re.findall(r"^session (\w+)$", said, re.MULTILINE)]


def paid(client: httpx.Client, up: Up, cookie: str, order: str) -> int:
    """The status of the request, to gunicorn, after which its user is told."""
    token = client.get(up.path("token")).text
    sent = {"X-CSRFToken": token, "Origin": f"https://{up.authority}",
            "Cookie": f"csrftoken={client.cookies['csrftoken']}; {cookie}"}  # fmt: skip
    return client.post(up.path("paid"), data={"order": order}, headers=sent).status_code


@pytest.mark.live
def test_a_view_on_gunicorn_reaches_its_users_sockets_on_every_uvicorn(
    session_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing := missing_services("redis"):
        pytest.skip(f"{missing}: not on this machine")
    folder = Path(session_folder) / "notifications"
    with redis() as service, split(folder, dict(service.env), monkeypatch) as up:
        reader, other = sessions(up)
        asyncio.run(told(up, reader, other))
        assert up.calls("begin", "paid") == 2


async def told(up: Up, reader: str, other: str) -> None:
    """Both users' sockets are open; each payment reaches its own user's, and strangers get none."""

    def opened(cookie: str, origin: str = "") -> connect:
        return websocket(up, "/ws/notifications", origin, cookie)

    async def heard(line: ClientConnection) -> object:
        return json.loads(await asyncio.wait_for(line.recv(), PATIENCE))

    async with AsyncExitStack() as stack:
        own = [await stack.enter_async_context(opened(reader)) for _ in range(SOCKETS)]
        strange = await stack.enter_async_context(opened(other))
        with up.client() as client:
            assert paid(client, up, reader, "1") == 204
            assert [await heard(one) for one in own] == [{"paid": "1"}] * SOCKETS
            assert paid(client, up, other, "2") == 204  # what came to the other, and nothing before
        assert await heard(strange) == {"paid": "2"}
        for cookie, origin in (("", ""), (reader, "https://evil.example")):
            with pytest.raises(InvalidStatus) as refused:
                await opened(cookie, origin)
            assert refused.value.response.status_code == 403
