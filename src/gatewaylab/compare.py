"""Compare configurations in randomised, interleaved blocks of trials.

Each block measures every configuration once, in a random order, and one of them twice: the
difference between those two is the noise floor (A/A). Within a block all configurations get the
same arrival plan. A trial is one fresh server with fresh connections; the trial, not the
request, is the unit of replication.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gatewaylab import load, noise, queueing, stats
from gatewaylab.arrivals import Arrivals, Closed
from gatewaylab.environment import available_cores
from gatewaylab.errors import InputError, RefusedError
from gatewaylab.evidence import PROFILE_VARIABLE, staging
from gatewaylab.load import Request, get
from gatewaylab.process import serve
from gatewaylab.results import Comparison, Effect, Trial, quantile_of
from gatewaylab.servers import Server

#: By profile; a notebook run by hand measures the quick one.
BLOCKS = {"quick": 6, "full": 10}

#: A refused trial is repeated at the end of its block, at most this often in all.
ATTEMPTS = 3

#: Blocks appended for those in which a trial was given up.
SPARE_BLOCKS = 2

#: Suffix of the label under which the twin's second trial is kept.
AGAIN = " (again)"


@dataclass(frozen=True)
class Setup:
    """One configuration: a server, what is asked of it, and how requests arrive.

    Attributes:
        hold: seconds a request holds its slot in the application, for the slot model and for
            the rule that no answer is faster than its hold; None when it is not known.
        slots: how many requests can be held at once; None when nothing bounds them.
        cpu_bound: the hold is computing, not waiting; the machine is then meant to be busy.
    """

    server: Server
    request: Request
    arrivals: Arrivals
    hold: float | None = None
    slots: int | None = None
    cpu_bound: bool = False


def setup(
    server: Server,
    path: str | Request = "/hello",
    *,
    arrivals: Arrivals,
    hold: float | None = None,
    slots: int | None = None,
    cpu_bound: bool = False,
) -> Setup:
    """A configuration for :func:`compare`; ``path`` is a path to GET or a whole request.

    ``slots`` is needed where the application itself narrows what the server could hold, such as
    a view that blocks its event loop; otherwise it is the server's own number.
    """
    request = get(path) if isinstance(path, str) else path
    return Setup(server, request, arrivals, hold, slots or server.total_slots, cpu_bound)


@dataclass(frozen=True)
class Outcome:
    """A finished comparison, and the questions that may be asked of it."""

    comparison: Comparison
    setups: Mapping[str, Setup]

    def _per_block(self, label: str, quantity: Callable[[Trial], float]) -> dict[int, float]:
        if label not in {*self.setups, self.comparison.twin + AGAIN}:
            raise InputError(f"no configuration {label!r}; there are: {', '.join(self.setups)}")
        return {trial.block: quantity(trial) for trial in self.comparison.of(label)}

    def quantiles(self, label: str, p: float = 0.5) -> list[float]:
        """Latency at level ``p`` in seconds, one value a block."""
        return list(self._per_block(label, lambda trial: trial.quantile(p)).values())

    def throughputs(self, label: str) -> list[float]:
        """Answers per second, one value a block."""
        return list(self._per_block(label, lambda trial: trial.throughput).values())

    def trial(self, label: str) -> Trial | None:
        """The first accepted trial of ``label``; None when every one was refused."""
        return next(iter(self.comparison.of(label)), None)

    def peaks(self, label: str) -> dict[int, int]:
        """Most requests inside the application at one moment, by block."""
        return {t.block: t.measured.peak_overlap for t in self.comparison.of(label)}

    def ratio(self, a: str, b: str, *, p: float = 0.5) -> Effect:
        """Latency at level ``p`` under ``a`` divided by that under ``b``."""
        name = "median" if p == 0.5 else f"p{100 * p:g}"
        what = f"{name} latency, {a} ÷ {b}"
        return self._ratio(a, b, lambda trial: trial.quantile(p), what, censored=True)

    def throughput_ratio(self, a: str, b: str) -> Effect:
        """Answers per second under ``a`` divided by those under ``b``."""
        return self._ratio(a, b, lambda trial: trial.throughput, f"answers per second, {a} ÷ {b}")

    def _ratio(
        self,
        a: str,
        b: str,
        quantity: Callable[[Trial], float],
        what: str,
        *,
        censored: bool = False,
    ) -> Effect:
        comparison = self.comparison
        deadline = comparison.trials[0].deadline if censored and comparison.trials else None
        found = self._estimate(a, b, quantity, deadline)
        floor = self._estimate(comparison.twin, comparison.twin + AGAIN, quantity, deadline)
        if isinstance(found, str) or isinstance(floor, str):
            reasons = [text for text in (found, floor) if isinstance(text, str)]
            return Effect(
                kind="ratio", what=what, estimate=math.nan, low=math.nan, high=math.nan,
                low90=math.nan, high90=math.nan, floor=math.nan, n=0,
                blocks=0, seed=comparison.seed, values=(), comparison=comparison.name,
                refused=(*reasons, *_broken_rules(comparison)),
            )  # fmt: skip
        estimate, values, n = found
        return Effect(
            kind="ratio",
            what=what,
            estimate=estimate.estimate,
            low=estimate.low,
            high=estimate.high,
            low90=estimate.low90,
            high90=estimate.high90,
            floor=max(floor[0].high, 1 / floor[0].low if floor[0].low else math.inf),
            a12=estimate.a12,
            n=n,
            blocks=estimate.n,
            seed=comparison.seed,
            values=values,
            comparison=comparison.name,
        )

    def _estimate(
        self, a: str, b: str, quantity: Callable[[Trial], float], deadline: float | None
    ) -> tuple[stats.RatioEstimate, tuple[float, ...], int] | str:
        """The ratio over the blocks that have both, its values and requests, or why not."""
        try:
            above, below = self._per_block(a, quantity), self._per_block(b, quantity)
            both = sorted(above.keys() & below.keys())
            if not both:
                return f"no block has an accepted trial of both {a!r} and {b!r}"
            found = stats.ratio_estimate(
                [above[k] for k in both], [below[k] for k in both], deadline=deadline
            )
        except RefusedError as reason:
            return str(reason)
        trials = [trial for label in {a, b} for trial in self.comparison.of(label)]
        n = sum(len(trial.measured) for trial in trials if trial.block in both)
        return found, tuple(above[k] / below[k] for k in both), n

    def predicted(self, label: str, p: float = 0.5) -> float:
        """What the slot model says the quantile is, from the plans alone, in seconds.

        Lindley's or Kiefer and Wolfowitz's recursion on the very plans that were sent; no
        measured number enters. The median over the blocks.
        """
        one = self.setups[label]
        return predict(one, self.comparison, one.slots, p)

    def mean_error(self, label: str) -> float:
        """By how much the mean latency differs from the slot model's, as a share of the latter.

        The mean does not depend on the order in which waiting requests are served, as long as
        all are held equally long; a quantile does. The median over the blocks.
        """
        one = self.setups[label]
        errors = []
        for trial in self.comparison.of(label):
            model = float(_model(one, trial, one.slots).mean())
            errors.append(float(trial.measured.latency.mean()) / model - 1)
        return float(np.median(errors)) if errors else math.nan

    def predicted_ratio(self, a: str, b: str, *, p: float = 0.5) -> float:
        """The slot model's prediction for :meth:`ratio`."""
        return self.predicted(a, p) / self.predicted(b, p)


