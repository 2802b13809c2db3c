"""What is known about each server before anything is started, and the registry of all of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import metadata
from types import MappingProxyType

from gatewaylab.servers import commands
from gatewaylab.servers.commands import Launch, find_program
from gatewaylab.servers.fronts import apache_files, mod_wsgi_python, mod_wsgi_version

INSTALL = "scripts/install"
INSTALL_SYSTEM = "scripts/install --system"


class Interface(StrEnum):
    """The gateway interface between a server and an application."""

    WSGI = "wsgi"
    ASGI = "asgi"


@dataclass(frozen=True)
class ServerSpec:
    """What is known about one kind of server.

    Attributes:
        slot_kind: ``process``, ``thread``, ``greenlet`` or ``coroutine``.
        default_slots: slots of one worker when the bare command is run; None = no fixed bound.
        program: the executable's name. `distribution` is its name on PyPI, `plugin` a second
            one that it needs, `debian` the system's packages that it needs instead.
        workers: whether it can run more than one worker. `unix`: whether on a unix socket.
        keep_alive: after how long it closes an idle connection by default, in words.
        color, marker, dashed: how every figure in the book draws it.
        bind_options: options that would move the listening socket; they are refused in `extra`.
    """

    name: str
    title: str
    interface: Interface
    slot_kind: str
    default_slots: int | None
    program: str
    distribution: str | None
    keep_alive: str
    color: str
    marker: str
    build: commands.Builder
    dashed: bool = False
    plugin: str | None = None
    debian: tuple[str, ...] = ()
    workers: bool = True
    unix: bool = True
    bind_options: frozenset[str] = frozenset()
    files: Callable[[Launch], dict[str, str]] = lambda _launch: {}

    @property
    def systems(self) -> tuple[str, ...]:
        """The programs it consists of, by the names that claims use."""
        program = self.program.removesuffix("-serve")
        return {
            "mod_wsgi": ("apache", "mod_wsgi"),
            "gunicorn-uvicorn-worker": ("gunicorn", "uvicorn"),
        }.get(self.name, (program,))

    def command(self, launch: Launch) -> list[str]:
        """The argument list that starts this server in the foreground."""
        return self.build(find_program(self.program) or self.program, launch)

    def version(self) -> str | None:
        """The installed version, or None when it is not installed."""
        if self.distribution is None:
            return mod_wsgi_version()
        try:
            version = metadata.version(self.distribution)
            return (
                f"{version} ({self.plugin} {metadata.version(self.plugin)})"
                if self.plugin
                else version
            )
        except metadata.PackageNotFoundError:
            return None

    def available(self) -> bool:
        """Whether it could be started here, as far as can be told without starting it."""
        if find_program(self.program) is None or self.version() is None:
            return False
        return self.distribution is not None or mod_wsgi_python() == sys.version_info[:2]

    def install_hint(self) -> str:
        """The command line that would make it available."""
        if self.distribution is not None:
            return INSTALL
        built_for = mod_wsgi_python()
        if built_for not in (None, sys.version_info[:2]):
            return (
                f"{INSTALL} with Python {built_for[0]}.{built_for[1]} (this system's mod_wsgi was "
                f"built for it; here is {sys.version_info[0]}.{sys.version_info[1]})"
            )
        return INSTALL_SYSTEM


_GUNICORN_BINDS = frozenset({"-b", "--bind", "--control-socket"})
_UVICORN_BINDS = frozenset({"--host", "--port", "--uds", "--fd"})
_HYPERCORN_BINDS = frozenset({"-b", "--bind", "--insecure-bind", "--quic-bind"})
_GRANIAN_BINDS = frozenset({"--host", "--port", "--uds"})
_W, _A = Interface.WSGI, Interface.ASGI

_SPECS = (
    ServerSpec("gunicorn-sync", "gunicorn sync", _W, "process", 1, "gunicorn", "gunicorn",
        "closes after each response", "#EE6677", "o", commands.gunicorn_sync,
        bind_options=_GUNICORN_BINDS),
    ServerSpec("gunicorn-gthread", "gunicorn gthread", _W, "thread", 1, "gunicorn", "gunicorn",
        "2 s", "#CCBB44", "s", commands.gunicorn_gthread, bind_options=_GUNICORN_BINDS),
    ServerSpec("gunicorn-gevent", "gunicorn gevent", _W, "greenlet", 1000, "gunicorn", "gunicorn",
        "2 s", "#228833", "^", commands.gunicorn_gevent, plugin="gevent",
        bind_options=_GUNICORN_BINDS),
    ServerSpec("uwsgi", "uWSGI", _W, "thread", 1, "uwsgi", "pyuwsgi",
        "closes after each response", "#EE6677", "v", commands.uwsgi, dashed=True,
        bind_options=frozenset({"--http", "--http-socket", "--http11-socket", "--https",
            "--socket", "-s", "--uwsgi-socket", "--ini", "--yaml", "--json"})),
    ServerSpec("mod_wsgi", "Apache mod_wsgi", _W, "thread", 15, "apache2", None,
        "5 s", "#BBBBBB", "D", commands.mod_wsgi, unix=False, files=apache_files,
        debian=("apache2", "libapache2-mod-wsgi-py3"),
        bind_options=frozenset({"-f", "-c", "-C"})),
    ServerSpec("waitress", "waitress", _W, "thread", 4, "waitress-serve", "waitress",
        "120 s", "#AA3377", "P", commands.waitress, workers=False,
        bind_options=frozenset({"--listen", "--host", "--port", "--unix-socket"})),
    ServerSpec("granian-wsgi", "granian WSGI", _W, "thread", 512, "granian", "granian",
        "30 s", "#66CCEE", "X", commands.granian_wsgi,
        bind_options=_GRANIAN_BINDS),
    ServerSpec("uvicorn", "uvicorn", _A, "coroutine", None, "uvicorn", "uvicorn",
        "5 s", "#4477AA", "<", commands.uvicorn, bind_options=_UVICORN_BINDS),
    ServerSpec("hypercorn", "hypercorn", _A, "coroutine", None, "hypercorn", "hypercorn",
        "5 s", "#228833", ">", commands.hypercorn, dashed=True, bind_options=_HYPERCORN_BINDS),
    ServerSpec("daphne", "daphne", _A, "coroutine", None, "daphne", "daphne",
        "60 s", "#AA3377", "p", commands.daphne, dashed=True, workers=False,
        bind_options=frozenset({"-b", "--bind", "-p", "--port", "-u", "--unix-socket", "--fd",
            "-e", "--endpoint"})),
    ServerSpec("granian-asgi", "granian ASGI", _A, "coroutine", 1024, "granian", "granian",
        "30 s", "#66CCEE", "h", commands.granian_asgi, dashed=True,
        bind_options=_GRANIAN_BINDS),
    ServerSpec("gunicorn-asgi", "gunicorn asgi", _A, "coroutine", None, "gunicorn", "gunicorn",
        "2 s", "#CCBB44", "*", commands.gunicorn_asgi, dashed=True, bind_options=_GUNICORN_BINDS),
    ServerSpec("gunicorn-uvicorn-worker", "gunicorn with uvicorn workers", _A, "coroutine", None,
        "gunicorn", "gunicorn", "2 s", "#4477AA", "d", commands.gunicorn_uvicorn_worker,
        dashed=True, plugin="uvicorn-worker", bind_options=_GUNICORN_BINDS),
)  # fmt: skip

SERVERS: Mapping[str, ServerSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every kind of server that the instrument can start, by name."""


@dataclass(frozen=True)
class Front:
    """A proxy that can be put before any server: nginx."""

    name: str
    debian: tuple[str, ...]

    def version(self) -> str | None:
        """The installed version, or None when it is not installed."""
        program = find_program(self.name)
        return _nginx_version(program) if program else None

    def available(self) -> bool:
        """Whether its program is here."""
        return find_program(self.name) is not None

    def install_hint(self) -> str:
        """The command line that would make it available."""
        return INSTALL_SYSTEM


NGINX = Front("nginx", ("nginx-light",))


@cache
def _nginx_version(program: str) -> str | None:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=False)
    match = re.search(r"nginx/(\S+)", said.stderr)
    return match[1] if match else None
