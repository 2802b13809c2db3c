"""Small valid results for tests, so that each test states only what it is about."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from gatewaylab.load.samples import GeneratorReport, Samples
from gatewaylab.measure.rules import Seen
from gatewaylab.records.effects import Bounds, Effect
from gatewaylab.records.environment import Environment
from gatewaylab.records.evidence import ClaimRecord, Evidence, SabotageRecord
from gatewaylab.records.replication import Replication, chapter_of
from gatewaylab.records.results import Comparison, Finding, Trial


def samples(
    latencies: ArrayLike, *, spacing: float = 0.01, service: ArrayLike = 0.0, **columns: Any
) -> Samples:
    """One sample per latency (seconds; ``inf`` is censored), scheduled ``spacing`` apart."""
    latency = np.asarray(latencies, dtype=np.float64)
    scheduled = np.arange(len(latency), dtype=np.float64) * spacing
    finished = np.where(np.isinf(latency), math.nan, scheduled + latency)
    usual = {
        "scheduled_at": scheduled,
        "sent_at": scheduled,
        "first_byte_at": finished,
        "finished_at": finished,
        "status": np.where(np.isnan(finished), 0, 200),
        "error": np.where(np.isnan(finished), 1, 0),
        "service": np.full(len(latency), service),
        "started_at": finished - service,
        "worker": np.zeros(len(latency), dtype=np.int32),
        "workers": ("1/1",),
    }
    return Samples(**{**usual, **columns})


def changed(samples: Samples, **columns: Any) -> Samples:
    """The samples with other columns, validated anew."""
    return Samples(**{name: getattr(samples, name) for name in Samples.model_fields} | columns)


REPORT = GeneratorReport(
    transport="raw",
    planned=1,
    sent=1,
    connections=1,
    reconnects=0,
    peak_in_flight=1,
    cpu_seconds=0.01,
    wall_seconds=1.0,
    run_queue_seconds=0.0,
    monotonic_start=0.0,
)


def report(**changes: object) -> GeneratorReport:
    """What a generator of one request says of itself."""
    return GeneratorReport.model_validate({**REPORT.model_dump(), **changes})


def finding(
    rule: str = "steal",
    kind: Literal["wrong data", "generator", "disturbance"] = "disturbance",
    *,
    message: str | None = None,
) -> Finding:
    """What a rule found; by default a disturbance, told with a number."""
    told = f"{rule}: 9.0 of 1.0 allowed" if message is None else message
    return Finding(rule=rule, kind=kind, measured=9.0, allowed=1.0, message=told)


def trial(label: str, block: int, latencies: Sequence[float], **changes: object) -> Trial:
    """A trial without warm-up."""
    fields: dict[str, object] = {
        "label": label,
        "block": block,
        "setup": {},
        "arrivals": {"kind": "constant", "rate": 100.0},
        "seed": block,
        "warmup": 0.0,
        "seconds": 1.0,
        "deadline": 10.0,
        "started": "2026-01-01T00:00:00+00:00",
        "samples": samples(latencies),
        "generator": REPORT,
        "health": {},
        "findings": (),
    }
    return Trial.model_validate({**fields, **changes})


def comparison(name: str, trials: Sequence[Trial], *, labels: Sequence[str]) -> Comparison:
    """A comparison whose twin is its first label."""
    return Comparison(
        name=name,
        labels=tuple(labels),
        twin=labels[0],
        blocks=len({t.block for t in trials}),
        seed=1,
        trials=tuple(trials),
    )


def effect(estimate: float, low: float, high: float, **changes: object) -> Effect:
    """A ratio whose 90 % interval is its 95 % interval."""
    fields: dict[str, object] = {
        "kind": "ratio",
        "what": "median latency, a ÷ b",
        "estimate": estimate,
        "low": low,
        "high": high,
        "low90": low,
        "high90": high,
        "floor": 1.0,
        "n": 100,
        "blocks": 6,
        "seed": 1,
        "values": (estimate,) * 6,
        "comparison": "c",
    }
    return Effect.model_validate({**fields, **changes})


def quieted(one: Effect, low: float, high: float, **changes: object) -> Effect:
    """The effect with other bounds when all that noise can have done is taken off."""
    bounds = Bounds(low=low, high=high, low90=low, high90=high)
    return one.model_copy(update={"quiet": bounds, "shifts": (0.5,) * one.blocks, **changes})


def claim_record(
    identifier: str = "C05", verdict: str = "supported", **changes: object
) -> ClaimRecord:
    """A measured ratio claim."""
    fields: dict[str, object] = {
        "id": identifier,
        "title": "people say",
        "statement": "the book says",
        "kind": "ratio",
        "verdict": verdict,
        "common_verdict": "false",
        "nuance": "why",
        "effect": effect(6.0, 5.0, 7.0),
        "threshold": 2.0,
        "theory": 4.0,
        "rule": "at least 2",
        "sabotage": SabotageRecord(what="b ÷ b", effect=effect(1.0, 0.9, 1.1), verdict="refuted"),
        "sources": (),
        "notebook": "some",
    }
    return ClaimRecord.model_validate({**fields, **changes})


def entry(name: str = "C01", *, source: str = "", **changes: str) -> str:
    """A claim's entry in a catalogue: a behaviour that holds, without a source."""
    usual = {"title": "t", "statement": "s", "kind": "behaviour", "common_verdict": "true"}
    fields = {**usual, "nuance": "n", "notebook": "some", **changes}
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    sources = f'{{ label = "{name}", url = "{source}" }}' if source else ""
    return "\n".join([f"[{name}]", *lines, f"sources = [{sources}]", ""])


