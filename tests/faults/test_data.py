"""What can go wrong around a stored result: a kill at any point leaves the old one or the new."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from gatewaylab.records.evidence import accept, read
from tests import builders

KILLS = 100


def test_a_kill_at_any_of_a_hundred_points_leaves_the_old_evidence_or_the_new(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Each child accepts one evidence after another until it is killed; the next one goes on."""
    trials = [builders.trial("a", 0, [0.1] * 2000), builders.trial("b", 0, [0.1] * 2000)]
    comparison = builders.comparison("c", trials, labels=["a", "b"])
    several = [builders.evidence(key=key, comparisons=(comparison,)) for key in ("one", "two")]
    known = [one.model_dump_json() for one in several]
    began = time.monotonic()
    path = accept(several[0], tmp_path)
    took = time.monotonic() - began
    chance, seen = random.Random(7), set()
    for kill in range(KILLS):
        child = os.fork()
        if child == 0:
            while True:
                kill += 1
                accept(several[kill % 2], tmp_path)
        time.sleep(chance.uniform(0, 4 * took))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = read(path)
        assert found.model_dump_json() in known
        seen.add(found.key)
    record_property("tries", KILLS)
    assert seen == {"one", "two"}
    accept(several[1], tmp_path)
    assert read(path).model_dump_json() == known[1]
