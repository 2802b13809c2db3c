"""What can go wrong around a server, done on purpose: nothing may outlive its owner.

Each test is one line of the list of faults that the instrument promises to survive.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatewaylab.errors import ServerError, ServerStartError
from gatewaylab.guard import ports, procfs, runs
from gatewaylab.guard.serve import Running, serve, sweep
from gatewaylab.guard.tree import first_process, workers_of
from gatewaylab.measure.delay import until
from gatewaylab.servers.registry import Server, server
from gatewaylab.servers.specs import SERVERS, Interface
from tests import ROOT
from tests.support.owner import Facts, owner, started, wait_until_gone

pytestmark = pytest.mark.live

WSGI, ASGI = "tests.support.tiny:application", "tests.support.tiny:asgi"
CLEAN_WITHIN = 60.0  # a tenth of the time to live, which ends a server that nothing else ends
ORDERLY_WITHIN = 60.0
PATIENT = {"grace": 4 * ORDERLY_WITHIN}  # so that who is gone within that was not killed
ENOUGH: dict[str, Any] = {"ready_timeout": 120.0}
SOON = 60.0  # who is refused in half of that was not given up


def tiny(name: str, kind: str = "", **options: Any) -> Server:
    """A server with the small test application."""
    if not SERVERS[name].available():
        pytest.skip(f"not on this machine; {SERVERS[name].install_hint()}")
    app = WSGI if SERVERS[name].interface is Interface.WSGI else ASGI
    return server(name, app=app, env={"TINY": kind}, **options)


def wanted(name: str, **options: Any) -> dict[str, Any]:
    """The same, as an owner takes it."""
    one = tiny(name, **options)
    return {"name": name, "app": one.app, **options}


@pytest.fixture(params=["namespace", "halves"])
def namespace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways in which the guard keeps processes."""
    monkeypatch.setenv("GATEWAYLAB_NO_NAMESPACE", "" if request.param == "namespace" else "1")
    return bool(request.param == "namespace")


def freeze(facts: Facts, *, guard_too: bool) -> None:
    for pid, _ in facts.processes + (facts.guard if guard_too else ()):
        os.kill(pid, signal.SIGSTOP)


def outer_and_inner(facts: Facts) -> tuple[int, int]:
    """The two halves of a guard: the inner one is the other's child."""
    first, second = (pid for pid, _ in facts.guard)
    return (first, second) if second in procfs.below(first) else (second, first)


# The owner is killed


@pytest.mark.parametrize("name", SERVERS)
def test_no_server_outlives_a_killed_owner(name: str) -> None:
    with owner(wanted(name)) as them:
        assert not ports.bindable(them.runs[0].host, them.runs[0].port)
        them.kill()
        wait_until_gone(them.runs, CLEAN_WITHIN)


@pytest.mark.parametrize("name", SERVERS)
def test_no_server_outlives_a_killed_owner_without_a_namespace(name: str) -> None:
    with owner(wanted(name), namespace=False) as them:
        assert not them.runs[0].namespace
        them.kill()
        wait_until_gone(them.runs, CLEAN_WITHIN)


def test_a_killed_owner_leaves_no_folder_and_no_entry() -> None:
    with owner(wanted("waitress")) as them:
        folder = runs.home() / "runs"
        identity = them.runs[0].identity
        assert (folder / f"{identity}.json").exists()
        them.kill()
        wait_until_gone(them.runs, CLEAN_WITHIN)
        assert not list(folder.glob(f"{identity}*"))


def test_a_front_goes_with_its_server(namespace: bool) -> None:
    with owner(wanted("uvicorn", nginx=True, unix=True), namespace=namespace) as them:
        them.kill()
        wait_until_gone(them.runs, CLEAN_WITHIN)


def test_an_owners_forked_child_that_holds_the_lifeline_does_not_keep_the_server(
    namespace: bool,
) -> None:
    with owner(wanted("gunicorn-sync") | PATIENT, namespace=namespace) as them:
        child = int(them.say("fork"))
        try:
            them.kill()
            wait_until_gone(them.runs, ORDERLY_WITHIN)
            assert started(child) is not None
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_forked_lifeline_holder_and_a_frozen_half_together_do_not_keep_the_server(
    namespace: bool,
) -> None:
    with owner(wanted("gunicorn-sync") | PATIENT, namespace=namespace) as them:
        child = int(them.say("fork"))
        try:
            os.kill(outer_and_inner(them.runs[0])[1], signal.SIGSTOP)
            them.kill()
            wait_until_gone(them.runs, ORDERLY_WITHIN)
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_daemonising_application_is_caught(namespace: bool) -> None:
    one = wanted("gunicorn-sync") | {"env": {"TINY": "daemon"}}
    with owner(one, namespace=namespace) as them:
        assert len(them.runs[0].processes) >= 3
        them.kill()
        wait_until_gone(them.runs, CLEAN_WITHIN)


