"""Small HTML tables for notebooks: one row a configuration, numbers aligned, text escaped."""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gatewaylab.errors import InputError
from gatewaylab.measure.outcome import Outcome
from gatewaylab.servers.conditions import conditions_so_far

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows with the same keys; the keys are the header, the conditions of the servers the foot."""

    rows: Sequence[Mapping[str, Cell]]
    caption: str
    conditions: str = field(default_factory=conditions_so_far)

    def __post_init__(self) -> None:
        if not self.rows:
            raise InputError("a table needs at least one row")
        if any(list(row) != list(self.rows[0]) for row in self.rows):
            raise InputError("all rows of a table need the same columns in the same order")

    def __repr__(self) -> str:
        lines = ["  ".join(self.rows[0])]
        lines += ["  ".join(shown(value) for value in row.values()) for row in self.rows]
        return "\n".join([self.caption, *lines])

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col"{_aligned(value)}>{html.escape(name)}</th>'
            for name, value in self.rows[0].items()
        )
        body = "".join(
            f"<tr>{''.join(_cell(value) for value in row.values())}</tr>" for row in self.rows
        )
        return (
            f'<div class="pst-scrollable-table-container"><table class="table"><caption>'
            f"{html.escape(self.caption)}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody>{self._foot()}</table></div>"
        )

    def _foot(self) -> str:
        if not self.conditions:
            return ""
        cell = f'<td colspan="{len(self.rows[0])}">{self.conditions}</td>'
        return f"<tfoot><tr>{cell}</tr></tfoot>"


def shown(value: Cell) -> str:
    """A value as a table prints it: three significant digits, – for none, ∞ for censored."""
    if value is None:
        return "–"
    if isinstance(value, float):
        if math.isinf(value):
            return "≥ deadline"
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def _cell(value: Cell) -> str:
    return f"<td{_aligned(value)}>{html.escape(shown(value))}</td>"


def _aligned(value: Cell) -> str:
    return ' class="number"' if isinstance(value, int | float) else ""


def latencies(outcome: Outcome, *, caption: str) -> Table:
    """The median latency of each configuration, beside what the slot model says it is.

    Each number is the median over the blocks of the median within a block; the samples of
    different trials are never pooled.
    """
    rows: list[dict[str, Cell]] = []
    for label, one in outcome.setups.items():
        trials = outcome.comparison.of(label)
        if not trials:
            rows.append({"configuration": label, "slots": None, "median, ms": None,
                         "model, ms": None, "requests": 0, "blocks": 0})  # fmt: skip
            continue
        rows.append(
            {
                "configuration": label,
                "slots": "no bound" if one.slots is None else str(one.slots),
                "median, ms": 1000 * statistics.median(outcome.quantiles(label)),
                "model, ms": None if one.hold is None else 1000 * outcome.predicted(label),
                "requests": sum(len(trial.measured) for trial in trials),
                "blocks": len(trials),
            }
        )
    return Table(rows, caption)
