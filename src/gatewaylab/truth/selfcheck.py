"""Hold the instrument against answers that are known exactly, on this machine, now.

Needs nothing but the instrument itself: no server of the book, no other load tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from gatewaylab.errors import GatewaylabError, InputError
from gatewaylab.measure.delay import Delay
from gatewaylab.truth.checks import CHECKS
from gatewaylab.truth.line import Check, judge

#: How often a check is made whose error noise can explain, before it is inconclusive.
ATTEMPTS = 2


def run(
    names: Iterable[str] | None = None, progress: Callable[[str], None] | None = None
) -> list[Check]:
    """Make the named checks (default: all), in their own order.

    A check whose error what was lost to others can explain is made again, up to :data:`ATTEMPTS`
    times, and is then *inconclusive*: the machine was too disturbed to tell. One that is off by
    more is red at once: an instrument that is right only now and then is wrong.

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
    lost: tuple[str, ...] = ()
    for _ in range(ATTEMPTS):
        tell(place)
        with Delay() as delay:
            check = _made(name)
        if check.verdict == "green" or delay.seconds < check.needs:
            return check
        lost = (
            f"{1e3 * delay.seconds:.0f} ms were lost to others, and {1e3 * check.needs:.0f} ms "
            "explain it",
        )
    return replace(check, verdict="inconclusive", why=(*lost, *check.why))


def _made(name: str) -> Check:
    """The check's line; one that broke off is red and says how."""
    try:
        return CHECKS[name]()
    except GatewaylabError as error:
        return judge(
            name,
            "the check broke off",
            unit="",
            truth="–",
            measured="nothing",
            error_unit="",
            samples=0,
            faults=(str(error),),
        )
