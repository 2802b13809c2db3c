"""The large file is served whole, and in pieces where the iterator fits the interface."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from tests.in_process import application, ask, pieces

CONTENT = bytes(range(256)) * 1024  # four pieces of 64 KiB
VIEWS = ["/download", "/download/pieces"]
FIT = [("wsgi", "/download"), ("asgi", "/download/pieces")]
MISFIT = [("asgi", "/download"), ("wsgi", "/download/pieces")]


@pytest.fixture
def download(tmp_path: Path) -> Iterator[Path]:
    application("django", "wsgi")  # the settings have to be there before they are overridden
    path = tmp_path / "film.bin"
    path.write_bytes(CONTENT)
    with override_settings(ROOT_URLCONF="demo_apps.django_files.urls", DOWNLOAD=str(path)):
        yield path


@pytest.mark.parametrize("path", VIEWS)
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_both_views_give_all_of_the_file_and_its_length(
    interface: str, path: str, download: Path
) -> None:
    response, *_ = ask("django", interface, path)
    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["content-length"] == str(len(CONTENT))


@pytest.mark.parametrize(("interface", "path"), MISFIT)
def test_an_iterator_that_does_not_fit_the_interface_is_read_to_its_end_with_a_warning(
    interface: str, path: str, download: Path
) -> None:
    with pytest.warns(Warning, match="must consume"):
        ask("django", interface, path)


@pytest.mark.parametrize(("interface", "path"), FIT)
def test_an_iterator_that_fits_the_interface_is_served_without_a_warning(
    interface: str, path: str, download: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask("django", interface, path)[0].status_code == 200


def test_the_asynchronous_generator_sends_one_piece_after_another(download: Path) -> None:
    got = pieces("django", "asgi", "/download/pieces")
    assert [len(piece) for _, piece in got] == [64 * 1024] * 4


@pytest.mark.parametrize("path", ["/hello", "/whoami"])
def test_the_project_answers_who_it_is(path: str, download: Path) -> None:
    assert ask("django", "wsgi", path)[0].status_code == 200


def test_the_file_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = importlib.import_module("demo_apps.django_files.settings")
    monkeypatch.setenv("DEMO_DOWNLOAD", "/srv/film.bin")
    assert importlib.reload(settings).DOWNLOAD == "/srv/film.bin"
    monkeypatch.undo()
    assert importlib.reload(settings).DOWNLOAD == ""
