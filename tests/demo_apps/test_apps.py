"""Every demo application keeps the contract, in process: no server, no socket, no port."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from wsgiref.validate import validator

import httpx
import pytest
from asgiref.sync import SyncToAsync

from demo_apps import common
from tests.contract import (
    EVERY_BYTE,
    STACKS,
    Case,
    cases,
    check_case,
    check_headers,
    check_whoami,
    has_async_views,
)
from tests.in_process import (
    ASGI,
    WSGI,
    application,
    ask,
    ask_asgi,
    environ_of,
    http_scope,
    pieces,
    talking_to,
)

pytestmark = pytest.mark.slow

STREAMED = {
    "/stream?n=3&ms=20": [b"chunk 0\n", b"chunk 1\n", b"chunk 2\n"],
    "/sse?n=3&ms=20": [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"],
}


# The contract, request by request


@pytest.mark.parametrize(
    ("app", "interface", "case"),
    [
        pytest.param(app, interface, case, id=f"{app}-{interface}-{case}")
        for app, interface in STACKS
        for case in cases(app, interface)
    ],
)
def test_the_application_keeps_the_contract(app: str, interface: str, case: Case) -> None:
    response, before, after = ask(app, interface, case.path, case.method, case.send)
    check_case(case, response, before=before, after=after)


@pytest.mark.parametrize(("app", "interface"), STACKS)
def test_whoami_names_the_application_and_the_run(
    app: str, interface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAYLAB_NONCE", "abc123")
    response, before, after = ask(app, interface, "/whoami")
    check_headers(response, what="/whoami", before=before, after=after)
    check_whoami(response.json(), app, interface)
    assert response.json()["nonce"] == "abc123"
    assert response.json()["pid"] == os.getpid()


@pytest.mark.parametrize(("app", "interface"), STACKS)
def test_without_a_run_no_nonce(app: str, interface: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAYLAB_NONCE", raising=False)
    assert ask(app, interface, "/whoami")[0].json()["nonce"] == ""


# Streams leave piece by piece


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize("app", WSGI)
def test_a_wsgi_stream_waits_between_pieces_and_not_before_the_first(
    app: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    sent: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        sent.append((status, headers))

    body = application(app, "wsgi")(environ_of(path), start_response)
    seen = [(piece, len(waits)) for piece in body if piece]
    getattr(body, "close", lambda: None)()

    assert seen == [(piece, i) for i, piece in enumerate(STREAMED[path])]
    assert waits == [0.02, 0.02]
    (status, headers), *others = sent
    assert (status, others) == ("200 OK", [])
    assert "content-length" not in {name.lower() for name, _ in headers}


def test_raw_wsgi_has_events_that_say_when_they_were_made() -> None:
    moments = [time.monotonic()]
    for event in application("raw", "wsgi")(environ_of("/ticks?n=3&ms=20"), lambda *_: None):
        moments += [float(event.removeprefix(b"data: ")), time.monotonic()]
    assert len(moments) == 7
    assert [a - 1e-6 <= b for a, b in pairwise(moments)] == [True] * 6
    assert moments[3] - moments[2] >= 0.019


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize("app", ASGI)
def test_an_asgi_stream_sends_each_piece_before_waiting_for_the_next(app: str, path: str) -> None:
    got = pieces(app, "asgi", path.replace("ms=20", "ms=50"))
    assert [piece for _, piece in got] == STREAMED[path]
    # A lower bound at half of what is due: had the pieces been held back, they would come at once.
    assert got[-1][0] - got[0][0] >= 0.05


@pytest.mark.parametrize("app", ASGI)
def test_an_asgi_stream_ends_when_the_client_leaves(app: str) -> None:
    async def leave() -> None:
        async with talking_to(app, http_scope("/stream?n=10000&ms=60000")) as talk:
            await talk.say("http.request")
            assert (await talk.hear())["type"] == "http.response.start"
            assert (await talk.hear())["body"] == b"chunk 0\n"
            await talk.say("http.disconnect")
            await talk.end()  # the next piece would come in a minute

    asyncio.run(leave())


# What blocks the event loop, and what does not


def a_coroutine_could_run_during(path: str, app: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the event loop ran anything else while the view of ``path`` slept."""
    other_ran = threading.Event()
    answers: list[bool] = []
    real_async_sleep = asyncio.sleep

    def sleep(seconds: float) -> None:
        # Sleeps only until the other coroutine runs; three seconds are the patience for one that
        # cannot, and what a starved machine may take to schedule one that can.
        other_ran.clear()
        answers.append(other_ran.wait(3))

    async def async_sleep(seconds: float) -> None:
        other_ran.clear()
        await real_async_sleep(seconds)
        answers.append(other_ran.is_set())

    async def other() -> None:
        while True:
            await real_async_sleep(0)
            other_ran.set()

    async def main() -> httpx.Response:
        task = asyncio.create_task(other())
        try:
            return await ask_asgi(application(app, "asgi"), path)
        finally:
            task.cancel()

    application(app, "asgi")
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(asyncio, "sleep", async_sleep)
    assert asyncio.run(main()).status_code == 200
    (answer,) = answers
    return answer