@pytest.mark.parametrize("half", ["outer", "inner"])
def test_a_stubborn_daemon_dies_with_either_half_of_the_guard(half: str, namespace: bool) -> None:
    """It ignores SIGTERM and has left its parent: the half that is left must catch and kill it."""
    one = wanted("gunicorn-sync") | {"env": {"TINY": "daemon"}}
    with owner(one, namespace=namespace) as them:
        outer, inner = outer_and_inner(them.runs[0])
        os.kill(outer if half == "outer" else inner, signal.SIGKILL)
        wait_until_gone(them.runs, CLEAN_WITHIN)


# One part is killed or frozen


@pytest.mark.parametrize("half", ["outer", "inner"])
def test_either_half_of_the_guard_ends_the_server_alone(half: str, namespace: bool) -> None:
    with owner(wanted("gunicorn-gthread"), namespace=namespace) as them:
        outer, inner = outer_and_inner(them.runs[0])
        os.kill(outer if half == "outer" else inner, signal.SIGKILL)
        wait_until_gone(them.runs, CLEAN_WITHIN)
        assert them.say("alive") == "False"


def test_both_halves_killed_at_once_leave_nothing_in_a_namespace() -> None:
    with owner(wanted("gunicorn-gthread")) as them:
        if not them.runs[0].namespace:
            pytest.skip("no PID namespace can be made here")
        for pid in outer_and_inner(them.runs[0]):
            os.kill(pid, signal.SIGKILL)
        wait_until_gone(them.runs, CLEAN_WITHIN)


