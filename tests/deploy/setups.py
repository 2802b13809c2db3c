"""The set-ups that the book recommends, and what each of them cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HOST = "example.com"
PROXY = "127.0.0.1"  # whom behind.conf trusts, and from where a visitor comes by itself
OWN = "127.0.0.9"  # from where a proxy in a container comes to the application
IMAGE = "127.0.0.8"  # of an image: no connection of this machine takes its port
STRANGER = "127.0.0.99"
VISITOR = "203.0.113.7"  # as a proxy in front reports it


@dataclass(frozen=True)
class SetUp:
    """A set-up that the book recommends.

    Attributes:
        name: its column in the record. site: its file, below ``deploy/``.
        units: the services behind it, of ``systemd/``. images: by Compose's service, which.
        behind: TLS ends at a proxy in front. prefix: of all paths of Django.
        cannot: what it does not do, by the name of the visit, with the reason.
    """

    name: str
    site: str
    units: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    behind: bool = False
    prefix: str = "/"
    cannot: Mapping[str, str] = field(default_factory=dict)

    @property
    def apache(self) -> bool:
        """Whether Apache runs it, and not nginx."""
        return self.site.startswith("apache/")

    @property
    def gunicorn(self) -> str:
        """The unit or service that answers pages under gunicorn; empty if none does."""
        web = "web" if self.images.get("web") == "wsgi" else ""
        return "gunicorn" if "gunicorn" in self.units else web


_WSGI = {
    "websocket": "WSGI has no WebSockets",
    "listeners": "under WSGI each listener holds a thread",
}
_BEHIND = {
    "events_http2": "HTTP/2 ends at the proxy in front",
    "port_80": "the proxy in front answers on port 80",
}
_NO_DISK = dict.fromkeys(("media", "private"), "a container's disk is thrown away")
_CONTAINER = "nginx/container.conf"
SET_UPS = (
    SetUp("gunicorn", "nginx/gunicorn.conf", ("gunicorn",), cannot=_WSGI),
    SetUp("uvicorn", "nginx/uvicorn.conf", ("uvicorn",)),
    SetUp("both", "nginx/both.conf", ("gunicorn", "uvicorn")),
    SetUp("react", "nginx/react.conf", ("uvicorn",), prefix="/api/"),
    SetUp("behind", "nginx/both.conf", ("gunicorn", "uvicorn"), behind=True, cannot=_BEHIND),
    SetUp(
        "container", _CONTAINER, images={"web": "asgi", "live": "asgi"}, behind=True,
        cannot=_BEHIND | _NO_DISK,
    ),
    SetUp(
        "containers", _CONTAINER, images={"web": "wsgi", "live": "asgi"}, behind=True,
        cannot=_BEHIND | _NO_DISK,
    ),
    SetUp(
        "apache", "apache/mod_wsgi.conf",
        cannot=_WSGI | {
            "slow_upload": "Apache hands a body on as it arrives",
            "slow_reader": "Apache takes a page as its reader does",
            "chunked": "mod_wsgi answers 411: Django cannot read a body of unknown length",
        },
    ),
)  # fmt: skip
