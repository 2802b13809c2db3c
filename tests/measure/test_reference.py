from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from gatewaylab.errors import InputError, ServerError, ServerStartError
from gatewaylab.load import run as load
from gatewaylab.load.request import get
from gatewaylab.load.run import run
from gatewaylab.load.samples import ERRORS, GeneratorReport, Samples
from gatewaylab.measure import reference, reference_process
from gatewaylab.measure.cores import Cores
from gatewaylab.measure.delay import until
from gatewaylab.measure.reference import (
    CEILINGS_VARIABLE,
    MODES,
    Lognormal,
    ceiling,
    once,
    reference_server,
)
from gatewaylab.model.arrivals import Arrivals, Closed, ConstantRate
from tests.builders import REPORT, changed, samples

Asked = list[tuple[Arrivals, dict[str, object]]]

NONE = "http://127.0.0.1:9"
"""Nothing listens there."""


def measured(
    url: str, arrivals: Arrivals, seconds: float = 0.4, *, deadline: float = 30
) -> Samples:
    """All samples, in the order in which the server says that it took them up."""
    found = run(url, get("/"), arrivals, seconds=seconds, warmup=0, deadline=deadline)[0]
    return in_order(found)


def in_order(found: Samples) -> Samples:
    """Requests that are due one after the other may overtake each other on a busy machine."""
    order = np.argsort(found.started_at, kind="stable")  # what was not answered comes last
    names = Samples.model_fields.keys() - {"workers"}
    return changed(found, **{name: getattr(found, name)[order] for name in names})


def overlap(found: Samples) -> int:
    """Most requests inside the app at once; the account is rounded to a microsecond."""
    return found.model_copy(update={"service": found.service - 1e-5}).peak_overlap


def test_the_process_knows_the_modes_that_the_caller_may_ask_for() -> None:
    assert all(callable(getattr(reference_process.ReferenceServer, mode)) for mode in MODES)
    told = [line.strip() for line in (reference_server.__doc__ or "").splitlines()]
    assert all(any(line.startswith(f"{mode}: ") for line in told) for mode in MODES)


def test_a_server_answers_on_loopback_only_and_is_gone_afterwards() -> None:
    with reference_server() as server:
        answer = httpx.get(server.url, trust_env=False)
        sockets = psutil.Process(server.pid).net_connections()
        listening = [one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN]
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert answer.headers["X-Worker"] == f"{server.pid}/1"
    assert listening == ["127.0.0.1"]
    assert not psutil.pid_exists(server.pid)


