"""The Channels project: the thread of a consumer's synchronous code, and who hears a room."""

# asgiref's test client has no type hints.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import os
import threading
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from gatewaylab.guard.serve import serve
from gatewaylab.guard.services import SERVICES, redis
from gatewaylab.load.clients import ask
from gatewaylab.load.crowds import websockets
from gatewaylab.servers.registry import server

PROJECT = "demo_apps.django_channels"

# A process has one set of Django settings; the project's own are tested over a socket.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_app.settings")


def scope(path: str) -> dict[str, Any]:
    return {
        "type": "websocket", "path": path, "headers": [], "query_string": b"", "subprotocols": [],
    }  # fmt: skip


def converse(*paths: str, text: str) -> list[list[str]]:
    """Open all paths, send the text over the first (over all, if it is a number), hear one each."""
    from demo_apps.django_channels.asgi import application

    async def talk() -> list[list[str]]:
        members = [ApplicationCommunicator(application, scope(path)) for path in paths]
        heard: list[list[str]] = [[] for _ in members]
        for member in members:
            await member.send_input({"type": "websocket.connect"})
            assert (await member.receive_output(2))["type"] == "websocket.accept"
        for place, path in enumerate(paths):
            if path == "/ws/room":
                heard[place].append((await members[place].receive_output(2))["text"])
        for member in members if text.isdigit() else members[:1]:
            await member.send_input({"type": "websocket.receive", "text": text})
        for place, member in enumerate(members):
            heard[place].append((await member.receive_output(2))["text"])
        for member in members:
            await member.send_input({"type": "websocket.disconnect", "code": 1000})
            await member.wait(2)
        return heard

    return asyncio.run(talk())


def calls(*paths: str, ms: int) -> tuple[set[int], list[tuple[float, float]]]:
    """The threads that the calls ran on, and when each began and ended, in the order of ends."""
    told = [json.loads(heard[-1]) for heard in converse(*paths, text=str(ms))]
    times = [(began, ended) for _, began, ended in told]
    return {thread for thread, _, _ in told}, sorted(times, key=lambda one: one[1])


def test_all_consumers_share_one_thread_and_it_is_not_the_loop_s() -> None:
    threads, times = calls("/ws/database", "/ws/sync", "/ws/database", "/ws/sync", ms=1)
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(times))
    assert all(ended - began >= 0.001 for began, ended in times)


def test_free_threads_are_several() -> None:
    threads, _ = calls(*["/ws/free-threads"] * 3, ms=50)
    assert len(threads) > 1


def test_every_member_of_a_room_in_one_process_hears_what_is_said() -> None:
    heard = converse("/ws/room", "/ws/room", "/ws/room", text="hello")
    assert heard == [[str(os.getpid()), "hello"]] * 3


@pytest.mark.parametrize(
    ("url", "backend"),
    [
        (None, "channels.layers.InMemoryChannelLayer"),
        ("unix:///run/redis.sock", "channels_redis.core.RedisChannelLayer"),
    ],
)
def test_the_layer_follows_the_environment(
    url: str | None, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    if url:
        monkeypatch.setenv("REDIS_URL", url)
    layer = importlib.reload(importlib.import_module(f"{PROJECT}.settings")).CHANNEL_LAYERS
    assert layer["default"]["BACKEND"] == backend
    assert [one["address"] for one in layer["default"].get("CONFIG", {}).get("hosts", [])] == (
        [url] if url else []
    )


@pytest.mark.live
@pytest.mark.skipif(
    not SERVICES["redis"].available(), reason=f"no Redis; {SERVICES['redis'].install_hint()}"
)
def test_a_view_speaks_to_a_room_through_redis() -> None:
    with redis() as service:
        env = {"DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings", **service.env}
        one = server("uvicorn", app=f"{PROJECT}.asgi:application", env=env)
        with serve(one, grace=0.5) as running, websockets(running, 2, "/ws/room") as members:
            pids = {member.recv(timeout=60) for member in members}
            answer = json.loads(ask(running, "/broadcast?text=news").text)
            assert {str(answer["pid"])} == pids
            assert [member.recv(timeout=60) for member in members] == ["news", "news"]
            assert json.loads(ask(running, "/whoami").text)["app"] == "django"


@pytest.mark.live
@pytest.mark.skipif(
    not SERVICES["redis"].available(), reason=f"no Redis; {SERVICES['redis'].install_hint()}"
)
def test_more_join_a_room_at_once_than_redis_py_has_connections_by_default() -> None:
    with redis() as service:
        one = server("uvicorn", app="django-channels", env=service.env)
        with serve(one, grace=0.5) as running:
            with websockets(running, 300, "/ws/room", within=60) as members:
                assert len(members) == 300