ENVIRONMENT = Environment(
    cpu="a processor",
    cores=2,
    memory_gib=4.0,
    kernel="6",
    system="Linux",
    kind="a processor × 2, Python 3.11",
    container="none found",
    ci=False,
    python="CPython 3.11.7",
    gil=True,
    packages={},
    lock="",
    commit=None,
)


def evidence(notebook: str = "some", key: str = "k", **changes: object) -> Evidence:
    """A notebook's evidence with one claim."""
    fields: dict[str, object] = {
        "notebook": notebook,
        "key": key,
        "profile": "quick",
        "measured_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:01:40+00:00",
        "claims": (claim_record(),),
        "values": {},
        "systems": (),
        "comparisons": (),
        "environment": ENVIRONMENT,
        "executed": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5},
    }
    return Evidence.model_validate({**fields, **changes})


def behaviour(held: int = 5, of: int = 5) -> Effect:
    """A behaviour that held in so many repetitions."""
    values = (1.0,) * held + (0.0,) * (of - held)
    low, high = min(values, default=math.nan), max(values, default=math.nan)
    return effect(
        held / of if of else math.nan, low, high,
        kind="behaviour", values=values, blocks=of, n=of,
    )  # fmt: skip


def machine(**changes: object) -> Environment:
    """A machine that differs from the usual one."""
    return Environment.model_validate({**ENVIRONMENT.model_dump(), **changes})


def replication(*claims: ClaimRecord, note: str = "", **changes: object) -> Replication:
    """What one machine found of one chapter; ``changes`` are of its evidence."""
    found = evidence(**({"claims": claims or (claim_record(),)} | changes))  # type: ignore[arg-type]
    return Replication(
        version="0", commit="abc123", at=found.measured_at, note=note,
        chapters={found.notebook: chapter_of(found)},
    )  # fmt: skip


def seen(report: GeneratorReport, samples: Samples, health: dict[str, float], **given: Any) -> Seen:
    """A trial for the rules; if no window is given, it ends at the last scheduled start."""
    last = float(samples.scheduled_at.max()) if len(samples) else 0.0
    begin = given.setdefault("warmup", 0.0)
    given.setdefault("seconds", max(last - begin, 1e-9))
    return Seen(report, samples, health, **given)
