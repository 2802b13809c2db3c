"""The built site behind a static server, and the distribution's Chromium."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sphinx_external_toc.parsing import parse_toc_yaml

from tests import ROOT

#: Another site can be tested by naming its folder here.
SITE = Path(os.environ.get("BOOK_HTML", ROOT / "_build" / "html"))
CHROMIUM = Path("/usr/bin/chromium")

#: How it is started: without a network service, an update or a graphics card.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def toc_pages() -> list[str]:
    """Addresses of all pages in the table of contents; its root is the site's index."""
    return [f"{name}.html" for name in parse_toc_yaml(ROOT / "_toc.yml")]


def barriers(page: Page) -> list[str]:
    """What axe-core finds on a page that lets a test bring its own script."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core is missing: pip install axe-playwright-python")
    page.evaluate(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8"))
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{v['id']}: {n['target']} {n['failureSummary']}"
        for v in result["violations"]
        for n in v["nodes"][:3]
    ]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the built site; without it there is nothing to test."""
    if not (SITE / "index.html").exists():
        pytest.skip(f"{SITE} has no site: build it first (scripts/build)")
    return SITE


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder's address on the loopback interface."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The site's address on the loopback interface."""
    with served(site) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the distribution ships it."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile at desktop size."""
    fresh = browser.new_context(viewport={"width": 1280, "height": 900})
    fresh.set_default_timeout(15_000)
    yield fresh
    fresh.close()


@pytest.fixture
def browser_context_without_policy(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile that lets a test bring its own script."""
    fresh = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    fresh.set_default_timeout(15_000)
    yield fresh
    fresh.close()
