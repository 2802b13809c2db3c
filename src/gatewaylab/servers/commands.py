"""The command line of a server: the template of its entry in the registry, filled in."""

from __future__ import annotations

import os
import shutil
import sys
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


@dataclass(frozen=True)
class Template:
    """How a server is called, in the words of its own manual.

    Attributes:
        line: the words after the program. ``{where}``, ``{slots}`` and ``{extra}`` stand for as
            many words as there are; each other name is replaced inside its word: ``{app}``,
            ``{workers}``, ``{processes}`` (workers times slots), ``{project}``, ``{folder}``.
        tcp: ``{where}`` on ``{host}`` and ``{port}``. unix: on ``{socket}``; empty if it can't.
        slots: ``{slots}`` when a number of them was asked for.
    """

    line: str
    tcp: str = ""
    unix: str = ""
    slots: str = ""

    def fill(self, launch: Launch) -> list[str]:
        """The words of one start."""
        several = {
            "{where}": (self.unix if launch.socket else self.tcp).split(),
            "{slots}": [] if launch.slots is None else self.slots.split(),
        }
        values = {
            "app": launch.app, "host": launch.host, "port": launch.port, "socket": launch.socket,
            "slots": launch.slots, "workers": launch.workers,
            "processes": launch.workers * (launch.slots or 1),
            "project": launch.project, "folder": launch.folder,
        }  # fmt: skip
        words: list[str] = []
        for word in self.line.split():
            if word == "{extra}":
                words += launch.extra
            else:
                words += [one.format(**values) for one in several.get(word, [word])]
        return words


def find_program(name: str) -> str | None:
    """Path of a program: beside this interpreter first, then on PATH, then in the sbin folders.

    Debian keeps nginx and apache2 where an ordinary user's PATH does not look.
    """
    beside = Path(sys.executable).parent / name
    if beside.is_file() and os.access(beside, os.X_OK):
        return str(beside)
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def as_ordinary_user() -> list[str]:
    """What goes before a program that refuses to be root, or gives it up: empty for other users.

    In a user namespace root has another number, 33 (Debian's www-data). The kernel goes on
    checking files as the real user, so a private folder stays within reach.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return []
    return [find_program("unshare") or "unshare", "--user", "--map-user=33", "--map-group=33", "--"]
