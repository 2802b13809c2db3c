"""One load tool run as a child: bounded in time, held to a core, its CPU time read as it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gatewaylab.errors import LoadError

#: Seconds that a tool may take for starting, for its last requests and for its report.
PATIENCE = 30.0

_LOOK = 0.02  # seconds between looks at the child: 50 wake-ups a second disturb nothing
_TAIL = 12  # lines of its output that a failure quotes


@dataclass(frozen=True)
class Finished:
    """A tool that ended well.

    Attributes:
        stdout, stderr: what it wrote.
        cpu_seconds: user and system time of it and of every process that it waited for.
    """

    stdout: str
    stderr: str
    cpu_seconds: float


def run_tool(
    title: str,
    command: Sequence[str],
    *,
    folder: Path,
    seconds: float,
    pin: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> Finished:
    """Run a tool to its end, which is `PATIENCE` after ``seconds`` at the latest.

    Its environment holds no proxy and no configuration: only the search path, the ``variables``,
    and ``folder`` as its home and working directory, where its output is kept as well.

    Raises:
        LoadError: it cannot be started, failed, or did not end; the text has its last lines.
    """
    if pin is not None:
        if shutil.which("taskset") is None:
            raise LoadError("holding a tool to a core needs taskset, from the package util-linux")
        command = ["taskset", "-c", str(pin), *command]
    environment = {"HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
    for name in ("PATH", "LD_LIBRARY_PATH"):
        if name in os.environ:
            environment[name] = os.environ[name]
    paths = folder / "stdout", folder / "stderr"
    # Files, because a pipe that nobody reads would hold the tool up.
    with paths[0].open("wb") as stdout, paths[1].open("wb") as stderr:
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=environment | dict(variables or {}),
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            )  # fmt: skip
        except OSError as error:
            raise LoadError(f"{title} cannot be started: {error}") from error
    limit = seconds + PATIENCE
    used = _wait(process, limit)
    out, err = (path.read_text(encoding="utf-8", errors="replace") for path in paths)
    if used is None or process.returncode:
        how = (
            f"did not end in {limit:.0f} s"
            if used is None
            else (f"failed (exit status {process.returncode})")
        )
        lines = [line for line in (out + "\n" + err).splitlines() if line.strip()]
        raise LoadError("\n".join([f"{title} {how}; its last lines:", *lines[-_TAIL:]]))
    return Finished(out, err, used)


def _wait(process: subprocess.Popen[bytes], limit: float) -> float | None:
    """CPU seconds of the child when it has ended; None when it had to be killed."""
    until = time.monotonic() + limit
    late = False
    try:
        while True:
            # Not Popen.wait, which throws the child's own account of its CPU time away.
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return None if late else usage.ru_utime + usage.ru_stime
            if time.monotonic() > until and not late:
                process.kill()
                late = True
            time.sleep(_LOOK)
    finally:  # an interrupt comes here with the child alive
        if process.returncode is None:
            process.kill()
            process.wait()
