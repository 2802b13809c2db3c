"""Starting a server so that it is the right one, and ending it so that nothing is left.

`serve` is the one way to run a server here. A guard process (`_guard`) starts it and sees to it
that it ends with its owner, however the owner ends. It counts as ready when its process is alive,
its process tree owns the listening socket, and ``GET /whoami`` returns this run's nonce; it counts
as stopped when it has no descendants and its port can be bound again.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gatewaylab import _fronts, _guard, _ports, _procfs, _registry
from gatewaylab._commands import Launch, find_program
from gatewaylab._probe import Address, Answer, ask
from gatewaylab.errors import InputError, ServerError, ServerMissingError, ServerStartError
from gatewaylab.servers import APPS, NGINX, Server, project_root

__all__ = ["Running", "serve", "sweep"]

GRACE = 3.0
_POLL = 0.005  # seconds between looks while a server starts
_STOP_PATIENCE = 2.0  # seconds beyond the grace period after which the guard itself is killed
_ERRORS_TO_BELIEVE = 3  # consecutive 5xx answers of the app after which it is called broken
_PASSED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
_SECRET_NAME = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|KEY|CREDENTIAL", re.IGNORECASE)
# What a server writes once its application cannot be imported, where it lives on and tries again.
_BOOT_FAILED = re.compile(
    r"Error loading ASGI app|Worker failed to boot|Application loader failed"
    r"|Target WSGI script .* cannot be loaded",
)

_log = logging.getLogger(__name__)


def sweep() -> list[str]:
    """End what owners that died have left on this machine, and say so; `serve` does it too."""
    said = _registry.sweep()
    for sentence in said:
        _log.warning(sentence)
    return said


class Running:
    """A server that is up. Made by `serve`; its numbers stay readable after the end.

    Attributes:
        server: the configuration that was asked for.
        host, port: where the front listens (nginx when there is one, else the server itself).
        unix_path: the server's unix socket, or None.
        nonce: what the application returns to prove that it is this run's.
        command: the argument list of the server.
        namespace: whether it runs in a PID namespace of its own.
        started: seconds from the call to readiness.
    """

    def __init__(self, server: Server, host: str, grace: float) -> None:
        self.server = server
        self.host = host
        self.nonce = secrets.token_hex(16)
        self.port = 0
        self.unix_path: Path | None = None
        self.command: list[str] = []
        self.namespace = False
        self.started = math.nan
        self._grace = grace
        self._run = _registry.new_run()
        self._creator = os.getpid()
        self._back: Address | None = None
        self._ports: list[int] = []
        self._guard: subprocess.Popen[bytes] | None = None
        self._inner: int | None = None
        self._inner_fd: int | None = None
        self._lifeline: int | None = None
        self._status: int | None = None
        self._news = b""
        self._exits: dict[int, int] = {}
        self._done = False
        self._closed = False
        self._last_tail = ""
        self._last_cpu = 0.0
        self._secrets = [value for name, value in server.env if _SECRET_NAME.search(name)]

    @property
    def url(self) -> str:
        """``http://127.x.y.z:port`` of the front. Nobody listens there if only a socket does."""
        return f"http://{self.host}:{self.port}"

    @property
    def target(self) -> str:
        """What a load generator connects to: `url`, or ``unix:/path`` without a TCP front."""
        if self.unix_path is not None and not self.server.nginx:
            return f"unix:{self.unix_path}"
        return self.url

    def alive(self) -> bool:
        """Whether the server's first process is still running."""
        self._read_news()
        return not (self._closed or self._exits or self._done)

    def pids(self) -> set[int]:
        """Every process of the server and its front, by the host's numbers; the guard is not."""
        if self._guard is None or self._closed:
            return set()
        inner = {self._inner} if self._inner else set()
        return (_procfs.below(self._guard.pid) | self._below_inner()) - inner

    def cpu_seconds(self) -> float:
        """User and system seconds used so far by `pids` and those of them that have ended."""
        if not self._closed:
            living = sum(_procfs.cpu_seconds(pid) for pid in self.pids())
            ended = _procfs.cpu_seconds(self._inner, own=False) if self._inner else 0.0
            # An ended process may be missing for a moment, between its parent and the guard.
            self._last_cpu = max(self._last_cpu, living + ended)
        return self._last_cpu

    def log_tail(self, lines: int = 40) -> str:
        """The last `lines` lines that the server and its front wrote, without known secrets."""
        if self._closed:
            return "\n".join(self._last_tail.splitlines()[-lines:])
        text = ""
        for name in ("log.1", "log", "guard.log"):
            with suppress(OSError):
                text += (self._run.folder / name).read_text(errors="replace")
        text = re.sub(r"://[^/\s@]+@", "://***@", text)
        for secret in [self.nonce, *self._secrets]:
            if secret:
                text = text.replace(secret, "***")
        return "\n".join(text.splitlines()[-lines:])

    def verify(self) -> None:
        """Check again that this server alone answers at its addresses; call it after a trial.

        Raises:
            ServerError: it has ended, somebody else shares its port, or it listens beyond loopback.
        """
        if not self.alive():
            raise ServerError(f"{self.server.label} has ended; its last lines:\n{self.log_tail()}")
        for address in self._addresses():
            owned, strangers = self._owners_of(address)
            if strangers:
                raise ServerError(f"{address} is shared with {self._describe(strangers)}")
            if not owned:
                raise ServerError(f"{self.server.label} no longer listens at {address}")
        self._refuse_beyond_loopback()

    # Starting

    def _launch(self, port: int | None, ttl: float, pin: frozenset[int] | None) -> None:
        leases: list[_ports.Lease] = []
        folder = _registry.home() / "ports"
        server, spec = self.server, self.server.spec
        try:
            front = _ports.lease(folder, self.host, port)
            leases.append(front)
            self.port = front.port
            if server.unix:
                self.unix_path = self._run.folder / "s"
                self._back = Address("", 0, self.unix_path)
            elif server.nginx:
                leases.append(_ports.lease(folder, self.host))
                self._back = Address(self.host, leases[-1].port)
            else:
                self._back = Address(self.host, front.port)
            launch = Launch(
                app=server.target, host=self.host, port=self._back.port, socket=self._back.path,
                slots=server.slots, workers=server.workers, folder=self._run.folder,
                project=project_root(), extra=server.extra,
            )  # fmt: skip
            self.command = spec.command(launch)
            env = self._environment(launch.project)
            commands = [{"argv": self.command, "env": env, "cwd": str(launch.project)}]
            for name, text in spec.files(launch).items():
                (self._run.folder / name).write_text(text)
            if server.nginx:
                commands.append(self._nginx(env))
            self._ports = [lease.port for lease in leases]
            self._start_guard(commands, [lease.lock for lease in leases], ttl, pin)
        finally:
            for lease in leases:
                lease.close()

    def _nginx(self, env: dict[str, str]) -> dict[str, Any]:
        upstream = str(self._back)
        conf = _fronts.nginx_conf(
            host=self.host, port=self.port, upstream=upstream, folder=self._run.folder
        )
        (self._run.folder / "nginx.conf").write_text(conf)
        program = find_program(NGINX.name) or NGINX.name
        argv = _fronts.nginx_command(program, self._run.folder)
        # Its working folder tells the janitor whose it is; see `_registry.members`.
        return {"argv": argv, "env": env, "cwd": str(self._run.folder)}

    def _environment(self, project: Path) -> dict[str, str]:
        """An allow-list: what the server needs, never what the owner happens to have."""
        beside = str(Path(sys.executable).parent)
        path = os.environ.get("PATH", os.defpath)
        return {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            "PATH": f"{beside}{os.pathsep}{path}",
            "PYTHONPATH": str(project),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "demo_apps.django_app.settings",
            "GATEWAYLAB_NONCE": self.nonce,
            _registry.RUN_VARIABLE: self._run.identity,
            **dict(self.server.env),
        }

    def _start_guard(
        self,
        commands: list[dict[str, Any]],
        leases: list[int],
        ttl: float,
        pin: frozenset[int] | None,
    ) -> None:
        lifeline, self._lifeline = os.pipe()
        self._status, status = os.pipe()
        orders_read, orders_write = os.pipe()
        os.set_blocking(self._status, False)
        orders = {
            "run": self._run.identity, "owner": os.getpid(),
            "owner_started": _procfs.start_time(os.getpid()), "lifeline": lifeline,
            "status": status, "leases": leases, "folder": str(self._run.folder),
            "entry": str(self._run.entry), "commands": commands, "ttl": ttl,
            "grace": self._grace, "pin": sorted(pin or ()),
            "namespace": os.environ.get("GATEWAYLAB_NO_NAMESPACE") != "1",
        }  # fmt: skip
        try:
            with os.fdopen(orders_write, "w") as file:
                json.dump(orders, file)
            with (self._run.folder / "guard.log").open("wb") as errors:
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", _guard.__file__],
                    stdin=orders_read, stdout=errors, stderr=errors,
                    pass_fds=(lifeline, status, *leases), start_new_session=True,
                    env={_registry.RUN_VARIABLE: self._run.identity},
                )  # fmt: skip
        finally:
            for fd in (lifeline, status, orders_read):
                os.close(fd)
        self._run.record(self._guard.pid)

    def _await_ready(self, begun: float, timeout: float) -> None:
        until = begun + timeout
        for address in self._addresses():
            while not self._listening(address, begun, until):
                self._pause(begun, until, f"nobody listens at {address}")
        self._refuse_beyond_loopback(begun)
        front = self._addresses()[-1]
        errors = 0
        said = "it accepts connections but does not answer GET /whoami"
        while True:
            answer = ask(front, until, self._status_fd())
            if answer is not None:
                if self._recognised(answer, begun):
                    break
                errors = errors + 1 if answer.status == 500 else 0
                said = f"GET /whoami is answered with status {answer.status}"
                if errors >= _ERRORS_TO_BELIEVE:
                    raise self._failure(f"the application is broken: {said}", begun)
            self._pause(begun, until, said)
        self.started = time.monotonic() - begun

    def _recognised(self, answer: Answer, begun: float) -> bool:
        """Whether the answer is this run's own; the demo apps prove it, others need not."""
        if answer.nonce is not None and answer.nonce != self.nonce:
            raise self._failure("another server answers: /whoami returned a foreign nonce", begun)
        if answer.nonce == self.nonce:
            return True
        return self.server.app not in APPS and answer.status < 500

    def _addresses(self) -> list[Address]:
        """Everything that must listen, the front last."""
        back = [self._back] if self._back else []
        return [*back, Address(self.host, self.port)] if self.server.nginx else back

    def _listening(self, address: Address, begun: float, until: float) -> bool:
        sock = address.connect()
        if sock is None:
            return False
        sock.close()
        owned, strangers = self._owners_of(address)
        if strangers:
            time.sleep(_POLL)  # one that is just ending does not count
            owned, strangers = self._owners_of(address)
        if strangers:
            raise self._failure(
                f"{address} is also listened on by a stranger", begun, strangers=strangers
            )
        return owned and time.monotonic() < until

    def _owners_of(self, address: Address) -> tuple[bool, list[int | None]]:
        """Whether this run's tree listens there, and which strangers do (None: can't be seen)."""
        if not _procfs.LINUX:
            return True, []
        if address.path is not None:
            inodes = _procfs.unix_listeners(address.path)
        else:
            inodes = {
                one.inode for one in _procfs.listeners() if one.meets(address.host, address.port)
            }
        own = _procfs.socket_inodes(self.pids())
        foreign = inodes - own.keys()
        if not foreign:
            return bool(inodes), []
        held = _procfs.socket_inodes(_procfs.all_pids())
        mine = self.pids()
        strangers = [held.get(inode) for inode in foreign if held.get(inode) not in mine]
        return bool(inodes & own.keys()), strangers

    def _refuse_beyond_loopback(self, begun: float | None = None) -> None:
        own = _procfs.socket_inodes(self.pids()) if _procfs.LINUX else {}
        for one in _procfs.listeners():
            if one.inode in own and not one.loopback:
                reason = f"it listens on {one.host}:{one.port}, which is not a loopback address"
                if begun is None:
                    raise ServerError(f"{self.server.label}: {reason}")
                raise self._failure(reason, begun)

    def _pause(self, begun: float, until: float, waiting_for: str) -> None:
        """Wait a little, or until the guard has news; raise when there is no hope."""
        select.select([self._status_fd()], [], [], min(_POLL, max(0.0, until - time.monotonic())))
        self._read_news()
        if self._exits:
            index, code = next(iter(self._exits.items()))
            self._wait_for_guard(time.monotonic() + 1.0)
            raise self._failure(
                f"{'nginx' if index else self.server.spec.title} ended while starting", begun, code
            )
        if self._done or (self._guard and self._guard.poll() is not None):
            raise self._failure("the guard ended while the server was starting", begun)
        if time.monotonic() >= until:
            raise self._failure(f"not ready in time: {waiting_for}", begun)
        if _BOOT_FAILED.search(self.log_tail()):
            raise self._failure("the application could not be loaded", begun)

    def _failure(
        self,
        reason: str,
        begun: float,
        exit_code: int | None = None,
        strangers: list[int | None] | None = None,
    ) -> ServerStartError:
        return ServerStartError(
            reason,
            command=self.command,
            exit_code=exit_code,
            elapsed=time.monotonic() - begun,
            log_tail=self.log_tail(),
            port_owner=self._describe(strangers) if strangers else None,
        )

    @staticmethod
    def _describe(pids: list[int | None]) -> str:
        return ", ".join(
            "a process that cannot be seen" if pid is None else _procfs.describe(pid)
            for pid in pids
        )

    # The guard's news

    def _status_fd(self) -> int:
        if self._status is None:
            raise ServerError(f"{self.server.label} is not running")
        return self._status

    def _read_news(self) -> None:
        if self._status is None:
            return
        while True:
            try:
                data = os.read(self._status, 65536)
            except BlockingIOError:
                return
            if not data:
                self._done = True
                return
            self._news += data
            *lines, self._news = self._news.split(b"\n")
            for line in lines:
                self._hear(json.loads(line))

    def _hear(self, news: Mapping[str, Any]) -> None:
        match news["event"]:
            case "started":
                self._inner = news["inner"]
                self.namespace = news["namespace"]
                if hasattr(os, "pidfd_open"):
                    with suppress(OSError):
                        self._inner_fd = os.pidfd_open(news["inner"])
            case "exit":
                self._exits[news["index"]] = news["code"]
            case "done":
                self._done = True

    def _below_inner(self) -> set[int]:
        """What is below the inner half, should it have lost the outer one."""
        return _procfs.below(self._inner) if self._inner else set()

    # Stopping

    def _stop(self, *, at_once: bool) -> None:
        """End the server, wait until nothing is left of it, and remove its traces."""
        if os.getpid() != self._creator or self._closed:
            return  # a forked child has this object too, and no say in it
        try:
            if self._guard is not None:
                self._end_guard(at_once=at_once)
        finally:
            self._last_tail = self.log_tail(1000)
            self._closed = True
            for fd in (self._lifeline, self._status, self._inner_fd):
                if fd is not None:
                    os.close(fd)
            self._lifeline = self._status = self._inner_fd = None
            self._run.remove()
        self._check_ports_are_free()

    def _end_guard(self, *, at_once: bool) -> None:
        self.cpu_seconds()
        self._read_news()
        if at_once and self._inner_fd is not None:
            # Without its inner half the guard kills all that is left, with no grace.
            with suppress(OSError):
                signal.pidfd_send_signal(self._inner_fd, signal.SIGKILL)
        if self._lifeline is not None:
            # A byte as well as the end of the pipe: a forked child may hold the pipe open.
            with suppress(OSError):
                os.write(self._lifeline, b".")
        assert self._guard is not None
        if not self._wait_for_guard(time.monotonic() + self._grace + _STOP_PATIENCE):
            self._guard.kill()
            self._wait_for_guard(time.monotonic() + self._grace + _STOP_PATIENCE)
        if self._guard.wait() != 0:
            _registry.end_members(self._run)

    def _wait_for_guard(self, until: float) -> bool:
        """Read news until the guard says that nothing is left, or both its halves are gone."""
        while not self._done:
            left = until - time.monotonic()
            if left <= 0:
                return False
            select.select([self._status_fd()], [], [], left)
            self._read_news()
        return True

    def _check_ports_are_free(self) -> None:
        until = time.monotonic() + 1.0
        for port in self._ports:
            while not _ports.bindable(self.host, port):
                if time.monotonic() > until:
                    who = self._describe(list(_ports.owners(self.host, port))) or "nobody visible"
                    raise ServerError(f"port {port} is still taken after the stop, by {who}")
                time.sleep(_POLL)


@contextmanager
def serve(
    server: Server,
    *,
    port: int | None = None,
    host: str | None = None,
    ready_timeout: float = 15.0,
    ttl: float = 600.0,
    pin: frozenset[int] | None = None,
    grace: float = GRACE,
) -> Iterator[Running]:
    """Run a server for the length of a ``with`` block.

    Args:
        server: what to run; see `servers.server`.
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
        _ports.check_port(port)
    host = _ports.check_loopback(host or ("127.0.0.1" if port else _ports.own_address()))
    _check_pin(pin)
    for part in (server.spec, NGINX) if server.nginx else (server.spec,):
        if not part.available():
            raise ServerMissingError(part.name, part.install_hint())
    sweep()
    begun = time.monotonic()
    running = Running(server, host, grace)
    ready = False
    try:
        try:
            running._launch(port, ttl, pin)
        except _ports.PortTakenError as error:
            raise ServerStartError(
                str(error), command=running.command or [server.spec.program], exit_code=None,
                elapsed=time.monotonic() - begun, log_tail="", port_owner=error.owner,
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
