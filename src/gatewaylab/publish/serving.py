"""The site on a loopback address, whose open pages load again when they have changed.

An event stream tells an open page the digest of its file whenever a site has taken the place of
another. Only pages that are looked at keep one open, since a browser has few connections to a
server. The script comes from the server alone: the published site knows nothing of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from gatewaylab.errors import BuildError
from gatewaylab.publish.book import Book

#: Below this no page of the site lies.
_OWN = "/-/"

_SCRIPT = """\
(() => {
  const shown = document.currentScript.dataset.shown;
  let changes;
  const listen = () => {
    changes?.close();
    if (document.hidden) return;
    changes = new EventSource("/-/changes" + location.pathname);
    changes.onmessage = (event) => { if (event.data !== shown) location.reload(); };
  };
  document.addEventListener("visibilitychange", listen);
  listen();
})();
"""


class SiteServer(http.server.ThreadingHTTPServer):
    """Serves the site of a book, whichever is the present one; it works only when it is asked.

    Raises:
        BuildError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, book: Book, port: int) -> None:
        self.site = book.html
        self.changed = threading.Condition()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise BuildError(
                f"port {port}: {error.strerror}; name another with --port, or none for a free one"
            ) from error

    @property
    def address(self) -> str:
        """The front page's."""
        return f"http://127.0.0.1:{self.server_port}/"

    def tell(self) -> None:
        """Let open pages look whether they have changed."""
        with self.changed:
            self.changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that went away is no error."""


class _Handler(http.server.SimpleHTTPRequestHandler):
    """One request."""

    @property
    def _server(self) -> SiteServer:
        return cast(SiteServer, self.server)

    def do_GET(self) -> None:
        if self.path == f"{_OWN}reload.js":
            self._send("text/javascript", _SCRIPT.encode())
        elif self.path.startswith(f"{_OWN}changes/"):
            self._follow(self.path.removeprefix(f"{_OWN}changes"))
        elif (page := self._page(self.path)) is not None:
            tag = f'<script src="{_OWN}reload.js" data-shown="{_digest(page)}"></script>\n'
            page = page.replace(b"</head>", f"{tag}</head>".encode(), 1)
            self._send("text/html; charset=utf-8", page)
        else:
            super().do_GET()

    def translate_path(self, path: str) -> str:
        """The file of an address in the present site."""
        self.directory = str(self._server.site.resolve())
        return super().translate_path(path)

    def _page(self, path: str) -> bytes | None:
        """The page of an address in the present site; None if there is no page."""
        file = Path(self.translate_path(path))
        if path.partition("?")[0].endswith("/"):
            file /= "index.html"
        return file.read_bytes() if file.suffix == ".html" and file.is_file() else None

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _follow(self, path: str) -> None:
        """Send the digest of a page, and again whenever it has become another, until one leaves."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        said = None
        while True:
            with self._server.changed:
                while (now := _digest(self._page(path) or b"")) == said:
                    self._server.changed.wait()
            self.wfile.write(f"data: {now}\n\n".encode())
            said = now

    def end_headers(self) -> None:
        """Files of one name change, so that a browser must ask each time."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _digest(page: bytes) -> str:
    return hashlib.sha256(page).hexdigest()


@contextlib.contextmanager
def serving(book: Book, port: int) -> Iterator[SiteServer]:
    """A server in a thread of its own for the length of a block.

    Raises:
        BuildError: the port is taken.
    """
    with SiteServer(book, port) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
