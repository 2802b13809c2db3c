"""Each line that the test bed applies is taken out, alone: does a visit notice?

    python -m tests.deploy.mutations [set-up …]

prints who notices each. ``unnoticed.toml`` lists, by set-ups, the lines whose loss nobody does,
each with its reason.
A line that opens a block stands for all of it; of a command, each option is taken out alone.
"""

from __future__ import annotations

import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from websockets.exceptions import WebSocketException

from tests.deploy import bed
from tests.deploy.files import DEPLOY
from tests.deploy.programs import COMPOSE, GUNICORN
from tests.deploy.setups import SET_UPS, SetUp
from tests.deploy.visits import VISITS

LISTED = Path(__file__).with_name("unnoticed.toml")

_BODIES = ("body", "upload", "buffer", "proxy_pass")
_CROWDS = ("nofile", "connections")
HEAVY: dict[str, tuple[str, ...]] = {
    "upload": _BODIES, "slow_upload": _BODIES, "listeners": _CROWDS, "check_deploy": ()
}  # fmt: skip
"""Visits that take seconds, and of which words a line must have one for that."""

# Of these files the bed applies such lines alone: the rest is for systemd and Docker.
_APPLIED = {
    "systemd": r"ExecStart=|LimitNOFILE=",
    "docker/compose": r"FORWARDED_ALLOW_IPS|nofile",
    "docker/Dockerfile.wsgi": r'CMD \["gun',
    "docker/Dockerfile.asgi": r'CMD \["uvi|RUN sed',
    "gunicorn/": r"\w+ = ",
    "nginx/myproject/http.conf": r"#   sed|[^#}]",
    "": r"[^#}<]|<[^/]",
}
_OPTION = re.compile(r' --[\w-]+ \S+|, "--(?!host|port|bind)[\w-]+", "[^"]+"')


@dataclass(frozen=True)
class Mutation:
    """A file without a line, without the block that the line opens, or without an option in it.

    Attributes:
        file: its path below ``deploy/``. number: the line's, from 0. line: its text.
        option: what of it, if not all.
    """

    file: str
    number: int
    line: str
    option: str = ""

    @property
    def name(self) -> str:
        """The line or the option, for people."""
        return f"{self.file}: {self.option.strip(' ,') or self.line}"

    @property
    def of_web_server(self) -> bool:
        """Whether no application server has to be started anew for it."""
        return self.file.startswith(("nginx/", "apache/"))

    def made(self, file: str, text: str) -> str:
        """The text of `file`, without the line if it is this file's."""
        if file != self.file:
            return text
        lines = text.splitlines()
        until = self.number + 1
        while _depth(lines[self.number : until]) > 0:
            until += 1
        left = [lines[self.number].replace(self.option, "")] if self.option else []
        return "\n".join(lines[: self.number] + left + lines[until:]) + "\n"


def _depth(lines: list[str]) -> int:
    """How many blocks are open at the end of some lines, of nginx or of Apache."""
    depth = 0
    for line in map(str.strip, lines):
        depth += line.endswith("{") or (line.startswith("<") and not line.startswith("</"))
        depth -= line == "}" or line.startswith("</")
    return depth


def files_of(one: SetUp) -> Iterator[Path]:
    """The shipped files that a set-up runs."""
    home = (DEPLOY / one.site).parent
    unused = "tls.conf" if one.behind else "behind.conf"
    yield DEPLOY / one.site
    yield from sorted(file for file in (home / "myproject").iterdir() if file.name != unused)
    if not one.behind:
        yield home / "port80.conf"
    for name in one.units:
        yield DEPLOY / "systemd" / f"{name}.service"
    for kind in sorted(set(one.images.values())):
        yield DEPLOY / "docker" / f"Dockerfile.{kind}"
    if one.images:
        yield DEPLOY / COMPOSE
    if one.gunicorn:
        yield DEPLOY / GUNICORN


def mutations(one: SetUp) -> Iterator[Mutation]:
    """Every line that says something, of the files that this set-up runs."""
    for file in files_of(one):
        name = file.relative_to(DEPLOY).as_posix()
        applied = next(said for start, said in _APPLIED.items() if name.startswith(start))
        for number, line in enumerate(file.read_text().splitlines()):
            said = line.strip()
            if not re.match(applied, said) or (one.images and said.startswith("#")):
                continue  # an image edits nginx.conf by itself
            command = said.startswith(("ExecStart=", "CMD "))
            for option in _OPTION.findall(said) if command else [""]:
                yield Mutation(name, number, said, option)


def noticed(up: bed.Up, mutation: Mutation) -> str | None:
    """Who notices that a line is missing: the web server, or the first visit that fails."""
    (up.site / "calls").write_text("")  # what was called for under another mutation is not it
    try:
        with ExitStack() as stack:
            if not mutation.of_web_server:
                folder = Path(tempfile.mkdtemp(prefix="without-")) / "f"
                up = stack.enter_context(bed.servers_up(up.one, folder, mutation.made))
            stack.enter_context(bed.web_server(up, mutation.made))
            return next((name for name in able(up.one, mutation) if failed(name, up)), None)
    except AssertionError as error:
        return "start: " + str(error).splitlines()[0]


def able(one: SetUp, mutation: Mutation) -> Iterator[str]:
    """The visits that a set-up passes, but for the heavy ones that have nothing to do with this."""
    about = mutation.name.lower()
    for name in VISITS:
        if name not in one.cannot and any(word in about for word in HEAVY.get(name, ("",))):
            yield name


def failed(name: str, up: bed.Up) -> bool:
    """Whether a visit fails."""
    try:
        VISITS[name](up)
    except (
        AssertionError, httpx.HTTPError, WebSocketException, OSError, LookupError, ValueError
    ):  # fmt: skip
        return True
    return False


def listed() -> dict[str, dict[str, str]]:
    """By set-up, the lines that may go unnoticed (`Mutation.name`), each with its reason."""
    found: dict[str, dict[str, str]] = {one.name: {} for one in SET_UPS}
    for names, lines in tomllib.loads(LISTED.read_text()).items():
        for name in names.split():
            found[name] |= lines
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
