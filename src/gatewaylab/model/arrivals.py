"""When requests are meant to start: seeded plans that no slow server can stretch.

In the *open* model the starts are fixed before the first request is sent, either evenly
(:class:`ConstantRate`) or at random (:class:`Poisson`). In the *closed* model
(:class:`Closed`) a client starts its next request only after the last answer, so there is no
plan, and a slow server slows its own load: such results are always labelled closed.

Nothing here reads a clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gatewaylab.errors import InputError

#: The largest plan, in expected requests; beyond it the samples no longer fit in memory.
MAX_PLANNED = 5_000_000

#: The names that :func:`parse_arrivals` understands.
KINDS = ("constant", "poisson", "closed")


@dataclass(frozen=True)
class _Open:
    """What open models share.

    Attributes:
        rate: requests per second, on average.

    Raises:
        InputError: the rate is not a finite number above 0.
    """

    kind: ClassVar[str]
    word: ClassVar[str]
    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", _positive("rate", self.rate, "requests per second"))

    @property
    def label(self) -> str:
        """How a table names this process."""
        return f"open, {self.word}, {self.rate:g}/s"

    def as_dict(self) -> dict[str, str | float]:
        """JSON-able form; ``parse_arrivals(**as_dict())`` gives the process back."""
        return {"kind": self.kind, "rate": self.rate}


class ConstantRate(_Open):
    """Open model, evenly spaced: starts at 0, 1/rate, 2/rate, …"""

    kind = word = "constant"

    def plan(self, seconds: float, seed: int) -> NDArray[np.float64]:
        """Scheduled starts in seconds, sorted, in ``[0, seconds)``, shape ``(n,)``.

        Nothing is random here; ``seed`` is checked all the same, so that the processes can be
        exchanged for one another.

        Raises:
            InputError: ``seconds`` or ``seed`` is unusable, or the plan is too large.
        """
        seconds = _window(self.rate, seconds)
        _whole("seed", seed, 0)
        # One start too many, then a cut: rate × seconds may round to either side of a whole number.
        starts = np.arange(math.ceil(self.rate * seconds) + 1, dtype=np.float64) / self.rate
        return starts[starts < seconds]


class Poisson(_Open):
    """Open model, memoryless: independent exponential gaps of mean 1/rate.

    The plan is made from the raw output of PCG64 by the inverse distribution function. NumPy
    promises that stream for ever, which it does not for its distribution methods, so a stored
    seed keeps its meaning under later versions.

    Three consequences worth knowing:

    * A longer plan of the same seed begins with the shorter one, start for start.
    * Counts in disjoint windows are independent. Cutting off a warm-up therefore leaves a
      Poisson process that knows nothing about what was cut.
    * The same seed at another rate gives the same gaps, scaled. Plans that are meant to be
      independent need different seeds.
    """

    kind, word = "poisson", "Poisson"

    def plan(self, seconds: float, seed: int) -> NDArray[np.float64]:
        """Scheduled starts in seconds, sorted, in ``[0, seconds)``, shape ``(n,)``.

        ``n`` is itself random, with mean and variance ``rate × seconds``; it may be 0.

        Raises:
            InputError: ``seconds`` or ``seed`` is unusable, or the plan is too large.
        """
        seconds = _window(self.rate, seconds)
        bits = np.random.PCG64(np.random.SeedSequence(_whole("seed", seed, 0)))
        expected = self.rate * seconds
        chunk = int(expected) + 16
        parts: list[NDArray[np.float64]] = []
        last = 0.0
        while last < seconds:
            uniform = (np.asarray(bits.random_raw(chunk)) >> np.uint64(11)) * 2.0**-53
            gaps = -np.log1p(-uniform) / self.rate
            gaps[0] += last  # continues the running sum, so chunk borders leave no trace
            parts.append(np.cumsum(gaps))
            last = float(parts[-1][-1])
            chunk = int(2 * math.sqrt(expected)) + 16  # what is missing is a few deviations
        starts = np.concatenate(parts)
        return starts[: np.searchsorted(starts, seconds, side="left")]


@dataclass(frozen=True)
class Closed:
    """Closed model: each of ``clients`` waits for its answer, then ``think`` seconds, and repeats.

    Attributes:
        clients: how many clients run at once.
        think: seconds between an answer and the same client's next request.

    Raises:
        InputError: fewer than one client, or a think time that is negative or not finite.
    """

    kind: ClassVar[str] = "closed"
    clients: int
    think: float = 0.0

    def __post_init__(self) -> None:
        clients = _whole("clients", self.clients, 1)
        think = _number("think", self.think)
        if think < 0:
            raise InputError(f"think must be 0 or more seconds, not {self.think!r}")
        object.__setattr__(self, "clients", clients)
        object.__setattr__(self, "think", think)

    @property
    def label(self) -> str:
        """How a table names this process; it always says *closed*."""
        noun = "client" if self.clients == 1 else "clients"
        pause = f", thinking {self.think:g} s" if self.think else ""
        return f"closed, {self.clients} {noun}{pause}"

    def as_dict(self) -> dict[str, str | float]:
        """JSON-able form; ``parse_arrivals(**as_dict())`` gives the process back."""
        return {"kind": self.kind, "clients": self.clients, "think": self.think}


Arrivals = ConstantRate | Poisson | Closed


def parse_arrivals(
    kind: str, rate: float | None = None, *, clients: int | None = None, think: float = 0.0
) -> Arrivals:
    """The arrival process that a command line (or a stored result) names.

    Args:
        kind: one of :data:`KINDS`, in any case.
        rate: requests per second, for the open kinds.
        clients: how many clients, for ``closed``; it has no rate, so ``rate`` is not read.
        think: seconds between answer and next request, for ``closed``.

    Raises:
        InputError: the kind is unknown, or what it needs is missing or unusable.
    """
    name = kind.strip().lower()
    if name == Closed.kind:
        if clients is None:
            raise InputError("the closed model has clients instead of a rate: say how many clients")
        return Closed(clients, think)
    if name not in KINDS:
        raise InputError(f"unknown arrivals {kind!r}; choose one of {', '.join(KINDS)}")
    if clients is not None:
        raise InputError(f"{name} arrivals have no clients: give a rate, or choose closed")
    if rate is None:
        raise InputError(f"{name} arrivals need a rate in requests per second")
    return ConstantRate(rate) if name == ConstantRate.kind else Poisson(rate)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{name} must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{name} must be finite, not {value!r}")
    return number


def _positive(name: str, value: object, unit: str) -> float:
    number = _number(name, value)
    if number <= 0:
        raise InputError(f"{name} must be more than 0 {unit}, not {value!r}")
    return number


def _window(rate: float, seconds: object) -> float:
    window = _positive("seconds", seconds, "s")
    if rate * window > MAX_PLANNED:
        raise InputError(
            f"{rate:g} requests/s for {window:g} s is {rate * window:.3g} requests, more than the "
            f"{MAX_PLANNED:,} that one run can hold; lower the rate or measure for less time"
        )
    return window


def _whole(name: str, value: object, least: int) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:  # type: ignore[operator]
        raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)  # type: ignore[call-overload, no-any-return]
