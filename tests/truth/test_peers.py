"""Other load tools: what they print is read rightly, and they leave nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from gatewaylab.errors import InputError, LoadError
from gatewaylab.measure.reference import reference_server
from gatewaylab.truth.peers import compared as peers
from gatewaylab.truth.peers import reports, run
from gatewaylab.truth.peers.compared import stall_reports
from gatewaylab.truth.peers.registry import PEERS, WORKERS, Peer, closed, reported
from gatewaylab.truth.peers.reports import LEVELS
from gatewaylab.truth.peers.tools import Report
from tests import printed

pytestmark = pytest.mark.slow

# What the tools wrote, each but for lines that nobody reads.

WRK = """\
Running 3s test @ http://127.0.0.1:46441/
  1 threads and 1 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    49.93ms  132.19ms 600.39ms   88.42%
    Req/Sec    17.19k     5.99k   40.78k    92.00%
  Latency Distribution
     50%   58.00us
     75%   65.00us
     90%  239.12ms
     99%  564.27ms
  42833 requests in 3.00s, 5.72MB read
Requests/sec:  14265.17
Transfer/sec:      1.90MB
"""

H2LOAD = """\
Main benchmark duration is over for thread #0. Stopping all clients.
Stopped all clients for thread #0

finished in 500.84ms, 122352.00 req/s, 16.34MB/s
requests: 61176 total, 61184 started, 61176 done, 61176 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 61176 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 8.17MB (8564640) total, 5.72MB (5996032) headers (space savings 0.00%), 179.25KB data
                     min         max         mean         sd        +/- sd
time for request:       30us      1.35ms        64us        23us    96.66%
time for connect:        9us        53us        36us        14us    75.00%
time to 1st byte:      167us       227us       205us        18us    62.50%
req/s           :   15239.77    15346.95    15287.67       36.23    62.50%
"""

H2LOAD_LOG = """\
1795342799463037\t200\t434
1795342801702798\t200\t434
1795342800023277\t200\t559553
1795342800023278\t200\t559577
"""

HEY = """

Summary:
  Total:\t3.0445 secs
  Slowest:\t0.5614 secs
  Fastest:\t0.0001 secs
  Average:\t0.0178 secs
  Requests/sec:\t84.0861
\x20\x20
  Total data:\t768 bytes
  Size/request:\t3 bytes

Response time histogram:
  0.000 [1]\t|
  0.056 [247]\t|■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■
  0.561 [8]\t|■


Latency distribution:
  10% in 0.0001 secs
  50% in 0.0002 secs
  90% in 0.0004 secs
  95% in 0.0008 secs
  99% in 0.5614 secs

Details (average, fastest, slowest):
  DNS+dialup:\t0.0000 secs, 0.0001 secs, 0.5614 secs

Status code distribution:
  [200]\t256 responses



