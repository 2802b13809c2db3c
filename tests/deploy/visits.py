"""What a visitor does to a set-up: a function each, which raises AssertionError if it fails."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.deploy.bed import PATIENCE, Up, run, wait_until
from tests.deploy.files import PROJECT
from tests.deploy.lines import asking, more_files, read_until
from tests.deploy.lines import websocket as open_websocket
from tests.deploy.setups import HOST, PROXY, STRANGER

Visit = Callable[[Up], None]
VISITS: dict[str, Visit] = {}
"""Every visit by its name, in the order of the record."""

MEGABYTE = 10**6


def visit(one: Visit) -> Visit:
    """Enter a function into `VISITS`."""
    VISITS[one.__name__] = one
    return one


@visit
def page(up: Up) -> None:
    """A page of Django, over HTTP/1.1; it knows its own address."""
    with up.client() as client:
        reply = client.get(up.path("page"))
        assert client.get("/admin/").text == f"<p>https://{up.authority}/admin/</p>\n"
    assert reply.status_code == 200
    assert f"https://{up.authority}{up.path('page')}" in reply.text
    assert "max-age" in reply.headers["strict-transport-security"]


@visit
def health(up: Up) -> None:
    """/healthz is answered by the application and by nobody else."""
    with up.client() as client:
        assert client.get("/healthz").text == "well\n"


@visit
def port_80(up: Up) -> None:
    """Port 80 gives the authority its answer, and sends everybody else to https."""
    with httpx.Client(base_url=f"http://{PROXY}:{up.port_80}", headers={"Host": HOST}) as client:
        assert client.get("/.well-known/acme-challenge/token").text == "challenge"
        sent = client.get("/page?a=1")
    assert (sent.status_code, sent.headers["location"]) == (301, f"https://{HOST}/page?a=1")


@visit
def static(up: Up) -> None:
    """A static file comes without Django, and is kept for ever only if its name has a hash."""
    (hashed,) = (up.site / "public" / "static").glob("own.????????????.css")
    with up.client() as client:
        kept, asked, missing = (
            client.get(f"/static/{name}") for name in (hashed.name, "own.css", "none.css")
        )
    assert "/static/" not in (up.site / "calls").read_text()
    assert kept.headers["content-type"].startswith("text/css")
    assert "immutable" in kept.headers["cache-control"]
    assert asked.headers["cache-control"] == "no-cache"
    assert missing.status_code == 404
    assert "immutable" not in missing.headers.get("cache-control", "")


@visit
def media(up: Up) -> None:
    """An uploaded page or drawing is saved, not shown, and a missing one is a 404."""
    with up.client() as client:
        for name in ("page.html", "drawing.svg"):
            disarmed(client.get(f"/media/{name}"))
        assert client.get("/media/none.html").status_code == 404


def disarmed(reply: httpx.Response) -> None:
    """A file of a stranger as it may be handed to another one."""
    assert reply.status_code == 200
    assert reply.headers["content-disposition"] == "attachment"
    assert reply.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert reply.headers["x-content-type-options"] == "nosniff"


@visit
def private(up: Up) -> None:
    """A private file comes for whom Django lets have it, and from no address of its own."""
    with up.client() as client:
        assert client.get(up.path("letters/letter.txt")).status_code == 403
        given = client.get(up.path("letters/letter.txt"), headers={"Authorization": "word"})
        assert given.text == "for one reader"
        if not up.one.apache:
            disarmed(given)
        for address in ("/private/letter.txt", "/media/../private/letter.txt"):
            assert "for one reader" not in client.get(address).text


@contextmanager
def sending(up: Up, size: int) -> Iterator[tuple[http.client.HTTPConnection, bytes, str]]:
    """An upload of a form that lacks its last byte, that byte, and the hash of the file."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    tail = b"\r\n--b--\r\n"
    line = http.client.HTTPConnection(up.authority)
    line.sock = up.connect()
    line.putrequest("POST", up.path("upload/"), skip_host=True)
    length = len(head) + size + len(tail)
    for name, value in {
        "Host": up.authority, "Content-Type": "multipart/form-data; boundary=b",
        "Content-Length": str(length), **up.told,
    }.items():  # fmt: skip
        line.putheader(name, value)
    line.endheaders(head)
    piece, digest = bytes(range(250)) * (MEGABYTE // 250), hashlib.blake2b()
    for _ in range(size // MEGABYTE):
        line.send(piece)
        digest.update(piece)
    line.send(tail[:-1])
    try:
        yield line, tail[-1:], digest.hexdigest()
    finally:
        line.close()


@visit
def upload(up: Up) -> None:
    """A file of 200 MB arrives whole."""
    with sending(up, 200 * MEGABYTE) as (line, last, digest):
        line.send(last)
        reply = line.getresponse()
        assert reply.status == 200, reply.read()
        assert json.load(reply) == {"size": 200 * MEGABYTE, "hash": digest}


@visit
def slow_upload(up: Up) -> None:
    """An upload whose last byte is not sent yet holds no slot of the application."""
    before = up.calls("begin", "upload/")
    with sending(up, 200 * MEGABYTE) as (line, last, _), up.client() as client:
        for _ in range(8):
            assert client.get(up.path("page")).status_code == 200
        assert up.calls("begin", "upload/") == before
        line.send(last)
        assert line.getresponse().status == 200
    assert up.calls("begin", "upload/") == before + 1


@visit
def slow_reader(up: Up) -> None:
    """A reader who stops after the first byte of a large page holds no slot of the application."""
    ended = up.calls("end", "large")
    line = http.client.HTTPConnection(up.authority)
    line.sock = up.connect()
    line.request("GET", up.path("large"), headers={"Host": up.authority, **up.told})
    try:
        assert line.getresponse().read(1) == b"."
        if "slow_reader" in up.one.cannot:  # the reader would wait for ever
            with up.client() as client:
                assert client.get(up.path("page")).status_code == 200
            assert up.calls("end", "large") > ended
        wait_until(lambda: up.calls("end", "large") > ended, "the end of the page")
    finally:
        line.close()


def posted(client: httpx.Client, up: Up, headers: dict[str, str], body: bytes = b"a=1") -> int:
    """The status of a form's POST, with the token of a page that was asked for before."""
    token = client.get(up.path("token"), headers=headers).text
    sent = {"X-CSRFToken": token, "Cookie": f"csrftoken={client.cookies['csrftoken']}", **headers}
    return client.post(up.path("save"), content=body, headers=sent).status_code


@visit
def too_large(up: Up) -> None:
    """A body of 11 MB is refused where no large files are meant, and one of 2 MB is not."""
    with up.client() as client:
        own = {"Origin": f"https://{up.authority}"}
        assert posted(client, up, own, b"." * 2 * MEGABYTE) == 200
    line = http.client.HTTPConnection(up.authority)
    line.sock = up.connect()
    line.putrequest("POST", up.path("save"), skip_host=True)
    for name, value in {"Host": up.authority, "Content-Length": str(11 * MEGABYTE)}.items():
        line.putheader(name, value)
    line.endheaders()  # the announcement is enough
    try:
        assert line.getresponse().status == 413
    finally:
        line.close()


@visit
def origin(up: Up) -> None:
    """A form of the site's own page is taken, and one of another site is not."""
    with up.client() as client:
        assert posted(client, up, {"Origin": f"https://{up.authority}"}) == 200
        assert posted(client, up, {"Origin": "https://evil.example"}) == 403


@visit
def other_port(up: Up) -> None:
    """A form is taken where visitors see another port than the web server's."""
    with up.client() as client:
        for seen in (f"{HOST}:8443", HOST):
            assert posted(client, up, {"Host": seen, "Origin": f"https://{seen}"}) == 200
        assert posted(client, up, {"Host": HOST, "Origin": f"https://{HOST}:8443"}) == 403


@visit
def chunked(up: Up) -> None:
    """A body of unknown length arrives whole."""
    with up.client() as client:
        token = client.get(up.path("token")).text
        sent = {"X-CSRFToken": token, "Origin": f"https://{up.authority}",
                "Cookie": f"csrftoken={client.cookies['csrftoken']}"}  # fmt: skip
        reply = client.post(up.path("save"), content=iter([b"." * 1000] * 3), headers=sent)
        assert (reply.status_code, reply.text) == (200, "3000\n")


def live(up: Up, content_type: str, *, http2: bool) -> None:
    """Each event is read before the next one is written: its reader's signal lets that go on.

    A page comes between the two.
    """
    number = len(list(up.site.glob("signal-*")))
    signals = f"signal-{number}-"
    asked = {"signals": signals, "type": content_type}
    with up.client(http2=http2) as client:
        with client.stream("GET", up.path("events/live"), params=asked) as reply:
            assert reply.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
            seen = []
            for text in reply.iter_text():
                for event in re.findall(r"data: (.+)\n\n", text):
                    seen.append(event)
                    assert client.get(up.path("page")).status_code == 200
                    (up.site / f"{signals}{event}").touch()
    assert seen == ["0", "1", "2"]


@visit
def events_http1(up: Up) -> None:
    """Events are live over HTTP/1.1, with TLS where that ends here."""
    live(up, "text/event-stream", http2=False)


@visit
def events_http2(up: Up) -> None:
    """Events are live over HTTP/2."""
    live(up, "text/event-stream", http2=True)


@visit
def events_gzip(up: Up) -> None:
    """A stream of HTML is live for a reader who accepts gzip."""
    live(up, "text/html", http2=False)


@visit
def listeners(up: Up) -> None:
    """2 100 listeners stay and read one event and then another; between the two, a page comes."""
    path, number = "events/crowd", 2100  # two workers have files for 2 048, without LimitNOFILE
    ended = up.calls("end", path)
    signal = f"crowd-{up.calls('begin', path)}"
    with ExitStack() as stack:
        stack.enter_context(more_files())
        lines: list[socket.socket] = []
        while len(lines) < number:
            lines.append(stack.enter_context(asking(up, f"{path}?signal={signal}")))
            read_until(lines[-1], b"data: 0\n\n")
            assert up.calls("end", path) == ended, "one had to go before another could come"
        with up.client() as client:
            assert client.get(up.path("page")).status_code == 200
        (up.site / signal).touch()
        for line in lines:
            read_until(line, b"data: 1\n\n")


@visit
def websocket(up: Up) -> None:
    """A WebSocket opens for a page of this site and for no other."""

    async def echoed(origin: str = "") -> str:
        async with open_websocket(up, "/ws/echo", origin) as line:
            await line.send("hello")
            return str(await asyncio.wait_for(line.recv(), PATIENCE))

    assert asyncio.run(echoed()) == "hello"
    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(echoed("https://evil.example"))
    assert refused.value.response.status_code == 403


@visit
def forged(up: Up) -> None:
    """What visitors say of their own address and scheme reaches no view."""
    lies = {"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6",
            "X-Forwarded-Proto": "http"}  # fmt: skip
    if up.one.behind:  # two proxies append to the first, and overwrite the last
        lies |= {"X-Forwarded-For": f"6.6.6.6, {up.visitor}, {PROXY}", "X-Forwarded-Proto": "https"}
    with up.client() as client:
        told = [client.get(up.path(f"{way}whoami"), headers=lies).json() for way in ("", "events/")]
    for seen in told:
        assert "6.6.6.6" not in str(seen)
        assert seen["secure"]
        assert seen["ident"] == up.visitor
        assert seen["headers"]["X-Real-IP"] == up.visitor
    if "websocket" not in up.one.cannot:  # uvicorn believes the proxy; gunicorn has no such field
        assert told[1]["address"] == up.visitor


@visit
def stranger(up: Up) -> None:
    """A stranger who plays the proxy in front is not believed."""
    lies = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
    with up.client(peer=STRANGER) as client:
        reply = client.get(up.path("whoami"), headers=lies)
    if up.one.behind:  # came without TLS
        assert reply.status_code == 301
    else:
        assert reply.json()["ident"] == STRANGER


@visit
def cookies(up: Up) -> None:
    """A cookie of 5 KB goes in and out; one of 9 KB is refused, and the next request is not."""
    with up.client() as client:
        long = client.get(up.path("cookies"), headers={"Cookie": f"c={'v' * 5000}"})
        assert long.text == "5000\n"
        wide = client.get(up.path("cookies"), params={"set": "5"})
        assert len(wide.headers.get_list("set-cookie")) == 5
        too_long = client.get(up.path("cookies"), headers={"Cookie": f"c={'v' * 9000}"})
        assert too_long.status_code in (400, 431)
        assert client.get(up.path("page")).status_code == 200


@visit
def authorization(up: Up) -> None:
    """The header of a token reaches REST framework."""
    with up.client() as client:
        seen = client.get(up.path("whoami"), headers={"Authorization": "Token t"}).json()
    assert seen["headers"]["Authorization"] == "Token t"


@visit
def log(up: Up) -> None:
    """The logs name the visitor, and how long the request and the application took."""
    agent = f"reader-{time.monotonic_ns()}"
    with up.client() as client:
        client.get(up.path(f"page?{agent}"), headers={"User-Agent": agent})
    took = r"\d+" if up.one.apache else r"[\d.]+ [\d.]+"  # Apache has no application behind it
    asked = rf'{up.visitor} \[\S+( \S+)?\] "GET \S+page\?{agent} HTTP/1.1" 200 \d+'
    assert re.match(rf'{asked} {took} "', line_of(up.log, agent))
    if up.one.gunicorn:
        log = up.folder / "log" / f"{up.one.gunicorn}.txt"
        assert re.match(rf"{asked} \d+ ms$", line_of(log, agent))


def line_of(log: Path, word: str) -> str:
    """The only line of a log in which a word is."""
    wait_until(lambda: word in log.read_text(), "a line in the log")
    (line,) = [one for one in log.read_text().splitlines() if word in one]
    return line


@visit
def check_deploy(up: Up) -> None:
    """Django's own check of settings for production has no warning."""
    said = run(
        sys.executable, "-m", "django", "check", "--deploy", "--fail-level", "WARNING",
        cwd=PROJECT, env=up.env,
    )  # fmt: skip
    assert "no issues" in said
