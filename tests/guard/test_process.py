"""The parts of starting and stopping that need no server under test."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from gatewaylab.errors import InputError, ServerError, ServerMissingError, ServerStartError
from gatewaylab.guard import guard, owner, ports, probe, procfs, runs
from gatewaylab.guard.readiness import log_tail
from gatewaylab.guard.serve import serve
from gatewaylab.measure.delay import until
from gatewaylab.servers import installed
from gatewaylab.servers.registry import server
from gatewaylab.servers.specs import NGINX, ServerSpec
from tests import ROOT
from tests.support.owner import started

TINY = server("waitress", app="tests.support.tiny:application")


def never(one: Any, **options: Any) -> None:
    """Try to start a server that must be refused before, and leave nothing."""
    try:
        with serve(one, **options):
            pytest.fail("it started")
    finally:
        assert not list((runs.home() / "runs").iterdir())


# What serve refuses before it starts anything


NOT_LOOPBACK = ["0.0.0.0", "192.168.1.1", "::", "::1", "localhost", "8.8.8.8"]
NO_PORT = [0, -1, 80, 70_000, True, "8000"]
NO_TIME = [-1.0, float("nan"), float("inf"), True]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        *(("host", host, r"loopback|127") for host in NOT_LOOPBACK),
        *(("port", port, "from 1024 to 65535") for port in NO_PORT),
        ("port", sum(ports.ephemeral_range()) // 2, "range that the kernel gives to clients"),
        *((name, v, name) for name in ("ready_timeout", "ttl", "grace") for v in NO_TIME),
        ("pin", frozenset(), "pin must be some of the CPUs"),
        ("pin", frozenset({10_000}), "pin must be some of the CPUs"),
    ],
)
def test_an_impossible_option_is_refused_before_the_start(name: str, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        never(TINY, **{name: value})


def test_a_server_that_is_missing_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ServerSpec, "available", lambda _self: False)
    with pytest.raises(ServerMissingError, match=r"waitress is not installed.*scripts/install"):
        never(TINY)


# What a server is given


@pytest.mark.live
def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for servers")
    one = server("waitress", app=TINY.app, env={"MINE": "yes"})
    with serve(one) as running:
        seen = httpx.get(f"{running.url}/whoami").json()["environment"]
        assert running.port not in range(*ports.ephemeral_range())
    assert seen["GATEWAYLAB_NONCE"] == running.nonce
    assert seen["MINE"] == "yes"
    assert set(seen) <= {
        "PATH", "LANG", "LC_ALL", "LC_CTYPE", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH",
        "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "DJANGO_SETTINGS_MODULE",
        "GATEWAYLAB_NONCE", "GATEWAYLAB_RUN", "MINE", "TINY",
    }  # fmt: skip


@pytest.mark.live
def test_servers_and_fronts_may_open_more_files_than_a_shell_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with serve(server("gunicorn-sync", app=TINY.app, slots=1, nginx=True)) as running:
            limits = {resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] for pid in running.pids()}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = owner._DESCRIPTORS
    assert limits == {most if hard == resource.RLIM_INFINITY else min(hard, most)}


@pytest.mark.live
def test_a_pin_holds_for_the_whole_tree() -> None:
    core = min(os.sched_getaffinity(0))
    one = server("gunicorn-sync", app=TINY.app, slots=2, nginx=True)
    with serve(one, pin=frozenset({core})) as running:
        # The second worker may still be on its way.
        assert until(lambda: len(running.pids()) == 5, within=60), running.pids()
        tree = running.pids()
        assert {frozenset(os.sched_getaffinity(pid)) for pid in tree} == {frozenset({core})}


@pytest.mark.live
def test_cpu_time_counts_the_tree_and_what_has_ended() -> None:
    import httpx

    with serve(server("gunicorn-sync", app="raw")) as running:
        before = running.cpu_seconds()
        httpx.get(f"{running.url}/burn?ms=300", timeout=60)
        during = running.cpu_seconds()
        worker = max(running.pids(), key=lambda pid: procfs.start_time(pid) or 0)
        os.kill(worker, 9)
        assert until(lambda: worker not in running.pids(), within=60)
        after = running.cpu_seconds()
    # What was burnt, and what answering it took; on a slow machine that may be as much again.
    assert 0.25 <= during - before <= 3
    assert after >= during
    assert running.cpu_seconds() >= after  # still readable after the end


@pytest.mark.live
def test_the_log_is_readable_after_the_end() -> None:
    with serve(TINY) as running:
        running.verify()
    assert "Serving on" in running.log_tail()
    assert running.pids() == set()
    assert not running.alive()


# Ports


def test_two_leases_never_share_a_port(tmp_path: Path) -> None:
    first = ports.lease(tmp_path, "127.0.0.1", 9200)
    with pytest.raises(ports.PortTakenError, match=f"leased by pid {os.getpid()} "):
        ports.lease(tmp_path, "127.8.8.8", 9200)
    first.close()
    ports.lease(tmp_path, "127.8.8.8", 9200).close()


def test_a_lease_lives_as_long_as_any_process_holds_it(tmp_path: Path) -> None:
    lease = ports.lease(tmp_path, "127.0.0.1", 9201)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(lease.lock,)) as holder:
        lease.close()
        with pytest.raises(ports.PortTakenError):
            ports.lease(tmp_path, "127.0.0.1", 9201)
        holder.communicate(b"")
    ports.lease(tmp_path, "127.0.0.1", 9201).close()


def test_leased_ports_are_outside_the_range_for_clients(tmp_path: Path) -> None:
    low, high = ports.ephemeral_range()
    for _ in range(50):
        lease = ports.lease(tmp_path, "127.0.0.1")
        assert not low <= lease.port <= high
        lease.close()


def test_where_no_port_is_left_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "ephemeral_range", lambda: (1024, 65_535))
    with pytest.raises(ServerError, match="no free port outside"):
        ports.lease(tmp_path, "127.0.0.1")


def test_own_addresses_are_loopback_and_differ() -> None:
    seen = {ports.check_loopback(ports.own_address()) for _ in range(20)}
    assert len(seen) > 15 or sys.platform != "linux"
    assert "127.0.0.1" not in seen or sys.platform != "linux"


# The private folder


def test_the_private_folder_is_for_the_user_alone() -> None:
    home = runs.home()
    for folder in (home, home / "ports", home / "runs"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("made", ["open", "link"])
def test_a_private_folder_made_by_somebody_else_is_refused(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(runs, "_LONGEST_BASE", 1000)
    folder = tmp_path / f"gatewaylab-{os.getuid()}"
    if made == "open":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        (tmp_path / "target").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "target")
    with pytest.raises(ServerError, match="must be a folder of your own"):
        runs.home()


def test_unix_sockets_stay_short_where_the_temporary_folder_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / ("x" * 80)))
    assert len(str(runs._run("0" * 16).folder / "s")) <= 100


# What /proc says


def test_a_listener_is_seen_with_its_address_and_owner() -> None:
    with socket.create_server(("127.3.2.1", 9210)):
        found = [one for one in procfs.listeners() if one.port == 9210]
        assert [(one.host, one.loopback) for one in found] == [("127.3.2.1", True)]
        assert found[0].inode in procfs.socket_inodes([os.getpid()])
        assert ports.owners("127.3.2.1", 9210) == [os.getpid()]
        assert ports.owners("127.3.2.2", 9210) == []


@pytest.mark.parametrize(
    ("host", "loopback", "meets"),
    [
        ("127.9.9.9", True, True),
        ("127.9.9.8", True, False),
        ("0.0.0.0", False, True),
        ("10.0.0.1", False, False),
        ("::", False, True),
        ("::1", True, False),
        ("::ffff:127.9.9.9", True, True),
        ("::ffff:0.0.0.0", False, True),
    ],
)
def test_who_competes_for_an_address(host: str, loopback: bool, meets: bool) -> None:
    one = procfs.Listener(host, 80, 1)
    assert one.loopback is loopback
    assert one.meets("127.9.9.9", 80) is meets
    assert not one.meets("127.9.9.9", 81)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("00000000", "0.0.0.0"),
        ("00000000000000000000000001000000", "::1"),
        ("0000000000000000FFFF00000100007F", "::ffff:127.0.0.1"),
    ],
)
def test_the_kernels_addresses_are_read(text: str, address: str) -> None:
    if sys.byteorder != "little":
        pytest.skip("these samples come from a little-endian machine")
    import ipaddress

    assert ipaddress.ip_address(procfs._address(text)) == ipaddress.ip_address(address)


def test_a_process_is_known_by_pid_and_start_time() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert started(child.pid) == procfs.start_time(child.pid)
        assert child.pid in procfs.below(os.getpid())
        # A new program has its command line a moment after it has begun.
        assert until(lambda: "sleep 60" in procfs.describe(child.pid), within=60)
        child.kill()
        assert until(lambda: procfs.state(child.pid) == "Z", within=60)
        assert started(child.pid) is None  # a zombie runs no more
        assert child.pid not in procfs.below(os.getpid())
    assert procfs.cpu_seconds(child.pid) == 0.0


def test_an_environment_item_must_match_whole() -> None:
    with subprocess.Popen(["/bin/sleep", "60"], env={"RUN": "abc", "OTHER": "RUN=abd"}) as child:
        # Not before the exec has happened.
        assert until(lambda: procfs.has_in_environment(child.pid, "RUN=abc"), within=60)
        for item in ("RUN=ab", "RUN=abcd", "RUN=abd", "UN=abc"):
            assert not procfs.has_in_environment(child.pid, item)
        child.kill()


# The question


@contextmanager
def answering(*answers: bytes) -> Iterator[probe.Address]:
    """A listener that gives each connection the next answer, and leaves it open."""

    def work() -> None:
        for answer in answers:
            connection, _ = sock.accept()
            connection.recv(4096)
            connection.sendall(answer)
            kept.append(connection)

    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 9211)) as sock:
        thread = threading.Thread(target=work)
        thread.start()
        yield probe.Address("127.0.0.1", 9211)
        thread.join()
    for connection in kept:
        connection.close()


def ask(
    address: probe.Address, seconds: float = 60.0, in_silence: Callable[[], object] = bool
) -> probe.ProbeAnswer | None:
    read, write = os.pipe()
    try:
        return probe.ask(address, time.monotonic() + seconds, read, in_silence)
    finally:
        os.close(read)
        os.close(write)


BODY = b'{"nonce": "abc"}'


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        b"8\r\n%b\r\n8\r\n%b\r\n0\r\n\r\n" % (BODY[:8], BODY[8:]),
    ],
)
def test_an_answer_is_whole_though_the_connection_stays_open(raw: bytes) -> None:
    with answering(raw) as address:
        answer = ask(address)
    assert answer == probe.ProbeAnswer(200, BODY)
    assert answer.nonce == "abc"


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"nonce": 7}', b"\xff", b"<html>"])
def test_an_answer_without_a_nonce_has_none(body: bytes) -> None:
    assert probe.ProbeAnswer(200, body).nonce is None


def test_no_answer_by_the_deadline_is_none() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{") as address:
        assert ask(address, 0.1) is None  # the rest would never come


def test_in_silence_the_asker_looks_around_and_may_give_up() -> None:
    with answering(b"") as address, pytest.raises(LookupError):
        ask(address, in_silence=Mock(side_effect=[None, LookupError]))


def test_what_is_not_http_is_no_answer() -> None:
    with answering(b"SSH-2.0-OpenSSH\r\nContent-Length: 0\r\n\r\n") as address:
        assert ask(address) is None
    assert ask(address) is None  # and nobody listens there any more


def test_news_interrupt_the_wait() -> None:
    read, write = os.pipe()
    with answering(b"") as address:
        threading.Timer(0.05, os.write, (write, b".")).start()
        begun = time.monotonic()
        assert probe.ask(address, begun + 120, read, in_silence=bool) is None
    assert time.monotonic() - begun < 60
    os.close(read)
    os.close(write)


# The tail of the log in the error of a failed start

REASON = "ModuleNotFoundError: No module named 'nothing'"
FIRST = [(39, REASON), (40, REASON), (500, REASON), (0, "line 61")]


def test_the_tail_of_a_log_is_its_last_forty_lines() -> None:
    lines = [f"line {number}" for number in range(100)]
    assert log_tail("\n".join(lines)).splitlines() == lines[-40:]
    assert log_tail("one\n") == "one"
    assert log_tail("") == ""


@pytest.mark.parametrize(("after", "first"), FIRST)
def test_a_failed_import_is_shown_however_much_is_said_after_it(after: int, first: str) -> None:
    lines = [*(f"line {number}" for number in range(100)), REASON, *["said afterwards"] * after]
    seen = log_tail("\n".join(lines)).splitlines()
    assert len(seen) == 40
    assert seen[0] == first
    assert seen.count(REASON) == 1


# The guard's log


def test_the_log_keeps_the_newest_and_never_more_than_a_megabyte(tmp_path: Path) -> None:
    log = guard.Log(str(tmp_path))
    read, write = os.pipe()
    for number in range(400):
        os.write(write, f"{number:08d}".encode() * 1024)
        assert log.pump(read)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * guard.LOG_HALF
    assert (tmp_path / "log").read_bytes().endswith(b"00000399")
    assert (tmp_path / "log.1").exists()
    os.close(write)
    assert not log.pump(read)
    os.close(read)
    os.close(log.file)


def test_a_full_disk_loses_only_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = guard.Log(str(tmp_path))
    read, write = os.pipe()
    os.write(write, b"a line\n")
    monkeypatch.setattr("os.write", Mock(side_effect=OSError(errno.ENOSPC, "no space left")))
    assert log.pump(read)
    monkeypatch.undo()
    for fd in (read, write, log.file):
        os.close(fd)


def test_memory_and_threads_are_those_of_living_processes() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert (procfs.memory(ended.pid), procfs.threads(ended.pid)) == (0, 0)
    before = procfs.threads(os.getpid())
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert procfs.threads(os.getpid()) == before + 1
    finally:
        done.set()
        thread.join()
    lean = procfs.memory(os.getpid())
    ballast = b"x" * 50_000_000
    assert procfs.memory(os.getpid()) - lean > len(ballast) / 2


# Configurations as a user installs them

needs_nginx = pytest.mark.skipif(
    not NGINX.available(), reason=f"nginx is not on this machine; {NGINX.install_hint()}"
)


@needs_nginx
@pytest.mark.live
def test_a_site_that_lacks_a_place_is_refused_before_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installed, "read", lambda _project, _name: "server { listen 80; }")
    one = server("waitress", app=TINY.app, site="deploy/nginx/gunicorn.conf")
    with pytest.raises(InputError, match="exactly one"):
        never(one)


@needs_nginx
@pytest.mark.live
def test_a_site_that_nginx_refuses_is_a_failed_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = installed.read(ROOT, "deploy/nginx/gunicorn.conf")
    monkeypatch.setattr(installed, "read", lambda _project, _name: f"{text}\nnonsense;\n")
    one = server("waitress", app=TINY.app, site="deploy/nginx/gunicorn.conf")
    with pytest.raises(ServerStartError, match=r"nginx ended(.|\n)*nonsense(.|\n)*site\.conf"):
        never(one)


@pytest.mark.live
def test_a_command_is_run_as_it_is_written() -> None:
    words = ["waitress-serve", "--threads=3", "--listen=0.0.0.0:8000", "myproject.wsgi:application"]
    with serve(server("waitress", app=TINY.app, command=words)) as running:
        assert running.command[1:] == [
            "--threads=3", f"--listen={running.host}:{running.port}", TINY.app
        ]  # fmt: skip
