"""The command line of each server under test, one pure function a server.

All of them are equalised as far as their options allow: no access log, the standard asyncio
loop, no lifespan protocol (Django has none), no control sockets. What is left at the server's
own default, such as keep-alive, is stated in its `ServerSpec`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Launch:
    """One start of one server: where it listens, what it serves, how many slots it gets.

    `socket` wins over `host` and `port`. `slots` None leaves the server's own default alone.
    """

    app: str
    host: str
    port: int
    socket: Path | None
    slots: int | None
    workers: int
    folder: Path
    project: Path
    extra: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """``host:port`` or ``unix:/path``, as gunicorn and hypercorn spell it."""
        return f"unix:{self.socket}" if self.socket else f"{self.host}:{self.port}"


Builder = Callable[[str, Launch], list[str]]


def find_program(name: str) -> str | None:
    """Path of a program: beside this interpreter first, then on PATH, then in the sbin folders.

    Debian keeps nginx and apache2 where an ordinary user's PATH does not look.
    """
    beside = Path(sys.executable).parent / name
    if beside.is_file() and os.access(beside, os.X_OK):
        return str(beside)
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _gunicorn(worker: list[str]) -> Builder:
    def build(program: str, launch: Launch) -> list[str]:
        return [
            program, "--bind", launch.address, "--no-control-socket", *worker,
            "--workers", str(launch.workers), *launch.extra, launch.app,
        ]  # fmt: skip

    return build


def gunicorn_sync(program: str, launch: Launch) -> list[str]:
    """One slot is one process here, so `slots` multiplies the number of processes."""
    processes = launch.workers * (launch.slots or 1)
    return [
        program, "--bind", launch.address, "--no-control-socket",
        "--workers", str(processes), *launch.extra, launch.app,
    ]  # fmt: skip


def gunicorn_gthread(program: str, launch: Launch) -> list[str]:
    """`slots` threads in each worker."""
    return _gunicorn(["--worker-class", "gthread", *_option("--threads", launch.slots)])(
        program, launch
    )


def gunicorn_gevent(program: str, launch: Launch) -> list[str]:
    """`slots` greenlets in each worker."""
    return _gunicorn(["--worker-class", "gevent", *_option("--worker-connections", launch.slots)])(
        program, launch
    )


gunicorn_asgi = _gunicorn(
    ["--worker-class", "asgi", "--asgi-loop", "asyncio", "--asgi-lifespan", "off"]
)
gunicorn_uvicorn_worker = _gunicorn(
    ["--worker-class", "gatewaylab.servers.uvicorn_worker.AsyncioUvicornWorker"]
)


def uwsgi(program: str, launch: Launch) -> list[str]:
    """One process; threads only when more than one slot is asked for."""
    threads = ["--threads", str(launch.slots)] if (launch.slots or 1) > 1 else []
    where = str(launch.socket) if launch.socket else f"{launch.host}:{launch.port}"
    return [
        program, "--http-socket", where, "--module", launch.app,
        "--processes", str(launch.workers), *threads, "--enable-threads", "--master",
        "--die-on-term", "--need-app", "--disable-logging", "--chdir", str(launch.project),
        *launch.extra,
    ]  # fmt: skip


def waitress(program: str, launch: Launch) -> list[str]:
    """`slots` threads in the one process that waitress has."""
    where = (
        f"--unix-socket={launch.socket}"
        if launch.socket
        else f"--listen={launch.host}:{launch.port}"
    )
    threads = [f"--threads={launch.slots}"] if launch.slots else []
    return [program, where, *threads, *launch.extra, launch.app]


def uvicorn(program: str, launch: Launch) -> list[str]:
    """One event loop a worker."""
    where = ["--uds", str(launch.socket)] if launch.socket else _host_port(launch)
    return [
        program, *where, "--workers", str(launch.workers), "--loop", "asyncio",
        "--lifespan", "off", "--no-access-log", *launch.extra, launch.app,
    ]  # fmt: skip


def hypercorn(program: str, launch: Launch) -> list[str]:
    """One event loop a worker; it always starts a child process, even for one worker."""
    return [
        program, "--bind", launch.address, "--worker-class", "asyncio",
        "--workers", str(launch.workers), *launch.extra, launch.app,
    ]  # fmt: skip


def daphne(program: str, launch: Launch) -> list[str]:
    """One Twisted reactor on the asyncio loop."""
    where = (
        ["-u", str(launch.socket)] if launch.socket else ["-b", launch.host, "-p", str(launch.port)]
    )
    return [program, *where, "--access-log", "/dev/null", *launch.extra, launch.app]


def granian_wsgi(program: str, launch: Launch) -> list[str]:
    """`slots` blocking threads in each worker."""
    return _granian(program, launch, "wsgi", _option("--blocking-threads", launch.slots))


def granian_asgi(program: str, launch: Launch) -> list[str]:
    """One event loop a worker; ``asginl`` is granian's ASGI without the lifespan protocol."""
    return _granian(program, launch, "asginl", ["--loop", "asyncio"])


def _granian(program: str, launch: Launch, interface: str, options: list[str]) -> list[str]:
    where = ["--uds", str(launch.socket)] if launch.socket else _host_port(launch)
    return [
        program, "--interface", interface, *where, "--workers", str(launch.workers),
        *options, *launch.extra, launch.app,
    ]  # fmt: skip


def mod_wsgi(program: str, launch: Launch) -> list[str]:
    """Apache in the foreground with the httpd.conf that `fronts.apache_files` writes.

    Apache started by root insists on giving root up, and nobody else may read a private run
    folder. A user namespace in which root is called 33 (Debian's www-data) makes it an ordinary
    user in its own eyes, while the kernel goes on checking files as the real one.
    """
    as_ordinary_user = (
        [find_program("unshare") or "unshare", "--user", "--map-user=33", "--map-group=33", "--"]
        if hasattr(os, "geteuid") and os.geteuid() == 0
        else []
    )
    return [
        *as_ordinary_user, program, "-f", str(launch.folder / "httpd.conf"),
        "-DFOREGROUND", *launch.extra,
    ]  # fmt: skip


def _option(flag: str, value: int | None) -> list[str]:
    return [] if value is None else [flag, str(value)]


def _host_port(launch: Launch) -> list[str]:
    return ["--host", launch.host, "--port", str(launch.port)]