"""

HEY_CSV = """\
response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset
0.0012,0.0006,0.0000,0.0002,0.0004,0.0000,200,0.0889
0.5614,0.0000,0.0000,0.0001,0.5612,0.0000,200,1.0892
"""


def test_wrks_summary_is_read_with_its_units() -> None:
    said = reports.wrk(WRK)
    assert (said.requests, said.failed, said.seconds) == (42833, 0, 3.0)
    assert said.quantiles == pytest.approx({0.5: 58e-6, 0.75: 65e-6, 0.9: 0.23912, 0.99: 0.56427})
    assert (said.mean, said.largest) == pytest.approx((0.04993, 0.60039))


def test_h2loads_summary_is_read_with_its_units() -> None:
    said = reports.h2load(H2LOAD)
    assert (said.requests, said.failed) == (61176, 0)
    assert (said.seconds, said.mean, said.largest) == pytest.approx((0.50084, 64e-6, 1.35e-3))


def test_h2loads_log_gives_the_moment_of_sending_and_the_latency() -> None:
    sent, took = reports.h2load_log(H2LOAD_LOG)
    assert took.tolist() == pytest.approx([434e-6, 434e-6, 0.559553, 0.559577])
    assert (sent - sent.min()).tolist() == pytest.approx([0, 2.239761, 0.56024, 0.560241], abs=1e-6)


def test_heys_summary_is_read() -> None:
    said = reports.hey(HEY)
    assert (said.requests, said.failed, said.seconds) == (256, 0, 3.0445)
    assert (said.mean, said.largest) == (0.0178, 0.5614)
    assert {0.5: 0.0002, 0.9: 0.0004, 0.99: 0.5614}.items() <= said.quantiles.items()


def test_heys_table_gives_the_latencies() -> None:
    assert reports.hey_csv(HEY_CSV).tolist() == [0.0012, 0.5614]


Parse = Callable[[str], Any]
LOST = '  [500]\t5 responses\n\nError distribution:\n  [4]\tGet "http://127.0.0.1:9/": refused\n'


@pytest.mark.parametrize(
    ("parse", "text", "requests", "failed"),
    [
        # wrk's wherever it names them.
        (reports.wrk, WRK + "  Non-2xx or 3xx responses: 42833\n", 0, 42833),
        (reports.wrk, WRK + "  Socket errors: connect 1, read 2, write 3, timeout 4\n", 42833, 10),
        (reports.h2load, H2LOAD.replace("61176 succeeded, 0", "61170 succeeded, 6"), 61170, 6),
        (reports.hey, HEY.rstrip("\n") + "\n" + LOST, 256, 9),  # a bad status, and none
    ],
)
def test_failures_are_counted_once(parse: Parse, text: str, requests: int, failed: int) -> None:
    said = parse(text)
    assert (said.requests, said.failed) == (requests, failed)


@pytest.mark.parametrize(
    "parse",
    [reports.wrk, reports.h2load, reports.h2load_log, reports.hey, reports.hey_csv],
)
@pytest.mark.parametrize("text", ["", "Segmentation fault\n", "1\t2\n", "a,b\n1,2\n"])
def test_output_of_another_kind_is_refused(parse: Parse, text: str) -> None:
    with pytest.raises(LoadError):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (reports.h2load_log, H2LOAD_LOG.replace("\t200\t559553", "\t503\t559553")),
        (reports.h2load_log, H2LOAD_LOG.replace("\t200\t559553", "\t-1\t559553")),
        (reports.hey_csv, HEY_CSV.replace(",200,1.0892", ",503,1.0892")),
    ],
)
def test_a_failed_request_in_a_table_is_refused(parse: Parse, text: str) -> None:
    with pytest.raises(LoadError, match=r"1 of \d requests failed"):
        parse(text)


def test_a_summary_with_failures_or_without_answers_is_refused() -> None:
    with pytest.raises(LoadError, match="2 of 10 requests failed, says wrk"):
        reports.checked("wrk", reports.Printed(8, 2, 1.0, 0.1, 0.2))
    with pytest.raises(LoadError, match="wrk got no answer at all"):
        reports.checked("wrk", reports.Printed(0, 0, 1.0, 0.1, 0.2))


def test_quantiles_are_order_statistics_and_carry_what_never_ended() -> None:
    latencies = np.append(np.arange(99.0, 0.0, -1), np.inf)
    assert reports.quantiles_of(latencies) == {0.5: 50.0, 0.9: 90.0, 0.99: 99.0, 1.0: np.inf}


# What is refused before anything runs.


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:80/", "http://127.0.0.1:80@192.0.2.1/", "http://example.org:80/",
        "https://127.0.0.1:8443/", "ws://127.0.0.1:8000/", "unix:/run/socket", "http://127.0.0.1/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", PEERS)
def test_only_loopback_http_is_asked(name: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Peer, "available", lambda _: True)
    monkeypatch.setattr(subprocess, "Popen", None)  # nothing may be started
    with pytest.raises(InputError):
        closed(name, url)
    with pytest.raises(InputError):
        reported(name, url)


@pytest.mark.parametrize(
    "wrong",
    [{"connections": 0}, {"connections": 1.5}, {"seconds": 0}, {"seconds": float("inf")},
     {"pin": 4096}],
)  # fmt: skip
def test_a_closed_load_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong)).replace("pin", "core")):
        closed("lean", "http://127.0.0.1:9", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_makes_no_sense_is_refused(rate: float) -> None:
    with pytest.raises(InputError, match="rate"):
        reported("lean", "http://127.0.0.1:9", rate=rate)


def test_an_unknown_tool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="lean, httpx, locust, hey, h2load, wrk"):
        closed("ab", "http://127.0.0.1:9")


@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if peer.program])
def test_a_missing_program_is_named_with_its_remedy(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not PEERS[name].available()
    assert PEERS[name].version() is None
    assert PEERS[name].install_hint == "scripts/install --system"
    with pytest.raises(LoadError, match=r"not installed.*scripts/install --system"):
        closed(name, "http://127.0.0.1:9")


def test_a_missing_distribution_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = Mock(side_effect=metadata.PackageNotFoundError("locust"))
    monkeypatch.setattr(metadata, "version", missing)
    assert not PEERS["locust"].available()
    with pytest.raises(LoadError, match=r"Locust is not installed.*scripts/install$"):
        closed("locust", "http://127.0.0.1:9")


def test_a_stall_outside_the_run_is_refused() -> None:
    with pytest.raises(InputError, match=r"does not lie within 1\.0 s"):
        stall_reports(stall=0.6, at=0.5, seconds=1.0)


def test_looking_at_the_tools_loads_neither_gevent_nor_locust() -> None:
    code = (
        "import sys; from gatewaylab.truth.peers.compared import PEERS\n"
        "for peer in PEERS.values(): peer.version()\n"
        "assert not {'gevent', 'greenlet', 'locust'} & set(sys.modules)"
    )
    printed(code)


# The child.

SLEEPER = ["sh", "-c", "echo $$ > pid; echo still here; exec sleep 100"]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_tool_without_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PATIENCE", 0.5)
    with pytest.raises(LoadError, match=r"(?s)sleeper did not end in 1 s.*still here"):
        run.run_tool("sleeper", SLEEPER, folder=tmp_path, seconds=0.5)
    assert gone(int((tmp_path / "pid").read_text()))


def test_an_interrupt_kills_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise KeyboardInterrupt

    monkeypatch.setattr("gatewaylab.truth.peers.run.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run_tool("sleeper", SLEEPER, folder=tmp_path, seconds=0.5)
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_tool_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"(?s)it failed \(exit status 3\).*out of luck"):
        run.run_tool("it", ["sh", "-c", "echo out of luck >&2; exit 3"], folder=tmp_path, seconds=1)


def test_a_tool_that_cannot_be_started_is_an_error_of_the_load(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="it cannot be started"):
        run.run_tool("it", [str(tmp_path / "nothing")], folder=tmp_path, seconds=1)


def test_a_tool_sees_no_proxy_or_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "LOCUST_USERS", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    done = run.run_tool("env", ["env"], folder=tmp_path, seconds=1, variables={"PEER_PATH": "/"})
    seen = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    assert seen["HOME"] == str(tmp_path)
    assert seen["PEER_PATH"] == "/"
    assert "192.0.2.1" not in done.stdout


BURN = "import time\nwhile time.process_time() < 1.0: pass"


def test_the_cpu_time_is_that_of_the_tool_and_its_children_alone(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", BURN], check=True)  # another child, which is not counted
    idle = run.run_tool("idle", ["true"], folder=tmp_path, seconds=1)
    assert idle.cpu_seconds < 1.0
    burn = ["sh", "-c", f"{sys.executable} -c '{BURN}'; true"]
    busy = run.run_tool("busy", burn, folder=tmp_path, seconds=60)
    assert 1.0 <= busy.cpu_seconds < 2.0


def test_a_tool_is_held_to_its_core(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    ask = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"]
    done = run.run_tool("python", ask, folder=tmp_path, seconds=5, pin=core)
    assert done.stdout.strip() == str({core})


# The tools themselves.

present = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(
            not peer.available(), reason=f"{name} is not installed: {peer.install_hint}"))
        for name, peer in PEERS.items()
    ],
)  # fmt: skip


#: Their counts lack the requests that are unanswered at the end, one a worker at most.
DROP_LAST = {"locust", "h2load", "wrk"}


def agrees(name: str, counted: int, served: int, workers: int) -> bool:
    """Whether a tool's count is the server's, but for the last requests where it drops them."""
    return 0 <= served - counted <= workers * (name in DROP_LAST)


@present
def test_a_tools_count_of_a_closed_load_is_the_servers(name: str) -> None:
    with reference_server("null") as server:
        tally = closed(name, server.url, connections=3, seconds=0.5)
        served = server.report()["requests"]
    assert tally.requests > 0
    assert agrees(name, tally.requests, served, 3)
    assert tally.seconds > 0.45
    assert tally.cpu_seconds > 0
    assert tally.rate == tally.requests / tally.seconds
    assert tally.cpu_per_request == tally.cpu_seconds / tally.requests


@present
def test_a_tools_count_of_a_paced_load_is_the_servers(name: str) -> None:
    with reference_server("null") as server:
        said = reported(name, f"{server.url}/path?a=b", rate=80, seconds=0.5)
        served = server.report()["requests"]
    assert said.requests > 0
    assert agrees(name, said.requests, served, WORKERS)
    assert list(said.quantiles) == list(LEVELS)
    # Locust rounds its quantiles, to whole milliseconds or two digits, and not its maximum.
    steps = [b - a for a, b in pairwise(said.quantiles.values())]
    rounding = 0.05 * said.quantiles[1.0] + 0.0006 if name == "locust" else 0.0
    assert min(steps) >= -rounding
    half_a_step = 0.00005 if name == "hey" else 0.0  # it prints tenths of a millisecond
    assert said.quantiles[0.5] + half_a_step > 0
    if name != "wrk":
        assert said.requests <= 80 * 0.5 + WORKERS


@present
def test_a_server_that_answers_wrongly_is_an_error_and_no_number(name: str) -> None:
    with reference_server("wrong") as server:
        with pytest.raises(LoadError):
            closed(name, server.url, connections=1, seconds=0.2)
        with pytest.raises(LoadError):
            reported(name, server.url, rate=50, seconds=0.2)


def test_a_stall_is_shown_to_each_tool_beside_the_truth() -> None:
    rows = stall_reports(stall=0.3, at=0.405, rate=100, seconds=1.0)
    assert [row.peer for row in rows] == [name for name in PEERS if PEERS[name].available()]
    for row in rows:
        assert row.planned == 100
        assert agrees(row.peer, row.requests, row.served, WORKERS)
        assert row.stall - 0.011 <= row.truth[1.0] <= row.stall
        assert row.truth[0.5] == 0.0
        assert row.error[0.5] is None
        for level in (0.9, 0.99, 1.0):
            assert row.error[level] == row.reported[level] / row.truth[level] - 1
    assert rows[0].requests == rows[0].planned


@pytest.mark.parametrize(
    ("began", "longest"),
    [(100.0, 0.592), (99.993, 0.599), (None, 0.595)],  # it begins 2, 9 or 5 ms after a visitor
)
def test_the_truth_is_laid_from_where_the_tool_began_else_from_the_servers_timer(
    began: float | None, longest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {"requests": 9, "stalls": [[101.002, 101.602]]}
    server = SimpleNamespace(url="http://127.0.0.1:9", report=lambda: report)
    said = Report(dict.fromkeys(LEVELS, 0.1), 8, began=began)
    monkeypatch.setattr(peers, "PEERS", {"lean": PEERS["lean"]})
    monkeypatch.setattr(peers, "reference_server", lambda *_, **__: nullcontext(server))
    monkeypatch.setattr(peers, "reported", lambda *_: said)
    (row,) = stall_reports(stall=0.6, at=1.005)
    # 60 of 300 visitors meet the stall, 10 ms apart, and p90 is the 30th of them.
    truth = {0.5: 0, 0.9: longest - 0.3, 0.99: longest - 0.03, 1: longest}
    assert row.truth == pytest.approx(truth)
    assert row.error[0.5] is None
    assert row.error[0.9] == pytest.approx(0.1 / (longest - 0.3) - 1)
    assert (row.planned, row.requests, row.served) == (300, 8, 9)
