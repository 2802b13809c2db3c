"""The few lines that the command line prints of one run."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from gatewaylab.errors import RefusedError
from gatewaylab.load.samples import ERRORS, GeneratorReport, Samples
from gatewaylab.load.wire import DEADLINE
from gatewaylab.model.quantiles import quantile_of


def summary(
    samples: Samples,
    report: GeneratorReport,
    seconds: float,
    *,
    warmup: float = 0.0,
    deadline: float | None = None,
) -> dict[str, Any]:
    """What the command line prints of one run, ready for display (milliseconds, rounded).

    Quantiles that the samples cannot carry are left out; one that falls among the unanswered
    requests reads ``>= deadline``. Requests that failed otherwise count in none of them, because
    an error that comes fast is no fast answer.
    """
    measured = samples.rows(samples.scheduled_at >= warmup)
    inside = (measured.finished_at < warmup + seconds) & (measured.error == 0)
    sent = measured.send_lag[~np.isnan(measured.send_lag)]
    beyond = ">= deadline" if deadline is None else f">= {1e3 * deadline:g}"
    # A request without an answer in time is slow, however long; one that failed is neither.
    answered = (measured.error == 0) | (measured.error == DEADLINE)
    latency = measured.latency[answered]

    def shown(value: float) -> float | str:
        return round(1e3 * value, 3) if np.isfinite(value) else beyond

    table: dict[str, Any] = {
        "transport": report.transport,
        "planned": len(measured),
        "sent_rate": round(len(sent) / seconds, 2),
        "throughput": round(int(inside.sum()) / seconds, 2),
        "errors": {
            ERRORS[code]: int((measured.error == code).sum())
            for code in range(1, len(ERRORS))
            if (measured.error == code).any()
        },
    }
    if not answered.all():
        table["quantiles_leave_out"] = f"the {(~answered).sum()} requests that failed"
    if unknown := int((measured.length_unknown == 1).sum()):
        table["length_unknown"] = f"{unknown} answers, which may be whole or cut off"
    for p in (0.5, 0.9, 0.95, 0.99):
        with contextlib.suppress(RefusedError):
            if len(latency):
                table[f"p{100 * p:g}_ms"] = shown(quantile_of(latency, p))
    if len(latency):
        table["max_ms"] = shown(float(latency.max()))
    if len(sent):
        lag = np.sort(sent)
        for p in (0.5, 0.99):
            table[f"send_lag_p{100 * p:g}_ms"] = shown(float(lag[int(p * (len(lag) - 1))]))
    table["connections"] = report.connections
    table["reconnects"] = report.reconnects
    table["retries"] = report.retries
    return table