def test_a_server_ends_when_its_owner_is_killed() -> None:
    code = (
        "from gatewaylab.measure.reference import reference_server as r\n"
        "with r() as server:\n    print(server.pid, flush=True)\n    input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert psutil.pid_exists(pid)
        owner.send_signal(signal.SIGKILL)
    assert until(lambda: not _runs(pid), within=60)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_process_whose_owner_is_gone_does_not_begin() -> None:
    command = [sys.executable, "-m", "gatewaylab.measure.reference_process", "null", "--parent=1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "the owner was gone" in ended.stderr


def test_a_server_counts_what_it_was_asked() -> None:
    with reference_server() as server:
        measured(server.url, ConstantRate(50))
        assert server.report() == {"requests": 20, "muted": 0, "stalls": []}


def test_a_server_without_trace_gives_no_account() -> None:
    with reference_server(trace=False) as server:
        found = measured(server.url, ConstantRate(50))
    assert np.isnan(found.service).all()
    assert not found.error.any()


def test_a_delayed_answer_is_never_early_and_delays_no_other() -> None:
    with reference_server("delay", hold=0.05) as server:
        found = measured(server.url, ConstantRate(100))
    assert found.service.min() >= 0.05
    assert overlap(found) >= 2


def test_a_slot_holds_one_request_after_the_other_without_a_gap() -> None:
    with reference_server("slots", hold=0.02) as server:
        found = measured(server.url, ConstantRate(200), seconds=0.1)
    assert overlap(found) == 1
    ended = found.started_at + found.service
    # All but those before which the queue was empty, since somebody kept the asker waiting.
    assert np.median(np.abs(found.started_at[1:] - ended[:-1])) <= 1e-5
    assert found.service.min() >= 0.02


def test_three_slots_hold_three_requests() -> None:
    with reference_server("slots", hold=0.05, slots=3) as server:
        found = measured(server.url, ConstantRate(200), seconds=0.1)
    assert overlap(found) == 3


def test_drawn_service_times_follow_from_the_seed() -> None:
    def served(seed: int) -> list[float]:
        services = Lognormal(mean=0.03, sigma=0.8, seed=seed)
        with reference_server("slots", services=services) as server:
            return [float(value) for value in measured(server.url, Closed(1), 0.6).service][:5]

    one, other = drawn(1, 0.03, 0.8, 5), drawn(2, 0.03, 0.8, 5)
    assert one == drawn(1, 0.03, 0.8, 5) != other
    assert max(one) > 1.2 * min(one)
    for seed, due in ((1, one), (2, other)):  # each takes what was drawn, and what waking up took
        assert all(a >= b - 1e-6 for a, b in zip(served(seed), due, strict=False))


def drawn(seed: int, mean: float, sigma: float, count: int) -> list[float]:
    """The first service times that a server of one slot draws."""
    command = ["slots", f"--hold={mean}", f"--sigma={sigma}", f"--seed={seed}"]
    server = reference_process.ReferenceServer(reference_process.parsed(command))
    return [server.draw() for _ in range(count)]


def test_drawn_service_times_have_the_mean_and_spread_that_were_asked_for() -> None:
    times = drawn(1, 0.01, 0.6, 20_000)
    assert np.mean(times) == pytest.approx(0.01, rel=0.02)
    assert np.log(times).std() == pytest.approx(0.6, rel=0.02)


def test_a_stall_is_reported_and_its_backlog_is_answered_in_order() -> None:
    with reference_server("stall", hold=0.2, at=0.102) as server:
        found, report = run(
            server.url, get("/"), ConstantRate(100), seconds=0.4, warmup=0, deadline=30
        )
        found = in_order(found)
        ((begin, end),) = server.report()["stalls"]
    begin, end = begin - report.monotonic_start, end - report.monotonic_start
    assert end - begin >= 0.2 - 0.001
    assert begin >= 0.1
    met = (found.scheduled_at > begin + 0.005) & (found.scheduled_at < end - 0.005)
    assert met.sum() >= 5
    assert (found.finished_at[met] >= end).all()
    assert (np.diff(found.started_at) >= -2e-6).all()


def test_one_request_in_twenty_is_never_answered() -> None:
    with reference_server("mute") as server:
        found = measured(server.url, ConstantRate(100), deadline=2)
        assert server.report()["muted"] == 2
    assert (found.error == ERRORS.index("deadline")).sum() == 2
    assert (found.error == 0).sum() == 38


def test_a_server_that_warms_up_is_slower_for_its_first_requests() -> None:
    with reference_server("warming", hold=0.01, warm=0.05, first=10) as server:
        service = measured(server.url, ConstantRate(50)).service
    assert service[:10].min() >= 0.06
    assert 0.01 <= np.median(service[10:]) < 0.06


def test_a_server_that_warms_up_is_slower_for_its_first_seconds() -> None:
    with reference_server("warming", warm=0.05, at=0.19) as server:
        found = measured(server.url, ConstantRate(50))
    since = found.started_at - found.started_at.min()
    assert found.service[since < 0.189].min() >= 0.05
    assert np.median(found.service[since > 0.191]) < 0.05


def test_a_server_that_answers_early_claims_to_have_held_the_request() -> None:
    with reference_server("early", hold=0.1) as server:
        found = measured(server.url, ConstantRate(50))
    assert found.service == pytest.approx(0.1)
    assert np.median(found.latency) < 0.1


@pytest.mark.parametrize(("mode", "status", "body"), [("wrong", 500, "ok\n"), ("empty", 200, "")])
def test_a_server_can_answer_fast_and_wrong(mode: str, status: int, body: str) -> None:
    with reference_server(mode) as server:
        answer = httpx.get(server.url, trust_env=False)
    assert (answer.status_code, answer.text) == (status, body)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mode": "nul"}, "unknown mode 'nul'; choose one of null, delay"),
        ({"hold": -1.0}, "hold must be 0 or more"),
        ({"at": math.inf}, "at must be 0 or more and finite"),
        ({"warm": math.nan}, "warm must be"),
        ({"first": -1}, "first must be"),
        ({"slots": 0}, "slots must be at least 1"),
        ({"services": Lognormal(1, 1)}, "only the mode 'slots'"),
        ({"pin": 4096}, "core 4096"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said), reference_server(**arguments):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize("values", [(0, 1, 1), (1, 0, 1), (1, math.nan, 1), (1, 1, -1)])
def test_unusable_service_times_are_refused(values: tuple[float, float, int]) -> None:
    with pytest.raises(InputError, match="mean and sigma above 0"):
        Lognormal(*values)


def _instead(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Let a shell script run in place of Python."""
    fake = folder / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(reference.sys, "executable", str(fake))  # type: ignore[attr-defined]


def test_a_server_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _instead(monkeypatch, tmp_path, "echo no module named uvloop >&2; exit 3")
    with pytest.raises(ServerStartError, match="did not come up") as caught, reference_server():
        pass
    assert caught.value.exit_code == 3
    assert caught.value.log_tail == "no module named uvloop"
    assert "gatewaylab.measure.reference_process" in caught.value.command


def test_a_server_that_says_nothing_is_given_up_and_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _instead(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    monkeypatch.setattr(reference, "_PATIENCE", 5.0)
    with pytest.raises(ServerStartError, match="still running"), reference_server():
        pass
    assert not _runs(int((tmp_path / "pid").read_text()))


def test_an_account_that_does_not_come_is_an_error() -> None:
    with pytest.raises(ServerError, match="no account"):
        reference.ReferenceServer(NONE, os.getpid()).report()


# The ceiling.


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """What the load generator was asked for; it answers with ten samples in a second or less."""
    seen: Asked = []

    def fake(
        _: str, __: object, arrivals: Arrivals, **options: object
    ) -> tuple[Samples, GeneratorReport]:
        seen.append((arrivals, options))
        slow = 1.0 if len(seen) == 1 else 0.5
        return samples([0.1] * 10), REPORT.model_copy(update={"wall_seconds": slow})

    monkeypatch.setattr(load, "run", fake)
    monkeypatch.delenv(CEILINGS_VARIABLE, raising=False)
    ceiling.cache_clear()
    yield seen
    ceiling.cache_clear()


def test_the_ceiling_is_the_best_of_three_closed_runs(
    asked: Asked,
) -> None:
    assert ceiling(connections=4, seconds=0.2) == 20
    assert [arrivals for arrivals, _ in asked] == [Closed(4)] * 3
    assert asked[0][1]["seconds"] == 0.2


def test_the_ceiling_is_measured_once_for_the_same_arguments(
    asked: Asked,
) -> None:
    assert ceiling() == ceiling()
    assert len(asked) == 3
    ceiling(connections=2)
    assert len(asked) == 6


def test_a_build_measures_the_ceiling_once_for_all_its_processes(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CEILINGS_VARIABLE, "{}")  # and restores it
    once()
    assert len(asked) == 3
    ceiling.cache_clear()  # as in another process
    assert ceiling() == ceiling("raw", seconds=0.1) == 20
    assert len(asked) == 3
    ceiling("httpx")  # which the build has not measured
    assert len(asked) == 6


def test_generator_and_null_server_have_the_cores_of_a_trial(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = min(os.sched_getaffinity(0))
    monkeypatch.setattr(reference, "choose_cores", lambda: Cores(7, core, frozenset({core})))
    ceiling()
    assert {options["pin"] for _, options in asked} == {7}


def test_the_ceiling_of_httpx_is_what_its_cost_allows_one_core(
    asked: Asked,
) -> None:
    assert ceiling("httpx", connections=8) == pytest.approx(10 / REPORT.cpu_seconds)
    assert asked[0][0] == Closed(8, think=8 / load.HTTPX_MAX_RATE)


def test_there_is_no_ceiling_for_what_the_null_server_does_not_speak() -> None:
    with pytest.raises(InputError, match=r"plain HTTP/1\.1"):
        ceiling("websocket")


def test_a_real_ceiling_is_a_number() -> None:
    ceiling.cache_clear()
    assert 0 < ceiling(seconds=0.2) < np.inf
