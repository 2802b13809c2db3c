"""Compare configurations in randomised, interleaved blocks of trials.

Each block measures every configuration once, in a random order, and one of them twice: the
difference between those two is the noise floor (A/A). Within a block all configurations get the
same arrival plan. A trial is one fresh server with fresh connections; the trial, not the
request, is the unit of replication.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from tqdm import tqdm

from gatewaylab import load, noise
from gatewaylab.arrivals import Closed
from gatewaylab.cores import chosen
from gatewaylab.disturbance import MARGIN
from gatewaylab.errors import InputError, InvalidTrialError
from gatewaylab.evidence import PROFILE_VARIABLE, staging
from gatewaylab.load import Request
from gatewaylab.outcome import Outcome, Setup, predict, setup
from gatewaylab.process import serve
from gatewaylab.reference import ceiling
from gatewaylab.results import AGAIN, Comparison, Finding, Trial

#: By profile; a notebook run by hand measures the quick one.
BLOCKS = {"quick": 6, "full": 10}

#: Noise adds at most this share to the number of trials, or one trial where that is less.
EXTRA = 0.2

#: What became of a trial: it counts, it counts but would better be measured again, or it does not
#: count.
Came = Literal["good", "disturbed", "refused"]


@dataclass(frozen=True)
class Design:
    """The plan of a comparison, fixed before anything is measured.

    Attributes:
        labels: what is measured in each block, the twin twice.
        twin: the label that is measured twice. blocks: how many blocks. seed: of everything.
    """

    labels: tuple[str, ...]
    twin: str
    blocks: int
    seed: int

    def order(self, block: int) -> list[str]:
        """The labels in the random order of one block."""
        return [str(label) for label in self._random(block).permutation(self.labels)]

    def seed_of(self, block: int) -> int:
        """The seed of the arrival plan that all configurations of one block share."""
        return int(self._random(block, 1).integers(2**31))

    @property
    def extra(self) -> int:
        """How many trials may be measured beyond the plan."""
        return max(1, math.floor(EXTRA * self.blocks * len(self.labels)))

    def run(self, measure: Callable[[str, int, bool], Came]) -> None:
        """Have every label measured in every block, in that block's order.

        A trial that does not count, or that was disturbed, comes once again at the end of its
        block; a block in which one is still missing is made up for by another block. All that is
        beyond the plan stays within :attr:`extra`. Nothing here looks at a measured value: what is
        repeated, and how many blocks there are, depends on the machine and the load alone, so that
        no interval is too narrow for having been looked at twice.

        Args:
            measure: called with a label, a block, and whether this trial is the last for this
                place, so that it counts even if it was disturbed.
        """
        left, complete, block = self.extra, 0, 0
        while complete < self.blocks:
            if block >= self.blocks:
                if left < len(self.labels):
                    return
                left -= len(self.labels)
            counted = 0
            queue = [(label, False) for label in self.order(block)]
            while queue:
                label, again = queue.pop(0)
                last = again or left == 0
                came = measure(label, block, last)
                if came == "good" or (came == "disturbed" and last):
                    counted += 1
                elif not last:
                    left -= 1
                    queue.append((label, True))
            complete += counted == len(self.labels)
            block += 1

    def _random(self, *path: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *path])


def design(
    name: str, labels: Sequence[str], *, twin: str | None = None, blocks: int | None = None
) -> Design:
    """The plan of a comparison called ``name``, whose seed is derived from that name.

    Args:
        twin: the label that is measured twice in each block; the first when None.
        blocks: how many; from the profile when None.

    Raises:
        InputError: no label, an unknown twin or profile, or a name that cannot be a file's.
    """
    if not labels:
        raise InputError("a comparison needs at least one configuration")
    twin = labels[0] if twin is None else twin
    if twin not in labels:
        raise InputError(f"the twin {twin!r} is none of: {', '.join(labels)}")
    profile = os.environ.get(PROFILE_VARIABLE, "quick")
    if blocks is None:
        if profile not in BLOCKS:
            raise InputError(f"{PROFILE_VARIABLE}={profile!r}; known: {', '.join(BLOCKS)}")
        blocks = BLOCKS[profile]
    if not re.fullmatch(r"[a-z0-9-]+", name):
        raise InputError(f"{name!r} cannot name a file: use lower-case words joined by hyphens")
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return Design((*labels, twin + AGAIN), twin, blocks, seed)


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
    margin: float = MARGIN,
) -> Outcome:
    """Measure every configuration in every block and keep all raw samples.

    A trial that others can have moved by more than a quarter of ``margin`` is *disturbed*: it is
    measured once more, and then used and marked.

    Args:
        name: unique in the notebook, usable as a file name; the seed is derived from it.
        setups: the configurations by label.
        seconds: measured window of a trial. warmup: seconds before it that do not count.
        deadline: seconds after which an unanswered request is censored.
        blocks: how many blocks; from the profile when None.
        twin: the label that is measured twice in each block; the first when None.
        margin: the distance, as a logarithm, from what is predicted to where the narrowest of its
            claims would fail.

    Raises:
        InputError: the request makes no sense. ServerStartError, LoadError: a trial failed.
        InvalidTrialError: a trial's answers, workers or times were wrong.
    """
    plan = design(name, list(setups), twin=twin, blocks=blocks)
    window = _Window(
        seconds=seconds, warmup=warmup, deadline=deadline, transport=transport, margin=margin
    )
    trials: list[Trial] = []
    rejected: list[Trial] = []
    with progress(name, len(plan.labels) * plan.blocks) as step:

        def measure(label: str, block: int, last: bool) -> Came:
            one = setups[label if label in setups else label.removesuffix(AGAIN)]
            found = _trial(label, one, block, plan.seed_of(block), window)
            if wrong := noise.of_kind(found.findings, "wrong data"):
                raise _invalid(f"{name}: {label!r} in block {block} gave wrong data", wrong)
            came: Came = (
                "refused" if not found.usable else "disturbed" if found.findings else "good"
            )
            counts = came == "good" or (came == "disturbed" and last)
            (trials if counts else rejected).append(found)
            step(counts)
            return came

        plan.run(measure)
    comparison = Comparison(
        name=name,
        labels=tuple(setups),
        twin=plan.twin,
        blocks=plan.blocks,
        seed=plan.seed,
        trials=tuple(trials),
        rejected=tuple(rejected),
    )
    if (stage := staging()) is not None:
        stage.comparison(comparison)
    return Outcome(comparison, dict(setups))


@dataclass(frozen=True)
class _Window:
    """What all trials of a comparison share.

    Attributes:
        answers: what each request was answered with first, when nobody hurried the server. It
            must be answered with the same by every server, in every block, and under load.
    """

    seconds: float
    warmup: float
    deadline: float
    transport: str
    margin: float
    answers: dict[Request, bytes | None] = field(default_factory=dict)


def _trial(label: str, one: Setup, block: int, seed: int, window: _Window) -> Trial:
    """One fresh server, its load, and the verdict of the rules on both."""
    cores = chosen()
    begun = datetime.now(UTC)
    with contextlib.ExitStack() as stack:
        # Every answer is in when the load ends, so nobody is owed a graceful stop.
        running = stack.enter_context(serve(one.server, pin=cores.servers, grace=0.0))
        request = one.request
        if request.expected_body is None and window.transport != "websocket":
            known = window.answers.get(request)
            # One look will do where the right answer is known: each answer under load is compared.
            times = 2 if known is None else 1
            body = load.constant_body(running.target, request, times=times)
            if (first := window.answers.setdefault(request, body)) != body:
                words = f"body: {_brief(body)}, where the first server gave {_brief(first)}"
                wrong = Finding(
                    rule="body", kind="wrong data", measured=1, allowed=0, message=words
                )  # fmt: skip
                raise _invalid(f"{label!r} answers {request.path} otherwise", (wrong,))
            request = dataclasses.replace(request, expected_body=body)
        watch = stack.enter_context(noise.Watch(own=running.pids))
        samples, report = load.run(
            running.target,
            request,
            one.arrivals,
            seconds=window.seconds,
            warmup=window.warmup,
            seed=seed,
            deadline=window.deadline,
            transport=window.transport,
            pin=cores.generator,
        )
        running.verify()  # it lived to the end, and nobody else shared its port
    health = dict(watch.health)
    if window.transport != "websocket":  # of which there is no null server
        health["null_ceiling"] = ceiling(window.transport)
    found = noise.findings(
        report,
        samples,
        health,
        warmup=window.warmup,
        seconds=window.seconds,
        hold=one.hold,
        expected_errors=one.errors,
        slots=one.slots,
        steady=_steady(one),
        planned=not isinstance(one.arrivals, Closed),
        margin=window.margin,
    )
    health["drift"] = noise.drift(found)
    return Trial(
        label=label,
        block=block,
        setup={
            "server": one.server.as_dict(),
            "request": one.request.as_dict(),
            "hold": one.hold,
            "slots": one.slots,
            "cpu_bound": one.cpu_bound,
        },
        arrivals=one.arrivals.as_dict(),
        seed=seed,
        warmup=window.warmup,
        seconds=window.seconds,
        deadline=window.deadline,
        started=begun.isoformat(timespec="milliseconds"),
        samples=samples,
        generator=report,
        health=health,
        findings=found,
    )


def _invalid(what: str, wrong: tuple[Finding, ...]) -> InvalidTrialError:
    """The error for wrong data, which the build learns of as data and not from the error's text."""
    if (stage := staging()) is not None:
        stage.fault(wrong)
    return InvalidTrialError(f"{what}: {'; '.join(map(str, wrong))}")


def _brief(body: bytes | None) -> str:
    return "a varying one" if body is None else repr(body[:80])


def _steady(one: Setup) -> bool:
    """Whether the set-up can carry its load, so that the number in flight does not grow."""
    if isinstance(one.arrivals, Closed) or one.hold is None or one.slots is None:
        return True
    return one.arrivals.rate * one.hold < one.slots


@contextlib.contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[bool], None]]:
    """Where the comparison is: a line in the staging folder, or a bar for a reader.

    Yields:
        What to call after each trial, saying whether it counts.
    """
    stage = staging()
    done = again = 0
    if stage is not None:
        tell = stage.progress

        def step(counts: bool) -> None:
            nonlocal done, again
            done, again = done + counts, again + (not counts)
            tell(name, done, total, again)

        tell(name, 0, total, 0)
        yield step
        return
    with tqdm(total=total, desc=name, unit="trial") as bar:

        def advance(counts: bool) -> None:
            bar.update(counts)

        yield advance


__all__ = [
    "AGAIN", "BLOCKS", "EXTRA", "Came", "Design", "Outcome", "Setup", "compare", "design",
    "predict", "progress", "setup",
]  # fmt: skip
