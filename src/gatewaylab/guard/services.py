"""Real PostgreSQL and Redis for the length of a ``with`` block, in a private folder.

They come from the Linux distribution and run under the same guard as the servers under test:
nothing outlives its owner. They listen on a unix socket in their own folder and on no port.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from gatewaylab.errors import ServerMissingError, ServerStartError
from gatewaylab.guard import runs
from gatewaylab.guard.owner import Guarded, passed_on
from gatewaylab.servers.commands import as_ordinary_user, find_program
from gatewaylab.servers.specs import INSTALL_SYSTEM
from gatewaylab.timeline import session

_GRACE = 3.0
_POLL = 0.02

#: The database and the user that `postgres` makes.
DATABASE = "lab"

#: Part of its socket's name, and no port; said everywhere, for the caller may have a PGPORT.
PORT = "5432"


@dataclass(frozen=True)
class ServiceSpec:
    """What is known about a service before it is started.

    Attributes:
        name: the program's.
        find: where its program is, or None.
    """

    name: str
    title: str
    find: Callable[[], str | None]

    def available(self) -> bool:
        """Whether its program is here."""
        return self.find() is not None

    def version(self) -> str | None:
        """The installed version, or None without it."""
        program = self.find()
        return _version(program) if program else None

    def install_hint(self) -> str:
        """The command line that would make it available."""
        return INSTALL_SYSTEM


def _find_postgres() -> str | None:
    """Debian keeps the server of each version in a folder of its own; the newest one is taken."""
    folders = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = sorted(folders, key=lambda path: float(path.parent.parent.name))
    return str(newest[-1]) if newest else find_program("postgres")


SERVICES: Mapping[str, ServiceSpec] = MappingProxyType(
    {
        "postgresql": ServiceSpec("postgresql", "PostgreSQL", _find_postgres),
        "redis": ServiceSpec("redis", "Redis", lambda: find_program("redis-server")),
    }
)
"""The services that chapters need beside a web server, by name."""


@cache
def _version(program: str) -> str | None:
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=10, check=False
    )
    match = re.search(r"(?:v=|\) )(\d+(?:\.\d+)+)", said.stdout)
    return match[1] if match else None


def missing_services(*names: str) -> list[str]:
    """What this machine lacks of the named services, each with the line that installs it."""
    lacking = (SERVICES[name] for name in names if not SERVICES[name].available())
    return [f"{spec.name}: {spec.install_hint()}" for spec in lacking]


@dataclass(frozen=True)
class Service:
    """A service that is up.

    Attributes:
        folder: where its socket and its data are. env: what an application needs to find it.
    """

    name: str
    folder: Path
    env: Mapping[str, str]
    _guarded: Guarded

    def pids(self) -> set[int]:
        """Its processes."""
        return self._guarded.pids()

    def log(self) -> str:
        """The end of what it has written."""
        return self._guarded.log()


@contextmanager
def postgres(*, max_connections: int = 100, ttl: float = 600.0) -> Iterator[Service]:
    """A fresh PostgreSQL with an empty database.

    ``env`` has the variables that libpq and so psycopg read (``PGHOST``, ``PGPORT``,
    ``PGUSER``, ``PGDATABASE``). Durability is off: the data end with the block.

    Args:
        max_connections: how many clients it accepts at once.
        ttl: seconds after which the guard ends it whatever happens.

    Raises:
        ServerMissingError: it is not installed here.
        ServerStartError: it did not come up, with its log.
    """
    program = _program("postgresql")
    tools = Path(program).parent

    def prepare(folder: Path) -> tuple[list[str], dict[str, str]]:
        data = folder / "data"
        options = {
            "listen_addresses": "", "port": PORT, "unix_socket_directories": str(folder),
            "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
            "shared_buffers": "32MB", "max_connections": str(max_connections),
            "logging_collector": "off",
        }  # fmt: skip
        start = [program, "-D", str(data)]
        for name, value in options.items():
            start += ["-c", f"{name}={value}"]
        make = [
            str(tools / "initdb"), "-D", str(data), "-A", "trust", "-U", DATABASE, "-E", "UTF8",
            "--locale=C", "--no-sync", "--no-instructions",
        ]  # fmt: skip
        # SIGTERM alone would make it wait for its clients until it is killed, and a killed one
        # leaves shared memory behind. SIGINT makes it hang up and end in order.
        script = (
            f"{shlex.join(make)} >/dev/null || exit; {shlex.join(start)} & "
            "trap 'kill -INT $!; wait $!; exit' TERM; wait $!"
        )
        return [*as_ordinary_user(), "/bin/sh", "-c", script], {
            "PGHOST": str(folder), "PGPORT": PORT, "PGUSER": DATABASE, "PGDATABASE": "postgres",
        }  # fmt: skip

    def ready(folder: Path) -> bool:
        asked = [str(tools / "pg_isready"), "-q", "-h", str(folder), "-p", PORT, "-U", DATABASE]
        return subprocess.run(asked, timeout=10, check=False).returncode == 0

    with session.at_work("postgresql"), _serve("postgresql", prepare, ready, ttl) as service:
        yield service


@contextmanager
def redis(*, ttl: float = 600.0) -> Iterator[Service]:
    """A fresh Redis that keeps nothing on disk; ``env`` has ``REDIS_URL``.

    Raises:
        ServerMissingError: it is not installed here.
        ServerStartError: it did not come up, with its log.
    """
    program = _program("redis")

    def prepare(folder: Path) -> tuple[list[str], dict[str, str]]:
        path = folder / "redis.sock"
        command = [
            program, "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700",
            "--save", "", "--appendonly", "no", "--dir", str(folder),
        ]  # fmt: skip
        return command, {"REDIS_URL": f"unix://{quote(str(path))}"}

    def ready(folder: Path) -> bool:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(1)
            try:
                sock.connect(str(folder / "redis.sock"))
                sock.sendall(b"PING\r\n")
                return sock.recv(16) == b"+PONG\r\n"
            except OSError:
                return False

    with session.at_work("redis"), _serve("redis", prepare, ready, ttl) as service:
        yield service


def _program(name: str) -> str:
    spec = SERVICES[name]
    program = spec.find()
    if program is None:
        raise ServerMissingError(spec.name, spec.install_hint())
    return program


@contextmanager
def _serve(
    name: str,
    prepare: Callable[[Path], tuple[list[str], dict[str, str]]],
    ready: Callable[[Path], bool],
    ttl: float,
    timeout: float = 20.0,
) -> Iterator[Service]:
    runs.sweep()
    run = runs.new_run()
    begun = time.monotonic()
    guarded: Guarded | None = None
    try:
        argv, env = prepare(run.folder)
        own = {
            **passed_on(), "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C",
            runs.RUN_VARIABLE: run.identity,
        }  # fmt: skip
        command = {"argv": argv, "env": own, "cwd": str(run.folder)}
        guarded = Guarded(run, [command], leases=[], ttl=ttl, grace=_GRACE, pin=None)
        while not ready(run.folder):
            guarded.read_news()
            elapsed = time.monotonic() - begun
            if guarded.exits or guarded.done or elapsed > timeout:
                raise ServerStartError(
                    f"{name} did not become ready", command=argv,
                    exit_code=next(iter(guarded.exits.values()), None), elapsed=elapsed,
                    log_tail=guarded.log(), port_owner=None,
                )  # fmt: skip
            time.sleep(_POLL)
        yield Service(name, run.folder, MappingProxyType(env), guarded)
    finally:
        try:
            if guarded is not None:
                guarded.stop(at_once=False)
        finally:
            if guarded is not None:
                guarded.close()
            run.remove()
