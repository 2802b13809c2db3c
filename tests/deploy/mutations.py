"""Each line of the web servers' files is taken out, alone: does a visit notice?

    python -m tests.deploy.mutations [set-up …]

prints who notices each. ``unnoticed.toml`` lists, by set-up, the lines whose loss nobody does, each
with its reason.
A line that opens a block stands for all of it.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from websockets.exceptions import WebSocketException

from tests.deploy import bed
from tests.deploy.files import DEPLOY
from tests.deploy.setups import SET_UPS, SetUp
from tests.deploy.visits import VISITS

LISTED = Path(__file__).with_name("unnoticed.toml")

_LARGE = ("upload", "slow_upload")  # 200 MB each: only for lines that are about bodies
_BODIES = ("body", "upload", "buffer", "proxy_pass")


@dataclass(frozen=True)
class Mutation:
    """A file without a line, or without the block that the line opens.

    Attributes:
        file: its path below ``deploy/``. number: the line's, from 0. line: its text.
    """

    file: str
    number: int
    line: str

    @property
    def name(self) -> str:
        """The line, for people."""
        return f"{self.file}: {self.line}"

    def made(self, file: str, text: str) -> str:
        """The text of `file`, without the line if it is this file's."""
        if file != self.file:
            return text
        lines = text.splitlines()
        until = self.number + 1
        while _depth(lines[self.number : until]) > 0:
            until += 1
        return "\n".join(lines[: self.number] + lines[until:]) + "\n"


def _depth(lines: list[str]) -> int:
    """How many blocks are open at the end of some lines, of nginx or of Apache."""
    depth = 0
    for line in map(str.strip, lines):
        depth += line.endswith("{") or (line.startswith("<") and not line.startswith("</"))
        depth -= line == "}" or line.startswith("</")
    return depth


def mutations(one: SetUp) -> Iterator[Mutation]:
    """Every line that says something, of the files that this set-up runs."""
    home = (DEPLOY / one.site).parent
    files = [DEPLOY / one.site, *sorted((home / "myproject").glob("*.conf"))]
    files += [] if one.behind else [home / "port80.conf"]
    unused = {"tls.conf" if one.behind else "behind.conf"}
    if one.site.endswith("container.conf"):
        files = files[:1]
    for file in files:
        for number, line in enumerate(file.read_text().splitlines()):
            said = line.strip()
            comment = not said or said.startswith(("#", "}", "</"))
            if not comment and file.name not in unused:
                yield Mutation(file.relative_to(DEPLOY).as_posix(), number, said)


def noticed(up: bed.Up, mutation: Mutation) -> str | None:
    """Who notices that a line is missing: the web server, or the first visit that fails."""
    about_bodies = any(word in mutation.line.lower() for word in _BODIES)
    names = [name for name in VISITS if name not in up.one.cannot]
    (up.site / "calls").write_text("")  # what was called for under another mutation is not it
    try:
        with bed.web_server(up, mutation.made):
            for name in names:
                if name in _LARGE and not about_bodies:
                    continue
                try:
                    VISITS[name](up)
                except (
                    AssertionError,
                    httpx.HTTPError,
                    WebSocketException,
                    OSError,
                    LookupError,
                    ValueError,
                ):
                    return name
    except AssertionError as error:
        return "start: " + str(error).splitlines()[0]
    return None


def listed() -> dict[str, dict[str, str]]:
    """By set-up, the lines that may go unnoticed (`Mutation.name`), each with its reason."""
    found: dict[str, dict[str, str]] = tomllib.loads(LISTED.read_text())
    return found


@contextmanager
def ready(one: SetUp) -> Iterator[bed.Up]:
    """A set-up's servers, which have answered once behind the files as shipped."""
    folder = Path(tempfile.mkdtemp(prefix=f"{one.name}-")) / "f"
    with bed.servers_up(one, folder) as up:
        with bed.web_server(up):
            pass
        yield up


def main(names: list[str]) -> None:
    """Take out every line of some set-ups, or of all."""
    for one in SET_UPS:
        if names and one.name not in names:
            continue
        with ready(one) as up:
            bed.PATIENCE = 10.0  # what is broken never comes
            for mutation in mutations(one):
                print(noticed(up, mutation) or "NOBODY", mutation.name, sep="\t", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
