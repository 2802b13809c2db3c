"""The checks of the self-check: each puts load on a server that is known exactly, and compares.

Truth is a recursion over the *actual* plan with the service times and stalls that the server
reports, never a formula for the long run. The instrument's own part is then what is left: the way
of a request from its scheduled start to the server's account of it, and back.

Quantiles of a run are taken here whatever its size. Both sides are the same requests, so nothing is
inferred from few samples about the many that were not sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gatewaylab.load import run as load
from gatewaylab.load.request import get
from gatewaylab.load.samples import ERRORS, GeneratorReport, Samples
from gatewaylab.measure import noise
from gatewaylab.measure.cores import choose_cores
from gatewaylab.measure.reference import Lognormal, ceiling, reference_server
from gatewaylab.measure.rules import MAX_GENERATOR_CPU, Seen
from gatewaylab.model.arrivals import ConstantRate, Poisson
from gatewaylab.model.queueing import allen_cunneen, kiefer_wolfowitz, lindley, stall_latencies
from gatewaylab.truth.arithmetic import (
    Floats,
    anderson_darling,
    beyond_allowed,
    excess,
    incomplete,
    percent,
    quantile,
    services_of,
    spread,
)
from gatewaylab.truth.line import Check, judge

#: Critical value of the Anderson–Darling statistic at the 5 % level when the distribution is known
#: down to its parameters (3.857 at 1 %). The stricter of the usual two: the plan's seed is fixed
#: and its own gaps lie far below, so that chance cannot turn the line red, only the sending can.
#: Source: M. A. Stephens, "EDF statistics for goodness of fit and some comparisons", 1974, case 0.
AD_CRITICAL = 2.492

_LOAD = 0.7


def _asked(
    mode: str,
    arrivals: ConstantRate | Poisson,
    seconds: float,
    *,
    seed: int = 0,
    deadline: float = 10.0,
    **options: Any,
) -> tuple[Samples, GeneratorReport, dict[str, Any]]:
    """What a reference server was asked without a warm-up, and its own account of it.

    Args:
        options: as for :func:`reference_server`.
    """
    cores = choose_cores()
    with reference_server(mode, pin=cores.server, **options) as server:
        samples, report = load.run(
            server.url, get("/"), arrivals, seconds=seconds, warmup=0, seed=seed,
            deadline=deadline, pin=cores.generator,
        )  # fmt: skip
        return samples, report, server.report()


def _compared(truth: Floats, samples: Samples, **levels: float) -> dict[str, tuple[float, float]]:
    """By name, a quantile as it was and as it was measured, in seconds."""
    return {n: (quantile(truth, p), quantile(samples.latency, p)) for n, p in levels.items()}


def stall() -> Check:
    # The stall begins between two scheduled starts, 3 ms before the later: otherwise the one that
    # is due when it begins may fall on either side of it.
    samples, report, did = _asked("stall", ConstantRate(200), 3, hold=0.6, at=1.002)
    stalls = did["stalls"]
    faults = incomplete(samples, report)
    if len(stalls) != 1:
        faults += (f"the server stalled {len(stalls)} times, not once",)
        truth = np.full(len(samples), np.nan)
    else:
        begin, end = stalls[0]
        truth = stall_latencies(
            samples.scheduled_at, begin - report.monotonic_start, end - begin, services_of(samples)
        )
    pairs = _compared(truth, samples, p90=0.9, p99=0.99, max=1.0)
    errors = {n: percent(exact, seen) for n, (exact, seen) in pairs.items()}
    return judge(
        "stall",
        "p99 of 200 requests/s for 3 s when the server stops for 0.6 s (p90 and max are held to "
        "the same bound)",
        unit="ms",
        truth=1e3 * pairs["p99"][0],
        measured=1e3 * pairs["p99"][1],
        error=errors["p99"],
        allowed=1.0,
        samples=len(samples),
        beyond=beyond_allowed({n: e for n, e in errors.items() if n != "p99"}, 1.0),
        faults=faults,
        # A quantile moves by no more than what was lost.
        needs=excess(pairs, 1.0),
        details=spread(pairs),
    )


def null_lag() -> Check:
    """The median of three runs: one pause of 20 ms by the machine would fill the last hundredth."""
    lags: list[Floats] = []
    faults: tuple[str, ...] = ()
    for _ in range(3):
        samples, report = _asked("null", ConstantRate(2000), 1)[:2]
        lags.append(1e3 * samples.send_lag[~np.isnan(samples.send_lag)])
        faults += incomplete(samples, report)
    highs = [quantile(lag, 0.99) for lag in lags]
    high, every = float(np.median(highs)), np.concatenate(lags)
    return judge(
        "null-lag",
        "p99 of how late a request is sent, at 2000 requests/s to a server that does nothing: the "
        "median of 3 runs",
        unit="ms",
        truth=0.0,
        measured=high,
        error=high,
        allowed=1.0,
        error_unit="ms",
        samples=len(every),
        faults=faults,
        # A stall reaches the last hundredth when it is that long itself, and two runs of three.
        needs=2 * (0.01 + 1e-3 * (high - 1.0)),
        details={"p50, ms": quantile(every, 0.5), "largest p99 of a run, ms": max(highs)},
    )


def null_gaps() -> Check:
    rate = 500.0
    samples, report, _ = _asked("null", Poisson(rate), 2, seed=1)
    sent = np.sort(samples.sent_at[~np.isnan(samples.sent_at)])
    statistic = anderson_darling(rate * np.diff(sent))
    return judge(
        "null-gaps",
        "Anderson–Darling distance of the gaps between requests as sent from the exponential "
        "distribution of a Poisson plan; allowed is the 5 % point of the known distribution",
        unit="A²",
        truth="exponential",
        measured=statistic,
        error=statistic,
        allowed=AD_CRITICAL,
        error_unit="A²",
        samples=len(samples),
        faults=incomplete(samples, report),
        # The statistic feels a share of distorted gaps of about one in the root of their number.
        needs=4 / math.sqrt(max(len(sent), 1)),
        details={"the plan itself, A²": anderson_darling(rate * np.diff(samples.scheduled_at))},
    )


def delay() -> Check:
    samples, report, _ = _asked("delay", Poisson(100), 1, seed=3, hold=0.03)
    bias = 1e3 * float(np.median(samples.latency - services_of(samples)))
    faults = incomplete(samples, report)
    if bias < 0:
        faults += ("latency is below the time that the server took",)
    return judge(
        "delay",
        "median latency less the server's own account of its delay of 30 ms: nothing may be "
        "missing, and the instrument may add up to half a millisecond",
        unit="ms",
        truth=1e3 * float(np.median(services_of(samples))),
        measured=1e3 * float(np.median(samples.latency)),
        error=bias,
        allowed=0.5,
        error_unit="ms",
        samples=len(samples),
        faults=faults,
        # Half of all requests must have come later by that much.
        needs=1e-3 * (bias - 0.5) * len(samples) / 2,
    )


def lognormal() -> Check:
    mean = 0.01
    services = Lognormal(mean=mean, sigma=0.6, seed=1)
    samples, report, _ = _asked("slots", Poisson(0.6 / mean), 3, seed=5, services=services)
    truth = lindley(samples.scheduled_at, services_of(samples)) + services_of(samples)
    pairs = _compared(truth, samples, p50=0.5, p90=0.9, p95=0.95)
    beyond = beyond_allowed({n: percent(exact, seen) for n, (exact, seen) in pairs.items()}, 5.0)
    means = {"mean": (float(truth.mean()), float(samples.latency.mean()))}
    return judge(
        "lognormal",
        "mean latency in one slot with log-normal service times of mean 10 ms (p50, p90 and p95 "
        "are held to the same bound)",
        unit="ms",
        truth=1e3 * float(truth.mean()),
        measured=1e3 * float(samples.latency.mean()),
        error=percent(truth.mean(), samples.latency.mean()),
        allowed=5.0,
        samples=len(samples),
        beyond=beyond,
        faults=incomplete(samples, report),
        needs=excess(pairs | means, 5.0),
        details=spread(pairs),
    )


def m_d_1() -> Check:
    # Long holds, so that waiting is long against the way there and back (a few tenths of a ms).
    return _queue("m-d-1", slots=1, hold=0.06)


def m_d_c() -> Check:
    return _queue("m-d-c", slots=3, hold=0.15)


def _queue(name: str, *, slots: int, hold: float) -> Check:
    rate = _LOAD * slots / hold
    samples, report, _ = _asked("slots", Poisson(rate), 4, seed=1, slots=slots, hold=hold)
    held = services_of(samples)
    exact = float(kiefer_wolfowitz(samples.scheduled_at, held, slots).mean())
    seen = float((samples.latency - held).mean())
    word = "slot" if slots == 1 else "slots"
    return judge(
        name,
        f"mean wait for {slots} {word} held {1e3 * hold:g} ms at 70 % load, Poisson arrivals",
        unit="ms",
        truth=1e3 * exact,
        measured=1e3 * seen,
        error=percent(exact, seen),
        allowed=5.0,
        samples=len(held),
        faults=incomplete(samples, report),
        # What is lost while a queue stands delays all that follow in its busy period, 1 / (1 − ρ)
        # requests on average.
        needs=excess({name: (exact, seen)}, 5.0) * len(held) * (1 - _LOAD),
        details={
            # Pollaczek–Khinchine for one slot, Allen–Cunneen for several.
            "closed form for the long run, ms": 1e3
            * allen_cunneen(rate, float(np.mean(held)), slots, arrival_scv=1.0, service_scv=0.0)
        },
    )


def overload() -> Check:
    rate = 100.0
    samples, report, _ = _asked("slots", ConstantRate(rate), 1.5, hold=0.02)
    truth = rate * float(services_of(samples).mean()) - 1
    begun, latency = samples.scheduled_at, samples.latency
    faults = incomplete(samples, report)
    slope = math.nan if faults else float(np.polyfit(begun, latency, 1)[0])
    return judge(
        "overload",
        "how fast latency grows when twice as much arrives as one slot can serve: λ/μ − 1 seconds "
        "a second, with μ from the server's account",
        unit="s/s",
        truth=truth,
        measured=slope,
        error=percent(truth, slope),
        allowed=3.0,
        samples=len(samples),
        faults=faults,
        needs=(abs(slope - truth) - 0.03 * truth) * 1.5,
    )


def mute() -> Check:
    deadline = 0.5
    samples, report, said = _asked("mute", ConstantRate(200), 1, deadline=deadline)
    censored = int((samples.error == ERRORS.index("deadline")).sum())
    missing = max(report.planned, said["requests"]) - len(samples)
    faults: tuple[str, ...] = ()
    late = report.planned - report.sent  # held up for longer than the deadline
    if missing:
        faults += (f"{missing} requests have no sample",)
    if len(samples) - censored != int((samples.error == 0).sum()):
        faults += ("a request failed that the server did answer",)
    if not math.isfinite(quantile(samples.latency, 0.5)):
        faults += ("p50 is not finite, though 19 of 20 were answered",)
    if not math.isinf(quantile(samples.latency, 1.0)):
        faults += ("the slowest request has a latency, though it was never answered",)
    return judge(
        "mute",
        "requests reported as 'at least the deadline' when the server never answers one in 20: "
        "as many as it muted, and none dropped",
        unit="",
        truth=float(said["muted"]),
        measured=float(censored),
        error=abs(float(censored - said["muted"])),
        allowed=0.0,
        error_unit="",
        samples=len(samples),
        beyond=(f"{late} requests were not sent",) if late else (),
        faults=faults,
        # Only so late an answer is censored although it was given, or a request not sent at all.
        needs=deadline,
        details={"p50, ms": 1e3 * quantile(samples.latency, 0.5), "deadline, ms": 1e3 * deadline},
    )


def saturated() -> Check:
    most = ceiling(seconds=0.2)
    # Brief, because every late request takes a connection of its own.
    seconds, rate = 0.05, 1.5 * most
    samples, report, _ = _asked("null", ConstantRate(rate), seconds)
    found = noise.of_kind(noise.findings(Seen(report, samples, {}, 0.0, seconds)), "generator")
    rules = [one.rule for one in found]
    bound = "client-bound" in rules
    return judge(
        "saturated",
        "a generator that is asked for one and a half times what it can send: its trial is "
        "refused because it was itself the limit; measured is the rule that says so",
        unit="",
        truth="refused",
        measured="client-bound" if bound else rules[0] if rules else "accepted",
        error_unit="",
        samples=len(samples),
        beyond=() if bound else ("no rule says that the client was the limit",),
        # It stays below the bound only if it lacked its core for the rest of the time.
        needs=(1 - MAX_GENERATOR_CPU) * report.wall_seconds,
        details={
            "asked for, requests/s": rate,
            "most it can, requests/s": most,
            "share of its core, %": 100 * report.cpu_seconds / report.wall_seconds,
        },
    )


#: Every check by name, in the order of the page.
CHECKS: dict[str, Callable[[], Check]] = {
    "stall": stall,
    "null-lag": null_lag,
    "null-gaps": null_gaps,
    "delay": delay,
    "lognormal": lognormal,
    "m-d-1": m_d_1,
    "m-d-c": m_d_c,
    "overload": overload,
    "mute": mute,
    "saturated": saturated,
}
