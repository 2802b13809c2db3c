"""An owner is killed at a random moment of its life, with each kind of server: nothing is left.

A life begins before the server is started and goes by way of its start, its answers and its stop to
the end of the owner. How long it takes is seen first, with the same server on the same machine.
"""

from __future__ import annotations

import functools
import random
import subprocess
import tempfile
import time

import pytest
from hypothesis import settings

from gatewaylab.guard import runs
from gatewaylab.guard.serve import sweep
from gatewaylab.measure.delay import until
from gatewaylab.servers.specs import SERVERS, Interface
from tests.conftest import survivors
from tests.support.disturbed import unless_disturbed
from tests.support.owner import begin

pytestmark = [pytest.mark.live, pytest.mark.slow]

PHASES = 25
ALL = settings.get_current_profile_name() == "nightly"
PATIENCE = 60.0  # a tenth of the time to live, which ends a server that nothing else ends
#: A server has three seconds of grace to stop in order; who is killed then is gone in two more.
SOON = 5.0


def phases(name: str) -> list[int]:
    """All of them for what a schedule runs; at every run one with a namespace, and one without."""
    draw = random.Random(name)
    return [*range(PHASES)] if ALL else [draw.randrange(0, PHASES, 2), draw.randrange(1, PHASES, 2)]


def life(name: str, *, namespace: bool) -> subprocess.Popen[str]:
    """An owner that has just begun, and goes through a whole life unless it is killed."""
    wsgi = SERVERS[name].interface is Interface.WSGI
    app = "tests.support.tiny:application" if wsgi else "tests.support.tiny:asgi"
    process = begin({"name": name, "app": app}, namespace=namespace)
    assert process.stdin is not None
    process.stdin.write("ask\nend\n")
    process.stdin.flush()
    return process


@functools.cache
def span(name: str, *, namespace: bool) -> float:
    """How many seconds such a life takes here."""
    with life(name, namespace=namespace) as process:
        begun = time.monotonic()
        said = process.communicate(timeout=PATIENCE)[0].splitlines()
    assert (process.returncode, said[-1]) == (0, "50")
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("name", "phase"), [(name, phase) for name in SERVERS for phase in phases(name)]
)
@unless_disturbed(1.0)
def test_an_owner_killed_at_any_moment_leaves_nothing_after_five_seconds(
    name: str,
    phase: int,
    session_folder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not SERVERS[name].available():
        pytest.skip(f"not on this machine; {SERVERS[name].install_hint()}")
    namespace = phase % 2 == 0
    delay = (phase + random.Random(f"{name} {phase}").random()) / PHASES
    delay *= span(name, namespace=namespace)
    folder = tempfile.mkdtemp(prefix="p", dir=session_folder)
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", None)
    while True:
        with life(name, namespace=namespace) as process:
            time.sleep(delay)
            process.kill()
            killed = time.monotonic()
        if process.returncode:
            break
        delay /= 2  # this life was shorter, and already over
    gone = until(lambda: not survivors(folder), within=PATIENCE)
    seconds = time.monotonic() - killed
    print(f"{seconds:.2f} s")  # for -rP
    entries, said = runs.home() / "runs", list[str]()

    def swept() -> bool:  # an owner that dies between its entry and its guard leaves it to this
        said.extend(sweep())
        return not list(entries.iterdir())

    if not gone or not until(swept, within=PATIENCE) or said or survivors(folder):
        pytest.fail(f"something was left; {said}")  # on any machine
    assert seconds < SOON
