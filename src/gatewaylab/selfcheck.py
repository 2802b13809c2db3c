"""Hold the instrument against answers that are known exactly, on this machine, now.

Needs nothing but the instrument itself: no server of the book, no other load tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from gatewaylab._checks import CHECKS, anderson_darling
from gatewaylab._line import Check
from gatewaylab.errors import GatewaylabError, InputError
from gatewaylab.noise import MAX_HEALTH, Watch

#: How often a check that is red on a disturbed machine is made before it is inconclusive.
ATTEMPTS = 3
#: Share of the time that another process may have the generator's core; more than a hundredth can
#: carry a p99 away by itself, long before the machine as a whole reads as disturbed.
MAX_RUN_QUEUE = 0.01


def run(
    names: Iterable[str] | None = None, progress: Callable[[str], None] | None = None
) -> list[Check]:
    """Make the named checks (default: all), in their own order.

    A check that is red while strangers use the machine is made again, up to :data:`ATTEMPTS`
    times, and then *inconclusive* with the machine's readings. One that is red in quiet is red at
    once: an instrument that is right only now and then is wrong.

    Args:
        progress: told the name of a check and its place before each attempt.

    Raises:
        InputError: a name is not one of :data:`CHECKS`.
    """
    wanted = list(CHECKS) if names is None else list(names)
    if unknown := [name for name in wanted if name not in CHECKS]:
        raise InputError(f"no check {unknown[0]!r}; there are: {', '.join(CHECKS)}")
    chosen = [name for name in CHECKS if name in wanted]
    tell = progress or (lambda _: None)
    return [
        _settled(name, f"{name} ({number} of {len(chosen)})", tell)
        for number, name in enumerate(chosen, 1)
    ]


def _settled(name: str, place: str, tell: Callable[[str], None]) -> Check:
    disturbed: tuple[str, ...] = ()
    for _ in range(ATTEMPTS):
        tell(place)
        watch = Watch()
        with watch:
            check = _made(name)
        if check.verdict == "green":
            return check
        disturbed = _readings(watch.health, check)
        if not disturbed:
            return check
    return replace(check, verdict="inconclusive", why=(*disturbed, *check.why))


def _readings(health: Mapping[str, float], check: Check) -> tuple[str, ...]:
    """Those that say that strangers used the machine."""
    bounds = {**MAX_HEALTH, "run_queue": MAX_RUN_QUEUE}
    seen = {**health, "run_queue": check.run_queue}
    return tuple(
        f"{name} {seen[name]:.3f}, above {bound:g}"
        for name, bound in bounds.items()
        if seen.get(name, 0.0) > bound
    )


def _made(name: str) -> Check:
    """The check's line; one that broke off is red and says how."""
    try:
        return CHECKS[name]()
    except GatewaylabError as error:
        return Check(
            name=name,
            what="the check broke off",
            unit="",
            truth="–",
            measured="nothing",
            error=None,
            allowed=None,
            error_unit="",
            verdict="red",
            samples=0,
            why=(str(error),),
        )


__all__ = ["ATTEMPTS", "CHECKS", "MAX_RUN_QUEUE", "Check", "anderson_darling", "run"]
