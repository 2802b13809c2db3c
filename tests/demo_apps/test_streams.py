"""What a view leaves behind or sends bit by bit, and what an ASGI server passes, in process."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import override_settings

from demo_apps import common, scopes
from demo_apps.django_streams import task_views
from gatewaylab.guard.services import missing_services, redis
from gatewaylab.measure.delay import until
from gatewaylab.servers.fronts import nginx_files
from tests import ROOT
from tests.in_process import Talk, application, ask, ask_asgi, http_scope, pieces

PLAIN, ASYNC = "/events/plain?n=3&ms=30", "/events/async?n=3&ms=30"


@pytest.fixture(autouse=True)
def streams_project() -> Iterator[None]:
    application("django", "wsgi")  # sets Django up
    task_views._states.clear()
    with override_settings(ROOT_URLCONF="demo_apps.django_streams.urls"):
        yield


def made(got: list[tuple[float, bytes]]) -> list[float]:
    """The moments at which three events were made, as they say themselves, 30 ms apart."""
    told = [float(piece.removeprefix(b"data: ")) for _, piece in got]
    assert [later - earlier >= 0.0299 for earlier, later in pairwise(told)] == [True] * 2
    return told


# Streams


@pytest.mark.parametrize(("path", "interface"), [(PLAIN, "wsgi"), (ASYNC, "asgi")])
def test_a_matching_iterator_is_passed_on_piece_by_piece(path: str, interface: str) -> None:
    got = pieces("django", interface, path)
    following = made(got)[1:]
    assert [came < after for (came, _), after in zip(got, following, strict=False)] == [True] * 2


@pytest.mark.parametrize(
    ("path", "interface", "kind"),
    [(PLAIN, "asgi", "synchronous"), (ASYNC, "wsgi", "asynchronous")],
)
def test_an_iterator_of_the_other_kind_is_read_to_its_end_first_with_a_warning(
    path: str, interface: str, kind: str
) -> None:
    with pytest.warns(Warning, match=f"must consume {kind} iterators"):
        got = pieces("django", interface, path)
    assert got[0][0] >= made(got)[-1] - 1e-6


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_the_header_against_buffering_is_there_only_when_asked_for(kind: str) -> None:
    interface = {"plain": "wsgi", "async": "asgi"}[kind]
    silent, *_ = ask("django", interface, f"/events/{kind}?n=1")
    asked, *_ = ask("django", interface, f"/events/{kind}?n=1&accel=no")
    assert "x-accel-buffering" not in silent.headers
    assert asked.headers["x-accel-buffering"] == "no"
    page, *_ = ask("django", interface, f"/events/{kind}?n=1&type=html")
    assert [one.headers["content-type"] for one in (silent, page)] == [common.EVENTS, "text/html"]


@pytest.mark.parametrize("path", ["events/plain?n=-1", "events/async?ms=soon", "tasks/start?ms=-1"])
def test_a_query_that_makes_no_sense_is_a_400_with_a_sentence(path: str) -> None:
    response, *_ = ask("django", "wsgi", f"/{path}")
    assert response.status_code == 400
    assert "must be" in response.text


def test_the_paths_of_the_contract_stay() -> None:
    assert ask("django", "wsgi", "/hello")[0].text == "hello, world\n"


# Tasks


@pytest.mark.parametrize(
    ("path", "status", "state"),
    [("start", 202, "cancelled"), ("start-and-wait", 200, "done")],
)
def test_under_wsgi_only_a_task_that_is_awaited_is_done(path: str, status: int, state: str) -> None:
    assert ask("django", "wsgi", f"/tasks/{path}?name=t&ms=50")[0].status_code == status
    assert ask("django", "wsgi", "/tasks/states")[0].json() == {"t": state}


def test_under_asgi_a_task_runs_on_after_the_answer() -> None:
    async def visit() -> tuple[Any, Any]:
        target = application("django", "asgi")
        assert (await ask_asgi(target, "/tasks/start?name=t&ms=50")).status_code == 202
        during = (await ask_asgi(target, "/tasks/states")).json()
        await asyncio.gather(*task_views._running)
        return during, (await ask_asgi(target, "/tasks/states")).json()

    assert asyncio.run(visit()) == ({"t": "running"}, {"t": "done"})
    assert not task_views._running


# The queue


@pytest.mark.skipif(bool(missing_services("redis")), reason="needs Redis: scripts/install --system")
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_pushed_job_waits_for_its_worker(interface: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis() as store:
        monkeypatch.setenv("REDIS_URL", store.env["REDIS_URL"])
        pushed, *_ = ask("django", interface, "/jobs", "POST")
        assert pushed.status_code == 202
        path = f"/jobs/{pushed.json()['name']}"
        assert ask("django", interface, path)[0].json() == {"state": "waiting"}

        command = [sys.executable, "-m", "demo_apps.django_streams.worker"]
        worker = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **store.env})
        done = {"state": "done", "pid": str(worker.pid)}
        try:
            assert until(lambda: ask("django", interface, path)[0].json() == done, within=60)
        except BaseException:
            worker.kill()
            raise
    assert worker.wait(60) == 0  # Redis is gone, and so is its worker


def test_a_job_is_pushed_by_post_only() -> None:
    assert ask("django", "wsgi", "/jobs")[0].status_code == 405


# What an ASGI server passes


def test_the_scope_comes_back_as_the_application_saw_it() -> None:
    response = asyncio.run(ask_asgi(scopes.application, "/scope?a=1"))
    scope = ast.literal_eval(response.text)
    assert (scope["type"], scope["path"], scope["query_string"]) == ("http", "/scope", b"a=1")


def test_the_websocket_gives_its_scope_and_closes() -> None:
    async def talk() -> list[dict[str, Any]]:
        scope = http_scope("/ws/scope") | {"type": "websocket"}
        one = Talk(scopes.application, scope)
        await one.say("websocket.connect")
        heard = [await one.hear() for _ in range(3)]
        await one.end()
        return heard

    accepted, sent, closed = asyncio.run(talk())
    assert accepted["type"] == "websocket.accept"
    assert ast.literal_eval(sent["text"])["type"] == "websocket"
    assert closed["type"] == "websocket.close"


def test_the_announced_start_is_remembered_and_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scopes, "_lifespans", [])

    async def live() -> httpx.Response:
        one = Talk(scopes.application, {"type": "lifespan", "asgi": {"version": "3.0"}})
        for phase in ("startup", "shutdown"):
            await one.say(f"lifespan.{phase}")
            assert (await one.hear())["type"] == f"lifespan.{phase}.complete"
        await one.end()
        return await ask_asgi(scopes.application, "/lifespan")

    (seen,) = ast.literal_eval(asyncio.run(live()).text)
    assert seen["type"] == "lifespan"


@pytest.fixture(autouse=True)
def empty_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """An asyncio barrier belongs to the first loop that uses it, and each test has its own."""
    monkeypatch.setattr(scopes, "_meeting", asyncio.Barrier(scopes.PARTY))


async def meet(path: str, calls: int) -> list[bool]:
    replies = await asyncio.gather(*(ask_asgi(scopes.application, path) for _ in range(calls)))
    return [json.loads(reply.text)["met"] for reply in replies]


@pytest.mark.parametrize(("path", "met"), [("/meet", True), ("/blocking-meet", False)])
def test_calls_meet_when_all_are_inside_unless_they_keep_the_thread(path: str, met: bool) -> None:
    assert asyncio.run(meet(path, 3)) == [met] * 3


def test_calls_that_wait_in_vain_give_up_without_a_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def too_few_then_enough() -> list[list[bool]]:
        with monkeypatch.context() as hurried:
            hurried.setattr(scopes, "PATIENCE", 0.02)
            first = await meet("/meet", 2)
        return [first, await meet("/meet", 3)]

    assert asyncio.run(too_few_then_enough()) == [[False, False], [True, True, True]]


def test_every_other_path_is_that_of_the_raw_application() -> None:
    response = asyncio.run(ask_asgi(scopes.application, "/hello"))
    assert response.text == "hello, world\n"


# The wrong sites


@pytest.mark.parametrize("site", sorted((ROOT / "demo_apps" / "nginx").glob("*.conf")))
def test_a_site_has_every_place_that_the_harness_replaces(site: Path) -> None:
    files = nginx_files(
        host="127.0.0.9", port=1234, upstream="127.0.0.9:4321", folder=Path("/tmp/run"),
        site=site.name, text=site.read_text(), public=Path("/tmp/public"),
    )  # fmt: skip
    assert "listen 127.0.0.9:1234;" in files["site.conf"]
    assert "server 127.0.0.9:4321;" in files["site.conf"]


def directives(name: str) -> str:
    lines = (ROOT / "demo_apps" / "nginx" / name).read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def test_each_wrong_site_is_wrong_in_the_one_thing_that_it_is_named_after() -> None:
    no_upgrade, old = directives("without-upgrade.conf"), directives("http-1.0.conf")
    new, packed = directives("http-1.1.conf"), directives("gzip.conf")
    assert packed.replace("    gzip on;\n", "") == old.replace("1.0;", "1.1;") == new
    assert "Upgrade" not in no_upgrade
    assert "proxy_http_version 1.1;" in no_upgrade
    assert "proxy_http_version 1.0;" in old
    assert "buffering" not in old
