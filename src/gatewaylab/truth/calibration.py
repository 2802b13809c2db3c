"""The statistics proven: how often the intervals and rules of this project are right.

Simulation calls the very functions that decide about measurements, on data whose truth is known.
It cannot show that real trials are as the statistics assume; for that,
:func:`false_positives` compares one real server with itself, many times over.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gatewaylab.claims.rule import EQUIVALENT, Rule
from gatewaylab.errors import InputError
from gatewaylab.measure.design import EXTRA
from gatewaylab.model import stats
from gatewaylab.records.effects import Bounds, Effect
from gatewaylab.records.evidence import Verdict

Floats = NDArray[np.float64]
Interval = Callable[[Floats, float], tuple[float, float]]
Noise = Literal["normal", "laplace", "student3", "lognormal-latency", "skewed"]
Policy = Literal["fixed", "replace", "repeat", "extend"]
Where = Literal["both", "first", "second"]

SIMULATIONS = 4_000

#: Centre of the exponential distribution in the sense of Hodges and Lehmann: the median of
#: (X + Y) / 2, where (1 + t) e^(−t) = 1/2 at t = X + Y.
_EXPONENTIAL_CENTRE = 1.6783469900166605 / 2
_TRUE_RATIO = 1.7


def coverage(
    n: int,
    *,
    simulations: int = SIMULATIONS,
    seed: int = 1,
    noise: Noise = "normal",
    confidence: float = 0.95,
    interval: Interval = stats.signed_rank_interval,
) -> float:
    """The share of simulated comparisons whose interval covers the true log ratio.

    What is drawn is ``d = log(q_A / q_B)`` of each block. When both sides are measured alike and
    differ by a factor only, d is the factor's logarithm plus the difference of two quantities of
    the same distribution, and such a difference is symmetric however skewed they are. That is all
    the signed-rank interval asks for, so it covers at its exact level,
    :func:`stats.attained_confidence`, under each of these kinds of noise:

    * ``normal``, ``laplace``, ``student3``: of d itself, with tails from light to heavy;
    * ``lognormal-latency``: both quantiles are drawn from one skewed distribution (σ = 0.5).

    ``skewed`` breaks the assumption on purpose, as when only one side is disturbed: d is
    exponential, and the truth its centre in the sense of Hodges and Lehmann. It tells how much is
    lost then; nothing is promised for it.

    Args:
        n: blocks of a comparison.
        interval: the function under test.

    Raises:
        InputError: an argument makes no sense. RefusedError: no such interval for n blocks.
    """
    truth = math.log(_TRUE_RATIO)
    covered = 0
    for d in truth + _noise(noise, (_count(simulations), n), seed):
        low, high = interval(d, confidence)
        covered += low <= truth <= high
    return covered / simulations


def equivalence_size(
    n: int,
    *,
    ratio: float = EQUIVALENT[1],
    spread: float = 0.05,
    simulations: int = SIMULATIONS,
    seed: int = 1,
    noise: Noise = "normal",
    rule: Rule | None = None,
) -> float:
    """How often "no difference" is supported although the ratio lies on the edge of the range.

    The edges, 1.25 and 0.8, are where a wrong "no difference" is most likely; the promise is at
    most 5 %.

    Args:
        ratio: the true one. spread: of the noise on the log scale, about a share of the latency.
        rule: the rule under test, by default the one that claims are decided by.

    Raises:
        InputError: an argument makes no sense. RefusedError: fewer than 6 blocks.
    """
    rule = Rule("equivalent") if rule is None else rule
    supported = 0
    for d in math.log(ratio) + spread * _noise(noise, (_count(simulations), n), seed):
        found = stats.ratio_estimate(np.exp(d), np.ones(n))
        supported += rule.decide(_effect(found)) == "supported"
    return supported / simulations


def looks(
    policy: Policy,
    *,
    n: int = 6,
    most: int = 5,
    refused: float = 0.2,
    simulations: int = SIMULATIONS,
    seed: int = 1,
    noise: Noise = "normal",
) -> float:
    """How often a comparison of equals ends with an interval that excludes 1, by policy.

    * ``fixed``: n blocks, one look. The error is that of the interval.
    * ``repeat``: a comparison that shows nothing is measured again, up to ``most`` times.
    * ``extend``: a comparison that shows nothing gets another block, up to ``most`` looks.
    * ``replace``: what this project does. Trials are refused by rules that do not read the
      effect, here each with probability ``refused``; they are measured once more, and spare blocks
      stand in for blocks that stay incomplete, as far as the trials beyond the plan reach.
      Comparisons that end with fewer than n blocks give no number and do not count.

    The second and third show why nothing here is measured again because of what it showed.

    Raises:
        InputError: an argument makes no sense. RefusedError: fewer than 6 blocks.
    """
    if policy not in get_args(Policy):
        raise InputError(f"unknown policy {policy!r}; choose one of {', '.join(get_args(Policy))}")
    if most < 1 or not 0 <= refused < 1:
        raise InputError(
            f"most must be at least 1 and refused a probability, not {most}, {refused}"
        )
    rounds = most if policy == "repeat" else 1
    spare = max(1, math.floor(EXTRA * n))
    blocks = n + {"fixed": 0, "repeat": 0, "extend": most - 1, "replace": spare}[policy]
    data = _noise(noise, (_count(simulations) * rounds, blocks), seed)
    if policy == "replace":
        given_up = refused**2  # refused, and refused when it was measured once more
        chance = np.random.default_rng([seed, 1]).random((simulations, blocks, 2))
        whole = chance.min(axis=2) >= given_up  # both trials of the block were accepted
        kept = [d[accepted][:n] for d, accepted in zip(data, whole, strict=True)]
        found = [_shows(d) for d in kept if len(d) == n]
    elif policy == "extend":
        found = [any(_shows(d[:k]) for k in range(n, blocks + 1)) for d in data]
    else:
        found = [any(map(_shows, d)) for d in data.reshape(simulations, rounds, n)]
    if not found:
        raise InputError(
            f"with {refused:.0%} of trials refused, no comparison is ever complete; refuse fewer"
        )
    return sum(found) / len(found)


def disturbed(
    n: int,
    where: Where,
    *,
    truth: float,
    threshold: float,
    share: float = 0.5,
    shift: float = 0.3,
    heeded: bool = True,
    simulations: int = SIMULATIONS,
    seed: int = 1,
    noise: Noise = "normal",
    spread: float = 0.1,
) -> dict[Verdict, float]:
    """How often a ratio claim comes to each verdict when stalls hit some of its trials.

    In each block the log ratio is that of ``truth``, with noise; each trial of a side that stalls
    can hit is moved, with probability ``share``, by anything from nothing to its recorded shift.
    Where the truth is the threshold itself, a verdict of *supported* or *refuted* is an error, and
    each may come up in at most 2.5 % of comparisons.

    Args:
        n: blocks of a comparison.
        where: stalls hit ``both`` sides alike, or the ``first`` or the ``second`` only.
        truth: the true ratio. threshold: what the rule asks for at least.
        share: of trials that are hit. shift: the largest that is recorded, as a logarithm.
        heeded: the rule takes off what noise can have done; False shows what happens if not.
        spread: of the noise between blocks, as a logarithm.

    Raises:
        InputError: an argument makes no sense. RefusedError: fewer than 6 blocks.
    """
    if where not in ("both", "first", "second"):
        raise InputError(f"stalls hit both sides, the first or the second, not {where!r}")
    if not 0 <= share <= 1 or not shift >= 0:
        raise InputError(f"share is a probability and shift 0 or more, not {share} and {shift}")
    random = np.random.default_rng([seed, 2])
    shape = (_count(simulations), n)

    def stalls(hit: bool) -> tuple[Floats, Floats]:
        recorded = shift * random.random(shape) * (random.random(shape) < (share if hit else 0.0))
        return recorded, recorded * random.random(shape)

    (known_a, moved_a), (known_b, moved_b) = stalls(where != "second"), stalls(where != "first")
    measured = math.log(truth) + spread * _noise(noise, shape, seed) + moved_a - moved_b
    rule, found = Rule("at least", threshold), Counter[Verdict]()
    for d, below, above in zip(measured, known_a, known_b, strict=True):
        plain = stats.ratio_estimate(np.exp(d), np.ones(n))
        freed = stats.ratio_estimate(np.exp(d), np.ones(n), below=below, above=above)
        effect = _effect(plain)
        if heeded:
            quiet = Bounds(low=freed.low, high=freed.high, low90=freed.low90, high90=freed.high90)
            effect = effect.model_copy(update={"quiet": quiet})
        found[rule.decide(effect)] += 1
    return {verdict: count / simulations for verdict, count in found.items()}


def _shows(d: Floats) -> bool:
    low, high = stats.signed_rank_interval(d)
    return not low <= 0.0 <= high


def _noise(kind: Noise, shape: tuple[int, int], seed: int) -> Floats:
    """Differences of logarithms with centre 0, one row a comparison."""
    random = np.random.default_rng(seed)
    if kind == "normal":
        return random.normal(size=shape)
    if kind == "laplace":
        return random.laplace(size=shape)
    if kind == "student3":
        return random.standard_t(3, size=shape)
    if kind == "lognormal-latency":
        a, b = np.log(random.lognormal(math.log(0.05), 0.5, (2, *shape)))
        difference: Floats = a - b
        return difference
    if kind == "skewed":
        return random.exponential(size=shape) - _EXPONENTIAL_CENTRE
    raise InputError(f"unknown kind of noise {kind!r}; choose one of {', '.join(get_args(Noise))}")


def _count(simulations: int) -> int:
    if simulations < 1:
        raise InputError(f"simulations must be at least 1, not {simulations!r}")
    return simulations


def _effect(found: stats.RatioEstimate) -> Effect:
    return Effect(
        **asdict(found), kind="ratio", what="simulated", blocks=found.n, seed=0, values=(),
        comparison="simulated",
    )  # fmt: skip
