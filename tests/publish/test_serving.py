"""The site behind the book's own server, while another site takes its place."""

from __future__ import annotations

import hashlib
import http.client
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from gatewaylab.errors import BuildError
from gatewaylab.publish import site
from gatewaylab.publish.book import Book
from gatewaylab.publish.serving import SiteServer, serving

PAGE = "<html><head><title>t</title></head><body>{}</body></html>"


def exchange(book: Book, **pages: str) -> None:
    """Let a site with these pages take the present one's place."""
    made = book.root / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for name, text in {"index": "front", **pages}.items():
        (made / f"{name}.html").write_text(PAGE.format(text))
    (made / "data.json").write_text("{}")
    site.exchange(book, site.assemble(book, made), "".join([*pages, *pages.values()]) or "first")


@pytest.fixture
def book(tmp_path: Path) -> Book:
    one = Book(tmp_path)
    one.sites.mkdir(parents=True)
    exchange(one, some="old")
    return one


@pytest.fixture
def server(book: Book) -> Iterator[SiteServer]:
    with serving(book, 0) as one:
        yield one


def get(server: SiteServer, path: str) -> str:
    with urlopen(server.address + path, timeout=60) as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        return str(answer.read().decode())


def digest(page: Path) -> str:
    return hashlib.sha256(page.read_bytes()).hexdigest()


def test_a_page_is_served_with_the_script_and_the_site_itself_has_none(
    book: Book, server: SiteServer
) -> None:
    tag = f'<script src="/-/reload.js" data-shown="{digest(book.html / "index.html")}"></script>'
    for path in ("", "index.html", "index.html?x=1"):
        assert get(server, path) == PAGE.format("front").replace("</head>", f"{tag}\n</head>")
    assert "EventSource" in get(server, "-/reload.js")
    assert get(server, "data.json") == "{}"
    assert not any(b"reload" in one.read_bytes() for one in book.html.iterdir())


def test_an_open_page_is_told_when_it_has_changed_and_only_then(
    book: Book, server: SiteServer
) -> None:
    stream = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    stream.request("GET", "/-/changes/some.html")
    events = stream.getresponse()
    seen = [digest(book.html / "some.html")]
    assert events.readline().decode() == f"data: {seen[0]}\n"
    for other, some in (("1", "old"), ("2", "old"), ("3", "new")):
        exchange(book, some=some, other=other)
        server.tell()
    # Nothing was said of the two sites before, in which this page was the same.
    assert events.readline() == b"\n"
    assert events.readline().decode() == f"data: {digest(book.html / 'some.html')}\n"
    assert digest(book.html / "some.html") not in seen
    assert "new" in get(server, "some.html")
    stream.close()


def test_a_browser_that_went_away_is_no_error(
    book: Book, server: SiteServer, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    stream.request("GET", "/-/changes/some.html")
    stream.getresponse().close()
    stream.close()
    for text in "abc":
        exchange(book, some=text)
        server.tell()
    assert "c" in get(server, "some.html")
    assert capsys.readouterr().err == ""


def test_only_this_machine_is_served_and_a_taken_port_is_told(
    book: Book, server: SiteServer
) -> None:
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(BuildError, match=f"port {server.server_port}: Address already in use"):
        SiteServer(book, server.server_port)


def test_a_book_without_a_site_is_not_found(tmp_path: Path) -> None:
    with serving(Book(tmp_path), 0) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().status == 404
        connection.close()
