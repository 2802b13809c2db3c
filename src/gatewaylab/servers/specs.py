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
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from gatewaylab.servers.commands import Launch, Template, as_ordinary_user, find_program
from gatewaylab.servers.fronts import (
    apache_files,
    apache_site_files,
    mod_wsgi_python,
    mod_wsgi_version,
)
from gatewaylab.servers.palette import BLUE, BROWN, CYAN, GREEN, PURPLE, RED, YELLOW

INSTALL = "scripts/install"
INSTALL_SYSTEM = "scripts/install --system"


class Interface(StrEnum):
    """The gateway interface between a server and an application."""

    WSGI = "wsgi"
    ASGI = "asgi"


SlotKind = Literal["process", "thread", "greenlet", "coroutine"]


@dataclass(frozen=True)
class ServerSpec:
    """What is known about one kind of server.

    Attributes:
        slot_kind: what holds a request while it is under way.
        default_slots: slots of one worker when the bare command is run; None = no fixed bound.
            divides_default: several workers share that number, and do not have it each.
        program: the executable's name. `distribution` is its name on PyPI, `plugin` a second
            one that it needs.
        call: its command line. binds: options that would move the listening socket; they are
            refused in `extra`.
        loop: its event loop. parser: what reads its requests. Either is a name, or an option and
            what the server chooses without it when its optional parts are installed, as here.
        log: whether it writes a line a request, ``on`` or ``off``, and the option that changes it.
        keep_alive: after how long it closes an idle connection by default, in words.
        color, marker: how every figure in the book draws it; a marker belongs to one server.
        systems: the programs it consists of, by the names that claims use; its own when empty.
        workers: whether it can run more than one worker.
        files: what it is started with, by name. site_files: the same for a site of its own, if its
            configuration is one (Apache's virtual host).
        gives_up_root: whether it changes to another user when root starts it.
    """

    name: str
    title: str
    interface: Interface
    slot_kind: SlotKind
    default_slots: int | None
    program: str
    distribution: str | None
    loop: str
    parser: str
    log: str
    keep_alive: str
    color: str
    marker: str
    call: Template
    binds: str
    plugin: str | None = None
    systems: tuple[str, ...] = ()
    workers: bool = True
    files: Callable[[Launch], dict[str, str]] = lambda _launch: {}
    site_files: Callable[[Launch, str, str, Path], dict[str, str]] | None = None
    gives_up_root: bool = False
    divides_default: bool = False

    def __post_init__(self) -> None:
        if not self.systems:
            object.__setattr__(self, "systems", (self.program.removesuffix("-serve"),))

    @property
    def reads_concurrency(self) -> bool:
        """Whether the variable WEB_CONCURRENCY is its default number of workers.

        Sources: gunicorn, Settings, `workers`; uvicorn, Settings, `--workers`.
        """
        return self.program in {"gunicorn", "uvicorn"}

    @property
    def unix(self) -> bool:
        """Whether it can listen on a unix socket."""
        return bool(self.call.unix)

    def command(self, launch: Launch) -> list[str]:
        """The argument list that starts this server in the foreground."""
        program = find_program(self.program) or self.program
        as_user = as_ordinary_user() if self.gives_up_root else []
        return [*as_user, program, *self.call.fill(launch)]

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


# What several entries share. All are equalised as far as their options allow: no access log, the
# standard asyncio loop, no lifespan protocol (Django has none), no control sockets. What is left at
# a server's own default, such as keep-alive, stands in its entry.
_W, _A = Interface.WSGI, Interface.ASGI


def _gunicorn(worker: str, slots: str = "") -> Template:
    return Template(
        f"--bind {{where}} --no-control-socket {worker} {{slots}} --workers {{workers}} {{extra}} "
        "{app}",
        tcp="{host}:{port}", unix="unix:{socket}", slots=slots,
    )  # fmt: skip


def _granian(interface: str, slots: str = "") -> Template:
    return Template(
        f"--interface {interface} {{where}} --workers {{workers}} {{slots}} {{extra}} {{app}}",
        tcp="--host {host} --port {port}", unix="--uds {socket}", slots=slots,
    )  # fmt: skip


