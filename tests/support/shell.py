"""The command line under a hostile shell, many times in few seconds.

``python -m tests.support.shell`` imports once what every command needs, except `gatewaylab.cli`
itself, and then forks for each command. `Shell` is the side of the test.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests import ROOT

_NEEDED = ("load.run", "publish.build", "publish.rehearsal", "publish.noise_rehearsal",
           "publish.rendering", "truth.selfcheck", "truth.twins")  # fmt: skip
_CLONE_NEWNS, _READ_ONLY, _REMOUNT, _PRIVATE = 0x20000, 1, 32, 0x44000


def main() -> None:
    """Fork for each line of JSON and tell the child's pid, or wait for one and tell its status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a child opens up when it begins
    for name in _NEEDED:
        importlib.import_module(f"gatewaylab.{name}")
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
            continue
        child = os.fork()
        if child == 0:
            os._exit(_child(**order))
        print(child, flush=True)


def _child(
    arguments: list[str], folder: str, said: str, env: dict[str, str], umask: int, stdin: bool,
    disk: str, pipe: bool,
) -> int:  # fmt: skip
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    os.umask(umask)
    if disk:
        _mount(folder, disk)
    os.chdir(folder)
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(_broken_pipe() if pipe else file, 1)
    os.dup2(file, 2)
    os.close(0)
    if stdin:
        os.open(os.devnull, os.O_RDONLY)
    sys.stdin, sys.stdout, sys.stderr = (open(n, m, closefd=False)  # noqa: SIM115
        if n or stdin else None for n, m in ((0, "r"), (1, "w"), (2, "w")))  # fmt: skip
    sys.argv = ["gatewaylab", *arguments]
    status: Any = 0
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        program = importlib.import_module("gatewaylab.__main__")
    except KeyboardInterrupt:
        print("interrupted before the program began", flush=True)
        return 130
    try:
        program.main()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    if sys.stdout is not None:
        sys.stdout.flush()
    return int(status or 0)


def _broken_pipe() -> int:
    """The end of a pipe that nobody reads, as in ``gatewaylab servers | true``."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def _mount(folder: str, disk: str) -> None:
    """A small disk over `folder` that only this process sees: with what was in it, and then full,
    or read-only."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(flags: int, source: str, data: str) -> None:
        options = (b"tmpfs", source.encode(), b"tmpfs", flags, data.encode())
        if libc.mount(options[0], options[1], options[2], options[3], options[4]):
            raise OSError(ctypes.get_errno(), "mount")

    files = {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    if libc.unshare(_CLONE_NEWNS) or libc.mount(None, b"/", None, _PRIVATE, None):
        raise OSError(ctypes.get_errno(), "unshare")
    mount(0, folder, "size=512k")
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if disk == "read-only":
        mount(_REMOUNT | _READ_ONLY, folder, "")
    else:
        with contextlib.suppress(OSError), Path(folder, "ballast").open("wb", 0) as ballast:
            while ballast.write(bytes(4096)):
                pass


class Shell:
    """The forking process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, arguments: list[str], folder: Path, said: Path, **how: Any) -> int:
        """Begin a command in `folder`; all that it says goes to the file `said`. Its pid."""
        usual = {"env": dict(os.environ), "umask": 0o022, "stdin": True, "disk": "", "pipe": False}
        where = {"arguments": arguments, "folder": str(folder), "said": str(said)}
        return int(self._say({**usual, **where, **how}))

    def wait(self, pid: int) -> int:
        """Its exit status, less than 0 for a signal, when it has ended."""
        return int(self._say({"wait": pid}))

    def _say(self, order: Mapping[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextlib.contextmanager
def shell() -> Iterator[Shell]:
    """One for the length of a block."""
    command = [sys.executable, "-m", "tests.support.shell"]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Shell(process)
        finally:
            process.kill()


if __name__ == "__main__":
    main()
