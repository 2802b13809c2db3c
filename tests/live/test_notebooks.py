"""The book's notebooks on a machine so noisy that no trial tells anything."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from gatewaylab.measure import compare, readings
from gatewaylab.measure.outcome import Setup
from gatewaylab.publish.book import Book
from gatewaylab.publish.execution import read_notebook
from gatewaylab.records import staging
from gatewaylab.records.results import Trial
from tests import ROOT, builders

pytestmark = pytest.mark.live


#: The notebooks that time nothing but comparisons and readings, and the names of these.
NAMES = {"blocking", "coroutine", "one-core", "slots-as-they-come", "two-clients"}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        # Its trials' own traces are claimed about, and these made-up ones have none.
        ("slow-requests-and-slots", "sent"),
        ("blocking-in-a-coroutine", "sent"),
        ("blocking-in-a-coroutine", "steal"),
        ("why-benchmarks-disagree", "sent"),
        ("why-benchmarks-disagree", "steal"),
    ],
)
def test_noise_leaves_inconclusive_claims(
    name: str, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the generator never keeps its plan, or others have all of the machine."""
    found = builders.finding(rule, "generator" if rule == "sent" else "disturbance")

    def noisy(label: str, one: Setup, block: int, seed: int, window: object) -> Trial:
        trial = builders.trial(label, block, [0.1], findings=(found,))
        return trial.model_copy(update={"health": {"stolen": 1e6}})

    monkeypatch.setattr(compare, "_trial", noisy)
    monkeypatch.setattr("gatewaylab.claims.claim.startable", set)
    monkeypatch.setattr(readings, "_read", lambda *_: (1.0, math.inf))
    monkeypatch.setenv(staging.STAGING_VARIABLE, str(tmp_path))
    monkeypatch.chdir(ROOT)
    book = Book(ROOT)
    names: dict[str, object] = {}
    for cell in read_notebook(book.root / f"notebooks/{name}.md").cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), names)
    parts = staging.Staging(tmp_path).parts()
    timed = [c for c in parts["claims"] if c.effect is not None and c.effect.comparison in NAMES]
    assert timed
    assert all(claim.verdict == "inconclusive" for claim in timed)
    if rule == "sent" and not parts["readings"]:  # no rule refuses a reading
        assert all(value.value is None for value in parts["values"].values())
