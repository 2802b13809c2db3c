"""The stream of *Which should you use?* at work: who may ask, what comes, and what it keeps."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gatewaylab.guard.tree import workers_of
from tests.deploy.bed import Up, run, servers_up, web_server
from tests.deploy.conftest import needed
from tests.deploy.files import PROJECT
from tests.deploy.setups import SET_UPS

LOG_IN = """
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.authtoken.models import Token
reader, client = User.objects.create_user("reader"), Client()
client.force_login(reader)
print("session", client.session.session_key)
print("token", Token.objects.create(user=reader).key)
"""


@pytest.fixture(scope="module")
def up(session_folder: str) -> Iterator[Up]:
    (one,) = (each for each in SET_UPS if each.name == "both")
    needed(one)
    folder = Path(session_folder) / "streams"
    with servers_up(one, folder) as servers, web_server(servers) as all_up:
        run(sys.executable, "-m", "django", "migrate", cwd=PROJECT, env=all_up.env)
        yield all_up


@pytest.fixture(scope="module")
def readers(up: Up) -> dict[str, dict[str, str]]:
    """The headers of a request, by how its user is known."""
    said = run(sys.executable, "-m", "django", "shell", "-c", LOG_IN, cwd=PROJECT, env=up.env)
    found = dict(re.findall(r"^(session|token) (\w+)$", said, re.MULTILINE))
    return {
        "session": {"Cookie": f"sessionid={found['session']}"},
        "token": {"Authorization": f"Token {found['token']}"},
    }


def holds_database(up: Up) -> bool:
    """Whether a process of uvicorn has the database open."""
    workers = workers_of(psutil.Process(up.processes["uvicorn"].pid))
    return any(file.path.endswith("db.sqlite3") for one in workers for file in one.open_files())


@pytest.mark.live
@pytest.mark.parametrize(
    ("path", "reader"),
    [
        ("events/answer", "session"),
        ("events/answer", "token"),
        ("events/answer-without-drf", "session"),
    ],
)
def test_a_reader_who_is_known_gets_each_word_at_once_and_keeps_no_database_connection(
    up: Up, readers: dict[str, dict[str, str]], path: str, reader: str
) -> None:
    question = [f"{path.rpartition('/')[2]}-{reader}-{number}" for number in range(3)]
    asked = {"question": " ".join(question)}
    heard = []
    with (
        up.client() as client,
        client.stream("GET", up.path(path), params=asked, headers=readers[reader]) as reply,
    ):
        assert reply.status_code == 200
        for text in reply.iter_text():
            for word in re.findall(r"data: (.+)\n\n", text):
                heard.append(word)
                assert not holds_database(up)
                (up.site / f"heard-{word}").touch()  # only now the next is made
    assert heard == question


@pytest.mark.live
@pytest.mark.parametrize("path", ["events/answer", "events/answer-without-drf"])
@pytest.mark.parametrize(
    "headers", [{}, {"Cookie": "sessionid=made-up"}, {"Authorization": "Token made-up"}]
)
def test_a_stranger_is_refused(up: Up, path: str, headers: dict[str, str]) -> None:
    with up.client() as client:
        reply = client.get(up.path(path), params={"question": "a"}, headers=headers)
        assert reply.status_code == 401
        assert "data:" not in reply.text
