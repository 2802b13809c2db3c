"""What queueing theory says a request must wait: exact recursions, and closed forms to check them.

A *slot* holds one request from its start to its end. Given a plan and the time that each
request holds its slot, :func:`lindley` (one slot) and :func:`kiefer_wolfowitz` (several) give
every request's wait without any assumption about distributions: they are the ground truth that
the instrument is held against. The closed forms hold in the long run and for stated
distributions only; they are the second opinion, and the lines in the figures.

All times are seconds, all arrays one-dimensional, all queues first come, first served and
unlimited. Pure functions: no clock, no randomness, no input or output.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gatewaylab.errors import InputError

Floats = NDArray[np.float64]
FloatsLike = NDArray[np.float64] | Sequence[float]


def lindley(arrivals: FloatsLike, services: float | FloatsLike) -> Floats:
    """Waits before service in a queue with one slot.

    ``wait[i + 1] = max(0, wait[i] + service[i] - (arrival[i + 1] - arrival[i]))``.

    Args:
        arrivals: sorted arrival times, shape ``(n,)``.
        services: seconds that each request holds the slot, shape ``(n,)``, or one for all.

    Returns:
        Seconds from arrival to start of service, shape ``(n,)``.

    Raises:
        InputError: arrivals not sorted or not finite, services negative or of another length.

    Source: D. V. Lindley, "The theory of queues with a single server", 1952.
    """
    times, holds = _checked(arrivals, services)
    waits = np.empty(len(times))
    wait, busy, previous = 0.0, 0.0, -math.inf
    for i, (time, hold) in enumerate(zip(times.tolist(), holds.tolist(), strict=True)):
        wait = max(0.0, wait + busy - (time - previous))
        waits[i] = wait
        busy, previous = hold, time
    return waits


def kiefer_wolfowitz(arrivals: FloatsLike, services: float | FloatsLike, slots: int) -> Floats:
    """Waits before service in a queue with ``slots`` equal slots and one shared line.

    The times at which the slots become free stand in a heap; the request at the head of the
    line takes the earliest.

    Args:
        arrivals: sorted arrival times, shape ``(n,)``.
        services: seconds that each request holds its slot, shape ``(n,)``, or one for all.
        slots: how many requests can be held at once, at least 1.

    Returns:
        Seconds from arrival to start of service, shape ``(n,)``.

    Raises:
        InputError: as :func:`lindley`, or fewer than one slot.

    Source: J. Kiefer, J. Wolfowitz, "On the theory of queues with many servers", 1955.
    """
    times, holds = _checked(arrivals, services)
    # More slots than requests cannot matter, and an enormous number would only fill memory.
    free = [-math.inf] * min(_slots(slots), max(1, len(times)))
    waits = np.empty(len(times))
    for i, (time, hold) in enumerate(zip(times.tolist(), holds.tolist(), strict=True)):
        start = max(time, free[0])
        heapq.heapreplace(free, start + hold)
        waits[i] = start - time
    return waits


def slot_model(plan: FloatsLike, hold: float | FloatsLike, slots: int | None) -> Floats:
    """The book's model: the latency of each planned request, from slots and hold time alone.

    Args:
        plan: sorted scheduled starts, shape ``(n,)``.
        hold: seconds a request holds its slot, shape ``(n,)``, or one for all.
        slots: how many requests can be held at once; None for no bound, hence no wait.

    Returns:
        Seconds from scheduled start to end of service, shape ``(n,)``.

    Raises:
        InputError: as :func:`kiefer_wolfowitz`.
    """
    times, holds = _checked(plan, hold)
    if slots is None:
        return holds
    if np.ndim(hold) == 0:
        return _equal_waits(times, float(np.asarray(hold)), _slots(slots)) + holds
    return kiefer_wolfowitz(times, holds, slots) + holds


def slots_and_cores(
    plan: FloatsLike, hold: float, compute: float, slots: int | None, cores: int
) -> Floats:
    """The slot model with a processor: each request first computes on a core, then only waits.

    A request takes a slot, and in that slot the core that is free first; both lines are served in
    the order of arrival. Without computing this is :func:`slot_model`; without waiting, and with a
    slot for each core, it is the same with the cores as slots.

    Args:
        plan: sorted scheduled starts, shape ``(n,)``.
        hold: seconds a request waits in its slot, for a database or another service.
        compute: seconds it computes before, on one core.
        slots: as in :func:`slot_model`.
        cores: how many can compute at once; for Python, the worker processes that have a core.

    Returns:
        Seconds from scheduled start to end of service, shape ``(n,)``.

    Raises:
        InputError: as :func:`kiefer_wolfowitz`, for cores as for slots.
    """
    times, _ = _checked(plan, hold)
    _checked(plan, compute)
    slot_free = [-math.inf] * min(len(times) if slots is None else _slots(slots), len(times))
    core_free = [-math.inf] * min(_slots(cores), len(times))
    latencies = np.empty(len(times))
    for i, time in enumerate(times.tolist()):
        begun = max(time, slot_free[0], core_free[0])
        end = begun + compute + hold
        heapq.heapreplace(core_free, begun + compute)
        heapq.heapreplace(slot_free, end)
        latencies[i] = end - time
    return latencies


def _equal_waits(times: Floats, hold: float, slots: int) -> Floats:
    """:func:`kiefer_wolfowitz` where all are held equally long, many times faster.

    What began first then ends first, so that each request follows the one ``slots`` before it, and
    the start of the j-th in such a row is the largest ``arrival[i] + (j - i)·hold`` up to it.
    """
    if len(times) <= slots:
        return np.zeros(len(times))
    rows = -(-len(times) // slots)
    line = np.full((rows, slots), np.inf)
    line.flat[: len(times)] = times
    steps = hold * np.arange(rows)[:, np.newaxis]
    starts = (np.maximum.accumulate(line - steps) + steps).flat[: len(times)]
    waits: Floats = starts - times
    # What does not wait is off by the rounding of adding and subtracting the steps.
    waits[waits <= 4 * np.spacing(max(abs(times[0]), abs(times[-1])) + steps[-1, 0])] = 0.0
    return waits


def stall_latencies(
    plan: FloatsLike,
    stall_start: float,
    stall_seconds: float,
    service: float | FloatsLike,
    slots: int | None = 1,
) -> Floats:
    """Exact latencies when the server stands still once: the truth of the stall experiment.

    During ``[stall_start, stall_start + stall_seconds)`` no slot makes progress, as under
    SIGSTOP; requests keep arriving, and a request in service resumes where it was.

    The queue is solved on the server's own clock, which does not tick during the stall, and
    the finish times are carried back to the caller's clock.

    Args:
        plan: sorted scheduled starts, shape ``(n,)``.
        stall_start: when the stall begins, on the plan's clock.
        stall_seconds: how long it lasts, 0 or more.
        service: seconds of service a request needs, shape ``(n,)``, or one for all.
        slots: as in :func:`slot_model`.

    Returns:
        Seconds from scheduled start to end of service, shape ``(n,)``.

    Raises:
        InputError: as :func:`kiefer_wolfowitz`, or a stall that is negative or not finite.
    """
    times, holds = _checked(plan, service)
    if not math.isfinite(stall_start) or not 0 <= stall_seconds < math.inf:
        raise InputError("a stall needs a finite start and a finite length of 0 s or more")
    early = times < stall_start
    worked = np.where(early, times, np.maximum(stall_start, times - stall_seconds))
    finished = worked + slot_model(worked, service if np.ndim(service) == 0 else holds, slots)
    untouched = early & (finished <= stall_start)
    return np.where(untouched, finished, finished + stall_seconds) - times


def throughput_limit(slots: int | None, hold: float) -> float:
    """The most requests per second that ``slots`` can finish: slots / hold; ∞ without a bound.

    Raises:
        InputError: fewer than one slot, or a hold time that is not above 0.

    Source: J. D. C. Little, "A proof for the queuing formula L = λW", 1961.
    """
    _above_zero("hold", hold)
    return math.inf if slots is None else _slots(slots) / hold


def erlang_c(slots: int, offered: float) -> float:
    """Probability that an arriving request has to wait in M/M/c; 1 from full load on.

    Computed through Erlang's B recursion, which neither overflows nor cancels.

    Args:
        slots: c, at least 1.
        offered: arrival rate times mean service time, in erlangs, 0 or more.

    Raises:
        InputError: fewer than one slot, or an offered load that is negative or not finite.

    Source: L. Kleinrock, *Queueing Systems* I, 1975, section 3.5.
    """
    slots = _slots(slots)
    if not 0 <= offered < math.inf:
        raise InputError(f"the offered load must be 0 erlangs or more and finite, not {offered!r}")
    if offered >= slots:
        return 1.0
    blocked = 1.0
    for k in range(1, slots + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked / (1 - (offered / slots) * (1 - blocked))


def slots_needed(offered: float, share: float = 0.05) -> int:
    """The fewest slots of one pool with which at most ``share`` of the requests wait at all.

    Arrivals are Poisson. Of the hold times only the mean counts, to a good approximation: Erlang's
    probability is exact where they are exponential, and for others it stays close. So a mix of fast
    and slow routes needs no more than the sum of its loads. How *long* those wait that wait does
    depend on the spread. Where requests are dealt out to several pools before a slot is free (a
    threaded worker accepts more than it has threads), each pool needs the number for its own share
    of the load.

    Args:
        offered: arrival rate times mean hold time, summed over the routes: the slots that are busy
            on average, 0 or more.
        share: above 0 and below 1.

    Raises:
        InputError: a value is out of range.
    """
    if not 0 < share < 1:
        raise InputError(f"a share lies between 0 and 1, so not {share!r}")
    if not 0 <= offered < math.inf:
        raise InputError(f"the offered load must be 0 erlangs or more and finite, not {offered!r}")
    slots = math.floor(offered) + 1
    while erlang_c(slots, offered) > share:
        slots += 1
    return slots


def mmc_mean_wait(rate: float, mean: float, slots: int) -> float:
    """Mean wait before service in M/M/c; ∞ from full load on.

    Args:
        rate: arrivals per second, Poisson.
        mean: mean service time, exponential.
        slots: c, at least 1.

    Raises:
        InputError: a rate or mean that is not above 0, or fewer than one slot.
    """
    _above_zero("rate", rate)
    _above_zero("mean", mean)
    spare = _slots(slots) / mean - rate
    return math.inf if spare <= 0 else erlang_c(slots, rate * mean) / spare


def allen_cunneen(
    rate: float, mean: float, slots: int, arrival_scv: float, service_scv: float
) -> float:
    """Approximate mean wait before service in G/G/c; exact for M/M/c and for M/G/1.

    Args:
        rate: arrivals per second.
        mean: mean service time.
        slots: c, at least 1.
        arrival_scv: squared coefficient of variation (variance / mean²) of the gaps between
            arrivals: 1 for Poisson, 0 for a constant rate.
        service_scv: the same of the service times: 1 for exponential, 0 for constant.

    Raises:
        InputError: as :func:`mmc_mean_wait`, or a negative coefficient.

    Source: A. O. Allen, *Probability, Statistics, and Queueing Theory*, 2nd ed. 1990.
    """
    if not (0 <= arrival_scv < math.inf and 0 <= service_scv < math.inf):
        raise InputError("squared coefficients of variation must be 0 or more and finite")
    wait = mmc_mean_wait(rate, mean, slots)
    return wait if math.isinf(wait) else wait * (arrival_scv + service_scv) / 2


def _checked(arrivals: FloatsLike, services: float | FloatsLike) -> tuple[Floats, Floats]:
    times = np.asarray(arrivals, dtype=np.float64)
    holds = np.asarray(services, dtype=np.float64)
    if times.ndim != 1:
        raise InputError(f"arrivals must be one-dimensional, not of shape {times.shape}")
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise InputError("arrivals must be finite and sorted")
    if holds.ndim == 0:
        holds = np.full(len(times), float(holds))
    if holds.shape != times.shape:
        raise InputError(f"{len(times)} arrivals need as many service times, or one for all")
    if not np.isfinite(holds).all() or (holds < 0).any():
        raise InputError("service times must be finite and 0 or more")
    return times, holds


def _slots(slots: int) -> int:
    if isinstance(slots, bool) or not isinstance(slots, (int, np.integer)) or slots < 1:
        raise InputError(f"slots must be a whole number of at least 1, not {slots!r}")
    return int(slots)


def _above_zero(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise InputError(f"{name} must be finite and more than 0, not {value!r}")
