"""The book's notebooks on a machine so noisy that every trial is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewaylab import compare, evidence, publish, readings
from gatewaylab.compare import Setup
from gatewaylab.execution import read_notebook
from gatewaylab.results import Trial
from gatewaylab.servers import project_root
from tests import builders

pytestmark = pytest.mark.live


#: The notebooks that time nothing but comparisons and readings, and the names of these.
NAMES = {"blocking", "coroutine", "one-core", "slots-as-they-come", "two-clients"}


@pytest.mark.parametrize(
    "name", ["slow-requests-and-slots", "blocking-in-a-coroutine", "why-benchmarks-disagree"]
)
def test_noise_leaves_inconclusive_claims_and_no_number(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(label: str, one: Setup, block: int, seed: int, window: object) -> Trial:
        return builders.trial(label, block, [0.1], refusals=("steal",))

    monkeypatch.setattr(compare, "_trial", refuse)
    monkeypatch.setattr(readings, "_read", lambda *_: (1.0, ["steal"]))
    monkeypatch.setenv(evidence.STAGING_VARIABLE, str(tmp_path))
    monkeypatch.chdir(project_root())
    book = publish.Book(project_root())
    names: dict[str, object] = {}
    for cell in read_notebook(book.root / f"notebooks/{name}.md").cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), names)
    parts = evidence.Staging(tmp_path).parts()
    timed = [c for c in parts["claims"] if c.effect is not None and c.effect.comparison in NAMES]
    assert timed
    assert all(claim.verdict == "inconclusive" for claim in timed)
    assert all(value.value is None for value in parts["values"].values())
