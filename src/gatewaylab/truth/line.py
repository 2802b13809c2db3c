"""One line of the self-check: what was true, what was measured, and whether that is near enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """One line of the self-check.

    Attributes:
        name: of the check. what: in one sentence.
        unit: of truth and measured. error_unit: of error and allowed.
        truth, measured: numbers, or words where the answer is not a number.
        error: how far measured is from the truth; None where words are compared.
        allowed: how far it may be.
        verdict: ``green``, ``red`` or ``inconclusive`` (what was lost to others explains the error,
            each time).
        why: what else was wrong about a red line; what was lost if inconclusive.
        samples: requests measured.
        needs: seconds that others must have taken to explain a line that is not green; infinite
            when nothing explains it.
        details: further numbers by name, with their unit, that are not judged themselves.
    """

    name: str
    what: str
    unit: str
    truth: float | str
    measured: float | str
    error: float | None
    allowed: float | None
    error_unit: str
    verdict: str
    samples: int
    needs: float = math.inf
    why: tuple[str, ...] = ()
    details: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form; a number that is not finite becomes its name, as in every result."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def judge(
    name: str,
    what: str,
    *,
    unit: str,
    truth: float | str,
    measured: float | str,
    samples: int,
    error: float | None = None,
    allowed: float | None = None,
    error_unit: str = "%",
    beyond: tuple[str, ...] = (),
    faults: tuple[str, ...] = (),
    needs: float = math.inf,
    details: Mapping[str, float] | None = None,
) -> Check:
    """The line for one measurement: green if the error is allowed and nothing else is wrong.

    Args:
        beyond: further numbers that are off. faults: what no disturbance explains.
        needs: seconds that others must have taken to explain ``error`` and ``beyond``.
    """
    near = allowed is None or (error is not None and error <= allowed)
    good = near and not beyond and not faults
    return Check(
        name=name,
        what=what,
        unit=unit,
        truth=truth,
        measured=measured,
        error=error,
        allowed=allowed,
        error_unit=error_unit,
        verdict="green" if good else "red",
        samples=samples,
        needs=math.inf if faults or math.isnan(needs) else needs,
        why=(*beyond, *faults),
        details=details or {},
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return list(value) if isinstance(value, tuple) else value
