"""A listening socket handed to a program in the way of systemd: as file 3, and two variables."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

_HAND_OVER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True);"
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def listening(path: Path) -> socket.socket:
    """A unix socket that outlives the program, as a socket unit's does."""
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen(2048)
    return made


def with_socket(argv: Sequence[str], descriptor: int) -> list[str]:
    """A command that starts `argv` with the socket as its file 3."""
    return [sys.executable, "-c", _HAND_OVER, str(descriptor), *argv]
