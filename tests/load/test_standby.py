"""The load generator that stands by: started ahead, one job each, gone with its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewaylab.errors import LoadError
from gatewaylab.guard import procfs
from gatewaylab.load import run as load
from gatewaylab.load import standby
from gatewaylab.load.request import get
from gatewaylab.measure.delay import until
from gatewaylab.measure.reference import reference_server
from gatewaylab.model.arrivals import ConstantRate


def ended(pid: int) -> bool:
    return procfs.start_time(pid) is None


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Nothing stands by before or after."""
    standby._end()
    yield
    standby._end()


def waiting() -> standby.Generator | None:
    return standby._waiting.get(os.getpid())


def small(target: str) -> int:
    """One small job; how many requests were sent."""
    _, report = load.run(target, get("/"), ConstantRate(50), seconds=0.1, warmup=0)
    return report.sent


def test_each_job_has_a_fresh_process_that_was_started_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[standby.Generator] = []
    take = standby.take

    def noted() -> standby.Generator:
        taken.append(take())
        return taken[-1]

    monkeypatch.setattr(standby, "take", noted)
    with reference_server() as server:
        for _ in range(3):
            before = waiting()
            assert small(server.url) == 5
            if before is not None:
                assert taken[-1] is before
            assert waiting() not in (None, *taken)
    pids = [one.process.pid for one in taken]
    assert len(set(pids)) == 3
    assert all(map(ended, pids))
    ready = waiting()
    assert ready is not None
    assert ready.process.poll() is None


def test_one_stands_by_however_often_it_is_asked_for() -> None:
    standby.prepare()
    first = waiting()
    standby.prepare()
    assert waiting() is first
    assert first is not None
    assert standby.take() is first
    assert waiting() is None
    standby._dismiss(first)
    assert ended(first.process.pid)


def test_one_that_was_killed_is_replaced() -> None:
    with reference_server() as server:
        open_before = len([*Path("/proc/self/fd").iterdir()])
        standby.prepare()
        first = waiting()
        assert first is not None
        first.process.kill()
        first.process.wait()
        assert small(server.url) == 5
        standby._end()
        # Nothing of the three stays open, nor as a zombie.
        assert len([*Path("/proc/self/fd").iterdir()]) == open_before
    assert not procfs.below(os.getpid())


def test_a_job_that_is_given_up_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    standby.prepare()
    job = waiting()
    assert job is not None
    monkeypatch.setattr(load, "_STARTUP", -30.5)  # the limit is over before the job is
    with reference_server() as server, pytest.raises(LoadError, match="did not finish"):
        load.run(server.url, get("/"), ConstantRate(10), seconds=30, warmup=0, deadline=1)
    assert ended(job.process.pid)
    assert waiting() is None


def test_a_thread_that_ends_takes_no_generator_with_it() -> None:
    """The death signal comes with the end of the thread that started a process."""
    with reference_server() as server:
        thread = threading.Thread(target=small, args=[server.url])
        thread.start()
        thread.join()
        assert waiting() is None  # nobody stands by that would die with the thread
        standby.prepare()
        ready = waiting()
        assert ready is not None
        thread = threading.Thread(target=small, args=[server.url])
        thread.start()
        thread.join()
    assert ended(ready.process.pid)  # it had the job of the second thread


def test_what_stood_by_last_ends_with_the_program() -> None:
    code = (
        "from gatewaylab.load import standby\n"
        "standby.prepare()\n"
        "print(*(one.process.pid for one in standby._waiting.values()))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended(int(said.stdout))  # at the latest when its owner is
    assert said.stderr == ""


OWNER = """
import os, time
from gatewaylab.load import standby
standby.prepare()
mine = standby._waiting[os.getpid()].process.pid
if os.fork() == 0:
    known = len([one for pid, one in standby._waiting.items() if pid == os.getpid()])
    standby.prepare()
    other = standby._waiting[os.getpid()].process.pid
    print(known, mine, other, os.getpid(), flush=True)
    time.sleep(600)
time.sleep(600)
"""


def test_a_fork_starts_its_own_and_each_ends_with_its_owner() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    known, mine, other, fork = map(int, owner.stdout.readline().split())
    try:
        assert known == 0
        assert mine != other
        assert not ended(mine)
        assert not ended(other)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert until(lambda: ended(mine), within=60)
        assert not ended(other)  # it belongs to the fork, which lives
    finally:
        os.kill(fork, signal.SIGKILL)
        owner.kill()
        owner.wait()
        owner.stdout.close()
    assert until(lambda: ended(fork) and ended(other), within=60)


def test_a_fork_that_ends_leaves_its_owners_alone() -> None:
    standby.prepare()
    mine = waiting()
    assert mine is not None
    fork = os.fork()
    if not fork:
        try:
            standby._end()
        finally:
            os._exit(0)
    os.waitpid(fork, 0)
    assert mine.process.poll() is None


def test_one_without_a_job_ends_when_its_input_does() -> None:
    one = standby._started()
    with one, one.process:
        answer, complaint = one.process.communicate(b"", timeout=120)
    assert (one.process.returncode, answer, complaint) == (0, b"", b"")
