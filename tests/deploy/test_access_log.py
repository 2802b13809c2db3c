"""The line of *Which should you use?* that reads gunicorn's access log for the form."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.bed import servers_up, web_server
from tests.deploy.conftest import needed
from tests.deploy.setups import SET_UPS
from tests.deploy.test_short_paths import blocks

MINUTES = """\
[2026-11-30 12:00:00 +0000] [7] [INFO] Booting worker with pid: 7
203.0.113.7 [30/Nov/2026:12:00:01 +0000] "GET / HTTP/1.1" 200 5 900 ms
203.0.113.7 [30/Nov/2026:12:01:00 +0000] "GET / HTTP/1.1" 200 5 80 ms
203.0.113.7, 10.0.0.1 [30/Nov/2026:12:01:30 +0000] "GET /a%20b HTTP/1.1" 200 5 80 ms
203.0.113.7 [30/Nov/2026:12:01:59 +0000] "POST / HTTP/1.1" 200 5 2000 ms
203.0.113.7 [30/Nov/2026:12:02:00 +0000] "GET / HTTP/1.1" 200 5 700 ms
"""


def rate_and_hold(log: str, folder: Path) -> tuple[float, float]:
    """What the page's command prints: requests a second, and their milliseconds."""
    (command,) = blocks("which.md", "bash", "## How many slots do you need?")
    (folder / "access.log").write_text(log)
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True
    )
    rate, hold = map(float, done.stdout.split())
    return rate, hold


def test_the_busiest_minute_counts_with_its_average(tmp_path: Path) -> None:
    rate, hold = rate_and_hold(MINUTES, tmp_path)
    assert rate == pytest.approx(3 / 60)
    assert hold == pytest.approx(2160 / 3)


@pytest.mark.live
def test_it_reads_what_gunicorn_writes_with_the_shipped_configuration(session_folder: str) -> None:
    (one,) = (each for each in SET_UPS if each.name == "gunicorn")
    needed(one)
    folder = Path(session_folder) / "log"
    with servers_up(one, folder) as servers, web_server(servers) as up:
        with up.client() as client:
            for _ in range(6):
                assert client.get(up.path("page")).status_code == 200
        log = (folder / "log" / "gunicorn.txt").read_text()
    rate, hold = rate_and_hold(log, folder)
    assert 1 <= round(60 * rate) <= log.count("HTTP/1.")
    taken = [int(one) for one in re.findall(r" (\d+) ms$", log, re.MULTILINE)]
    assert min(taken) <= hold <= max(taken)
