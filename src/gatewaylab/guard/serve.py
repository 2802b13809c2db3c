"""Starting a server so that it is the right one, and ending it so that nothing is left.

`serve` is the one way to run a server here. A guard process (`guard`) starts it and sees to it
that it ends with its owner, however the owner ends. It counts as ready when its process is alive,
its process tree owns the listening socket, ``GET /whoami`` returns this run's nonce, and every
worker that was asked for has answered that; it counts as stopped when it has no descendants and its
port can be bound again.
"""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gatewaylab.errors import InputError, ServerError, ServerMissingError, ServerStartError
from gatewaylab.guard import ports, procfs, runs
from gatewaylab.guard.owner import Guarded, passed_on
from gatewaylab.guard.probe import Address
from gatewaylab.guard.readiness import POLL, Starting, beyond_loopback, describe, owners_of
from gatewaylab.servers import fronts, installed
from gatewaylab.servers.commands import Launch, find_program
from gatewaylab.servers.conditions import conditions
from gatewaylab.servers.registry import Server, project_root
from gatewaylab.servers.specs import NGINX
from gatewaylab.timeline import session

#: Set by a rehearsal that slows imports: a folder searched before the project's.
SITE_VARIABLE = "GATEWAYLAB_SITE"

GRACE = 3.0
_KEPT_LINES = 1000
_SECRET_NAME = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|KEY|CREDENTIAL", re.IGNORECASE)

_log = logging.getLogger(__name__)


def sweep() -> list[str]:
    """End what owners that died have left on this machine, and say so; `serve` does it too."""
    said = runs.sweep()
    for sentence in said:
        _log.warning(sentence)
    return said


