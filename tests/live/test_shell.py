"""Every command under a hostile shell: one sentence, the right status, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gatewaylab.measure.delay import until
from gatewaylab.measure.reference import reference_server
from gatewaylab.records.results import LoadRecord
from gatewaylab.records.storage import load
from tests.support.shell import Shell, shell

pytestmark = pytest.mark.live

URL = "URL"  # stands for a server that answers
FOREVER = "3600"


@dataclass(frozen=True)
class Command:
    """A command, what it comes to in a friendly shell, and a variant of it that takes long.

    Attributes:
        book: whether it needs a clone. writes: whether it makes the folder ``_build`` in it.
    """

    short: tuple[str, ...]
    status: int = 0
    says: str = ""
    long: tuple[str, ...] = ()
    book: bool = False
    writes: bool = False


COMMANDS = {
    "version": Command(("version",), long=("version",)),
    "servers": Command(("servers",), long=("servers",)),
    "servers --json": Command(("servers", "--json"), long=("servers", "--json")),
    "load": Command(
        ("load", URL, "--seconds", "0.2", "--warmup", "0", "--json", "x.json"),
        long=("load", URL, "--seconds", FOREVER, "--rate", "20", "--warmup", "0"),
    ),
    "aa": Command(("aa", "--out", "."), 1, "is a folder", long=("aa",)),
    "selfcheck": Command(("selfcheck", "nothing"), 1, "no check 'nothing'", long=("selfcheck",)),
    "build": Command(
        ("build", "--only", "x"), 1, "no notebook 'x'", ("build",), book=True, writes=True
    ),
    "sabotage": Command(
        ("sabotage", "x"), 1, "no notebook 'x'", ("sabotage",), book=True, writes=True
    ),
    "stability": Command(
        ("stability", "--rebuilds", "1", "--out", "."), 1, "is a folder",
        ("stability", "--rebuilds", "9"), book=True, writes=True,
    ),
    "rehearse": Command(
        ("rehearse", "--noise", "x"), 1, "no noise 'x'",
        ("rehearse", "--noise", "slow"), book=True, writes=True,
    ),
    "readme-figure": Command(
        ("readme-figure", "x.svg"), 1, "measure first", ("readme-figure", "x.svg"), book=True
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """What is hostile about the shell; how `Shell.start` makes it so."""

    how: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str | None] = field(default_factory=dict)
    clone: bool = True
    folder: str = "clone"


CONDITIONS = {
    "friendly": Condition(),
    "no clone": Condition(clone=False),
    "a read-only folder": Condition({"disk": "read-only"}),
    "a full disk": Condition({"disk": "full"}),
    "closed stdin": Condition({"stdin": False}),
    "SIGPIPE": Condition({"pipe": True}),
    "20 columns": Condition(env={"COLUMNS": "20"}),
    "NO_COLOR": Condition(env={"NO_COLOR": "1", "FORCE_COLOR": "1"}),
    "HOME unset": Condition(env={"HOME": None}),
    "umask 077": Condition({"umask": 0o077}),
    "a path with spaces and umlauts": Condition(folder="my böok dir"),
}
MOMENTS = {"at once": 0.01, "early": 0.15, "later": 0.6}  # seconds after the start of the command
NOTEBOOK = """---
kernelspec: {name: python3, display_name: Python 3, language: python}
---
# Some

