"""A million samples through the instrument, and what they take in CPU time and memory.

The generator's process and its owner are real, and so is all that passes between them; only the
server is missing. In its place the samples are recorded by the statements that the transport
runs once a request, one after the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Runs in the place of gatewaylab.load.generator.
GENERATOR = """
import gc, re, sys, time
from array import array

from gatewaylab.load import generator
from gatewaylab.load.wire import Columns, Tally

HEAD = (
    b"HTTP/1.1 200 OK\\r\\nserver: uvicorn\\r\\ndate: Sat, 22 Nov 2025 10:00:00 GMT\\r\\n"
    b"Content-Type: text/plain\\r\\nServer-Timing: app;dur=%.3f\\r\\nX-Worker: %d/140\\r\\n"
    b"X-Started: %.6f\\r\\nContent-Length: 3"
)


def run(job):
    global began, making
    gc.freeze()
    gc.disable()  # as the transport does
    began = time.process_time()
    zero, plan = 1000.0, job.plan
    for row, offset in enumerate(plan):
        plan[row] = zero + offset
    columns = Columns(plan)
    heads, status = columns.heads, columns.status
    sent, first, finished = columns.sent_at, columns.first_byte_at, columns.finished_at
    making = 0.0
    for row, at in enumerate(plan):
        if row % 10_000 == 0:  # what the server would send, made in advance and not counted
            start = time.process_time()
            ready = [
                HEAD % (2 + i % 7 / 10, i % 4, plan[i] + 2e-4)
                for i in range(row, min(row + 10_000, len(plan)))
            ]
            making += time.process_time() - start
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


generator.run = run
generator.main()
spent = time.process_time() - began - making
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
with open(sys.argv[1], "w") as file:
    file.write(f"{spent} {peak}")
"""

OWNER = """
import json, os, re, sys, time
from array import array

import numpy as np

from gatewaylab.load import run as load
from gatewaylab.load import standby
from gatewaylab.load.summary import summary
from gatewaylab.measure import noise
from gatewaylab.measure.rules import Seen
from gatewaylab.load.wire import Job
from gatewaylab.model.arrivals import ConstantRate
from gatewaylab.records.results import Trial

script, report, trace = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
standby._COMMAND = (sys.executable, script, report)
standby.prepare = lambda: None  # there is one job

seconds = 100.0
plan = ConstantRate(10_000).plan(seconds, 0)
job = Job(
    transport="raw", host="127.0.0.1", port=1, request=b"", method="GET", path="/", headers=[],
    body=b"", expected=[], expected_body=None, clients=0, think=0.0, duration=seconds,
    deadline=10.0, trace=trace, pin=None, parent=os.getpid(), lifeline=-1, connections=8,
    plan=array("d", plan.tobytes()),
)
began = time.process_time()
answer, _ = load._generate(job, 600.0)
handed = time.process_time()
samples, generator = load._results(answer, job, plan)
del answer  # as load.run does when it returns
table = summary(samples, generator, seconds, deadline=job.deadline)
one = Trial(
    label="a", block=0, setup={}, arrivals={}, seed=0, warmup=1.0, seconds=seconds - 1,
    deadline=job.deadline, started="", samples=samples, generator=generator, health={},
)
quantiles = [one.quantile(p) for p in (0.5, 0.9, 0.99, 0.999)]
found = noise.findings(Seen(
    generator, samples, {}, warmup=1.0, seconds=seconds - 1, quantile=0.99, hold=0.002, slots=100,
))
ended = time.process_time()
throughput = one.throughput
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps({
    "samples": len(samples), "throughput": throughput, "traced": int((samples.service > 0).sum()),
    "workers": len(samples.workers), "quantiles": quantiles,
    "findings": [str(one) for one in found],
    "handing_over": handed - began, "summary": ended - handed,
    "memory": peak,
}))
"""


@dataclass(frozen=True)
class Million:
    """One passage of a million samples.

    Attributes:
        seen: what the owner saw of them, by name.
        recording, handing_over, summary: CPU seconds, of both processes together.
        memory: MiB of resident memory at the peak of the greedier process: VmHWM, not ru_maxrss,
            which a new program inherits from the process that started it.
    """

    seen: dict[str, Any]
    recording: float
    handing_over: float
    summary: float
    memory: float

    @property
    def seconds(self) -> float:
        """CPU seconds of all of it."""
        return self.recording + self.handing_over + self.summary


def million(folder: Path, *, trace: bool) -> Million:
    """Record, hand over and summarise them, in a folder of their own."""
    (folder / "generator.py").write_text(GENERATOR)
    (folder / "owner.py").write_text(OWNER)
    printed = subprocess.run(
        [sys.executable, "owner.py", "generator.py", "report.txt", str(trace)],
        cwd=folder, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    seen = json.loads(printed)
    recording, peak = map(float, (folder / "report.txt").read_text().split())
    return Million(
        seen, recording, seen["handing_over"], seen["summary"], max(peak, seen["memory"])
    )
