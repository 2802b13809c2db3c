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
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from tqdm import tqdm

from gatewaylab import load, noise
from gatewaylab.arrivals import Closed
from gatewaylab.environment import available_cores
from gatewaylab.errors import InputError, InvalidTrialError
from gatewaylab.evidence import PROFILE_VARIABLE, staging
from gatewaylab.load import Request
from gatewaylab.outcome import Outcome, Setup, predict, setup
from gatewaylab.process import serve
from gatewaylab.reference import ceiling
from gatewaylab.results import AGAIN, Comparison, Trial

#: By profile; a notebook run by hand measures the quick one.
BLOCKS = {"quick": 6, "full": 10}

#: A refused trial is repeated at the end of its block, at most this often in all.
ATTEMPTS = 3

#: Blocks appended for those in which a trial was given up.
SPARE_BLOCKS = 2


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

    def run(self, measure: Callable[[str, int], bool]) -> None:
        """Have every label measured in every block, in that block's order.

        Nothing here looks at a measured value: what is repeated, and how many blocks there are,
        depends on the machine's noise alone, so that no interval is too narrow for having been
        looked at twice.

        Args:
            measure: called with a label and a block; false means that noise spoilt it. Then it
                comes again at the end of its block, :data:`ATTEMPTS` times in all, and for a
                block that stays incomplete up to :data:`SPARE_BLOCKS` others are appended.
        """
        complete = 0
        for block in range(self.blocks + SPARE_BLOCKS):
            if complete == self.blocks:
                return
            accepted = 0
            queue = [(label, 1) for label in self.order(block)]
            while queue:
                label, attempt = queue.pop(0)
                if measure(label, block):
                    accepted += 1
                elif attempt < ATTEMPTS:
                    queue.append((label, attempt + 1))
            complete += accepted == len(self.labels)

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
        InvalidTrialError: a trial's answers, workers or times were wrong.
    """
    plan = design(name, list(setups), twin=twin, blocks=blocks)
    window = _Window(seconds=seconds, warmup=warmup, deadline=deadline, transport=transport)
    trials: list[Trial] = []
    rejected: list[Trial] = []
    with progress(name, len(plan.labels) * plan.blocks) as step:

        def measure(label: str, block: int) -> bool:
            one = setups[label if label in setups else label.removesuffix(AGAIN)]
            found = _trial(label, one, block, plan.seed_of(block), window)
            if wrong := [r for r in found.refusals if noise.breaks_validity(r)]:
                raise InvalidTrialError(
                    f"{name}: {label!r} in block {block} gave wrong data: {'; '.join(wrong)}"
                )
            (rejected if found.refusals else trials).append(found)
            if not found.refusals:
                step()
            return not found.refusals

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
    answers: dict[Request, bytes | None] = field(default_factory=dict)


def _trial(label: str, one: Setup, block: int, seed: int, window: _Window) -> Trial:
    """One fresh server, its load, and the verdict of the rules on both."""
    cores = available_cores()
    # The generator has the last core for itself, the server the others.
    apart = len(cores) > 1
    server_cores = frozenset(cores[:-1]) if apart else None
    generator_core = cores[-1] if apart else None
    begun = datetime.now(UTC)
    with contextlib.ExitStack() as stack:
        # Every answer is in when the load ends, so nobody is owed a graceful stop.
        running = stack.enter_context(serve(one.server, pin=server_cores, grace=0.0))
        request = one.request
        if request.expected_body is None and window.transport != "websocket":
            known = window.answers.get(request)
            # One look will do where the right answer is known: each answer under load is compared.
            times = 2 if known is None else 1
            body = load.constant_body(running.target, request, times=times)
            if (first := window.answers.setdefault(request, body)) != body:
                raise InvalidTrialError(
                    f"{label!r} answers {request.path} with another body than the first did: "
                    f"{_brief(body)}, not {_brief(first)}"
                )
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
            pin=generator_core,
        )
        running.verify()  # it lived to the end, and nobody else shared its port
    health = dict(watch.health)
    if window.transport != "websocket":  # of which there is no null server
        health["null_ceiling"] = ceiling(
            window.transport, pin=generator_core, server_pin=cores[0] if apart else None
        )
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
        refusals=noise.refusals(
            report,
            samples,
            health,
            warmup=window.warmup,
            seconds=window.seconds,
            effect_seconds=one.hold,
            hold=one.hold,
            expected_errors=one.errors,
            slots=one.slots,
            cpu_bound=one.cpu_bound,
            steady=_steady(one),
        ),
    )


def _brief(body: bytes | None) -> str:
    return "a varying one" if body is None else repr(body[:80])


def _steady(one: Setup) -> bool:
    """Whether the set-up can carry its load, so that the number in flight does not grow."""
    if isinstance(one.arrivals, Closed) or one.hold is None or one.slots is None:
        return True
    return one.arrivals.rate * one.hold < one.slots


@contextlib.contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[], None]]:
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
    "AGAIN", "ATTEMPTS", "BLOCKS", "Design", "Outcome", "Setup", "compare", "design", "predict",
    "progress", "setup",
]  # fmt: skip
