"""Leases of ports, and each run's own loopback address.

A port is leased by an exclusive lock on a file of its own, held until the server that uses it is
dead. It is chosen outside the range from which the kernel picks client ports: a client that keeps
trying a port in that range sooner or later connects to itself.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from gatewaylab.errors import InputError, ServerError
from gatewaylab.guard import procfs

_FIRST, _LAST = 10_000, 65_000
_TRIES = 500


@dataclass(frozen=True)
class Lease:
    """A port that no other run takes while the file descriptor `lock` is open somewhere."""

    port: int
    lock: int

    def close(self) -> None:
        """Give up this process's hold; the guard's own keeps the lease alive."""
        os.close(self.lock)


class PortTakenError(ServerError):
    """A port that was asked for belongs to somebody else. `owner` describes who, if known."""

    def __init__(self, port: int, owner: str | None) -> None:
        super().__init__(f"port {port} is taken by {owner or 'a process that cannot be seen'}")
        self.owner = owner


def ephemeral_range() -> tuple[int, int]:
    """First and last port that the kernel gives to clients."""
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except OSError:
        return 32_768, 65_535
    return int(low), int(high)


def own_address() -> str:
    """A loopback address that no other run is likely to have (Linux), else 127.0.0.1."""
    if sys.platform != "linux":
        return "127.0.0.1"
    return f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"


def check_loopback(host: str) -> str:
    """`host` itself if it is an IPv4 loopback address, else InputError: nothing leaves here."""
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        raise InputError(f"host must be a 127.x.y.z address, not {host!r}") from None
    if not address.is_loopback:
        raise InputError(f"{host} is not a loopback address; servers listen on 127.x.y.z only")
    return host


def check_port(port: int) -> int:
    """`port` itself if a server may be given it, else InputError."""
    low, high = ephemeral_range()
    if isinstance(port, bool) or not isinstance(port, int) or not 1024 <= port <= 65_535:
        raise InputError(f"port must be a whole number from 1024 to 65535, not {port!r}")
    if low <= port <= high:
        raise InputError(
            f"port {port} is in the range that the kernel gives to clients ({low} to {high}); "
            f"choose one below {low}"
        )
    return port


def bindable(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def owners(host: str, port: int) -> list[int]:
    """Pids of the processes whose sockets take connections to ``host:port``."""
    inodes = {one.inode for one in procfs.listeners() if one.meets(host, port)}
    if not inodes:
        return []
    held = procfs.socket_inodes(procfs.all_pids())
    return sorted({held[inode] for inode in inodes if inode in held})


def lease(folder: Path, host: str, port: int | None = None) -> Lease:
    """Lock a port on `host`: `port` itself, or any free one.

    Raises:
        PortTakenError: `port` was given and is leased or listened on.
        ServerError: no free port was found.
    """
    if port is not None:
        taken = _try(folder, host, port)
        if taken is None:
            there = owners(host, port)
            raise PortTakenError(
                port, ", ".join(map(procfs.describe, there)) or _holder(folder, port)
            )
        return taken
    low, high = ephemeral_range()
    usable = [number for number in range(_FIRST, _LAST) if not low <= number <= high]
    for _ in range(_TRIES if usable else 0):
        found = _try(folder, host, secrets.choice(usable))
        if found is not None:
            return found
    raise ServerError(
        f"no free port outside the range {low} to {high} after {_TRIES} tries; end other servers"
    )


def _try(folder: Path, host: str, port: int) -> Lease | None:
    """The lease, or None when someone else has it or listens on the port."""
    # The file is never removed: who locks a removed file locks nothing.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open(folder / f"{port}.lock", flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    if not bindable(host, port):
        os.close(lock)
        return None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return Lease(port, lock)


def _holder(folder: Path, port: int) -> str | None:
    """Who wrote itself into a lease's file."""
    text = (folder / f"{port}.lock").read_text()
    return f"a server leased by {procfs.describe(int(text))}" if text.isdigit() else None
