"""Compare plain numbers the way trials are compared: in shuffled blocks, one label twice.

A reading is whatever a callable returns: what a load tool says, the memory of a process, the CPU
seconds of a request. It is the callable's business to start afresh each time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gatewaylab.errors import InputError, RefusedError
from gatewaylab.guard import procfs
from gatewaylab.measure import noise
from gatewaylab.measure.compare import progress
from gatewaylab.measure.design import Came, design
from gatewaylab.measure.disturbance import MARGIN, QUIET, Loss, reach, share_lost
from gatewaylab.measure.outcome import no_number, ratio_of
from gatewaylab.model import stats
from gatewaylab.records.effects import Bounds, Effect
from gatewaylab.records.results import AGAIN, PREDICTED, Expected, Finding, Readings, Touched
from gatewaylab.records.staging import staging
from gatewaylab.timeline import session


@dataclass(frozen=True)
class Read:
    """The numbers of every label, and the questions that may be asked of them."""

    readings: Readings

    def values(self, label: str) -> list[float]:
        """The accepted numbers of a label, in block order."""
        return list(self._per_block(label).values())

    def ratio(self, a: str, b: str) -> Effect:
        """The number of ``a`` divided by that of ``b``, block by block."""
        readings = self.readings
        return ratio_of(
            self._per_block,
            a,
            b,
            twin=readings.twin,
            what=f"{readings.what}, {a} ÷ {b}",
            name=readings.name,
            seed=readings.seed,
            shifts=lambda label: readings.shifts.get(label, {}),
            touched=readings.touched,
        )

    def quantity(self, label: str) -> Effect:
        """The number of one label itself: its median with a signed-rank interval."""
        readings = self.readings
        what = f"{readings.what}, {label}"
        shifts = readings.shifts.get(label, {})
        return quantity(
            what,
            self.values(label),
            unit=readings.unit,
            probe=readings.name,
            seed=readings.seed,
            shifts=[shifts.get(block, 0.0) for block in self._per_block(label)],
            touched=readings.touched,
        )

    def _per_block(self, label: str) -> Mapping[int, float]:
        if label not in self.readings.values:
            raise InputError(f"no label {label!r}; there are: {', '.join(self.readings.labels)}")
        return dict(sorted(self.readings.values[label].items()))


def readings(
    name: str,
    sources: Mapping[str, Callable[[], float]],
    *,
    what: str,
    unit: str = "",
    blocks: int | None = None,
    twin: str | None = None,
    expected: Mapping[str, Expected] | None = None,
    touched: Touched = "nothing",
    margin: float = MARGIN,
    systems: Sequence[str] = (),
) -> Read:
    """Read every source once a block, in random order, the twin twice.

    A reading that others can have moved by more than a quarter of ``margin`` is taken once more,
    and then used and marked, as a trial is.

    Args:
        name: unique in the notebook, usable as a file name; the seed is derived from it.
        sources: by label, what returns one number in ``unit``.
        what: the quantity in words.
        blocks, twin: as for :func:`compare.compare`.
        expected: by label, what the slot model predicts; it needs a unit of ``ms`` or ``/s``.
        touched: what noise does to a value: it lengthens a ``time`` and lowers a ``rate``; memory
            and computing time it leaves alone.
        margin: as for :func:`compare.compare`.
        systems: what the sources call in this very process, by the names that claims use.

    Raises:
        InputError: the request makes no sense, or a source returned no finite number.
    """
    expected = dict(expected or {})
    if expected and (unit not in PREDICTED or expected.keys() - sources.keys()):
        raise InputError(
            f"{name}: predictions are for labels of the readings, whose unit must then be "
            f"{' or '.join(PREDICTED)}; these are for {', '.join(expected)}, in {unit!r}"
        )
    plan = design(name, list(sources), twin=twin, blocks=blocks)
    values: dict[str, dict[int, float]] = {label: {} for label in plan.labels}
    shifts: dict[str, dict[int, float]] = {label: {} for label in plan.labels}
    repeated = 0
    with session.at_work(*systems), progress(name, len(plan.labels) * plan.blocks) as step:

        def measure(label: str, block: int, last: bool) -> Came:
            nonlocal repeated
            source = sources[label if label in sources else label.removesuffix(AGAIN)]
            value, shift = _read(name, label, source)
            disturbed = touched != "nothing" and shift > QUIET * margin
            counts = last or not disturbed
            if counts:
                values[label][block] = value
                if touched != "nothing":
                    shifts[label][block] = shift
            repeated += not counts
            step(counts)
            return "disturbed" if disturbed else "good"

        plan.run(measure)
    found = Readings(
        name=name,
        what=what,
        unit=unit,
        labels=tuple(sources),
        twin=plan.twin,
        blocks=plan.blocks,
        seed=plan.seed,
        values=values,
        touched=touched,
        shifts=shifts if touched != "nothing" else {},
        repeated=repeated,
        expected=expected,
    )
    if (stage := staging()) is not None:
        stage.readings(found)
    return Read(found)


def _read(name: str, label: str, source: Callable[[], float]) -> tuple[float, float]:
    """One number, and how far noise can have moved it if it is a time or a rate, as a logarithm.

    That is the share of the reading's own time that others took.
    """
    with noise.NoiseWatch() as watch, session.under_load():
        begun = procfs.waited([os.getpid()])
        value = float(source())
        waited = procfs.waited([os.getpid()]) - begun
    if not math.isfinite(value):
        raise InputError(f"{name}: {label!r} returned {value!r}, which is not a finite number")
    health = watch.health
    # What a source starts and ends itself can't be asked afterwards; the pressure knows of it.
    pressure = min(1.0, (os.cpu_count() or 1) * health.get("psi_some", 0.0))
    loss = Loss(
        waited=health.get("others", 0.0) * max(waited, pressure * health["window_seconds"]),
        stolen=health.get("stolen", 0.0),
        throttled=health["throttled"],
    )
    return value, share_lost(loss, health["window_seconds"])


def quantity(
    what: str,
    values: Sequence[float],
    *,
    unit: str = "",
    probe: str,
    seed: int = 0,
    shifts: Sequence[float] = (),
    touched: Touched = "nothing",
) -> Effect:
    """A number read several times, as an effect: Hodges–Lehmann estimate, signed-rank interval.

    Fewer values than an interval needs make a refused effect, not an error.

    Args:
        shifts, touched: how far noise can have moved each value, as a logarithm, and in which
            direction.
    """
    refused: tuple[Finding, ...] = ()
    low = high = low90 = high90 = middle = math.nan
    quiet = None
    try:
        low, high = stats.signed_rank_interval(values, 0.95)
        low90, high90 = stats.signed_rank_interval(values, 0.90)
        middle = stats.hodges_lehmann(values)
        if touched != "nothing" and any(shifts):
            reaches = [reach(shift, touched) for shift in shifts]
            least = [v * math.exp(-down) for v, (down, _) in zip(values, reaches, strict=True)]
            most = [v * math.exp(up) for v, (_, up) in zip(values, reaches, strict=True)]
            lows = [stats.signed_rank_interval(least, level)[0] for level in (0.95, 0.90)]
            highs = [stats.signed_rank_interval(most, level)[1] for level in (0.95, 0.90)]
            quiet = Bounds(low=lows[0], high=highs[0], low90=lows[1], high90=highs[1])
    except (RefusedError, InputError) as reason:
        refused = (no_number(reason, len(values)),)
    return Effect(
        kind="quantity", what=what, estimate=middle, low=low, high=high, low90=low90,
        high90=high90, n=len(values), blocks=len(values), seed=seed, values=tuple(values),
        comparison=probe, unit=unit, shifts=tuple(shifts), quiet=quiet, refused=refused,
    )  # fmt: skip
