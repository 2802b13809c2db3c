"""A million samples: what recording, handing over and summarising them takes in time and memory.

The generator's process and its owner are real, and so is all that passes between them; only the
server is missing. In its place the samples are recorded by the statements that the transport
runs once a request, one after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatewaylab import noise

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
]

#: Seconds for all of it, and MiB of resident memory at the peak of either process: VmHWM, not
#: ru_maxrss, which a new program inherits from the process that started it.
MOST_SECONDS = 2.0
MOST_MEMORY = 300
RUNS = 3

#: Runs in the place of gatewaylab._generator.
GENERATOR = """
import gc, re, sys, time
from array import array

from gatewaylab import _generator
from gatewaylab._wire import Columns, Tally

HEAD = (
    b"HTTP/1.1 200 OK\\r\\nserver: uvicorn\\r\\ndate: Sat, 22 Nov 2025 10:00:00 GMT\\r\\n"
    b"Content-Type: text/plain\\r\\nServer-Timing: app;dur=%.3f\\r\\nX-Worker: %d/140\\r\\n"
    b"X-Started: %.6f\\r\\nContent-Length: 3"
)


def run(job):
    global began, making
    gc.freeze()
    gc.disable()  # as the transport does
    began = time.perf_counter()
    zero, plan = 1000.0, job.plan
    for row, offset in enumerate(plan):
        plan[row] = zero + offset
    columns = Columns(plan)
    heads, status = columns.heads, columns.status
    sent, first, finished = columns.sent_at, columns.first_byte_at, columns.finished_at
    making = 0.0
    for row, at in enumerate(plan):
        if row % 10_000 == 0:  # what the server would send, made in advance and not counted
            start = time.perf_counter()
            ready = [
                HEAD % (2 + i % 7 / 10, i % 4, plan[i] + 2e-4)
                for i in range(row, min(row + 10_000, len(plan)))
            ]
            making += time.perf_counter() - start
        sent[row] = at + 1e-4
        now = at + 0.004
        if first[row] != first[row]:
            first[row] = now
        finished[row] = now
        status[row] = 200
        if job.trace:
            heads[row] = ready[row % 10_000]
    seconds = plan[-1] - zero
    return columns, Tally(
        connections=8, peak_in_flight=50, cpu_seconds=0.3 * seconds, wall_seconds=seconds,
        run_queue_seconds=0.0, monotonic_start=zero,
    )


_generator.run = run
_generator.main()
spent = time.perf_counter() - began - making
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
with open(sys.argv[1], "w") as file:
    file.write(f"{spent} {peak} {making}")
"""

OWNER = """
import json, os, re, sys, time
from array import array

import numpy as np

from gatewaylab import load, noise
from gatewaylab._wire import Job
from gatewaylab.arrivals import ConstantRate
from gatewaylab.results import Trial

script, report, trace = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
popen = load.subprocess.Popen
load.subprocess.Popen = lambda command, **rest: popen([sys.executable, script, report], **rest)

seconds = 100.0
plan = ConstantRate(10_000).plan(seconds, 0)
reader, writer = os.pipe()
job = Job(
    transport="raw", host="127.0.0.1", port=1, request=b"", method="GET", path="/", headers=[],
    body=b"", expected=[], expected_body=None, clients=0, think=0.0, duration=seconds,
    deadline=10.0, trace=trace, pin=None, parent=os.getpid(), lifeline=reader, connections=8,
    plan=array("d", plan.tobytes()),
)
began = time.perf_counter()
answer = load._generate(job, 60.0)
handed = time.perf_counter()
samples, generator = load._results(answer, job, plan)
del answer  # as load.run does when it returns
table = load.summary(samples, generator, seconds, deadline=job.deadline)
one = Trial(
    label="a", block=0, setup={}, arrivals={}, seed=0, warmup=1.0, seconds=seconds - 1,
    deadline=job.deadline, started="", samples=samples, generator=generator, health={},
)
quantiles = [one.quantile(p) for p in (0.5, 0.9, 0.99, 0.999)]
broken = noise.refusals(
    generator, samples, {}, warmup=1.0, seconds=seconds - 1, effect_seconds=0.002,
    quantile=0.99, hold=0.002, slots=100,
)
ended = time.perf_counter()
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps({
    "samples": len(samples), "traced": int((samples.service > 0).sum()),
    "workers": len(samples.workers), "quantiles": quantiles, "refusals": broken,
    "until_handed_over": handed - began, "summary": ended - handed,
    "memory": peak,
}))
"""


@pytest.mark.parametrize("trace", [True, False])
def test_a_million_samples_take_two_seconds_and_three_hundred_megabytes(
    trace: bool, tmp_path: Path
) -> None:
    (tmp_path / "generator.py").write_text(GENERATOR)
    (tmp_path / "owner.py").write_text(OWNER)
    command = [sys.executable, "owner.py", "generator.py", "report.txt", str(trace)]
    runs = []
    for _ in range(RUNS):  # what a neighbour does can only add, so the least is the program's own
        with noise.Watch(spin=0) as watch:
            printed = subprocess.run(
                command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
            ).stdout
        seen = json.loads(printed)
        spent, peak, making = map(float, (tmp_path / "report.txt").read_text().split())
        seconds = seen["until_handed_over"] - making + seen["summary"]
        print(
            f"trace {trace}: {seconds:.2f} s, of which {spent:.2f} s to record and write and "
            f"{seen['summary']:.2f} s to summarise; peaks {peak:.0f} and {seen['memory']:.0f} MiB"
        )
        assert seen["samples"] == 1_000_000
        assert (seen["traced"], seen["workers"]) == ((1_000_000, 4) if trace else (0, 0))
        assert seen["quantiles"] == pytest.approx([0.004] * 4)
        assert seen["refusals"] == []
        assert peak <= MOST_MEMORY
        assert seen["memory"] <= MOST_MEMORY
        foreign = watch.health.get("foreign_cpu", 0.0)
        runs.append((seconds, foreign <= noise.MAX_HEALTH["foreign_cpu"]))
    if min(seconds for seconds, _ in runs) > MOST_SECONDS and not any(quiet for _, quiet in runs):
        pytest.skip(f"inconclusive, others used the processors in every run: {runs}")
    assert min(seconds for seconds, _ in runs) <= MOST_SECONDS
