"""Compare plain numbers the way trials are compared: in shuffled blocks, one label twice.

A reading is whatever a callable returns: what a load tool says, the memory of a process, the CPU
seconds of a request. It is the callable's business to start afresh each time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gatewaylab import noise, stats
from gatewaylab.compare import design, progress
from gatewaylab.errors import InputError, RefusedError
from gatewaylab.evidence import staging
from gatewaylab.outcome import ratio_of
from gatewaylab.results import AGAIN, PREDICTED, Effect, Expected, Readings

#: Readings of the machine that refuse a number; the tools under test compute, so pressure does not.
_WATCHED = ("foreign_cpu", "steal")


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
            broken=sorted(readings.refused),
        )

    def quantity(self, label: str) -> Effect:
        """The number of one label itself: its median with a signed-rank interval."""
        readings = self.readings
        what = f"{readings.what}, {label}"
        return quantity(
            what, self.values(label), unit=readings.unit, probe=readings.name, seed=readings.seed
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
) -> Read:
    """Read every source once a block, in random order, the twin twice.

    A reading that a stranger disturbed (foreign CPU, steal) is repeated as a refused trial is.

    Args:
        name: unique in the notebook, usable as a file name; the seed is derived from it.
        sources: by label, what returns one number in ``unit``.
        what: the quantity in words.
        blocks, twin: as for :func:`compare.compare`.
        expected: by label, what the slot model predicts; it needs a unit of ``ms`` or ``/s``.

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
    refused: Counter[str] = Counter()
    with progress(name, len(plan.labels) * plan.blocks) as step:

        def measure(label: str, block: int) -> bool:
            source = sources[label if label in sources else label.removesuffix(AGAIN)]
            value, broken = _read(name, label, source)
            refused.update(broken)
            if broken:
                return False
            values[label][block] = value
            step()
            return True

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
        refused=dict(refused),
        expected=expected,
    )
    if (stage := staging()) is not None:
        stage.readings(found)
    return Read(found)


def _read(name: str, label: str, source: Callable[[], float]) -> tuple[float, list[str]]:
    """One number, and the names of the readings of the machine that speak against it."""
    with noise.Watch(spin=0) as watch:
        value = float(source())
    if not math.isfinite(value):
        raise InputError(f"{name}: {label!r} returned {value!r}, which is not a finite number")
    bounds = {reading: noise.MAX_HEALTH[reading] for reading in _WATCHED}
    return value, [r for r, most in bounds.items() if watch.health.get(r, 0.0) > most]


def quantity(
    what: str, values: list[float], *, unit: str = "", probe: str, seed: int = 0
) -> Effect:
    """A number read several times, as an effect: Hodges–Lehmann estimate, signed-rank interval.

    Fewer values than an interval needs make a refused effect, not an error.
    """
    refused: tuple[str, ...] = ()
    low = high = low90 = high90 = middle = math.nan
    try:
        low, high = stats.signed_rank_interval(values, 0.95)
        low90, high90 = stats.signed_rank_interval(values, 0.90)
        middle = stats.hodges_lehmann(values)
    except (RefusedError, InputError) as reason:
        refused = (str(reason),)
    return Effect(
        kind="quantity", what=what, estimate=middle, low=low, high=high, low90=low90,
        high90=high90, n=len(values), blocks=len(values), seed=seed, values=tuple(values),
        comparison=probe, unit=unit, refused=refused,
    )  # fmt: skip


__all__ = ["Expected", "Read", "quantity", "readings"]