@pytest.mark.parametrize(
    ("path", "free"),
    [
        ("/async/blocking-hold", False),
        *(("/hold?ms=5", True), ("/sync/hold?ms=5", True), ("/async/hold?ms=5", True)),
    ],
)
@pytest.mark.parametrize("app", ASGI)
def test_only_sleeping_inside_a_coroutine_blocks_its_event_loop(
    app: str, path: str, free: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert a_coroutine_could_run_during(path, app, monkeypatch) is free


@pytest.mark.parametrize(("path", "on_loop"), [("/async/burn", True), ("/sync/burn", False)])
@pytest.mark.parametrize("app", ASGI)
def test_burning_is_on_the_loop_only_in_the_coroutine(
    app: str, path: str, on_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    application(app, "asgi")
    monkeypatch.setattr(common, "burn", lambda ms: threads.append(threading.get_ident()))
    assert ask(app, "asgi", path)[0].status_code == 200
    assert [thread == threading.get_ident() for thread in threads] == [on_loop]


@pytest.mark.parametrize(
    ("path", "in_loop"),
    [("/hold", False), ("/sync/hold", False), ("/async/blocking-hold", True)],
)
@pytest.mark.parametrize("app", [app for app in WSGI if has_async_views(app, "wsgi")])
def test_under_wsgi_an_async_view_gets_an_event_loop_and_a_plain_one_does_not(
    app: str, path: str, in_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def sleep(seconds: float) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            seen.append(False)
        else:
            seen.append(True)

    application(app, "wsgi")
    monkeypatch.setattr(time, "sleep", sleep)
    assert ask(app, "wsgi", path)[0].status_code == 200
    assert seen == [in_loop]


# The stacks' own duties


@pytest.mark.parametrize("path", ["/hello", "/stream?n=2&ms=0", "/nothing", "/hold?ms=abc"])
@pytest.mark.parametrize("app", WSGI)
def test_wsgi_applications_pass_the_validator_of_pep_3333(app: str, path: str) -> None:
    started: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        started.append(status)
        return lambda piece: None

    body = validator(application(app, "wsgi"))(environ_of(path), start_response)
    try:
        assert b"".join(body)
    finally:
        body.close()  # type: ignore[attr-defined]  # the validator's iterator has it
    assert len(started) == 1


@pytest.mark.parametrize(
    ("environ", "size"),
    [
        pytest.param({"CONTENT_LENGTH": "256"}, 256, id="length"),
        pytest.param({"CONTENT_LENGTH": "100"}, 100, id="only as long as announced"),
        pytest.param({"CONTENT_LENGTH": "999"}, 256, id="client left early"),
        pytest.param({}, 0, id="no length"),
        pytest.param({"wsgi.input_terminated": True}, 256, id="chunked"),
    ],
)
def test_raw_wsgi_reads_exactly_the_request_s_body(environ: dict[str, Any], size: int) -> None:
    transport = httpx.WSGITransport(with_environ(environ))
    with httpx.Client(transport=transport, base_url="http://127.0.0.1") as client:
        assert client.post("/upload", content=EVERY_BYTE).json() == {"bytes": size}


def with_environ(changes: dict[str, Any]) -> Any:
    def changed(environ: dict[str, Any], start_response: Any) -> Any:
        environ.pop("CONTENT_LENGTH", None)
        return application("raw", "wsgi")(environ | changes, start_response)

    return changed


@pytest.mark.parametrize("app", ["raw", "fastapi"])
def test_lifespan_is_answered(app: str) -> None:
    async def live() -> list[str]:
        async with talking_to(app, {"type": "lifespan", "asgi": {"version": "3.0"}}) as talk:
            answers = []
            for kind in ("startup", "shutdown"):
                await talk.say(f"lifespan.{kind}")
                answers.append((await talk.hear())["type"])
        return answers

    assert asyncio.run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_the_contract_s_middleware_needs_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    application("django", "asgi")
    from django.core.asgi import get_asgi_application
    from django.test import override_settings

    hops = 0
    real_call = SyncToAsync.__call__

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal hops
        hops += 1
        return await real_call(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", counted)

    def hops_with(*middleware: str) -> int:
        nonlocal hops
        hops = 0
        with override_settings(MIDDLEWARE=list(middleware)):
            target = get_asgi_application()
        asyncio.run(ask_asgi(target, "/async/hold?ms=0"))
        return hops

    bare = hops_with()
    assert hops_with("demo_apps.django_app.middleware.contract_headers") == bare
    assert hops_with("django.middleware.common.CommonMiddleware") > bare
