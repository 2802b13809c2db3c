"""Compare configurations in randomised, interleaved blocks of trials.

Each block measures every configuration once, in a random order, and one of them twice: the
difference between those two is the noise floor (A/A). Within a block all configurations get the
same arrival plan. A trial is one fresh server with fresh connections; the trial, not the
request, is the unit of replication.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tqdm import tqdm

from gatewaylab.errors import InvalidTrialError
from gatewaylab.guard.standing import Standing
from gatewaylab.load import run as load
from gatewaylab.load.request import Request
from gatewaylab.load.samples import Samples
from gatewaylab.measure import noise
from gatewaylab.measure.cores import choose_cores
from gatewaylab.measure.design import Came, design
from gatewaylab.measure.disturbance import MARGIN
from gatewaylab.measure.outcome import Outcome, Setup
from gatewaylab.measure.reference import ceiling
from gatewaylab.measure.rules import Seen
from gatewaylab.model.arrivals import Closed
from gatewaylab.records.results import AGAIN, Comparison, Finding, Trial
from gatewaylab.records.staging import staging


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
    by_label = {**setups, plan.twin + AGAIN: setups[plan.twin]}
    standing = Standing(
        {label: one.server for label, one in by_label.items()},
        seconds=len(plan.labels) * (warmup + seconds),
    )
    window = _Window(
        seconds=seconds, warmup=warmup, deadline=deadline, transport=transport, margin=margin,
        standing=standing,
    )  # fmt: skip
    trials: list[Trial] = []
    rejected: list[Trial] = []
    with contextlib.closing(standing), progress(name, len(plan.labels) * plan.blocks) as step:

        def measure(label: str, block: int, last: bool) -> Came:
            found = _trial(label, by_label[label], block, plan.seed_of(block), window)
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
        standing: the servers of a block that wait for their trial.
    """

    seconds: float
    warmup: float
    deadline: float
    transport: str
    margin: float
    standing: Standing
    answers: dict[Request, bytes | None] = field(default_factory=dict)


def _trial(label: str, one: Setup, block: int, seed: int, window: _Window) -> Trial:
    """One fresh server, its load, and the verdict of the rules on both."""
    cores = choose_cores()
    begun = datetime.now(UTC)
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(window.standing.take(label, block, pin=cores.servers))
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
        watch = stack.enter_context(noise.NoiseWatch(own=running.pids))
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
    seen = Seen(
        report,
        samples,
        health,
        window.warmup,
        window.seconds,
        expected_errors=one.errors,
        hold=one.hold,
        slots=one.slots,
        steady=_steady(one),
        planned=not isinstance(one.arrivals, Closed),
        margin=window.margin,
    )
    found = (*noise.findings(seen), *_unchecked(request, samples))
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


def _unchecked(request: Request, samples: Samples) -> Iterable[Finding]:
    """Answers of which nobody can tell whether they are whole: neither a length nor a known body.

    A worker that dies in a stream ends it as one that is done, and sooner.
    """
    count = int(samples.length_unknown.sum())
    if count and request.expected_body is None:
        words = (
            f"body: {count} answers had no length and ended with their connection, and their body "
            "varies, so nobody can tell whether they were cut off (0 allowed); ask for a page "
            "whose body is always the same"
        )
        yield Finding(rule="body", kind="wrong data", measured=count, allowed=0, message=words)


def _brief(body: bytes | None) -> str:
    return "a varying one" if body is None else repr(body[:80])


def _steady(one: Setup) -> bool:
    """Whether the set-up can carry its load, so that the number in flight does not grow."""
    if isinstance(one.arrivals, Closed) or one.hold is None or one.slots is None:
        return True
    return one.arrivals.rate * one.hold < one.slots


@contextlib.contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[bool], object]]:
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
    # rich draws no bar in a notebook without ipywidgets.
    with tqdm(total=total, desc=name, unit="trial") as bar:
        yield bar.update
