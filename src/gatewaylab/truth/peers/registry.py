"""The load tools: what each is called, how it paces itself, whether it is here."""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from gatewaylab.errors import InputError, LoadError
from gatewaylab.load.request import Endpoint, split_url
from gatewaylab.load.run import check_core
from gatewaylab.servers.commands import find_program
from gatewaylab.servers.specs import INSTALL, INSTALL_SYSTEM
from gatewaylab.truth.peers import tools
from gatewaylab.truth.peers.tools import Ask, LoadTotal, Report

#: How many workers (tasks, users, connections) share a paced load; each asks at its part of it.
WORKERS = 8


@dataclass(frozen=True)
class Peer:
    """One load tool.

    Attributes:
        name: its key in `PEERS`. title: how tables name it.
        model: ``open`` when its plan stands whatever the server does, else ``closed``.
        program: its executable, or None. distribution: its name on PyPI, or None.
    """

    name: str
    title: str
    model: Literal["open", "closed"]
    program: str | None
    distribution: str | None
    tally: Callable[[Ask], LoadTotal]
    report: Callable[[Ask], Report]

    def available(self) -> bool:
        return self.version() is not None

    def version(self) -> str | None:
        """The installed version; None when it is not installed, "unknown" when it does not say."""
        if self.program:
            found = find_program(self.program)
            return _program_version(found) if found else None
        try:
            return metadata.version(self.distribution or "gatewaylab")
        except metadata.PackageNotFoundError:
            return None

    @property
    def install_hint(self) -> str:
        """The command line that would make it available."""
        return INSTALL_SYSTEM if self.program else INSTALL


def closed(
    peer: str, url: str, connections: int = 8, seconds: float = 1.0, pin: int | None = None
) -> LoadTotal:
    """Let a tool ask as fast as it can, each connection again as soon as it is answered.

    The CPU time of wrk, h2load and hey is that of the whole process. Of the Python ones it is the
    time between the first request and the last: their imports are not part of the load. wrk takes
    whole seconds only, so ``seconds`` is rounded up for it.

    Raises:
        InputError: an argument makes no sense, or the URL is not plain HTTP on loopback.
        LoadError: the tool is not installed, failed, did not end, or had failing requests.
    """
    one = _peer(peer)
    if isinstance(connections, bool) or not isinstance(connections, int) or connections < 1:
        raise InputError(f"connections must be a whole number of at least 1, not {connections!r}")
    with tempfile.TemporaryDirectory() as folder:
        return one.tally(_ask(url, connections, 0.0, seconds, pin, folder))


def reported(
    peer: str, url: str, rate: float = 100.0, seconds: float = 3.0, pin: int | None = None
) -> Report:
    """Ask a tool for ``rate`` requests/s in all over `WORKERS` workers, and take it at its word.

    wrk cannot pace itself: it asks as fast as it can on one connection.

    Raises:
        InputError: an argument makes no sense, or the URL is not plain HTTP on loopback.
        LoadError: the tool is not installed, failed, did not end, or had failing requests.
    """
    one = _peer(peer)
    if not 0 < rate < math.inf:
        raise InputError(f"rate must be finite and more than 0 requests/s, not {rate!r}")
    with tempfile.TemporaryDirectory() as folder:
        return one.report(_ask(url, WORKERS, rate, seconds, pin, folder))


def _peer(name: str) -> Peer:
    if name not in PEERS:
        raise InputError(f"unknown load tool {name!r}; known are: {', '.join(PEERS)}")
    peer = PEERS[name]
    if not peer.available():
        raise LoadError(
            f"{peer.title} is not installed on this machine; to install it: {peer.install_hint}"
        )
    return peer


def _ask(url: str, workers: int, rate: float, seconds: float, pin: int | None, folder: str) -> Ask:
    target, request = split_url(url)
    authority = Endpoint.parse(target).authority
    if not target.startswith("http://"):
        raise InputError(
            f"the tools have only plain HTTP over TCP in common; give http://127.0.0.1:PORT, "
            f"not {url!r}"
        )
    if not 0 < seconds < math.inf:
        raise InputError(f"seconds must be finite and more than 0, not {seconds!r}")
    check_core(pin)
    return Ask(f"http://{authority}{request.path}", workers, rate, seconds, pin, Path(folder))


@cache
def _program_version(program: str) -> str:
    """What the program says of itself, or what Debian says of the package of its name."""
    name = Path(program).name
    option = {"wrk": "-v", "h2load": "--version"}.get(name)
    command = [program, option] if option else ["dpkg-query", "-Wf", "${Version}", name]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    found = re.search(r"\d+\.\d+(\.\d+)*", said.stdout + said.stderr)
    return found[0] if found else "unknown"


_PEERS = (
    Peer("lean", "this book’s generator", "open", None, None, tools.lean_tally, tools.lean_report),
    Peer(
        "httpx", "httpx, in a script", "closed", None, "httpx",
        tools.httpx_tally, tools.httpx_report,
    ),
    Peer(
        "locust", "Locust", "closed", None, "locust", tools.locust_tally, tools.locust_report,
    ),
    Peer("hey", "hey", "closed", "hey", None, tools.hey_tally, tools.hey_report),
    Peer("h2load", "h2load", "closed", "h2load", None, tools.h2load_tally, tools.h2load_report),
    Peer("wrk", "wrk", "closed", "wrk", None, tools.wrk_tally, tools.wrk_report),
)  # fmt: skip

#: The load tools by name; `Peer.available` tells which of them are here.
PEERS: Mapping[str, Peer] = MappingProxyType({peer.name: peer for peer in _PEERS})
