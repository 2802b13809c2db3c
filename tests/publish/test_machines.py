"""Every noise begins, does what it says, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from gatewaylab.errors import InputError
from gatewaylab.guard import procfs
from gatewaylab.guard.serve import SITE_VARIABLE, serve
from gatewaylab.measure.delay import until
from gatewaylab.publish import machines
from gatewaylab.publish.machines import NOISES
from gatewaylab.servers.registry import server
from tests import printed

REAL_TIME = machines._may_be_real_time()
WITH_PRIORITY = [kind for kind, (_, real_time) in machines._WORK.items() if real_time]
CGROUPS = Path("/sys/fs/cgroup")


def may_have_quota() -> bool:
    try:
        with machines._quota():
            return True
    except OSError:
        return False


QUOTA = may_have_quota()
needs_quota = pytest.mark.skipif(not QUOTA, reason="no control group can be made here")


def possible(name: str) -> bool:
    """Whether this user may make the noise."""
    needs = name in WITH_PRIORITY or (name == "slow" and not QUOTA)
    return REAL_TIME or not needs


def noise(name: str) -> contextlib.AbstractContextManager[None]:
    if not possible(name):
        pytest.skip("needs real-time priority")
    return NOISES[name][0]()


def strangers(owner: int | None = None) -> set[int]:
    """The processes that were started as noise by ``owner``; by this process when None."""
    found = set()
    for pid in procfs.all_pids():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "gatewaylab.publish.machines" in words and words[-2] == str(owner or os.getpid()):
                found.add(pid)
    return found


def gathered(owner: int | None = None) -> set[int]:
    """One stranger for each core; a process that is just being started has no command line yet."""
    assert until(lambda: len(strangers(owner)) == len(os.sched_getaffinity(0)), within=120)
    return strangers(owner)


def at_work(kind: str, pid: int) -> bool:
    """Whether a stranger has come to what it is there for: its core, and its priority."""
    try:
        policy = os.sched_getscheduler(pid)
        return len(os.sched_getaffinity(pid)) == 1 and (policy == os.SCHED_FIFO) == (
            kind in WITH_PRIORITY
        )
    except ProcessLookupError:
        return False


def surroundings() -> tuple[object, ...]:
    """What a noise may change of this process, and must restore."""
    return (
        os.sched_getaffinity(0),
        os.sched_getscheduler(0),
        Path("/proc/self/cgroup").read_text(),
        os.environ.get(SITE_VARIABLE),
        groups(),
    )


def groups(owner: int | None = None) -> list[Path]:
    return [*CGROUPS.rglob(f"gatewaylab-{owner or os.getpid()}")] if QUOTA else []


class StoppedError(Exception):
    """What a test raises inside of a noise."""


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("name", NOISES)
def test_a_noise_leaves_nothing_behind(name: str, raises: bool) -> None:
    before = surroundings()
    with contextlib.suppress(StoppedError), noise(name):
        if raises:
            raise StoppedError
    assert strangers() == set()
    assert surroundings() == before


@pytest.mark.parametrize("kind", machines._WORK)
def test_there_is_a_stranger_on_each_core_until_the_block_ends(kind: str) -> None:
    if kind in WITH_PRIORITY and not REAL_TIME:
        pytest.skip("needs real-time priority")
    mine = os.sched_getaffinity(0)
    with machines._foreign_processes(kind):
        there = gathered()
        assert until(lambda: all(at_work(kind, pid) for pid in there), within=120)
        assert sorted(core for pid in there for core in os.sched_getaffinity(pid)) == sorted(mine)
    assert strangers() == set()


def test_a_stranger_is_deaf_to_the_interrupt_that_ends_its_owner_s_work() -> None:
    def deaf(pid: int) -> bool:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (ignored,) = (line.split()[1] for line in lines if line.startswith("SigIgn:"))
        return bool(int(ignored, 16) >> (signal.SIGINT - 1) & 1)

    with noise("burner"):
        there = gathered()
        assert until(lambda: all(map(deaf, there)), within=120)
        for pid in there:
            os.kill(pid, signal.SIGINT)
        assert strangers() == there


@pytest.mark.parametrize("name", NOISES)
def test_nothing_goes_on_after_its_owner_was_killed(name: str) -> None:
    if not possible(name):
        pytest.skip("needs real-time priority")
    code = (
        "import time; from gatewaylab.publish.machines import NOISES\n"
        f"with NOISES[{name!r}][0]():\n    print('ready', flush=True)\n    time.sleep(600)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        if name in machines._WORK:
            there = gathered(owner.pid)
            assert until(lambda: all(at_work(name, pid) for pid in there), within=120)
        owner.kill()
    assert until(lambda: not strangers(owner.pid), within=120)
    for group in groups(owner.pid):  # a killed process can't take it away; nobody is in it
        assert until(lambda group=group: removed(group), within=120)  # type: ignore[misc]


def removed(group: Path) -> bool:
    """Whether a group could be removed: the kernel refuses while a process is in it."""
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def test_a_stranger_whose_owner_has_gone_before_it_began_does_not_begin() -> None:
    command = [sys.executable, "-m", "gatewaylab.publish.machines", "burner", "0", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "has gone" in done.stderr


def test_a_second_stranger_that_fails_ends_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[int] = []
    popen = subprocess.Popen

    def start(command: list[str]) -> subprocess.Popen[bytes]:
        if started:
            raise OSError("no more processes")
        process = popen(command)
        started.append(process.pid)
        return process

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(OSError, match="no more processes"), machines._foreign_processes("burner"):
        pass
    assert len(started) == 1
    assert strangers() == set()


# One core


def test_one_core_holds_for_what_is_started_in_it_and_is_given_back() -> None:
    before = os.sched_getaffinity(0)
    with contextlib.suppress(StoppedError), noise("one-core"):
        assert os.sched_getaffinity(0) == {max(before)}
        assert printed("import os; print(*os.sched_getaffinity(0))") == f"{max(before)}\n"
        raise StoppedError
    assert os.sched_getaffinity(0) == before


# Half of the computing time


@needs_quota
def test_slow_is_a_quota_of_half_the_cores_time_for_all_that_is_started() -> None:
    cores = len(os.sched_getaffinity(0))
    with noise("slow"):
        (group,) = groups()
        assert strangers() == set()
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        assert int(quota) == int(period) * cores // 2
        assert str(os.getpid()) in (group / "cgroup.procs").read_text().split()
        assert group.name in printed("print(open('/proc/self/cgroup').read())")


@needs_quota
def test_a_child_that_outlives_the_quota_is_moved_out_of_it() -> None:
    with contextlib.ExitStack() as stack:
        with noise("slow"):
            command = [sys.executable, "-c", "print('ready', flush=True); input()"]
            child = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            name = groups()[0].name
            assert name in Path(f"/proc/{child.pid}/cgroup").read_text()
        assert groups() == []
        assert child.poll() is None
        assert name not in Path(f"/proc/{child.pid}/cgroup").read_text()
        child.communicate(b"\n", timeout=300)


def _no_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Mock(side_effect=PermissionError("not your control group"))
    monkeypatch.setattr(machines, "_quota", refused)


@pytest.mark.skipif(not REAL_TIME, reason="needs real-time priority")
def test_slow_is_made_by_strangers_without_a_quota(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _no_quota(monkeypatch)
    with noise("slow"):
        there = gathered()
        assert until(lambda: all(at_work("half", pid) for pid in there), within=120)
    assert strangers() == set()


@needs_quota
def test_a_limit_that_the_kernel_refuses_leaves_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "_PERIOD", 1e-9)  # 0 µs, which is no period
    before = surroundings()
    with pytest.raises(OSError, match="Invalid argument"), machines._quota():
        pass
    assert surroundings() == before


# Without permission


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may have neither real-time priority nor a control group of his own."""

    refused = Mock(side_effect=PermissionError("Operation not permitted"))
    monkeypatch.setattr(os, "sched_setscheduler", refused)
    _no_quota(monkeypatch)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "make",
    [NOISES["interrupts"][0], NOISES["bursts"][0], machines._slow],
)
def test_without_permission_the_error_says_what_to_do_and_nothing_begins(
    make: Callable[[], contextlib.AbstractContextManager[None]],
) -> None:
    with pytest.raises(InputError) as refused, make():
        pass
    assert str(refused.value) == (
        "this noise needs real-time priority: run as root, or with the capability CAP_SYS_NICE"
    )
    assert strangers() == set()


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("name", ["none", "burner", "one-core", "slow-start"])
def test_what_needs_no_permission_is_there_for_everyone(name: str) -> None:
    with NOISES[name][0]():
        pass