```{code-cell}
import time
time.sleep(3600)
```
"""


@pytest.fixture(scope="module")
def hostile(session_folder: str) -> Iterator[Shell]:
    with shell() as one:
        yield one


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with reference_server() as server:
        yield server.url


def place(parent: Path, condition: Condition) -> Path:
    """The folder in which a command is called: a small clone, or nothing at all."""
    folder = parent / condition.folder
    folder.mkdir()
    if condition.clone:
        for name in ("book/claims", "book/records", "notebooks", "demo_apps"):
            (folder / name).mkdir(parents=True)
        for name in ("pyproject.toml", "requirements.txt", "demo_apps/__init__.py"):
            (folder / name).touch()
        (folder / "notebooks" / "some.md").write_text(NOTEBOOK)
        (folder / "_toc.yml").write_text(
            "format: jb-book\nroot: i\nchapters:\n- file: notebooks/some\n"
        )
    return folder


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def environment(condition: Condition) -> dict[str, str]:
    wanted = {**os.environ, **condition.env}
    return {name: value for name, value in wanted.items() if value is not None}


def given(words: tuple[str, ...], url: str) -> list[str]:
    return [url if word == URL else word for word in words]


def assert_sound(said: str) -> None:
    """No traceback; at most one complaint, and that is the last thing said, on one line."""
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    complaints = [line for line in said.splitlines() if line.startswith("gatewaylab: ")]
    assert len(complaints) <= 1, said
    assert not complaints or said.endswith(f"{complaints[0]}\n"), said


def expected(command: Command, name: str, condition: str) -> tuple[int, str]:
    """Status and a part of what is said, where a shell is not friendly."""
    if condition == "no clone" and command.book:
        return 1, "is in no clone of the book"
    if condition == "a read-only folder":
        if name == "load":
            return 1, "Read-only file system; save elsewhere"
        if name in {"build", "sabotage"}:
            return 1, "Read-only file system"
        if name == "readme-figure":
            return 1, "Read-only file system"
    if condition == "a full disk":
        if name in {"load", "readme-figure"}:
            return 1, "No space left on device; save elsewhere"
        if name in {"build", "sabotage"}:
            return 1, "No space left on device"
    if condition == "SIGPIPE":  # who says something to nobody has failed
        return 1, ""
    return command.status, command.says


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_well_under(
    name: str, condition: str, tmp_path: Path, hostile: Shell, url: str
) -> None:
    how, command = CONDITIONS[condition], COMMANDS[name]
    if how.how.get("disk") and os.geteuid() != 0:
        pytest.skip("only root can mount the small disk for it")
    folder, said = place(tmp_path, how), tmp_path / "said"
    before = files(folder)
    pid = hostile.start(given(command.short, url), folder, said, env=environment(how), **how.how)
    status, text = hostile.wait(pid), said.read_text()
    assert_sound(text)
    right, says = expected(command, name, condition)
    assert status == right, text
    assert says in text
    left = {one for one in files(folder) - before if not one.startswith("_build")}
    result = {"x.json"} if name == "load" and (status == 0 or condition == "SIGPIPE") else set()
    assert left == result
    assert command.writes or not (folder / "_build").exists()
    if condition == "no clone":
        assert not (folder / "_build").exists()
    if condition == "NO_COLOR":
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]", text)
    for one in result:
        mode = 0o600 if condition == "umask 077" else 0o644
        assert (folder / one).stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("name", COMMANDS)
def test_two_at_once_do_not_harm_each_other(
    name: str, tmp_path: Path, hostile: Shell, url: str
) -> None:
    command, folder = COMMANDS[name], place(tmp_path, Condition())
    said = [tmp_path / "one", tmp_path / "two"]
    pids = [hostile.start(given(command.short, url), folder, one) for one in said]
    ended = [hostile.wait(pid) for pid in pids]
    for status, text in zip(ended, [one.read_text() for one in said], strict=True):
        assert_sound(text)
        assert status == command.status
        assert command.says in text or "another build of this project is running" in text


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_is_a_sentence_whenever_it_comes(
    name: str, moment: str, tmp_path: Path, hostile: Shell, url: str
) -> None:
    command, folder, said = COMMANDS[name], place(tmp_path, Condition()), tmp_path / "said"
    pid = hostile.start(given(command.long, url), folder, said)
    assert until(said.exists, within=60, every=0.002)
    time.sleep(MOMENTS[moment])
    os.kill(pid, signal.SIGINT)  # not yet waited for, so the number is still its own
    status, text = hostile.wait(pid), said.read_text()
    assert_sound(text)
    if command.short == command.long or name == "readme-figure":
        assert status in {command.status, 130}  # it may have been done already
    else:
        assert status in {130, -signal.SIGINT}, text
    assert status != 130 or "interrupted" in text
    left = {one for one in files(folder) if one.startswith("_build/staging")}
    assert not left


@pytest.mark.parametrize("transport", ["raw", "httpx"])
def test_an_interrupted_load_saves_what_was_measured_so_far(
    transport: str, tmp_path: Path, hostile: Shell, url: str
) -> None:
    out, said = tmp_path / "x.json", tmp_path / "said"
    options = ["--warmup", "0", "--seconds", FOREVER, "--rate", "20", "--json", "x.json"]
    for patience in (1.0, 4.0, 16.0, 64.0):  # on a busy machine nothing may be there yet
        pid = hostile.start(["load", url, "--transport", transport, *options], tmp_path, said)
        time.sleep(patience)
        os.kill(pid, signal.SIGINT)
        assert hostile.wait(pid) == 130, said.read_text()
        if out.exists() and (load(LoadRecord, out).samples.status == 200).any():
            break
    record = load(LoadRecord, out)
    assert 0 < record.seconds < patience + 1
    assert 0 < len(record.samples) == record.generator.planned
    assert record.samples.scheduled_at.max() <= record.seconds
    assert (record.samples.status == 200).any()
    assert_sound(said.read_text())


@pytest.mark.parametrize("name", ["version", "servers", "build"])
def test_the_locale_of_bare_machines_is_enough(name: str, tmp_path: Path) -> None:
    """A process of its own, because the locale is read when the interpreter starts."""
    command, folder = COMMANDS[name], place(tmp_path, CONDITIONS["a path with spaces and umlauts"])
    done = subprocess.run(
        [sys.executable, "-m", "gatewaylab", *command.short], cwd=folder, check=False,
        env={**os.environ, "LANG": "C", "LC_ALL": "C"}, capture_output=True, timeout=120,
    )  # fmt: skip
    text = (done.stdout + done.stderr).decode()
    assert_sound(text)
    assert done.returncode == command.status
    assert command.says in text