@pytest.mark.parametrize("name", SERVERS)
def test_without_a_namespace_the_next_start_sweeps_what_two_killed_halves_left(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with owner(wanted(name, nginx=True), namespace=False) as them:
        facts = them.runs[0]
        os.kill(them.process.pid, signal.SIGSTOP)  # or the owner would see to it
        for pid in outer_and_inner(facts):
            os.kill(pid, signal.SIGKILL)
        assert facts.left()
        them.kill()
        with serve(tiny("waitress")):
            assert facts.left() == []
        assert f"run {facts.identity} had left behind" in caplog.text


@pytest.mark.parametrize("guard_too", [False, True])
def test_a_frozen_tree_dies_with_its_owner(guard_too: bool, namespace: bool) -> None:
    with owner(wanted("gunicorn-gthread") | PATIENT, namespace=namespace) as them:
        freeze(them.runs[0], guard_too=guard_too)
        them.kill()
        wait_until_gone(them.runs, ORDERLY_WITHIN)


def test_a_frozen_server_is_stopped(namespace: bool) -> None:
    with serve(tiny("gunicorn-sync")) as running:
        tree = running.pids()
        for pid in tree:
            os.kill(pid, signal.SIGSTOP)
    assert tree
    assert not {pid for pid in tree if started(pid)}


def test_a_killed_guard_is_noticed_and_its_server_is_gone_after_the_stop(namespace: bool) -> None:
    with serve(tiny("gunicorn-sync"), grace=1.0) as running:
        tree = running.pids()
        for pid in running.guard_pids():
            os.kill(pid, signal.SIGKILL)
        with suppress(ServerError):
            running.verify()
        assert tree
    assert not {pid for pid in tree if started(pid)}


def test_time_to_live_ends_a_server_whose_owner_lives(namespace: bool) -> None:
    with serve(tiny("waitress"), ttl=6.0) as running:  # long enough for the slowest start
        assert until(lambda: not running.alive(), within=CLEAN_WITHIN)
        with pytest.raises(ServerError, match="has ended"):
            running.verify()


# What must not end it


def test_a_server_started_from_a_thread_that_ends_stays() -> None:
    with ExitStack() as stack:
        seen: list[Running] = []
        thread = threading.Thread(
            target=lambda: seen.append(stack.enter_context(serve(tiny("uvicorn"))))
        )
        thread.start()
        thread.join()
        time.sleep(0.3)
        assert seen[0].alive()
        assert httpx.get(f"{seen[0].url}/whoami", timeout=60).status_code == 200


def test_an_interrupt_of_the_owners_process_group_does_not_reach_the_server() -> None:
    with owner(wanted("gunicorn-sync"), wanted("uvicorn")) as them:
        os.killpg(them.process.pid, signal.SIGINT)
        time.sleep(0.3)
        assert them.say("alive") == "True"
        for facts in them.runs:
            assert (
                httpx.get(f"http://{facts.host}:{facts.port}/whoami", timeout=60).status_code == 200
            )
        them.say("end")
        wait_until_gone(them.runs, CLEAN_WITHIN)


def test_signals_that_end_ordinary_processes_do_not_end_the_guard(namespace: bool) -> None:
    with serve(tiny("waitress")) as running:
        for pid in running.guard_pids():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
        time.sleep(0.2)
        running.verify()


def test_a_forked_child_of_the_owner_that_exits_does_not_stop_the_server() -> None:
    with serve(tiny("waitress")) as running:
        child = os.fork()
        if child == 0:
            running._stop(at_once=True)
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(0.2)
        running.verify()


# Stopping


def test_an_endless_stream_does_not_hold_up_the_stop(namespace: bool) -> None:
    for name in ("uvicorn", "gunicorn-gthread"):
        with ExitStack() as clients:
            with serve(tiny(name), grace=0.5) as running:
                client = clients.enter_context(httpx.Client(timeout=60))
                stream = clients.enter_context(client.stream("GET", f"{running.url}/sse"))
                assert next(stream.iter_raw())
                tree = running.pids()
            assert tree  # the client still listens
            assert not {pid for pid in tree if started(pid)}


def test_a_stop_does_not_wait_for_the_grace_period_to_pass() -> None:
    with serve(tiny("waitress"), grace=PATIENT["grace"]):
        begun = time.monotonic()
    assert time.monotonic() - begun < ORDERLY_WITHIN


# Starting


@contextmanager
def refused(
    one: Server, match: str | None = None, **options: Any
) -> Iterator[pytest.ExceptionInfo[ServerStartError]]:
    """Start a server that must not become ready; the block runs after it has been refused."""
    with (
        pytest.raises(ServerStartError, match=match) as caught,
        serve(one, **options) as running,
    ):
        pytest.fail(f"{running.server.label} started")
    yield caught


def test_four_runs_at_once_share_nothing() -> None:
    names = ["gunicorn-sync", "uvicorn", "waitress", "granian-asgi"]

    def one(name: str) -> tuple[str, int, str, frozenset[int]]:
        with serve(tiny(name)) as running:
            answer = httpx.get(f"{running.url}/whoami", timeout=60).json()
            assert answer["nonce"] == running.nonce
            barrier.wait(120)
            return running.host, running.port, running.identity, frozenset(running.pids())

    barrier = threading.Barrier(len(names))
    with ThreadPoolExecutor(len(names)) as pool:
        seen = list(pool.map(one, names))
    for aspect in zip(*seen, strict=True):
        if isinstance(aspect[0], frozenset):
            assert sum(map(len, aspect)) == len(frozenset().union(*aspect))
        else:
            assert len(set(aspect)) == len(names)


@contextmanager
def stranger(host: str, port: int, *, share: bool = False) -> Iterator[None]:
    """A listener of this very process, which answers nobody."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen()
        yield


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_an_occupied_port_is_refused_at_once_and_its_owner_named(host: str) -> None:
    with stranger(host, 9173):
        with refused(tiny("uvicorn"), f"pid {os.getpid()} ", port=9173, **ENOUGH) as caught:
            assert (caught.value.kind, caught.value.elapsed < SOON) == ("unsafe", True)
            assert f"pid {os.getpid()} " in (caught.value.port_owner or "")


def test_a_port_leased_by_another_run_is_refused() -> None:
    with (
        serve(tiny("waitress"), port=9174, host="127.0.0.1"),
        refused(
            tiny("waitress"), "port 9174 is taken", port=9174, host="127.9.9.9", **ENOUGH
        ) as caught,
    ):
        assert caught.value.elapsed < SOON


def test_an_impostor_on_the_same_port_is_refused_while_the_server_starts(tmp_path: Path) -> None:
    def join() -> None:
        # The server's socket is there before its application, which waits for the gate.
        if until(lambda: bool(ports.owners("127.0.0.1", 9175)), within=60):
            with stranger("127.0.0.1", 9175, share=True):
                gate.touch()
                over.wait(60)

    over, gate = threading.Event(), tmp_path / "gate"
    thread = threading.Thread(target=join)
    thread.start()
    try:
        late = server(
            "gunicorn-sync", app=WSGI, env={"TINY": "late", "TINY_GATE": str(gate)},
            extra=["--reuse-port"],
        )  # fmt: skip
        with refused(late, "foreign process", port=9175, **ENOUGH) as caught:
            assert f"pid {os.getpid()} " in (caught.value.port_owner or "")
    finally:
        over.set()
        thread.join()


def test_an_impostor_that_joins_later_is_found_by_the_next_check() -> None:
    with serve(tiny("gunicorn-sync", extra=["--reuse-port"])) as running:
        running.verify()
        with (
            stranger(running.host, running.port, share=True),
            pytest.raises(ServerError, match=f"shared with pid {os.getpid()} "),
        ):
            running.verify()


def test_a_foreign_nonce_is_refused() -> None:
    with refused(tiny("waitress", "foreign"), "foreign nonce") as caught:
        assert caught.value.exit_code is None


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", SERVERS)
def test_a_bad_import_fails_the_start_soon_and_shows_the_error(name: str, workers: int) -> None:
    if workers > 1 and not SERVERS[name].workers:
        pytest.skip("it has no workers")
    with refused(tiny(name, "broken", workers=workers), **ENOUGH) as caught:
        assert caught.value.elapsed < SOON
        assert caught.value.kind in {"ended", "broken"}  # Apache lives on, and answers 500
        assert "no_such_module_anywhere" in caught.value.log_tail
        assert len(caught.value.log_tail.splitlines()) <= 40


def test_an_application_that_always_fails_is_called_broken() -> None:
    with refused(
        tiny("waitress", "mute"), "GET /whoami is answered with status 500", **ENOUGH
    ) as caught:
        assert caught.value.elapsed < SOON


@pytest.mark.parametrize("name", ["gunicorn-sync", "uvicorn"])
def test_a_server_that_never_gets_ready_is_given_up_in_time(name: str) -> None:
    with refused(tiny(name, "never"), "not ready in time", ready_timeout=1.5) as caught:
        assert caught.value.kind == "late"
        assert 1.5 <= caught.value.elapsed < SOON  # it would be ready after 300 s
        assert caught.value.exit_code is None


LAGGING = ("gunicorn-sync", "gunicorn-gthread", "uvicorn", "hypercorn", "granian-asgi")


@pytest.mark.parametrize("name", LAGGING)
def test_ready_means_that_every_worker_has_answered(name: str, tmp_path: Path) -> None:
    """The gate opens for the other three when the first has been asked in vain for a while."""
    gate, asked = tmp_path / "gate", tmp_path / "gate.asked"

    def open_gate() -> None:
        if until(lambda: asked.exists() and asked.stat().st_size >= 20, within=60):
            gate.touch()

    one = tiny(name, "lagging", workers=4)
    one = dataclasses.replace(one, env=(*one.env, ("TINY_GATE", str(gate))))
    opener = threading.Thread(target=open_gate)
    opener.start()
    try:
        with serve(one, **ENOUGH) as running:
            assert gate.exists()
            running.verify()
    finally:
        gate.touch()  # the thread ends, whatever the server did
        asked.write_text("." * 20)
        opener.join()


def test_a_worker_that_never_comes_is_counted_in_the_error(tmp_path: Path) -> None:
    one = tiny("gunicorn-sync", "lagging", slots=3)
    one = dataclasses.replace(one, env=(*one.env, ("TINY_GATE", str(tmp_path / "gate"))))
    with refused(one, "1 of 3 workers have answered", ready_timeout=6.0) as caught:
        assert caught.value.kind == "late"


@pytest.mark.parametrize("name", ["gunicorn-sync", "uvicorn", "granian-asgi"])
def test_workers_of_an_application_that_tells_no_process_are_counted(name: str) -> None:
    with serve(tiny(name, "silent", workers=3)) as running:
        first = first_process(running)
        assert len(workers_of(first)) >= 3


def test_a_server_that_daemonises_itself_is_not_accepted() -> None:
    with refused(tiny("gunicorn-sync", extra=["--daemon"]), "gunicorn sync ended") as caught:
        assert caught.value.exit_code == 0


def test_an_application_that_listens_beyond_loopback_is_refused() -> None:
    with refused(tiny("waitress", "wide"), r"listens on 0\.0\.0\.0:\d+, which") as caught:
        assert caught.value.exit_code is None


# The log


def test_a_gigabyte_of_log_neither_blocks_the_server_nor_fills_the_disk() -> None:
    with serve(tiny("waitress", "flood")) as running:
        folder = runs.home() / "runs" / running.identity
        largest, end = 0, time.monotonic() + 300
        while "the flood is over" not in running.log_tail(3):
            assert time.monotonic() < end, "the flood was held up"
            largest = max(largest, sum(file.stat().st_size for file in _files(folder)))
            assert httpx.get(f"{running.url}/whoami", timeout=60).status_code == 200
            time.sleep(0.05)
    assert 0 < largest <= 1_100_000


def _files(folder: Path) -> Iterator[Path]:
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            if file.stat():
                yield file


def test_secrets_stay_out_of_the_log() -> None:
    one = server("waitress", app=WSGI, env={"TINY": "quoting", "DB_PASSWORD": "open sesame"})
    with serve(one) as running:
        tail = running.log_tail()
    assert "redis://***@host/0" in tail
    assert "open sesame" not in tail
    assert running.log_tail() == tail  # and it is still there after the end


# The janitor


@pytest.mark.parametrize("role", ["owner", "guard"])
def test_a_forged_entry_leaves_a_stranger_untouched(role: str) -> None:
    """An entry may claim any process; only one that carries the run's identity is ended."""
    folder = runs.home() / "runs"
    entry = folder / "0123456789abcdef.json"
    with subprocess.Popen(["sleep", "300"]) as someone:
        try:
            dead, named = [2**22 + 1, 1], [someone.pid, started(someone.pid)]
            values = {
                "run": entry.stem, "boot": procfs.boot_id(), "owner": dead, "guard": dead,
                "processes": [named],
            }  # fmt: skip
            values[role] = named if role == "guard" else [someone.pid, 1]
            entry.write_text(json.dumps(values))
            assert sweep() == []
            assert someone.poll() is None
        finally:
            someone.kill()
    sweep()
    assert not entry.exists()


def test_the_janitor_ends_what_carries_the_identity_of_a_dead_owners_run() -> None:
    run = runs.new_run()
    env = {"GATEWAYLAB_RUN": run.identity}
    with subprocess.Popen(["/bin/sleep", "300"], env=env) as left:
        assert sweep() == []  # its owner is this process, and lives
        assert left.poll() is None
        text = run.entry.read_text().replace(f'"owner": [{os.getpid()},', '"owner": [4194305,')
        run.entry.write_text(text)
        assert sweep() == [f"ended 1 processes that run {run.identity} had left behind"]
        assert left.wait(60) == -signal.SIGKILL
    assert not run.folder.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"run": "another"}', "null"])