class Running:
    """A server that is up. Made by `serve`; log and CPU time stay readable after its end.

    Attributes:
        server: the configuration that was asked for.
        host, port: where the front listens (nginx when there is one, else the server itself).
        unix_path: the server's unix socket, or None.
        nonce: what the application returns to prove that it is this run's.
        command: the argument list of the server.
        started: seconds from the call to readiness.
    """

    def __init__(self, server: Server, host: str) -> None:
        self.server = server
        self.host = host
        self.nonce = secrets.token_hex(16)
        self.port = 0
        self.unix_path: Path | None = None
        self.command: list[str] = []
        self.started = math.nan
        self._creator = os.getpid()
        self._run = runs.new_run()
        self._back = Address(host, 0)
        self._ports: list[int] = []
        self._guarded: Guarded | None = None
        self._closed = False
        self._last_log = ""

    @property
    def url(self) -> str:
        """``http://127.x.y.z:port`` of the front. Nobody is there if only a unix socket is."""
        return f"http://{self.host}:{self.port}"

    @property
    def target(self) -> str:
        """What a load generator connects to: `url`, or ``unix:/path`` without a TCP front."""
        if self.unix_path is not None and not self.server.nginx:
            return f"unix:{self.unix_path}"
        return self.url

    @property
    def secured(self) -> fronts.Secured:
        """The front's second address, with TLS, where the server has ``tls=True``."""
        return fronts.Secured.within(self._run.folder)

    @property
    def identity(self) -> str:
        """The run's random identity, which all of its processes carry."""
        return self._run.identity

    @property
    def namespace(self) -> bool:
        """Whether it runs in a PID namespace of its own."""
        return self._guarded is not None and self._guarded.namespace

    def alive(self) -> bool:
        """Whether neither the server's first process nor nginx's has ended."""
        if self._guarded is None or self._closed:
            return False
        self._guarded.read_news()
        return not (self._guarded.exits or self._guarded.done)

    def pids(self) -> set[int]:
        """Every process of the server and its front, by the host's numbers; the guard is not."""
        return set() if self._guarded is None or self._closed else self._guarded.pids()

    def guard_pids(self) -> set[int]:
        """The two processes of the guard, which are not foreign to what is measured."""
        return set() if self._guarded is None or self._closed else self._guarded.guard_pids()

    def memory(self) -> int:
        """Bytes of main memory of `pids`; what several share is counted once, in shares (PSS)."""
        return sum(map(procfs.memory, self.pids()))

    def threads(self) -> int:
        """Threads of all `pids` together."""
        return sum(map(procfs.threads, self.pids()))

    def cpu_seconds(self) -> float:
        """User and system seconds used so far by `pids` and those of them that have ended."""
        return self._guarded.cpu_seconds() if self._guarded else 0.0

    def log_tail(self, lines: int = 40) -> str:
        """The last `lines` lines that the server and its front wrote, without known secrets."""
        if self._guarded is not None and not self._closed:
            self._last_log = self._guarded.log()
        return "\n".join(self._last_log.splitlines()[-lines:])

    def verify(self) -> None:
        """Check again that this server alone answers at its addresses; call it after a trial.

        Raises:
            ServerError: it has ended, somebody else shares its port, or it listens beyond loopback.
        """
        if not self.alive():
            raise ServerError(f"{self.server.label} has ended; its last lines:\n{self.log_tail()}")
        tree = self.pids()
        for address in self._addresses():
            owned, others = owners_of(tree, address)
            if others:
                raise ServerError(f"{address} is shared with {describe(others)}; end that process")
            if not owned:
                raise ServerError(
                    f"{self.server.label} no longer listens at {address}; see its log"
                )
        reachable = beyond_loopback(tree)
        if reachable:
            raise ServerError(
                f"{self.server.label} listens on {reachable.host}:{reachable.port}, "
                "which other machines can reach; leave out the option that makes it do so"
            )

    def _addresses(self) -> list[Address]:
        """Everything that must listen; the last one is asked for ``/whoami``.

        That is the front, if there is one. But a site file decides which paths reach the
        application at all, so the server behind it is asked then.
        """
        if not self.server.nginx:
            return [self._back]
        front = Address(self.host, self.port)
        return [front, self._back] if self.server.site else [self._back, front]

    def _start(
        self, *, port: int | None, ttl: float, grace: float, pin: frozenset[int] | None
    ) -> None:
        server, folder = self.server, self._run.folder
        leases: list[ports.Lease] = []
        locks = runs.home() / "ports"
        try:
            leases.append(ports.lease(locks, self.host, port))
            self.port = leases[0].port
            if server.unix:
                self.unix_path = folder / "s"
                self._back = Address("", 0, self.unix_path)
            else:
                if server.nginx:
                    leases.append(ports.lease(locks, self.host))
                self._back = Address(self.host, leases[-1].port)
            launch = Launch(
                app=server.target, host=self.host, port=self._back.port, socket=self._back.path,
                slots=server.slots, workers=server.workers, folder=folder,
                project=project_root(), extra=server.extra,
            )  # fmt: skip
            self.command = self._command(launch)
            self._write(self._files(launch))
            env = self._environment(launch.project)
            commands = [{"argv": self.command, "env": env, "cwd": str(launch.project)}]
            if server.nginx:
                commands.append(self._nginx(env, launch.project))
            self._ports = [lease.port for lease in leases]
            self._guarded = Guarded(
                self._run, commands, leases=[lease.lock for lease in leases],
                ttl=ttl, grace=grace, pin=pin, secrets=self._secrets(),
            )  # fmt: skip
        finally:
            for lease in leases:
                lease.close()

    def _command(self, launch: Launch) -> list[str]:
        words = self.server.command
        if not words:
            return self.server.spec.command(launch)
        program, *options = installed.command(
            words, host=launch.host, port=launch.port, app=launch.app
        )
        return [find_program(program) or program, *options]

    def _files(self, launch: Launch) -> dict[str, str]:
        """The files that the server itself is started with; nginx's are another matter."""
        name, spec = self.server.site, self.server.spec
        if not name or spec.site_files is None:
            return spec.files(launch)
        text = installed.read(launch.project, name)
        return spec.site_files(launch, name, text, launch.project / installed.PUBLIC)

    def _write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self._run.folder / name).write_text(text, "utf-8", "surrogateescape")

    def _nginx(self, env: dict[str, str], project: Path) -> dict[str, Any]:
        folder, site = self._run.folder, self.server.site
        secured = self.secured if self.server.tls else None
        if secured:
            secured.certify()
        self._write(
            fronts.nginx_files(
                host=self.host, port=self.port, upstream=str(self._back), folder=folder,
                site=site, text=installed.read(project, site) if site else "",
                public=project / installed.PUBLIC, secured=secured,
            )
        )  # fmt: skip
        argv = fronts.nginx_command(find_program(NGINX.name) or NGINX.name, folder)
        # Its working folder tells the janitor whose it is; see `runs.members`.
        return {"argv": argv, "env": env, "cwd": str(folder)}

    def _environment(self, project: Path) -> dict[str, str]:
        """An allow-list: what the server needs, never what the owner happens to have."""
        beside = str(Path(sys.executable).parent)
        return {
            **passed_on(),
            "PATH": f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": os.pathsep.join(
                filter(None, (os.environ.get(SITE_VARIABLE), str(project)))
            ),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": self.server.settings,
            "GATEWAYLAB_NONCE": self.nonce,
            runs.RUN_VARIABLE: self._run.identity,
            **dict(self.server.env),
        }

    def _secrets(self) -> list[str]:
        """Values that no log may show."""
        named = [value for name, value in self.server.env if _SECRET_NAME.search(name)]
        return [self.nonce, *filter(None, named)]

    def _await_ready(self, begun: float, timeout: float) -> None:
        assert self._guarded is not None
        Starting(
            self.server, self._guarded, command=self.command, addresses=self._addresses(),
            nonce=self.nonce, begun=begun, timeout=timeout,
        ).wait()  # fmt: skip
        self.started = time.monotonic() - begun

    def _stop(self, *, at_once: bool) -> None:
        """End the server, wait until nothing is left of it, and remove its traces."""
        if os.getpid() != self._creator or self._closed:
            return  # a forked child has this object too, and no say in it
        try:
            if self._guarded is not None:
                self._guarded.stop(at_once=at_once)
        finally:
            self.log_tail(_KEPT_LINES)
            self._closed = True
            if self._guarded is not None:
                self._guarded.close()
            self._run.remove()
        if not at_once:  # a failed start is being reported already, with the port's owner
            self._await_free_ports()

    def _await_free_ports(self) -> None:
        until = time.monotonic() + 1.0
        for port in self._ports:
            while not ports.bindable(self.host, port):
                if time.monotonic() > until:
                    who = describe(ports.owners(self.host, port)) or "nobody that can be seen"
                    raise ServerError(
                        f"port {port} is still taken after the stop, by {who}; end it or wait"
                    )
                time.sleep(POLL)


