"""The large file is served whole, and in pieces where the iterator fits the interface."""

from __future__ import annotations

import asyncio
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import override_settings

from tests.in_process import application, ask_asgi, http_scope, talking_to

CONTENT = bytes(range(256)) * 1024  # four pieces of 64 KiB
VIEWS = ["/download", "/download/pieces"]


@pytest.fixture
def download(tmp_path: Path) -> Iterator[Path]:
    application("django", "wsgi")  # the settings have to be there before they are overridden
    path = tmp_path / "film.bin"
    path.write_bytes(CONTENT)
    with override_settings(ROOT_URLCONF="demo_apps.django_files.urls", DOWNLOAD=str(path)):
        yield path


def over_wsgi(path: str) -> httpx.Response:
    transport = httpx.WSGITransport(application("django", "wsgi"))
    with httpx.Client(transport=transport, base_url="http://127.0.0.1") as client:
        return client.get(path)


def over_asgi(path: str) -> httpx.Response:
    return asyncio.run(ask_asgi(application("django", "asgi"), path))


def pieces(path: str) -> list[bytes]:
    """The body's pieces, as the application sends them over ASGI."""

    async def run() -> list[bytes]:
        async with talking_to("django", http_scope(path)) as talk:
            await talk.say("http.request", body=b"", more_body=False)
            found = [await talk.hear()]
            while found[-1]["type"] == "http.response.start" or found[-1].get("more_body"):
                found.append(await talk.hear())
            return [message["body"] for message in found if message.get("body")]

    return asyncio.run(run())


@pytest.mark.parametrize("path", VIEWS)
@pytest.mark.parametrize("fetch", [over_wsgi, over_asgi])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_both_views_give_the_whole_file_and_its_length(
    fetch: Any, path: str, download: Path
) -> None:
    response = fetch(path)
    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["content-length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    ("fetch", "path"), [(over_asgi, "/download"), (over_wsgi, "/download/pieces")]
)
def test_an_iterator_that_does_not_fit_the_interface_is_read_to_its_end_with_a_warning(
    fetch: Any, path: str, download: Path
) -> None:
    with pytest.warns(Warning, match="must consume"):
        fetch(path)


@pytest.mark.parametrize(
    ("fetch", "path"), [(over_wsgi, "/download"), (over_asgi, "/download/pieces")]
)
def test_an_iterator_that_fits_the_interface_is_served_without_a_warning(
    fetch: Any, path: str, download: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fetch(path).status_code == 200


def test_the_asynchronous_generator_sends_one_piece_after_another(download: Path) -> None:
    assert [len(piece) for piece in pieces("/download/pieces")] == [64 * 1024] * 4


@pytest.mark.parametrize("path", ["/hello", "/whoami"])
def test_the_project_answers_who_it_is(path: str, download: Path) -> None:
    assert over_wsgi(path).status_code == 200


def test_the_file_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = importlib.import_module("demo_apps.django_files.settings")
    monkeypatch.setenv("DEMO_DOWNLOAD", "/srv/film.bin")
    assert importlib.reload(settings).DOWNLOAD == "/srv/film.bin"
    monkeypatch.undo()
    assert importlib.reload(settings).DOWNLOAD == ""
