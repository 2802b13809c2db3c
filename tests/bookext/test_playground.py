"""The playground: what a page carries, with and without evidence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bookext import experiments, playground, still
from bookext.experiments import EXPERIMENTS, Experiment

from gatewaylab.model.arrivals import Poisson
from gatewaylab.model.queueing import slot_model
from gatewaylab.records.evidence import Evidence
from gatewaylab.records.results import Comparison, Trial
from gatewaylab.records.storage import save
from tests import ROOT, builders
from tests.bookext import site

FIRST = EXPERIMENTS[0]
SEED = 7
ASSETS = ROOT / "book" / "assets"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book" / "claims").mkdir(parents=True)
    pages = {"index": "# Front\n\n```{playground}\n```\n\n```{toctree}\nother\n```\n"}
    conf = f"html_static_path = [{str(ASSETS)!r}]\n"
    site.write(tmp_path, {**pages, "other": "# Other\n\nWords.\n"}, conf)
    return tmp_path


def trial(one: Experiment, label: str, **changes: Any) -> Trial:
    """A trial that went as the model says, each request a millisecond late and one longer."""
    plan = Poisson(one.rate).plan(one.seconds, SEED)
    slots = next(still.slots_of(lane) for lane in one.lanes if lane.label == label)
    latency = slot_model(plan, one.hold / 1000, slots) + 0.002
    samples = builders.samples(
        latency, service=one.hold / 1000 + 0.001, scheduled_at=plan, sent_at=plan,
        first_byte_at=plan + latency, finished_at=plan + latency,
        started_at=plan + latency - one.hold / 1000 - 0.001,
    )  # fmt: skip
    setup = {
        "server": {"name": "uvicorn"},
        "hold": one.hold / 1000,
        "slots": slots,
        "cpu_bound": False,
    }
    fields: dict[str, Any] = {
        "setup": setup, "arrivals": {"kind": "poisson", "rate": one.rate}, "seed": SEED,
        "warmup": 0.2, "seconds": one.seconds - 0.2, "recorded": samples,
    }  # fmt: skip
    return builders.trial(label, 0, [0.1]).model_copy(update={**fields, **changes})


def measured(book: Path, trials: list[Trial]) -> None:
    labels = tuple(lane.label for lane in FIRST.lanes)
    comparison = Comparison(
        name=FIRST.comparison, labels=labels, twin=labels[0], blocks=1, seed=1, trials=tuple(trials)
    )
    folder = book / "_build" / "evidence"
    folder.mkdir(parents=True, exist_ok=True)
    evidence: Evidence = builders.evidence(FIRST.notebook, comparisons=(comparison,))
    save(evidence, folder / f"{FIRST.notebook}.json")


def carried(book: Path) -> tuple[str, dict[str, Any]]:
    """The front page, and the experiments that it carries."""
    page = site.html(site.clean(book), "index")
    found = re.search(r'<script type="application/json">(.*?)</script>', page)
    assert found is not None
    return page, json.loads(found[1])


def test_without_evidence_there_are_plans_and_no_recordings(book: Path) -> None:
    _, data = carried(book)
    assert [one["name"] for one in data["experiments"]] == [one.name for one in EXPERIMENTS]
    lanes = [lane for one in data["experiments"] for lane in one["lanes"]]
    assert all(lane["trace"] is None and lane["measured"] is None for lane in lanes)
    assert {lane["kind"] for lane in lanes} == set(data["colors"]) == set(experiments.KINDS)


def test_the_sliders_reach_every_experiment() -> None:
    assert {one.rate for one in EXPERIMENTS} <= set(playground.RATES)
    assert {one.hold for one in EXPERIMENTS} <= set(playground.HOLDS)
    assert {one.compute for one in EXPERIMENTS} <= set(playground.COMPUTES)


def test_a_recorded_trial_is_carried_request_by_request(book: Path) -> None:
    trials = [trial(FIRST, lane.label) for lane in FIRST.lanes]
    measured(book, trials)
    _, data = carried(book)
    first = data["experiments"][0]
    assert first["seed"] == SEED
    assert first["seconds"] == pytest.approx(FIRST.seconds)
    for lane, one in zip(first["lanes"], trials, strict=True):
        waits = one.samples.started_at - one.samples.scheduled_at
        np.testing.assert_allclose(np.array(lane["trace"]["waits"]) / 1e4, waits, atol=6e-5)
        np.testing.assert_allclose(np.array(lane["trace"]["inside"]) / 1e4, 0.051, atol=6e-5)
        # Every request takes 2 ms longer than the model says, and so does the median.
        assert lane["measured"]["median"] - lane["measured"]["model"] == pytest.approx(2, abs=0.01)
        assert lane["measured"]["trials"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": SEED + 1},
        {"arrivals": {"kind": "poisson", "rate": 31.0}},
        {"setup": {"server": {"name": "uvicorn"}, "hold": 0.06, "slots": 8, "cpu_bound": False}},
        {"recorded": builders.samples([0.1, 0.1], started_at=[0.0, np.nan])},
    ],
    ids=["another plan", "another rate", "another hold time", "no trace"],
)
def test_a_trial_that_is_not_the_experiment_is_not_played(
    book: Path, changes: dict[str, Any]
) -> None:
    one, other = (lane.label for lane in FIRST.lanes)
    measured(book, [trial(FIRST, one), trial(FIRST, other, **changes)])
    _, data = carried(book)
    assert [lane["trace"] for lane in data["experiments"][0]["lanes"]] == [None, None]


def test_only_a_page_with_a_playground_loads_its_script(book: Path) -> None:
    app = site.clean(book)
    assert playground.SCRIPT in site.html(app, "index")
    assert playground.SCRIPT not in site.html(app, "other")


def test_the_script_is_all_modules_and_needs_none(book: Path) -> None:
    app = site.clean(book)
    text = Path(app.outdir, "_static", playground.SCRIPT).read_text(encoding="utf-8")
    assert re.findall(r"^\s*(?:import|export)\b", text, re.MULTILINE) == []
    files = sorted(path.stem for path in (ASSETS / "playground").glob("*.js"))
    assert files == sorted(playground.MODULES)
    for name in files:
        names = re.findall(
            r"^export function (\w+)",
            (ASSETS / "playground" / f"{name}.js").read_text("utf-8"),
            re.M,
        )
        assert [each for each in names if f"function {each}(" not in text] == []
    declared = re.findall(r"^(?:function|const|class) (\w+)", text, re.MULTILINE)
    assert len(declared) == len(set(declared)) > 20


def test_the_drawing_shows_every_request_of_the_model(book: Path) -> None:
    page, data = carried(book)
    seed = data["experiments"][0]["seed"]
    plan = Poisson(FIRST.rate).plan(FIRST.seconds, seed)
    waiting = [(slot_model(plan, 0.05, slots) > 0.05 + 1e-9).sum() for slots in (1, 8)]
    for kind, counts in (("holds", [len(plan)] * 2), ("waits", waiting)):
        paths = re.findall(rf'<path class="still-{kind}" d="([^"]*)"', page)
        assert [path.count("M") for path in paths] == counts
    assert waiting[0] > 10 * waiting[1]


def test_every_control_has_a_name(book: Path) -> None:
    page = carried(book)[0].partition('class="playground-stage"')[2].partition("<script")[0]
    labels = re.findall(r'<label for="([^"]+)"', page)
    assert labels == re.findall(r'<input type="range" id="([^"]+)"', page)
    free = re.findall(r"<(?:input|select)(?![^>]* id=)(?![^>]* aria-label=)[^>]*>", page)
    inside = re.findall(r"<label(?![^>]* for=)[^>]*>[^<]*<(?:input|select)", page)
    assert len(inside) == len(free) == 8