@contextmanager
def serve(
    server: Server,
    *,
    port: int | None = None,
    host: str | None = None,
    ready_timeout: float = 60.0,
    ttl: float = 600.0,
    pin: frozenset[int] | None = None,
    grace: float = GRACE,
) -> Iterator[Running]:
    """Run a server for the length of a ``with`` block.

    Args:
        server: what to run; see `registry.server`.
        port: the front's port; None takes a free one outside the range of client ports.
        host: its loopback address; None gives the run one of its own, or 127.0.0.1 with a `port`.
        ready_timeout: seconds after which a server that is not ready is given up.
        ttl: seconds after which the guard ends the server whatever happens.
        pin: the CPUs that the server's whole tree may use.
        grace: seconds between SIGTERM and SIGKILL at the end.

    Raises:
        InputError: an argument makes no sense, or would leave the loopback interface.
        ServerMissingError: the server or nginx is not installed here.
        ServerStartError: it did not become ready, with its command, exit code and log.
        ServerError: at the end, something of it was still there.
    """
    _check_times(ready_timeout=ready_timeout, ttl=ttl, grace=grace)
    if port is not None:
        ports.check_port(port)
    host = ports.check_loopback(host or ("127.0.0.1" if port else ports.own_address()))
    _check_pin(pin)
    for part in (server.spec, NGINX) if server.nginx else (server.spec,):
        if not part.available():
            raise ServerMissingError(part.name, part.install_hint())
    with session.at_work(*server.systems, under=conditions(server)), _run(
        server, host, port=port, ready_timeout=ready_timeout, ttl=ttl, pin=pin, grace=grace
    ) as running:  # fmt: skip
        yield running


@contextmanager
def _run(
    server: Server,
    host: str,
    *,
    port: int | None,
    ready_timeout: float,
    ttl: float,
    pin: frozenset[int] | None,
    grace: float,
) -> Iterator[Running]:
    sweep()
    begun = time.monotonic()
    running = Running(server, host)
    ready = False
    try:
        try:
            running._start(port=port, ttl=ttl, grace=grace, pin=pin)
        except ports.PortTakenError as error:
            raise ServerStartError(
                str(error), command=running.command or [server.spec.program], exit_code=None,
                elapsed=time.monotonic() - begun, log_tail="", port_owner=error.owner,
                kind="unsafe",
            ) from None  # fmt: skip
        running._await_ready(begun, ready_timeout)
        ready = True
        yield running
    finally:
        running._stop(at_once=not ready)


def _check_times(**seconds: float) -> None:
    for name, value in seconds.items():
        if isinstance(value, bool) or not math.isfinite(value) or value < 0:
            raise InputError(f"{name} must be a number of seconds, not {value!r}")


def _check_pin(pin: frozenset[int] | None) -> None:
    if pin is None:
        return
    if not hasattr(os, "sched_getaffinity"):
        raise InputError("this system cannot pin a process to a CPU; leave pin out")
    here = os.sched_getaffinity(0)
    if not pin or not pin <= here:
        raise InputError(f"pin must be some of the CPUs {sorted(here)}, not {sorted(pin)}")
