"""The split set-up at work: a plain view on gunicorn speaks to WebSockets on both uvicorns."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
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

SOCKETS = 6  # of one user, on two workers of uvicorn
LOG_IN = """
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.authtoken.models import Token
for name in ("reader", "other"):
    user, client = User.objects.create_user(name), Client()
    client.force_login(user)
    print(client.session.session_key, Token.objects.create(user=user).key)
"""
BAD_TICKETS = """
from unittest.mock import patch
from django.contrib.auth.models import User
from django.core.signing import TimestampSigner
from myproject.tickets import SIGNER
reader = User.objects.get(username="reader").pk
gone = User.objects.create_user("gone", is_active=False).pk
with patch("time.time", return_value=0):
    print("old", SIGNER.sign(reader))
print("locked", SIGNER.sign(gone))
print("nobody", SIGNER.sign(gone + 1))
print("strange", TimestampSigner().sign(reader))
print("unsigned", reader)
"""


@dataclass(frozen=True)
class User:
    """Somebody who has logged in twice: in a browser, by session, and in another client."""

    session: str
    token: str

    @property
    def cookie(self) -> str:
        """What the browser sends."""
        return f"sessionid={self.session}"


@pytest.fixture(scope="module")
def up(session_folder: str) -> Iterator[Up]:
    """both.conf, its two servers, Redis and a database."""
    (one,) = (each for each in SET_UPS if each.name == "both")
    needed(one)
    if missing := missing_services("redis"):
        pytest.skip(f"{missing}: not on this machine")
    folder = Path(session_folder) / "notifications"
    with redis() as service, pytest.MonkeyPatch.context() as patch:
        for name, value in service.env.items():
            patch.setenv(name, value)
        with servers_up(one, folder) as servers, web_server(servers) as all_up:
            run(sys.executable, "-m", "django", "migrate", cwd=PROJECT, env=all_up.env)
            yield all_up


@pytest.fixture(scope="module")
def users(up: Up) -> tuple[User, User]:
    """Two users who are logged in."""
    reader, other = shell(up, LOG_IN)
    return User(*reader), User(*other)


def shell(up: Up, code: str) -> list[tuple[str, str]]:
    """The lines of two words that Django's shell prints."""
    said = run(sys.executable, "-m", "django", "shell", "-c", code, cwd=PROJECT, env=up.env)
    return re.findall(r"^(\S+) (\S+)$", said, re.MULTILINE)


def paid(client: httpx.Client, up: Up, cookie: str, order: str) -> int:
    """The status of the request, to gunicorn, after which its user is told."""
    token = client.get(up.path("token")).text
    sent = {"X-CSRFToken": token, "Origin": f"https://{up.authority}",
            "Cookie": f"csrftoken={client.cookies['csrftoken']}; {cookie}"}  # fmt: skip
    return client.post(up.path("paid"), data={"order": order}, headers=sent).status_code


def opened(up: Up, cookie: str = "", origin: str = "", ticket: str = "") -> connect:
    """A socket for notifications."""
    query = f"?ticket={ticket}" if ticket else ""
    return websocket(up, f"/ws/notifications{query}", origin, cookie)


async def heard(line: ClientConnection) -> object:
    return json.loads(await asyncio.wait_for(line.recv(), PATIENCE))


async def refused(up: Up, cookie: str = "", origin: str = "", ticket: str = "") -> bool:
    """Whether the handshake is answered with 403."""
    with pytest.raises(InvalidStatus) as error:
        await opened(up, cookie, origin, ticket)
    return error.value.response.status_code == 403


@pytest.mark.live
def test_a_view_on_gunicorn_reaches_its_users_sockets_on_every_uvicorn(
    up: Up, users: tuple[User, User]
) -> None:
    reader, other = (user.cookie for user in users)
    before = up.calls("begin", "paid")
    asyncio.run(told(up, reader, other))
    assert up.calls("begin", "paid") == before + 2


async def told(up: Up, reader: str, other: str) -> None:
    """Both users' sockets are open; each payment reaches its own user's, and strangers get none."""
    async with AsyncExitStack() as stack:
        own = [await stack.enter_async_context(opened(up, reader)) for _ in range(SOCKETS)]
        strange = await stack.enter_async_context(opened(up, other))
        with up.client() as client:
            assert paid(client, up, reader, "1") == 204
            assert [await heard(one) for one in own] == [{"paid": "1"}] * SOCKETS
            assert paid(client, up, other, "2") == 204  # what came to the other, and nothing before
        assert await heard(strange) == {"paid": "2"}
        assert await refused(up)
        assert await refused(up, reader, "https://evil.example")


@pytest.mark.live
def test_a_ticket_opens_the_socket_of_who_logged_in_by_token(
    up: Up, users: tuple[User, User]
) -> None:
    reader, other = users
    with up.client() as client:
        assert client.post(up.path("ticket")).status_code == 401
        sent = {"Authorization": f"Token {reader.token}"}
        ticket = client.post(up.path("ticket"), headers=sent).json()["ticket"]
        asyncio.run(admitted(up, client, reader, ticket))
    bad = dict(shell(up, BAD_TICKETS))
    assert set(bad) == {"old", "locked", "nobody", "strange", "unsigned"}
    for wrong in bad.values():  # not even with a cookie beside it
        assert asyncio.run(refused(up, other.cookie, ticket=wrong)), wrong
    log = up.log.read_text()  # it has the addresses: the ticket, which is soon worth nothing
    assert ticket in log
    assert reader.token not in log


async def admitted(up: Up, client: httpx.Client, reader: User, ticket: str) -> None:
    """Its socket hears what the same user's browser has paid."""
    async with opened(up, ticket=ticket) as line:
        assert paid(client, up, reader.cookie, "3") == 204
        assert await heard(line) == {"paid": "3"}
    assert await refused(up, origin="https://evil.example", ticket=ticket)
