"""The demo applications' contract as data and checks, for tests in process and over sockets.

:func:`cases` lists the plain requests, :func:`check_http_contract` asks them of a running server
and looks at streams, timing and headers too, :func:`check_websocket_contract` talks to its
WebSockets. All raise AssertionError with the request and what came back.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

#: Application and interface, as the contract knows them.
STACKS = (
    ("raw", "wsgi"),
    ("raw", "asgi"),
    ("flask", "wsgi"),
    ("fastapi", "asgi"),
    ("django", "wsgi"),
    ("django", "asgi"),
)

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
EVENTS = "text/event-stream"

EVERY_BYTE = bytes(range(256))

_BAD_QUERIES = ("ms=abc", "ms=-1", "ms=60001", "ms=nan", "ms=inf", "ms=")
_BAD_COUNTS = ("n=abc", "n=-1", "n=10001", "n=1.5", "ms=abc")

_HEADER_FORMS = {
    "Server-Timing": re.compile(r"app;dur=\d+\.\d{3}"),
    "X-Worker": re.compile(r"[1-9]\d*/[1-9]\d*"),
    "X-Started": re.compile(r"\d+\.\d{6}"),
}

# Event loops keep time in whole milliseconds (uvloop) and may wake that much early.
_EARLY = 0.002

# Seconds to wait for a WebSocket message.
_PATIENCE = 60.0


@dataclass(frozen=True)
class Case:
    """One request of the contract and what must come back.

    ``body`` None: any text that is not empty. ``json`` None: not compared. ``at_least_ms``: the
    service time that the application itself must report.
    """

    path: str
    method: str = "GET"
    send: bytes = b""
    status: int = 200
    media: str | None = TEXT
    body: bytes | None = None
    json: object = None
    at_least_ms: float = 0.0

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def has_async_views(app: str, interface: str) -> bool:
    """Whether the application has ``/async/…``; only the bare WSGI callable has not."""
    return (app, interface) != ("raw", "wsgi")


def has_websockets(app: str, interface: str) -> bool:
    """Whether the application has ``/ws/…``."""
    return interface == "asgi" and app in {"raw", "fastapi", "django"}


def cases(app: str, interface: str) -> list[Case]:
    """All plain requests of the contract for one application.

    Raises:
        ValueError: the contract does not know such an application.
    """
    if (app, str(interface)) not in STACKS:
        raise ValueError(f"no application {app!r} under {interface}; there are {STACKS}")
    return [
        *_answers(app, interface),
        *_refusals(app, interface),
    ]


def _answers(app: str, interface: str) -> Iterator[Case]:
    kinds = ["", "/sync"]
    if has_async_views(app, interface):
        kinds.append("/async")
        yield _held("/async/blocking-hold")
    for kind in kinds:
        yield _held(f"{kind}/hold")
        yield Case(f"{kind}/burn?ms=5", body=b"burned 5 ms\n", at_least_ms=5)
    yield Case("/hello", body=b"hello, world\n")
    yield Case("/hold", body=b"held 50 ms\n", at_least_ms=50)
    yield Case("/hold?ms=2.5", body=b"held 2.5 ms\n", at_least_ms=2.5)
    yield Case("/hold?ms=0", body=b"held 0 ms\n")
    yield Case("/echo", body=b"")
    yield Case("/echo?a=1&b=two%20words", body=b"a=1&b=two%20words")
    yield Case("/echo", "POST", send=EVERY_BYTE, body=EVERY_BYTE)
    yield Case("/echo", "POST", body=b"")
    yield Case("/upload", "POST", send=EVERY_BYTE * 1200, media=JSON, json={"bytes": 307_200})
    yield Case("/upload", "POST", media=JSON, json={"bytes": 0})
    yield Case("/stream?n=3&ms=1", body=b"chunk 0\nchunk 1\nchunk 2\n")
    yield Case("/stream?n=0", body=b"")
    yield Case("/sse?n=2&ms=1", media=EVENTS, body=b"data: 0\n\ndata: 1\n\n")
    if app == "django":
        yield Case("/drf/hello", media=JSON, json={"message": "hello, world"})
        drf_held = {"message": "held 5 ms"}
        yield Case("/drf/hold?ms=5", media=JSON, json=drf_held, at_least_ms=5)


def _held(path: str) -> Case:
    return Case(f"{path}?ms=5", body=b"held 5 ms\n", at_least_ms=5)


def _refusals(app: str, interface: str) -> Iterator[Case]:
    for query in _BAD_QUERIES:
        yield Case(f"/hold?{query}", status=400)
    for path in ("/burn", "/sync/hold"):
        yield Case(f"{path}?ms=abc", status=400)
    for query in _BAD_COUNTS:
        yield Case(f"/stream?{query}", status=400)
    yield Case("/sse?n=abc", status=400)
    yield Case("/upload", status=405, media=None)
    yield Case("/nothing/here", status=404, media=None)
    yield Case("/", status=404, media=None)
    for path in ("/async/hold?ms=abc", "/async/blocking-hold?ms=-1", "/async/burn?ms=abc"):
        if has_async_views(app, interface):
            yield Case(path, status=400)
        else:
            yield Case(path, status=404, media=None)
    if app == "django":
        yield Case("/drf/hold?ms=abc", status=400, media=JSON)


def check_case(case: Case, response: httpx.Response, *, before: float, after: float) -> None:
    """Assert that a response is what the case wants and carries the contract's headers.

    Args:
        case: what was asked.
        response: what came back, read to its end.
        before: ``time.monotonic()`` just before the request, in seconds.
        after: the same just after the response.
    """
    seen = f"{case}: {response.status_code} {response.headers} {response.content[:200]!r}"
    assert response.status_code == case.status, f"not a {case.status}: {seen}"
    if case.media is not None:
        assert response.headers["Content-Type"].startswith(case.media), f"not {case.media}: {seen}"
    if case.json is not None:
        assert response.json() == case.json, f"not {case.json}: {seen}"
    elif case.body is not None:
        assert response.content == case.body, f"not {case.body!r}: {seen}"
    else:
        assert response.text.strip() or case.media is None, f"no sentence: {seen}"
    check_headers(response, what=str(case), before=before, after=after)
    if case.at_least_ms:
        service_ms = float(response.headers["Server-Timing"].partition("dur=")[2])
        assert service_ms >= case.at_least_ms - _EARLY * 1000, f"too quick: {seen}"


def check_headers(response: httpx.Response, *, what: str, before: float, after: float) -> None:
    """Assert that the three headers are there once each, well-formed and plausible in time."""
    for name, form in _HEADER_FORMS.items():
        values = response.headers.get_list(name)
        assert len(values) == 1, f"{what}: {name} is there {len(values)} times"
        assert form.fullmatch(values[0]), f"{what}: malformed {name}: {values[0]}"
    started = float(response.headers["X-Started"])
    service = float(response.headers["Server-Timing"].partition("dur=")[2]) / 1000
    # The clock is one for all processes; 2 µs for what the headers round away.
    assert before - 2e-6 <= started <= after, f"{what}: started outside {before}…{after}"
    assert started + service <= after + 2e-6, f"{what}: served after it was received"


def check_whoami(data: Any, app: str, interface: str) -> None:
    """Assert that the answer of ``/whoami`` is complete and names this application."""
    assert set(data) == {"pid", "thread", "interface", "nonce", "app", "scope"}, data
    assert (data["app"], data["interface"]) == (app, str(interface)), data
    assert isinstance(data["pid"], int), data
    assert isinstance(data["thread"], int), data
    assert isinstance(data["nonce"], str), data
    scope = data["scope"]
    path, method = scope.get("PATH_INFO"), scope.get("REQUEST_METHOD")
    if interface == "asgi":
        path, method = scope.get("path"), scope.get("method")
        assert scope["type"] == "http", scope
        assert "version" in scope["asgi"], scope
    assert (path, method) == ("/whoami", "GET"), scope


def check_http_contract(base_url: str, app: str, interface: str, *, uds: str | None = None) -> None:
    """Assert every HTTP route of the contract that the application has, over the network.

    Args:
        base_url: where it listens, such as ``http://127.0.0.1:8000``.
        app: raw, flask, fastapi or django.
        interface: ``"wsgi"`` or ``"asgi"``.
        uds: path of a Unix socket to connect to instead of the address in ``base_url``.

    Raises:
        AssertionError: a response differs; the text says which and how.
        httpx.HTTPError: there was no response.
        ValueError: the contract does not know such an application.
    """
    # A new connection for each request: uWSGI's --http-socket answers with HTTP/1.1, does not say
    # that it will close, and closes; a pooled connection is then reset at random.
    transport = httpx.HTTPTransport(uds=uds, limits=httpx.Limits(max_keepalive_connections=0))
    with httpx.Client(
        base_url=base_url, transport=transport, timeout=60.0, trust_env=False
    ) as client:
        for case in cases(app, interface):
            before = time.monotonic()
            response = client.request(case.method, case.path, content=case.send)
            check_case(case, response, before=before, after=time.monotonic())
        before = time.monotonic()
        response = client.get("/whoami")
        check_headers(response, what="/whoami", before=before, after=time.monotonic())
        check_whoami(response.json(), app, interface)
        for path, form in (("/stream", "chunk {}\n"), ("/sse", "data: {}\n\n")):
            _check_arrives_piecewise(client, path, [form.format(i) for i in range(4)])


def _check_arrives_piecewise(client: httpx.Client, path: str, texts: list[str]) -> None:
    """Once is enough: pieces that are held back come in one block however far apart they are."""
    spans = [_span_of_pieces(client, path, texts, gap=0.1)]
    for gap in (0.4, 1.2):  # a reader that is kept from its processor sees one block as well
        if spans[-1] < 0.5:
            spans.append(_span_of_pieces(client, path, texts, gap=gap))
    assert spans[-1] >= 0.5, f"{path}: came in one block, in {spans} of the time that it took"


def _span_of_pieces(client: httpx.Client, path: str, texts: list[str], *, gap: float) -> float:
    """From the first piece to the last, as a share of what the application takes for that."""
    prefixes = [text.encode() for text in itertools.accumulate(texts)]
    received = b""
    arrived: list[float] = []  # when each text was there in full
    before = time.monotonic()
    with client.stream("GET", f"{path}?n={len(texts)}&ms={gap * 1000:g}") as response:
        for piece in response.iter_raw():
            received += piece
            whole = sum(map(received.startswith, prefixes))
            arrived += [time.monotonic()] * (whole - len(arrived))
        check_headers(response, what=path, before=before, after=time.monotonic())
    assert received == prefixes[-1], f"{path}: {received!r}"
    # Only lower bounds: a busy machine delays, it never hastens.
    span = gap * (len(texts) - 1)
    seen = [round(at - before, 3) for at in arrived]
    assert arrived[-1] - before >= span - _EARLY * len(texts), f"{path}: too quick, {seen}"
    return (arrived[-1] - arrived[0]) / span


def check_websocket_contract(ws_url: str, app: str) -> None:
    """Assert that ``/ws/echo`` and ``/ws/chat`` work and that other paths are refused.

    Args:
        ws_url: where the server listens, such as ``ws://127.0.0.1:8000``.
        app: raw, fastapi or django.

    Raises:
        AssertionError: a message differs or does not come, or a path that should be refused is not.
        ValueError: the application has no WebSockets.
    """
    if not has_websockets(app, "asgi"):
        raise ValueError(f"the application {app!r} has no WebSockets in the contract")
    with _socket(ws_url, "/ws/echo") as socket:
        # No empty message: daphne 4.2 sends none (it asks whether the text is true).
        messages: tuple[str | bytes, ...] = ("hello", "grüß dich", EVERY_BYTE, "x" * 10_000)
        for message in messages:
            socket.send(message)
            _expect(socket, message, what="/ws/echo")
    with _socket(ws_url, "/ws/chat") as ann:
        # A member hears itself: that is how it knows that it is in the room.
        ann.send("ann is here")
        _expect(ann, "ann is here", what="/ws/chat, ann alone")
        with _socket(ws_url, "/ws/chat") as bob:
            bob.send("bob is here")
            _expect(bob, "bob is here", what="/ws/chat, bob to himself")
            _expect(ann, "bob is here", what="/ws/chat, bob to ann")
            ann.send("hello, bob")
            _expect(bob, "hello, bob", what="/ws/chat, ann to bob")
            _expect(ann, "hello, bob", what="/ws/chat, ann to herself")
        ann.send("alone again")
        _expect(ann, "alone again", what="/ws/chat, after bob has left")
    try:
        with _socket(ws_url, "/ws/nothing") as socket:
            socket.recv(timeout=min(_PATIENCE, 5.0))  # what is refused has been so by now
    except (InvalidHandshake, ConnectionClosed):
        return
    except TimeoutError:
        pass  # accepted, and silent
    raise AssertionError("/ws/nothing: was accepted")


def _socket(ws_url: str, path: str) -> ClientConnection:
    return connect(ws_url.rstrip("/") + path, open_timeout=60, close_timeout=5, proxy=None)


def _expect(socket: ClientConnection, message: str | bytes, *, what: str) -> None:
    try:
        heard = socket.recv(timeout=_PATIENCE)
    except TimeoutError:
        raise AssertionError(f"{what}: nothing came for {message[:80]!r}") from None
    assert heard == message, f"{what}: {heard[:80]!r} for {message[:80]!r}"
