"""The second Django project: async views, DRF with adrf, transactions; in process where it can."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from django.http import HttpRequest

from tests import ROOT
from tests.in_process import Talk, application, ask_asgi, http_scope

BOTH = ["wsgi", "asgi"]


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    """Django serves one settings module a process; this project's are laid over the contract's."""
    application("django", "wsgi")  # sets Django up, once
    from django.test import override_settings

    from demo_apps.django_async import settings

    with override_settings(ROOT_URLCONF=settings.ROOT_URLCONF):
        yield


def answer(interface: str, path: str) -> httpx.Response:
    """The response of a fresh handler, so that its settings and paths are those of the test."""
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    if interface == "wsgi":
        transport = httpx.WSGITransport(get_wsgi_application(), raise_app_exceptions=False)
        with httpx.Client(transport=transport, base_url="http://127.0.0.1") as client:
            return client.get(path)
    return asyncio.run(ask_asgi(get_asgi_application(), path, raises=False))


# Where a view runs


@pytest.mark.parametrize(
    ("path", "loop"),
    [("/sync/where", False), ("/drf/where", False), ("/async/where", True), ("/adrf/where", True)],
)
def test_a_plain_view_keeps_the_thread_under_wsgi_a_coroutine_under_asgi(
    path: str, loop: bool
) -> None:
    here = threading.get_ident()
    seen = [answer(interface, path).json() for interface in BOTH]
    assert [each["thread"] == here for each in seen] == [not loop, loop]
    assert [bool(each["loop"]) for each in seen] == [loop, loop]


@pytest.mark.parametrize("interface", BOTH)
def test_an_async_method_of_a_drf_view_is_an_error(interface: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited")
        assert answer(interface, "/drf/async").status_code == 500
        gc.collect()  # the coroutine that nobody awaited complains when it goes


# Waiting for several


@pytest.mark.parametrize("path", ["/async/gathered", "/drf/gathered", "/drf/pooled"])
@pytest.mark.parametrize("interface", BOTH)
def test_gathered_calls_begin_before_the_first_has_ended(interface: str, path: str) -> None:
    calls = answer(interface, f"{path}?n=4&ms=50").json()["calls"]
    assert len(calls) == 4
    assert max(start for start, _ in calls) < min(end for _, end in calls)


def test_the_sixth_request_of_an_hour_is_throttled() -> None:
    from django.core.cache import cache

    cache.clear()
    assert [answer("wsgi", "/drf/throttled").status_code for _ in range(6)] == [200] * 5 + [429]


@pytest.mark.parametrize("interface", BOTH)
def test_calls_one_by_one_begin_after_the_one_before(interface: str) -> None:
    calls = answer(interface, "/async/one-by-one?n=3&ms=5").json()["calls"]
    assert all(end <= start for (_, end), (start, _) in pairwise(calls))


@pytest.mark.parametrize("query", ["n=-1", "n=many", "ms=soon"])
def test_a_query_that_makes_no_sense_is_a_bad_request(query: str) -> None:
    assert answer("wsgi", f"/async/gathered?{query}").status_code == 400
    assert answer("wsgi", f"/drf/gathered?{query}").status_code == 400


# A client that leaves


def test_an_async_view_is_cancelled_when_its_client_leaves_under_asgi() -> None:
    async def leave() -> None:
        from django.core.asgi import get_asgi_application

        talk = Talk(get_asgi_application(), http_scope("/async/linger?ticket=leaving&ms=60000"))
        await talk.say("http.request")
        while outcome_of("leaving") != "RUNNING":
            await asyncio.sleep(0)
        await talk.say("http.disconnect")
        await talk.end()  # the view itself would take a minute

    asyncio.run(leave())
    assert outcome_of("leaving") == "CANCELLED"


@pytest.mark.parametrize("view", ["/sync/linger", "/async/linger"])
@pytest.mark.parametrize("interface", BOTH)
def test_a_view_whose_client_stays_completes(interface: str, view: str) -> None:
    ticket = f"{interface}{view}"
    assert answer(interface, f"{view}?ticket={ticket}&ms=1").json() == {"outcome": "COMPLETED"}
    assert outcome_of(ticket) == "COMPLETED"


def test_an_unknown_ticket_has_no_outcome() -> None:
    assert outcome_of("never issued") == "UNKNOWN"


def outcome_of(ticket: str) -> Any:
    from demo_apps.django_async.views import OUTCOMES

    return OUTCOMES.get(ticket, "UNKNOWN")


# Settings and transactions, each module in a process of its own


def in_a_process_with(module: str, *paths: str) -> list[dict[str, Any]]:
    """What the project under WSGI answers with these settings: status and JSON, path by path."""
    program = """
import json, sys
from wsgiref.util import setup_testing_defaults
from demo_apps.django_async.wsgi import application

def ask(path):
    environ, head = {"PATH_INFO": path}, []
    setup_testing_defaults(environ)
    body = b"".join(application(environ, lambda status, headers: head.append(status)))
    status = int(head[0].split()[0])
    return {"status": status, "body": json.loads(body) if status == 200 else None}

print(json.dumps([ask(path) for path in sys.argv[1:]]))
"""
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": f"demo_apps.django_async.{module}"}
    command = [sys.executable, "-c", program, *paths]
    done = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


VIEWS = ["sync", "async", "exempt", "async-with", "in-thread"]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("settings_atomic", [True, 500, False, 500, True]),
        ("settings", [False, False, False, 500, True]),
    ],
)
def test_which_views_are_inside_a_transaction(module: str, expected: list[Any]) -> None:
    answers = in_a_process_with(module, *(f"/transaction/{view}" for view in VIEWS))
    assert [
        one["body"]["transaction"] if one["body"] else one["status"] for one in answers
    ] == expected


def test_the_chat_sets_one_thing_more_than_the_api() -> None:
    api, chat = (
        in_a_process_with(module, "/set")[0]["body"]["settings"]
        for module in ("settings_api", "settings_chat")
    )
    assert set(chat) - set(api) == {"CHANNEL_LAYERS"}
    assert set(api) <= set(chat)


@pytest.mark.parametrize("module", ["settings", "settings_api", "settings_atomic", "settings_chat"])
def test_the_contract_s_paths_stay_reachable(module: str) -> None:
    whoami, hello = in_a_process_with(module, "/whoami", "/drf/hello")
    assert whoami["body"]["interface"] == "wsgi"
    assert hello["body"] == {"message": "hello, world"}


def test_django_alone_knows_no_websocket() -> None:
    from django.core.asgi import get_asgi_application

    async def handshake() -> None:
        talk = Talk(get_asgi_application(), {"type": "websocket", "path": "/ws/echo"})
        await talk.hear()

    with pytest.raises(ValueError, match="can only handle ASGI/HTTP"):
        asyncio.run(handshake())


def test_a_server_error_names_its_exception() -> None:
    from demo_apps.django_async import views

    try:
        _ = {"something": 1}["nothing"]
    except KeyError:
        answer = views.server_error(HttpRequest())
    assert answer.status_code == 500
    assert answer.content == b"KeyError: 'nothing'\n"
