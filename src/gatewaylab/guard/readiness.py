"""When a server that was started is ready, and whether it alone is where it says it is."""

from __future__ import annotations

import re
import select
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

from gatewaylab.errors import ServerStartError, StartFailure
from gatewaylab.guard import procfs
from gatewaylab.guard.owner import Guarded
from gatewaylab.guard.probe import Address, ProbeAnswer, ask
from gatewaylab.servers.registry import APPS, Server

POLL = 0.005  # seconds between looks while a server starts
_LOG_EVERY = 0.1  # seconds between looks into its log
_ERRORS_TO_BELIEVE = 3  # consecutive answers with status 500 after which the app is called broken
# What a server writes when its application cannot be imported and it lives on to try again.
_BOOT_FAILED = re.compile(
    r"Error loading ASGI app|Worker failed to boot|Application loader failed"
    r"|Target WSGI script .* cannot be loaded|Child process \[\d+\] died"
)
# A log whose last line is this, in a tree that does nothing, has lost its workers.
_IMPORT_ERROR = re.compile(r" *(?:ImportError|ModuleNotFoundError|SyntaxError): ")
_IMPORT_FAILED = re.compile(rf"^{_IMPORT_ERROR.pattern}.*\s*\Z", re.MULTILINE)
_IDLE_AFTER = 0.5  # seconds
_IDLE_CPU = 0.05  # CPU seconds in that time below which a tree does nothing
_LOG_LINES = 40  # of a failed start that its error shows
_LOG_PATIENCE = 0.3  # seconds that a server's end may take to be logged in full


def owners_of(tree: set[int], address: Address) -> tuple[bool, list[int | None]]:
    """Whether `tree` listens at an address, and who else does (None: somebody invisible)."""
    if not procfs.LINUX:
        return True, []
    if address.path is not None:
        inodes = procfs.unix_listeners(address.path)
    else:
        inodes = {one.inode for one in procfs.listeners() if one.meets(address.host, address.port)}
    own = procfs.socket_inodes(tree)
    foreign = inodes - own.keys()
    if not foreign:
        return bool(inodes), []
    held = procfs.socket_inodes(set(procfs.all_pids()) - tree)
    return bool(inodes & own.keys()), [held.get(inode) for inode in foreign]


def beyond_loopback(tree: set[int]) -> procfs.Listener | None:
    """A listening socket of `tree` that other machines could reach, if there is one."""
    own = procfs.socket_inodes(tree) if procfs.LINUX else {}
    reachable = [one for one in procfs.listeners() if not one.loopback] if own else []
    return next((one for one in reachable if one.inode in own), None)


def describe(pids: Iterable[int | None]) -> str:
    """Processes in words, for an error's text."""
    return ", ".join(
        "a process that cannot be seen" if pid is None else procfs.describe(pid) for pid in pids
    )


def log_tail(log: str) -> str:
    """The end of a log; if an import failed before that, the last such line stands on top.

    What a server says about its own end (two tracebacks, of gunicorn when two workers fail at
    once) can be longer than the tail, and the reason lies before it.
    """
    lines = log.splitlines()
    last, before = lines[-_LOG_LINES:], lines[:-_LOG_LINES]
    reasons = [line for line in before if _IMPORT_ERROR.match(line)]
    if reasons and not any(map(_IMPORT_ERROR.match, last)):
        last = [reasons[-1], "…", *last[2:]]
    return "\n".join(last)


