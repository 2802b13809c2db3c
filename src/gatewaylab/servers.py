"""The servers under test: how each is invoked, which interface it speaks, what its slots are.

A *slot* is whatever can hold one request in flight. Nothing here starts a server; see `process`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gatewaylab import _commands as commands
from gatewaylab._commands import Launch, find_program
from gatewaylab._fronts import apache_files, mod_wsgi_python, mod_wsgi_version
from gatewaylab.errors import InputError

__all__ = [
    "APPS",
    "NGINX",
    "SERVERS",
    "Front",
    "Interface",
    "Launch",
    "Server",
    "ServerSpec",
    "project_root",
    "server",
    "servers_table",
]

INSTALL = "scripts/install"
INSTALL_SYSTEM = "scripts/install --system"


class Interface(StrEnum):
    """The gateway interface between a server and an application."""

    WSGI = "wsgi"
    ASGI = "asgi"


APPS: Mapping[str, Mapping[Interface, str]] = MappingProxyType(
    {
        "raw": {
            Interface.WSGI: "demo_apps.raw_wsgi:application",
            Interface.ASGI: "demo_apps.raw_asgi:application",
        },
        "flask": {Interface.WSGI: "demo_apps.flask_app:application"},
        "fastapi": {Interface.ASGI: "demo_apps.fastapi_app:application"},
        "django": {
            Interface.WSGI: "demo_apps.django_app.wsgi:application",
            Interface.ASGI: "demo_apps.django_app.asgi:application",
        },
    }
)
"""The demo applications by short name: the callable for each interface they have."""


@dataclass(frozen=True)
class ServerSpec:
    """What is known about one kind of server.

    Attributes:
        slot_kind: ``process``, ``thread``, ``greenlet`` or ``coroutine``.
        default_slots: slots of one worker when the bare command is run; None = no fixed bound.
        program: the executable's name. `distribution` is its name on PyPI, `plugin` a second
            one that it needs, `debian` the system's packages that it needs instead.
        workers: whether it can run more than one worker. `unix`: whether on a unix socket.
        keep_alive: what it does with an idle connection by default, in words.
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
        "until the client closes", "#66CCEE", "X", commands.granian_wsgi,
        bind_options=_GRANIAN_BINDS),
    ServerSpec("uvicorn", "uvicorn", _A, "coroutine", None, "uvicorn", "uvicorn",
        "5 s", "#4477AA", "<", commands.uvicorn, bind_options=_UVICORN_BINDS),
    ServerSpec("hypercorn", "hypercorn", _A, "coroutine", None, "hypercorn", "hypercorn",
        "5 s", "#228833", ">", commands.hypercorn, dashed=True, bind_options=_HYPERCORN_BINDS),
    ServerSpec("daphne", "daphne", _A, "coroutine", None, "daphne", "daphne",
        "until the client closes", "#AA3377", "p", commands.daphne, dashed=True, workers=False,
        bind_options=frozenset({"-b", "--bind", "-p", "--port", "-u", "--unix-socket", "--fd",
            "-e", "--endpoint"})),
    ServerSpec("granian-asgi", "granian ASGI", _A, "coroutine", None, "granian", "granian",
        "until the client closes", "#66CCEE", "h", commands.granian_asgi, dashed=True,
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


@dataclass(frozen=True)
class Server:
    """A chosen configuration of a server, its application and its front: what notebooks pass on.

    Made by `server`, which checks it. `slots` counts per worker; None is the server's default.
    """

    spec_name: str
    app: str
    slots: int | None = None
    workers: int = 1
    nginx: bool = False
    unix: bool = False
    env: tuple[tuple[str, str], ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def spec(self) -> ServerSpec:
        """What is known about this kind of server."""
        return SERVERS[self.spec_name]

    @property
    def interface(self) -> Interface:
        """WSGI or ASGI."""
        return self.spec.interface

    @property
    def target(self) -> str:
        """The application's ``module:callable``."""
        return APPS[self.app][self.interface] if self.app in APPS else self.app

    @property
    def total_slots(self) -> int | None:
        """Slots over all workers, defaults included; None when nothing bounds them."""
        slots = self.slots if self.slots is not None else self.spec.default_slots
        return None if slots is None else slots * self.workers

    @property
    def label(self) -> str:
        """A short name for tables and figures: what differs from the bare server, and no more."""
        parts = [f"nginx → {self.spec.title}" if self.nginx else self.spec.title, self.app]
        if self.slots is not None:
            parts.append(f"{self.slots} slot{'s' * (self.slots != 1)}")
        if self.workers != 1:
            parts.append(f"{self.workers} workers")
        if self.unix:
            parts.append("unix socket")
        parts.extend(f"{name}={value}" for name, value in self.env)
        if self.extra:
            parts.append(" ".join(self.extra))
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """The configuration as JSON-able values, for the record of a trial."""
        fields = asdict(self)
        return {
            "name": fields.pop("spec_name"),
            **fields,
            "env": dict(self.env),
            "extra": list(self.extra),
        }


# Variables through which a server would take options, and an address, past this registry.
_OPTION_VARIABLES = re.compile(r"GUNICORN_CMD_ARGS|(UVICORN|GRANIAN|UWSGI)_.*|PORT")
_OWN_VARIABLES = frozenset({"GATEWAYLAB_NONCE", "GATEWAYLAB_RUN", "PYTHONPATH"})


def server(
    name: str,
    *,
    app: str = "django",
    slots: int | None = None,
    workers: int = 1,
    nginx: bool = False,
    unix: bool = False,
    env: Mapping[str, str] | None = None,
    extra: Sequence[str] = (),
) -> Server:
    """Choose a server, and refuse a configuration that could not be what it says.

    Args:
        name: one of `SERVERS`.
        app: a name of `APPS`, or any ``module:callable`` importable from the project's folder.
        slots: slots of each worker, of the server's own kind (for gunicorn sync, whose slot is a
            process, the number of processes); None = the server's default.
        workers: processes, where the server has such an option.
        nginx: put a private nginx before it.
        unix: let the server listen on a unix socket instead of TCP.
        env: further environment variables. extra: further command line options.

    Raises:
        InputError: naming what is wrong and what would be right.
    """
    if name not in SERVERS:
        raise InputError(f"unknown server {name!r}; known are: {', '.join(SERVERS)}")
    spec = SERVERS[name]
    _check_app(spec, app)
    for what, number in (("slots", slots), ("workers", workers)):
        if number is not None and (
            isinstance(number, bool) or not isinstance(number, int) or number < 1
        ):
            raise InputError(f"{what} must be a whole number of at least 1, not {number!r}")
    if slots is not None and spec.slot_kind == "coroutine":
        raise InputError(f"{name} has one coroutine per request and no bound: leave slots out")
    if workers > 1 and not spec.workers:
        raise InputError(f"{name} runs in one process: workers must be 1")
    if unix and not spec.unix:
        raise InputError(f"{name} listens on TCP only: unix=True is not possible")
    for variable in env or {}:
        if variable in _OWN_VARIABLES or _OPTION_VARIABLES.fullmatch(variable):
            raise InputError(f"the variable {variable} belongs to the instrument; use extra=")
    for option in extra:
        flag = option.partition("=")[0]
        if flag in spec.bind_options:
            raise InputError(f"{flag} would move {name} off the loopback address it is given")
    return Server(
        spec_name=name, app=app, slots=slots, workers=workers, nginx=bool(nginx), unix=bool(unix),
        env=tuple(sorted((env or {}).items())), extra=tuple(extra),
    )  # fmt: skip


def _check_app(spec: ServerSpec, app: str) -> None:
    if app in APPS:
        if spec.interface not in APPS[app]:
            able = ", ".join(known for known in APPS if spec.interface in APPS[known])
            raise InputError(
                f"{app} has no {spec.interface.upper()} callable, and {spec.name} serves nothing "
                f"else; apps that have one: {able}"
            )
        return
    if not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*", app):
        raise InputError(f"unknown app {app!r}; give module:callable, or one of {', '.join(APPS)}")


def project_root(start: Path | None = None) -> Path:
    """The folder that servers start in: the nearest one above with the demo apps, else `start`.

    Args:
        start: where to look from; the working directory when None.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "pyproject.toml").is_file() and (folder / "demo_apps").is_dir():
            return folder
    return here


def servers_table() -> list[dict[str, Any]]:
    """One JSON-able row per server: what it is, and whether it can be measured on this machine."""
    return [
        {
            "name": spec.name,
            "title": spec.title,
            "interface": spec.interface.value,
            "slot_kind": spec.slot_kind,
            "default_slots": spec.default_slots,
            "keep_alive": spec.keep_alive,
            "version": spec.version(),
            "available": spec.available(),
            "install_hint": spec.install_hint(),
        }
        for spec in SERVERS.values()
    ]
