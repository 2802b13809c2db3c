"""Every test has private runs of its own session, and no live test leaves a process behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from gatewaylab.guard import procfs
from gatewaylab.load import standby
from gatewaylab.records.staging import STAGING_VARIABLE, Staging

_PATIENCE = 60.0  # a limit for what should be gone at once, on a machine of any speed

# A shell starts its background jobs deaf to SIGINT, and whatever they start inherits that; tests
# that interrupt a build would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: For what a schedule runs, tests/load/test_hostile.py and tests/faults/test_phases.py:
#: scripts/test FILE --hypothesis-profile=nightly
settings.register_profile("nightly", max_examples=10_000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast", action="store_true",
        help="only tests that start no process, except git's: a minute's look at a change",
    )  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of the fast circle what takes long."""
    if config.getoption("fast"):
        slow = {"live", "accuracy", "browser", "slow"}
        left = [one for one in items if slow & {mark.name for mark in one.iter_markers()}]
        config.hook.pytest_deselected(items=left)
        items[:] = [one for one in items if one not in left]


@pytest.fixture(scope="session", autouse=True)
def no_process(request: pytest.FixtureRequest) -> Iterator[None]:
    """In the fast circle a test that is about to start a process is skipped there and then."""
    if not request.config.getoption("fast"):
        yield
        return
    start = subprocess.Popen.__init__

    def only_git(self: subprocess.Popen[Any], args: Any, *rest: Any, **options: Any) -> None:
        if not isinstance(args, list | tuple) or args[0] != "git":
            pytest.skip("it starts a process")
        start(self, args, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", only_git)
        yield


@pytest.fixture(scope="session", autouse=True)
def session_folder() -> Iterator[str]:
    """A temporary folder of this session; whatever it starts carries it in its environment.

    It is short, because unix sockets lie below it, and private, so that two sessions on one
    machine neither see nor sweep each other's runs.
    """
    before = os.environ.get("TMPDIR")
    folder = tempfile.mkdtemp(prefix="glt-")
    os.environ["TMPDIR"] = folder
    tempfile.tempdir = None
    yield folder
    tempfile.tempdir = None
    if before is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Staging:
    """The folder to which a notebook's run gives its parts."""
    monkeypatch.setenv(STAGING_VARIABLE, str(tmp_path))
    return Staging(tmp_path)


def survivors(folder: str) -> set[tuple[int, int]]:
    """Pid and start time of every process that was started from this session."""
    item = f"TMPDIR={folder}"
    found = set()
    for pid in procfs.all_pids():
        started = procfs.start_time(pid)
        inside = (procfs.working_folder(pid) or "").startswith(folder)
        if started is not None and (inside or procfs.has_in_environment(pid, item)):
            found.add((pid, started))
    return found


@pytest.fixture(autouse=True)
def nothing_survives(request: pytest.FixtureRequest, session_folder: str) -> Iterator[None]:
    """Fail a live test that leaves a process, a run's folder or an entry that it has started."""
    if request.node.get_closest_marker("live") is None:
        yield
        return
    runs = Path(session_folder) / f"gatewaylab-{os.getuid()}" / "runs"
    before, entries = survivors(session_folder), set(runs.glob("*"))
    yield
    standby._end()  # a generator that stands by is no leftover
    until = time.monotonic() + _PATIENCE
    while True:
        left = sorted(procfs.describe(pid) for pid, _ in survivors(session_folder) - before)
        left += sorted(map(str, set(runs.glob("*")) - entries))
        if not left or time.monotonic() > until:
            break
        time.sleep(0.02)
    assert not left, f"the test left behind: {left}"
