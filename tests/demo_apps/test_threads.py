"""The project that counts threads: the counter tells the truth, and asking it costs nothing."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio.to_thread
import django
import httpx
import pytest

from demo_apps import fastapi_app
from demo_apps.django_threads import counting, settings_seven
from gatewaylab.guard.serve import serve
from gatewaylab.load.clients import ask, inside, together
from gatewaylab.servers.registry import server
from tests.in_process import ask_asgi, environ_of

PROJECT = "demo_apps.django_threads"

# A process has one set of Django settings; the project's own are tested over a socket.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_apps.django_app.settings")


@pytest.fixture(autouse=True)
def only_here() -> Iterator[None]:
    """The counter patches the process; no other test shall run with it."""
    yield
    counting.uninstall()


def difference(before: Any) -> dict[str, int]:
    return {what: number - before[what] for what, number in counting.counts().items()}


def test_a_started_thread_is_counted() -> None:
    counting.install()
    before = counting.counts()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert difference(before) == {"threads": 1, "submits": 0}


@pytest.mark.parametrize(
    ("steps", "times"),
    [
        ([counting.install], 1),
        ([counting.install, counting.install], 1),
        ([counting.install, counting.uninstall], 0),
    ],
    ids=["once", "installed twice", "uninstalled"],
)
def test_a_call_given_to_a_pool_is_counted_once_and_so_is_the_pool_s_thread(
    steps: list[Callable[[], None]], times: int
) -> None:
    for step in steps:
        step()
    before = counting.counts()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(max, 1, 2).result() == 2
        assert pool.submit(max, 3, 2).result() == 3
    assert difference(before) == {"threads": times, "submits": 2 * times}


def test_wsgi_counts_are_answered_before_the_application() -> None:
    called: list[str] = []

    def inner(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.append(environ["PATH_INFO"])
        return [b"inner"]

    outer = counting.counted_wsgi(inner)
    (body,) = outer(environ_of("/counts"), lambda *_: None)
    assert json.loads(body).keys() == {"threads", "submits", "inside"}
    assert list(outer(environ_of("/hello"), lambda *_: None)) == [b"inner"]
    assert called == ["/hello"]


def test_asgi_counts_are_answered_before_the_application() -> None:
    called: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    outer = counting.counted_asgi(inner)
    response = asyncio.run(ask_asgi(outer, "/counts"))
    assert response.json().keys() == {"threads", "submits", "inside"}
    assert asyncio.run(ask_asgi(outer, "/hello")).status_code == 204
    asyncio.run(outer({"type": "websocket", "path": "/counts"}, None, None))
    assert called == ["http", "websocket"]


def test_a_request_is_inside_until_the_application_is_done_with_it() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        answered.set()
        await release.wait()
        if scope["path"] == "/fails":
            raise ValueError

    async def inside(path: str) -> list[int]:
        request = asyncio.create_task(ask_asgi(outer, path))
        await answered.wait()
        seen = [(await ask_asgi(outer, "/counts")).json()["inside"]]
        release.set()
        await asyncio.gather(request, return_exceptions=True)
        return [*seen, (await ask_asgi(outer, "/counts")).json()["inside"]]

    outer = counting.counted_asgi(inner)
    for path in ("/hello", "/fails"):
        answered, release = asyncio.Event(), asyncio.Event()
        assert asyncio.run(inside(path)) == [1, 0]


def test_the_seven_middleware_are_those_of_a_new_project() -> None:
    template = Path(django.__file__).parent / "conf/project_template/project_name/settings.py-tpl"
    listed = template.read_text().partition("MIDDLEWARE = [")[2].partition("]")[0]
    assert [line.strip("',") for line in listed.split()] == settings_seven.MIDDLEWARE


@pytest.mark.parametrize("name", ["asgi", "pool", "fastapi"])
def test_the_counted_applications_answer_under_asgi(name: str) -> None:
    module = __import__(f"{PROJECT}.{name}", fromlist=["application"])
    response = asyncio.run(ask_asgi(module.application, "/hello"))
    assert (response.status_code, response.text) == (200, "hello, world\n")


def test_the_counted_application_answers_under_wsgi() -> None:
    from demo_apps.django_threads import wsgi

    transport = httpx.WSGITransport(wsgi.application)
    with httpx.Client(transport=transport, base_url="http://127.0.0.1") as client:
        assert client.get("/hello").text == "hello, world\n"
        assert client.get("/counts").json().keys() == {"threads", "submits", "inside"}


def test_fastapi_s_own_view_uses_the_pool_once() -> None:
    from demo_apps.django_threads import fastapi

    calls: list[Any] = []
    original = anyio.to_thread.run_sync

    async def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return await original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio.to_thread, "run_sync", counted)
        own = asyncio.run(ask_asgi(fastapi.application, "/sync/moments?ms=1")).json()
        assert own["ended"] - own["began"] >= 0.001
        assert len(calls) == 1
        other = asyncio.run(ask_asgi(fastapi_app.application, "/sync/hold?ms=1"))
    assert other.text == "held 1 ms\n"
    assert len(calls) == 3


@pytest.mark.live
def test_django_s_own_view_says_when_it_began_and_ended() -> None:
    env = {"DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings_moments"}
    with serve(server("uvicorn", app=f"{PROJECT}.asgi:application", env=env)) as running:
        reply = ask(running, "/sync/moments?ms=20")
        told = json.loads(reply.text)
        began, ended = inside(reply)
        assert began <= told["began"] <= told["ended"] - 0.02 <= ended
        assert ask(running, "/sync/moments?ms=no").status == 400
        assert ask(running, "/hello").status == 200


@pytest.mark.live
@pytest.mark.parametrize(
    ("name", "door", "settings", "path", "submits"),
    [
        ("gunicorn-sync", "wsgi", "settings", "/hello", 0),
        ("uvicorn", "asgi", "settings", "/hello", 3),
        ("uvicorn", "asgi", "settings_seven", "/async/hold?ms=0", 15),
        ("uvicorn", "pool", "settings", "/hello", 1),
    ],
)
def test_a_served_project_counts_what_a_request_gives_to_a_pool(
    name: str, door: str, settings: str, path: str, submits: int
) -> None:
    env = {"DJANGO_SETTINGS_MODULE": f"{PROJECT}.{settings}"}
    with serve(server(name, app=f"{PROJECT}.{door}:application", env=env)) as running:
        ask(running, path)

        def counted() -> int:
            told: dict[str, int] = {"inside": 1}
            while told["inside"]:
                told = json.loads(ask(running, "/counts").text)
            return told["submits"]

        before = counted()
        assert {reply.status for reply in together(running, [path] * 4)} == {200}
        assert counted() - before == 4 * submits