def predict(one: Setup, comparison: Comparison, slots: int | None, p: float = 0.5) -> float:
    """The slot model's quantile in seconds for the plans of ``comparison`` and ``slots``.

    NaN when no trial was accepted, so that there is nothing to hold it against.

    Raises:
        InputError: the arrivals were not planned, or the hold time is not known.
    """
    by_plan = {trial.seed: trial for trial in comparison.trials}
    found = [quantile_of(_model(one, trial, slots), p) for trial in by_plan.values()]
    return float(np.median(found)) if found else math.nan


def _model(one: Setup, trial: Trial, slots: int | None) -> NDArray[np.float64]:
    """The model's latency of each request of the measured window of ``trial``'s plan."""
    if isinstance(one.arrivals, Closed) or one.hold is None:
        raise InputError("the model needs planned arrivals and a hold time")
    plan = one.arrivals.plan(trial.warmup + trial.seconds, trial.seed)
    return queueing.slot_model(plan, one.hold, slots)[plan >= trial.warmup]


def _broken_rules(comparison: Comparison) -> list[str]:
    return sorted({rule for trial in comparison.rejected for rule in trial.refusals})


def compare(
    name: str,
    setups: Mapping[str, Setup],
    *,
    seconds: float = 3.0,
    warmup: float = 1.0,
    deadline: float = 10.0,
    blocks: int | None = None,
    twin: str | None = None,
    transport: str = "raw",
) -> Outcome:
    """Measure every configuration in every block and keep all raw samples.

    Args:
        name: unique in the notebook, usable as a file name; the seed is derived from it.
        setups: the configurations by label.
        seconds: measured window of a trial. warmup: seconds before it that do not count.
        deadline: seconds after which an unanswered request is censored.
        blocks: how many blocks; from the profile when None.
        twin: the label that is measured twice in each block; the first when None.

    Raises:
        InputError: the request makes no sense. ServerStartError, LoadError: a trial failed.
    """
    if not setups:
        raise InputError("compare needs at least one configuration")
    twin = next(iter(setups)) if twin is None else twin
    if twin not in setups:
        raise InputError(f"the twin {twin!r} is none of: {', '.join(setups)}")
    profile = os.environ.get(PROFILE_VARIABLE, "quick")
    if blocks is None:
        if profile not in BLOCKS:
            raise InputError(f"{PROFILE_VARIABLE}={profile!r}; known: {', '.join(BLOCKS)}")
        blocks = BLOCKS[profile]
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    window = _Window(seconds=seconds, warmup=warmup, deadline=deadline, transport=transport)
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise InputError(f"{name!r} cannot name a file: use lower-case words joined by hyphens")
    labels = [*setups, twin + AGAIN]
    trials: list[Trial] = []
    rejected: list[Trial] = []
    with _progress(name, len(labels) * blocks) as step:
        complete = 0
        for block in range(blocks + SPARE_BLOCKS):
            if complete == blocks:
                break
            accepted = 0
            order = np.random.default_rng([seed, block]).permutation(labels)
            queue = [(str(label), 1) for label in order]
            while queue:
                label, attempt = queue.pop(0)
                one = setups[label.removesuffix(AGAIN) if label not in setups else label]
                found = _trial(label, one, block, _plan_seed(seed, block), window)
                if not found.refusals:
                    trials.append(found)
                    accepted += 1
                    step()
                    continue
                rejected.append(found)
                if attempt < ATTEMPTS:
                    queue.append((label, attempt + 1))
            complete += accepted == len(labels)
    comparison = Comparison(
        name=name,
        labels=tuple(setups),
        twin=twin,
        blocks=blocks,
        seed=seed,
        trials=tuple(trials),
        rejected=tuple(rejected),
    )
    if (stage := staging()) is not None:
        stage.comparison(comparison)
    return Outcome(comparison, dict(setups))