def test_asking_for_real_time_priority_does_not_keep_it() -> None:
    before = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    machines._may_be_real_time()
    assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == before


# Slow starts


@pytest.mark.live
def test_a_slow_start_makes_a_server_s_import_later_than_its_own_normal_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve(server("uvicorn", app="raw"), ready_timeout=300) as normal:
        took = normal.started
    # By how much is a matter of this machine's own pace, which may change in between.
    given = f"time.sleep({machines._SLOW_START})"
    assert given in machines._SITE
    longer = 3 * took + machines._SLOW_START
    monkeypatch.setattr(machines, "_SITE", machines._SITE.replace(given, f"time.sleep({longer})"))
    with noise("slow-start"):
        folder = Path(os.environ[SITE_VARIABLE])
        with serve(server("uvicorn", app="raw"), ready_timeout=600) as slow:
            assert slow.started > longer  # it slept for so long before it was ready
            assert slow.alive()
    assert not folder.exists()
    assert SITE_VARIABLE not in os.environ


def test_only_the_application_is_imported_later() -> None:
    """By order: when an application's import has begun, all others are long made."""
    site = machines._SITE.replace(f"time.sleep({machines._SLOW_START})", "print('slept')")
    code = (
        f"{site}\nimport colorsys; print('colorsys')\n"
        "import demo_apps; print('demo_apps')\nimport demo_apps.scopes; print('scopes')"
    )
    assert printed(code).split() == ["colorsys", "slept", "demo_apps", "scopes"]


def test_every_noise_says_in_words_what_it_does() -> None:
    assert next(iter(NOISES)) == "none"
    assert all(words and not words.endswith(".") for _, words in NOISES.values())
    assert f"{machines._SLOW_START:g} s longer" in NOISES["slow-start"][1]