class Starting:
    """One start, watched until it is ready or hopeless."""

    def __init__(
        self,
        server: Server,
        guarded: Guarded,
        *,
        command: Sequence[str],
        addresses: Sequence[Address],
        nonce: str,
        begun: float,
        timeout: float,
    ) -> None:
        self._server = server
        self._guarded = guarded
        self._command = command
        self._addresses = addresses
        self._nonce = nonce
        self._begun = begun
        self._until = begun + timeout
        self._log_read = begun
        self._suspect: tuple[float, str, float] | None = None  # since when, the log, CPU seconds

    def wait(self) -> None:
        """Return when the server is ready.

        Raises:
            ServerStartError: it has ended, cannot load its application, shares its address with
                a foreign process, listens beyond loopback, or has run out of time.
        """
        for address in self._addresses:
            while not self._listens(address):
                self._pause(f"nobody listens at {address}")
        self._recognise(self._addresses[-1])
        if self._server.processes > 1:
            self._meet_all(self._addresses[-1], self._server.processes)
        for address in self._addresses:  # another may have joined while the application loaded
            self._listens(address)
        reachable = beyond_loopback(self._guarded.pids())
        if reachable:
            self._fail(
                f"it listens on {reachable.host}:{reachable.port}, which is not a loopback address",
                kind="unsafe",
            )

    def _listens(self, address: Address) -> bool:
        sock = address.connect()
        if sock is None:
            return False
        sock.close()
        owned, others = owners_of(self._guarded.pids(), address)
        if others:
            time.sleep(POLL)  # a process that was just starting or ending may be misjudged
            owned, others = owners_of(self._guarded.pids(), address)
        if others:
            self._fail(
                f"{address} is also listened on by a foreign process",
                kind="unsafe",
                owner=describe(others),
            )
        return owned

    def _recognise(self, front: Address) -> None:
        """Ask until this run's own application has answered."""
        errors = 0
        said = "it accepts connections but does not answer GET /whoami"
        while True:
            answer = self._ask(front)
            if answer is not None:
                if self._is_ours(answer):
                    return
                errors = errors + 1 if answer.status == 500 else 0
                said = f"GET /whoami is answered with status {answer.status}"
                if errors >= _ERRORS_TO_BELIEVE:
                    self._fail(f"the application is broken: {said}", kind="broken")
            self._pause(said)

    def _meet_all(self, front: Address, workers: int) -> None:
        """Ask until every worker has answered, since one is ready long before the last can be.

        Many are asked at once: of workers that share a socket, the kernel prefers the same one
        again and again while only one connection waits.
        """
        met: set[int] = set()
        rounds = 0
        with ThreadPoolExecutor(2 * workers) as pool:
            while len(met) < workers:
                rounds += 1
                answers = [pool.submit(self._ask, front) for _ in range(2 * workers)]
                for answer in filter(None, [one.result() for one in answers]):
                    if self._is_ours(answer):
                        if answer.pid is None:
                            self._count_all(workers)
                            return
                        met.add(answer.pid)
                if len(met) < workers:
                    said = f"{len(met)} of {workers} workers have answered GET /whoami"
                    self._pause(said, min(rounds * POLL, _LOG_EVERY))

    def _count_all(self, workers: int) -> None:
        """For an application that doesn't say which process answers: all are there, and at rest."""
        since, used = time.monotonic(), self._guarded.cpu_seconds()
        while True:
            there = len(self._guarded.pids()) - len(self._addresses)
            now, cpu = time.monotonic(), self._guarded.cpu_seconds()
            if there < workers or cpu - used >= _IDLE_CPU:
                since, used = now, cpu
            elif now - since >= _IDLE_AFTER:
                return
            self._pause(f"its {workers} workers are not all there and at rest")

    def _ask(self, front: Address) -> ProbeAnswer | None:
        return ask(
            front, self._until, self._guarded.news_fd, in_silence=lambda: self._listens(front)
        )

    def _is_ours(self, answer: ProbeAnswer) -> bool:
        """The demo apps prove it by the nonce. Other apps need not: the sockets' owner is known."""
        if answer.nonce == self._nonce:
            return True
        if answer.nonce is not None:
            self._fail("another server answers: /whoami returned a foreign nonce", kind="unsafe")
        return self._server.app not in APPS and answer.status < 500

    def _pause(self, waiting_for: str, seconds: float = POLL) -> None:
        """Wait a little, or until the guard has news; raise when there is no hope."""
        left = self._until - time.monotonic()
        select.select([self._guarded.news_fd], [], [], max(0.0, min(seconds, left)))
        self._guarded.read_news()
        if self._guarded.exits:
            self._guarded.wait(time.monotonic() + _LOG_PATIENCE)
            index, code = next(iter(self._guarded.exits.items()))
            self._fail(f"{'nginx' if index else self._server.spec.title} ended", exit_code=code)
        if self._guarded.done:
            self._fail("the guard ended while the server was starting")
        now = time.monotonic()
        if now >= self._until:
            self._fail(f"not ready in time: {waiting_for}", kind="late")
        if now - self._log_read >= _LOG_EVERY:
            self._log_read = now
            if self._cannot_load(self._guarded.log(), now):
                self._fail("the application cannot be loaded")

    def _cannot_load(self, log: str, now: float) -> bool:
        """Whether the log shows that workers have died of an import, under a master that lives."""
        if _BOOT_FAILED.search(log):
            return True
        if not _IMPORT_FAILED.search(log):
            self._suspect = None
        elif self._suspect is None or self._suspect[1] != log:
            self._suspect = now, log, self._guarded.cpu_seconds()
        elif now - self._suspect[0] >= _IDLE_AFTER:
            since, _, used = self._suspect
            cpu = self._guarded.cpu_seconds()
            self._suspect = now, log, cpu
            return cpu - used < _IDLE_CPU * (now - since) / _IDLE_AFTER
        return False

    def _fail(
        self,
        reason: str,
        *,
        kind: StartFailure = "ended",
        exit_code: int | None = None,
        owner: str | None = None,
    ) -> NoReturn:
        raise ServerStartError(
            reason,
            command=self._command,
            exit_code=exit_code,
            elapsed=time.monotonic() - self._begun,
            log_tail=log_tail(self._guarded.log()),
            port_owner=owner,
            kind=kind,
        )
