"""A real notebook kernel that dies with every kind of server running."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from gatewaylab.guard import procfs
from gatewaylab.measure.delay import until
from gatewaylab.servers.specs import SERVERS
from tests import ROOT

pytestmark = pytest.mark.live

CODE = """
import json
import os
from contextlib import ExitStack
from gatewaylab.guard import procfs
from gatewaylab.guard.serve import serve
from gatewaylab import server

stack, pids = ExitStack(), []
for name in NAMES:
    running = stack.enter_context(serve(server(name, app="raw")))
    pids += [*running.pids(), *running.guard_pids()]
print(json.dumps([os.getpid(), *[(pid, procfs.start_time(pid)) for pid in pids]]))
"""


def test_no_server_of_any_kind_outlives_a_killed_notebook_kernel() -> None:
    names = [name for name, spec in SERVERS.items() if spec.available()]
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    told: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] in {"stream", "error"}:
            told.append(str(message["content"].get("text", message["content"])))

    try:
        code = f"NAMES = {names}\n{CODE}"
        reply = client.execute_interactive(code, timeout=300, output_hook=hear)
        assert reply["content"]["status"] == "ok", told
        kernel, *found = json.loads("".join(told))
        processes = [(int(pid), int(started)) for pid, started in found]
        assert len(processes) >= 2 * len(names)
        os.kill(kernel, signal.SIGKILL)
        gone = until(
            lambda: not [pid for pid, at in processes if procfs.start_time(pid) == at], within=60
        )
        left = [pid for pid, at in processes if procfs.start_time(pid) == at]
        assert gone, f"still there: {left}"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