def test_an_unreadable_entry_is_removed(text: str) -> None:
    entry = runs.home() / "runs" / "00000000deadbeef.json"
    entry.write_text(text)
    assert sweep() == []
    assert not entry.exists()


def test_an_entry_of_an_earlier_boot_ends_nothing() -> None:
    run = runs.new_run()
    with subprocess.Popen(["/bin/sleep", "300"], env={"GATEWAYLAB_RUN": run.identity}) as other:
        run.entry.write_text(run.entry.read_text().replace(procfs.boot_id(), "another-boot"))
        assert sweep() == []
        assert other.poll() is None
        assert not run.folder.exists()
        other.kill()


def test_an_ordinary_user_gets_a_namespace_or_two_halves(session_folder: str) -> None:
    """Root makes namespaces its own way; everybody else by way of a user namespace."""
    if os.getuid() != 0 or not SERVERS["mod_wsgi"].available():
        pytest.skip("it takes root to become somebody else, and a server that all may execute")
    nobody = "65534"
    folder = Path(session_folder) / "nobody"
    folder.mkdir()
    os.chown(folder, int(nobody), int(nobody))
    Path(session_folder).chmod(0o755)
    code = (
        "import os\nfrom gatewaylab import serve, server\n"
        f"with serve(server('mod_wsgi', app={WSGI!r})) as running:\n"
        "    running.verify()\n    print(os.getuid(), running.alive())"
    )
    # The right to read is kept, since this environment may lie in root's own home.
    become = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups",
              "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # fmt: skip
    done = subprocess.run(
        [*become, sys.executable, "-c", code], cwd=ROOT,
        env={"TMPDIR": str(folder), "PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == ([nobody, "True"], "")


def test_a_stopped_owner_does_not_lose_its_server() -> None:
    with owner(wanted("uvicorn")) as them:
        os.kill(them.process.pid, signal.SIGSTOP)
        time.sleep(0.5)
        facts = them.runs[0]
        assert httpx.get(f"http://{facts.host}:{facts.port}/whoami", timeout=60).status_code == 200
        os.kill(them.process.pid, signal.SIGCONT)
        assert them.say("alive") == "True"
