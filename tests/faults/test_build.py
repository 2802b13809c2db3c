"""A whole build that is killed at any moment, and one that is made elsewhere."""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from hypothesis import settings

from gatewaylab.measure.delay import until
from gatewaylab.publish import site
from gatewaylab.publish.book import Book
from gatewaylab.publish.key import site_key
from gatewaylab.publish.states import StateRecord
from gatewaylab.records.evidence import read
from gatewaylab.records.storage import load
from tests.conftest import survivors
from tests.support import books
from tests.support.shell import Shell, shell

pytestmark = [pytest.mark.live, pytest.mark.slow]

#: So many moments, which are the same each time.
KILLS = 100 if settings.get_current_profile_name() == "nightly" else 6

_LINK = re.compile(r'\b(?:href|src)="([^"#][^"]*)"')


@pytest.fixture(scope="module")
def program(session_folder: str) -> Iterator[Shell]:
    with shell() as one:
        yield one


def small(root: Path) -> Book:
    """A book of two chapters."""
    books.write(root)
    books.add_other(root)
    books.add_front(root)
    return Book(root)


def build(program: Shell, book: Book, *options: str, **variables: str) -> str:
    """Build, which must end well; what was said."""
    said = book.root.parent / "said"
    said.unlink(missing_ok=True)
    env = {**os.environ, **variables}
    status = program.wait(program.start(["build", *options], book.root, said, env=env))
    assert status == 0, said.read_text()
    return said.read_text()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_whole(book: Book) -> None:
    """Each page of the site ends as it should, and whatever it links to is there."""
    pages = list(book.html.rglob("*.html"))
    assert {"index.html", "some.html", "other.html"} <= {page.name for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.rstrip().endswith("</html>"), page
        for link in _LINK.findall(text):
            path = unquote(urldefrag(link)[0]).partition("?")[0]
            if "://" not in link and not link.startswith(("data:", "mailto:", "/")):
                assert (page.parent / path).exists(), f"{page}: {link}"
    for name in ("some", "other"):
        assert read(book.evidence / f"{name}.json").claims
        assert load(StateRecord, book.state(name)).state == "accepted"


@pytest.fixture(scope="module")
def built(program: Shell, tmp_path_factory: pytest.TempPathFactory) -> tuple[Book, float]:
    """A book that was built, and the seconds that it took."""
    book = small(tmp_path_factory.mktemp("built") / "book")
    began = time.monotonic()
    build(program, book)
    return book, time.monotonic() - began


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_build_killed_at_any_moment_leaves_a_whole_site_and_whole_evidence(
    kill: int, program: Shell, built: tuple[Book, float], session_folder: str
) -> None:
    book, took = built
    before = survivors(session_folder)
    pid = program.start(["build", "--fresh"], book.root, book.root.parent / "said")
    time.sleep(random.Random(kill).uniform(0, took))
    os.kill(pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
    assert program.wait(pid) in {-signal.SIGKILL, 0}
    assert_whole(book)
    assert until(lambda: not survivors(session_folder) - before, within=60)


def test_the_build_after_those_that_were_killed_goes_on(
    program: Shell, built: tuple[Book, float]
) -> None:
    book, _ = built
    assert "open file:" in build(program, book)
    assert_whole(book)
    assert site.made_from(book) == site_key(book)


def test_a_kill_at_any_of_a_hundred_points_of_an_exchange_leaves_one_site_or_the_other(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Each child exchanges one site after another until it is killed; the next one goes on."""
    made = {}
    for key in ("one", "two"):
        made[key] = tmp_path / key
        made[key].mkdir()
        for page in ("index", *map(str, range(50))):
            (made[key] / f"{page}.html").write_text(key)
    known = [contents(folder) for folder in made.values()]
    book = Book(tmp_path / "book")
    book.sites.mkdir(parents=True)

    def exchange(key: str) -> None:
        site.exchange(book, site.assemble(book, made[key]), key)

    exchange("one")
    began = time.monotonic()
    exchange("two")
    took = time.monotonic() - began
    chance, seen = random.Random(7), set()
    record_property("tries", 100)
    for _ in range(100):
        child = os.fork()
        if child == 0:
            for key in itertools.cycle(made):
                exchange(key)
        time.sleep(chance.uniform(0, 4 * took))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert contents(book.html) in known
        seen.add(site.made_from(book))
    assert seen == {"one", "two"}
    exchange("one")
    assert contents(book.html) == known[0]


def test_a_renderer_that_hangs_ends_with_its_killed_build(
    program: Shell, tmp_path: Path, session_folder: str
) -> None:
    book = small(tmp_path / "book")
    inside = tmp_path / "inside"
    (book.root / "hang.py").write_text(
        "import pathlib, time\n"
        f"def setup(app): pathlib.Path({str(inside)!r}).touch(); time.sleep(3600)\n"
    )
    config = book.root / "_config.yml"
    listed = config.read_text().replace("extensions: [", "extensions: ['hang', ")
    config.write_text(listed.replace("{bookext", "{hang: ., bookext"))
    before = survivors(session_folder)
    pid = program.start(["build", "--render-only"], book.root, tmp_path / "said")
    assert until(inside.exists, within=120), (tmp_path / "said").read_text()
    os.kill(pid, signal.SIGKILL)
    assert program.wait(pid) == -signal.SIGKILL
    assert until(lambda: not survivors(session_folder) - before, within=60)


def test_the_same_evidence_makes_the_same_bytes_elsewhere(program: Shell, tmp_path: Path) -> None:
    """One site came about chapter by chapter; the other is rendered at once, in another place."""
    book = small(tmp_path / "book")
    build(program, book, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="1")
    other = Book(tmp_path / "a path" / "elsewhére")
    unrendered = shutil.ignore_patterns("html", "sites", "rendering")
    shutil.copytree(book.root, other.root, ignore=unrendered)
    assert not other.html.exists()
    build(program, other, "--render-only", TZ="America/New_York", PYTHONHASHSEED="2")
    here, there = contents(book.html), contents(other.html)
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
    assert {"index.html", "notebooks/some.ipynb", "data/claims.json"} <= here.keys()
