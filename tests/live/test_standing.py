"""Servers that start side by side stand still until their turn comes."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path

import pytest

from gatewaylab.errors import ServerStartError
from gatewaylab.guard import procfs
from gatewaylab.guard import standing as module
from gatewaylab.guard.serve import Running
from gatewaylab.guard.standing import Standing
from gatewaylab.load.clients import ask
from gatewaylab.measure.delay import until
from gatewaylab.records.environment import available_cores
from gatewaylab.servers.registry import Server, server

pytestmark = pytest.mark.live

ONE = frozenset(available_cores()[-1:])
TWO = {
    "four workers": server("gunicorn-sync", app="raw", slots=4),
    "a loop": server("uvicorn", app="raw"),
}


def states(running: Running) -> set[str | None]:
    return {procfs.state(pid) for pid in running.pids()}


def waiting(standing: Standing, label: str) -> Running:
    return standing._waiting[label].running


def test_the_servers_of_a_block_start_together_and_stand_still() -> None:
    standing = Standing(TWO, seconds=1.0)
    with standing.take("a loop", 0, pin=ONE) as running:
        other = waiting(standing, "four workers")
        assert until(lambda: states(other) == {"T"}, within=60)
        used = other.cpu_seconds()
        assert ask(running, "/hello").status == 200
        assert other.cpu_seconds() == used
        assert {frozenset(os.sched_getaffinity(pid)) for pid in running.pids()} == {ONE}
    with standing.take("four workers", 0, pin=ONE) as running:
        assert running is other
        assert ask(running, "/hello").status == 200
        running.verify()
        tasks = [one for pid in running.pids() for one in Path(f"/proc/{pid}/task").iterdir()]
        assert {frozenset(os.sched_getaffinity(int(one.name))) for one in tasks} == {ONE}
    assert not other.alive()


def test_a_second_look_and_a_new_block_have_fresh_servers() -> None:
    standing = Standing(TWO, seconds=1.0)
    with standing.take("a loop", 0, pin=None) as first:
        pass
    left = waiting(standing, "four workers")
    with standing.take("a loop", 0, pin=None) as second:
        assert second is not first
        assert ask(second, "/hello").status == 200
    with standing.take("a loop", 1, pin=None) as third:
        assert third is not second
        assert not left.alive()
    standing.close()
    assert not standing._waiting


def test_a_long_block_starts_each_server_when_its_turn_comes() -> None:
    standing = Standing(TWO, seconds=math.inf)
    with standing.take("a loop", 0, pin=ONE) as running:
        assert not standing._waiting
        assert ask(running, "/hello").status == 200


def test_a_server_that_has_stood_for_too_long_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Standing(TWO, seconds=1.0)
    with standing.take("a loop", 0, pin=ONE):
        old = waiting(standing, "four workers")
    monkeypatch.setattr("gatewaylab.guard.standing.LONGEST", 0.0)
    with standing.take("four workers", 0, pin=ONE) as running:
        assert running is not old
        assert not old.alive()
        assert ask(running, "/hello").status == 200


def test_a_server_with_options_of_its_own_starts_when_its_turn_comes() -> None:
    impatient = server("gunicorn-sync", app="raw", extra=["--timeout", "1"])
    standing = Standing({**TWO, "impatient": impatient}, seconds=1.0)
    with standing.take("a loop", 0, pin=ONE):
        assert {*standing._waiting} == {"four workers"}
    with standing.take("impatient", 0, pin=ONE) as running:
        assert ask(running, "/hello").status == 200
    standing.close()


def test_an_interrupt_while_they_start_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = threading.Event()

    def start(one: Server) -> object:
        if one.spec.name == "uvicorn":
            raise KeyboardInterrupt
        found = begin(one)
        interrupted.set()
        return found

    begin = module._start
    monkeypatch.setattr(module, "_start", start)
    standing = Standing(TWO, seconds=1.0)
    with pytest.raises(KeyboardInterrupt), standing.take("a loop", 0, pin=None):
        pass
    assert interrupted.is_set()
    assert not standing._waiting  # and `nothing_survives` looks at the processes


def test_if_one_cannot_start_none_is_left() -> None:
    broken = {**TWO, "broken": server("uvicorn", app="demo_apps.nothing:here")}
    standing = Standing(broken, seconds=1.0)
    with pytest.raises(ServerStartError), standing.take("a loop", 0, pin=None):
        pass
    assert not standing._waiting  # and `nothing_survives` looks at the processes


def test_a_server_that_is_stopped_for_good_still_ends() -> None:
    standing = Standing(TWO, seconds=1.0)
    with standing.take("a loop", 0, pin=None):
        other = waiting(standing, "four workers")
        pids = other.pids()
    closing = threading.Thread(target=standing.close)
    closing.start()
    closing.join()
    assert not pids & {pid for pid in procfs.all_pids() if procfs.state(pid) not in {None, "Z"}}