@dataclass(frozen=True)
class _Window:
    seconds: float
    warmup: float
    deadline: float
    transport: str


def _trial(label: str, one: Setup, block: int, seed: int, window: _Window) -> Trial:
    """One fresh server, its load, and the verdict of the noise rules on both."""
    cores = available_cores()
    # The generator has the last core for itself, the server the others.
    server_cores = frozenset(cores[:-1]) if len(cores) > 1 else None
    begun = datetime.now(UTC)
    with serve(one.server, pin=server_cores) as running, noise.Watch(own=running.pids) as watch:
        samples, report = load.run(
            running.target,
            one.request,
            one.arrivals,
            seconds=window.seconds,
            warmup=window.warmup,
            seed=seed,
            deadline=window.deadline,
            transport=window.transport,
            pin=cores[-1] if len(cores) > 1 else None,
        )
        running.verify()  # it lived to the end, and nobody else shared its port
    return Trial(
        label=label,
        block=block,
        setup={"server": one.server.as_dict(), "request": one.request.as_dict()},
        arrivals=one.arrivals.as_dict(),
        seed=seed,
        warmup=window.warmup,
        seconds=window.seconds,
        deadline=window.deadline,
        started=begun.isoformat(timespec="milliseconds"),
        samples=samples,
        generator=report,
        health=watch.health,
        refusals=noise.refusals(
            report,
            samples,
            watch.health,
            warmup=window.warmup,
            seconds=window.seconds,
            effect_seconds=one.hold,
            hold=one.hold,
            expected_errors={"deadline"},  # censored, which is an answer; anything else is not
            slots=one.slots,
            cpu_bound=one.cpu_bound,
            steady=_steady(one),
        ),
    )


def _steady(one: Setup) -> bool:
    """Whether the set-up can carry its load, so that the number in flight does not grow."""
    if isinstance(one.arrivals, Closed) or one.hold is None or one.slots is None:
        return True
    return one.arrivals.rate * one.hold < one.slots


def _plan_seed(seed: int, block: int) -> int:
    return int(np.random.default_rng([seed, block, 1]).integers(2**31))


@contextlib.contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[], None]]:
    """Where the comparison is: a line in the staging folder, or a bar for a reader."""
    stage = staging()
    done = 0
    if stage is not None:
        file = stage.folder / "progress"

        def step() -> None:
            nonlocal done
            done += 1
            file.write_text(f"{name}: {done} of {total} trials")

        yield step
        return
    with tqdm(total=total, desc=name, unit="trial") as bar:

        def advance() -> None:
            bar.update()

        yield advance


__all__ = [
    "AGAIN", "ATTEMPTS", "BLOCKS", "Outcome", "Setup", "compare", "predict", "setup",
]  # fmt: skip