_SPECS = (
    ServerSpec(
        "gunicorn-sync", "gunicorn sync", _W, "process", 1, "gunicorn", "gunicorn",
        loop="no loop", parser="gunicorn's own", log="off --access-logfile",
        keep_alive="closes after each response", color=RED, marker="o",
        call=Template(
            "--bind {where} --no-control-socket --workers {processes} {extra} {app}",
            tcp="{host}:{port}", unix="unix:{socket}",
        ),
        binds="-b --bind --control-socket",
    ),
    ServerSpec(
        "gunicorn-gthread", "gunicorn gthread", _W, "thread", 1, "gunicorn", "gunicorn",
        loop="no loop", parser="gunicorn's own", log="off --access-logfile",
        keep_alive="2 s", color=YELLOW, marker="s",
        call=_gunicorn("--worker-class gthread", "--threads {slots}"),
        binds="-b --bind --control-socket",
    ),
    ServerSpec(
        "gunicorn-gevent", "gunicorn gevent", _W, "greenlet", 1000, "gunicorn", "gunicorn",
        plugin="gevent",
        loop="gevent", parser="gunicorn's own", log="off --access-logfile",
        keep_alive="2 s", color=GREEN, marker="^",
        call=_gunicorn("--worker-class gevent", "--worker-connections {slots}"),
        binds="-b --bind --control-socket",
    ),
    ServerSpec(
        "uwsgi", "uWSGI", _W, "thread", 1, "uwsgi", "pyuwsgi",
        loop="no loop", parser="uWSGI's own", log="on --disable-logging",
        keep_alive="closes after each response", color=RED, marker="v",
        call=Template(
            "--http-socket {where} --module {app} --processes {workers} {slots} --enable-threads "
            "--master --die-on-term --need-app --disable-logging --chdir {project} {extra}",
            tcp="{host}:{port}", unix="{socket}", slots="--threads {slots}",
        ),
        binds="--http --http-socket --http11-socket --https --socket -s --uwsgi-socket --ini "
        "--yaml --json",
    ),
    ServerSpec(
        "mod_wsgi", "Apache mod_wsgi", _W, "thread", 15, "apache2", None,
        systems=("apache", "mod_wsgi"),
        loop="no loop", parser="Apache's", log="off",
        keep_alive="5 s", color=BROWN, marker="D",
        call=Template("-f {folder}/httpd.conf -DFOREGROUND {extra}"),  # the rest is in that file
        files=apache_files, site_files=apache_site_files, gives_up_root=True, binds="-f -c -C",
    ),
    ServerSpec(
        "waitress", "waitress", _W, "thread", 4, "waitress-serve", "waitress",
        loop="no loop", parser="waitress's own", log="off",
        keep_alive="120 s", color=PURPLE, marker="P", workers=False,
        call=Template(
            "{where} {slots} {extra} {app}", tcp="--listen={host}:{port}",
            unix="--unix-socket={socket}", slots="--threads={slots}",
        ),
        binds="--listen --host --port --unix-socket",
    ),
    ServerSpec(
        "granian-wsgi", "granian WSGI", _W, "thread", 512, "granian", "granian",
        loop="no loop", parser="hyper", log="off --access-log",
        keep_alive="30 s", color=CYAN, marker="X",
        call=_granian("wsgi", "--blocking-threads {slots}"), binds="--host --port --uds",
        divides_default=True,
    ),
    ServerSpec(
        "uvicorn", "uvicorn", _A, "coroutine", None, "uvicorn", "uvicorn",
        loop="--loop uvloop", parser="--http httptools", log="on --no-access-log",
        keep_alive="5 s", color=BLUE, marker="<",
        call=Template(
            "{where} --workers {workers} --loop asyncio --lifespan off --no-access-log {extra} "
            "{app}",
            tcp="--host {host} --port {port}", unix="--uds {socket}",
        ),
        binds="--host --port --uds --fd",
    ),
    ServerSpec(
        "hypercorn", "hypercorn", _A, "coroutine", None, "hypercorn", "hypercorn",
        loop="--worker-class asyncio", parser="h11", log="off --access-logfile",
        keep_alive="5 s", color=GREEN, marker=">",
        call=Template(
            "--bind {where} --worker-class asyncio --workers {workers} {extra} {app}",
            tcp="{host}:{port}", unix="unix:{socket}",
        ),
        binds="-b --bind --insecure-bind --quic-bind",
    ),
    ServerSpec(
        "daphne", "daphne", _A, "coroutine", None, "daphne", "daphne",
        loop="asyncio in Twisted", parser="Twisted's", log="on --access-log",
        keep_alive="60 s", color=PURPLE, marker="p", workers=False,
        call=Template(
            "{where} --access-log /dev/null {extra} {app}",
            tcp="-b {host} -p {port}", unix="-u {socket}",
        ),
        binds="-b --bind -p --port -u --unix-socket --fd -e --endpoint",
    ),
    ServerSpec(
        "granian-asgi", "granian ASGI", _A, "coroutine", 1024, "granian", "granian",
        loop="--loop uvloop", parser="hyper", log="off --access-log",
        keep_alive="30 s", color=CYAN, marker="h",
        call=_granian("asginl --loop asyncio"),  # `asginl` is ASGI without the lifespan protocol
        binds="--host --port --uds", divides_default=True,
    ),
    ServerSpec(
        "gunicorn-asgi", "gunicorn asgi", _A, "coroutine", None, "gunicorn", "gunicorn",
        loop="--asgi-loop uvloop", parser="gunicorn's own", log="off --access-logfile",
        keep_alive="2 s", color=YELLOW, marker="*",
        call=_gunicorn("--worker-class asgi --asgi-loop asyncio --asgi-lifespan off"),
        binds="-b --bind --control-socket",
    ),
    ServerSpec(
        "gunicorn-uvicorn-worker", "gunicorn with uvicorn workers", _A, "coroutine", None,
        "gunicorn", "gunicorn", plugin="uvicorn-worker", systems=("gunicorn", "uvicorn"),
        loop="asyncio", parser="httptools", log="off --access-logfile",
        keep_alive="2 s", color=BLUE, marker="d",
        call=_gunicorn("--worker-class gatewaylab.servers.uvicorn_worker.AsyncioUvicornWorker"),
        binds="-b --bind --control-socket",
    ),
)  # fmt: skip

SERVERS: Mapping[str, ServerSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Every kind of server that the instrument can start, by name."""


@dataclass(frozen=True)
class Front:
    """A proxy that can be put before any server: nginx."""

    name: str

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


NGINX = Front("nginx")


@cache
def _nginx_version(program: str) -> str | None:
    said = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=False)
    match = re.search(r"nginx/(\S+)", said.stderr)
    return match[1] if match else None
