"""Numbers, effects and dates as readers see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from gatewaylab.publish.states import StateRecord
from gatewaylab.records.effects import Effect
from gatewaylab.records.evidence import ClaimRecord, ValueRecord

#: What stands where a number would be, had it been measured.
NOT_MEASURED = "not measured on this machine"

#: What stands where a number would be, had the instrument not declined to state it.
REFUSED = "no number: the instrument refused"


def number(value: float | int, form: str = "") -> str:
    """A number with three significant digits, or as ``form`` says.

    >>> number(6.1234), number(432), number(123456.0), number(6.1234, ".1f")
    ('6.12', '432', '123456', '6.1')
    """
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if form:
        return format(value, form).replace("-", "−")
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:.0f}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def many(n: int, word: str) -> str:
    """A number of things: "1 block", "6 blocks"."""
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def effect(value: Effect, form: str = "") -> str:
    """An effect with its 95 % interval, in the style of "6.1 × (5.8–6.4)"."""
    if value.refused:
        return REFUSED
    if value.kind == "behaviour":
        told = f"{sum(value.values):.0f} of {value.blocks} repetitions"
        return told + (f", {value.undecided} undecided" if value.undecided else "")
    low, high = number(value.low, form), number(value.high, form)
    unit = "×" if value.kind == "ratio" else value.unit
    shown = f"{number(value.estimate, form)}\u00a0{unit}".rstrip("\u00a0")
    return f"{shown} ({low}–{high})"


def quantity(value: ValueRecord, form: str = "") -> str:
    """A published value with its unit, a no-break space between them; in words if refused."""
    if value.value is None:
        return REFUSED
    text = number(value.value, form or value.format)
    return f"{text}\u00a0{value.unit}" if value.unit else text


def basis(value: Effect) -> str:
    """What an effect rests on: samples in blocks; the seed stands with the trials."""
    if value.kind == "behaviour":
        return f"{value.blocks} repetitions"
    if value.kind == "quantity":
        return f"{value.n} readings"
    seen = "requests" if value.n > value.blocks else "pairs of readings"
    return f"{value.n} {seen} in {value.blocks} blocks"


def disturbance(record: ClaimRecord) -> str:
    """How many blocks or repetitions noise can have moved, and what that means for the verdict."""
    assert record.effect is not None
    if record.effect.kind == "behaviour":
        return f"{record.disturbed} repetitions are undecided: noise can explain them"
    told = f"{record.disturbed} of {record.effect.blocks} blocks"
    if record.verdict in {"supported", "refuted"}:
        told += "; the verdict is the same with all that noise can have done taken off"
    return told


def result(record: ClaimRecord) -> str:
    """The measured part of a claim in one phrase."""
    if record.kind == "cited":
        return "cited, not measured"
    if record.kind == "opinion":
        return "an opinion, not measured"
    if record.effect is None:
        return NOT_MEASURED
    return effect(record.effect)


def verdict(record: ClaimRecord) -> str:
    """The word on a claim's badge."""
    return record.kind if record.kind in {"cited", "opinion"} else record.verdict


def state(record: ClaimRecord) -> str:
    """The style class that belongs to :func:`verdict`."""
    return "verdict-" + verdict(record).replace(" ", "-")


def is_measured(record: ClaimRecord) -> bool:
    """Whether a claim is one that a measurement decides."""
    return record.kind not in {"cited", "opinion"}


def state_of(record: StateRecord) -> str:
    """The word for the state of a notebook's evidence."""
    if record.state == "unstable":
        return "held back" if is_held(record) else "too noisy"
    return {"stale": "older numbers", "missing": "not measured"}.get(record.state, record.state)


def is_held(record: StateRecord) -> bool:
    """Whether the last attempt was whole and only its numbers were unlike all earlier ones."""
    return bool(record.reasons) and all(reason.kind == "held" for reason in record.reasons)


def why(record: StateRecord) -> str:
    """Why an attempt was not accepted, in one phrase."""
    return "; ".join(map(str, record.reasons))


def day(moment: str) -> str:
    """An ISO time as "22 November 2026"."""
    when = datetime.fromisoformat(moment)
    return f"{when.day} {when:%B %Y}"


def days(moments: Sequence[str]) -> str:
    """The first and the last day of ISO times, as one where they are the same."""
    first, last = day(min(moments)), day(max(moments))
    return first if first == last else f"{first} to {last}"


def minute(moment: str) -> str:
    """An ISO time as "22 November 2026 08:00 UTC"."""
    when = datetime.fromisoformat(moment)
    return f"{day(moment)} {when:%H:%M} {when.tzname() or ''}".rstrip()


def duration(begun: str, ended: str) -> str:
    """The time between two ISO times as "2:57 min"."""
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def clock(moment: str) -> str:
    """An ISO time as "2026-11-22 08:00 UTC"."""
    when = datetime.fromisoformat(moment)
    zone = when.tzname() or ""
    return f"{when:%Y-%m-%d %H:%M} {zone}".rstrip()
