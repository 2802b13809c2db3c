"""Server-sent events as they came: each says when it was made, by the clock of the machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gatewaylab.load.clients import Listening, Reply, together
from gatewaylab.load.request import Request
from gatewaylab.measure.delay import Delay, Held, every

_MADE = re.compile(rb"data: ([\d.]+)\n\n")


@dataclass(frozen=True)
class Stream:
    """One response of events, and the most that anything can have been held up meanwhile.

    Attributes:
        expected: how many events were asked for.
    """

    reply: Reply
    delay: Delay
    expected: int

    @property
    def pieces(self) -> tuple[float, ...]:
        """When each piece of the body came, in seconds since the request."""
        return self.reply.pieces

    def one_by_one(self) -> Held:
        """Whether each event was here before the next one was made.

        A busy machine can keep an event on its way for as long as the pause between two; one that
        would have been in time without that is undecided.
        """
        made, arrived = self._moments()
        in_time = [self.delay.sooner(a, than=b) for a, b in zip(arrived, made[1:], strict=False)]
        return every(len(made) == self.expected >= len(self.pieces), *in_time)

    def at_the_end(self) -> bool:
        """Whether none was here before the last one was made."""
        made, arrived = self._moments()
        return len(made) == self.expected and min(arrived) > max(made)

    def _moments(self) -> tuple[list[float], list[float]]:
        """When each event was made, and when it was here; several may share a piece."""
        made = [float(moment) for moment in _MADE.findall(self.reply.body)]
        arrived = [self.reply.begun + seconds for seconds in self.pieces]
        return made, (arrived + self.expected * arrived[-1:])[: self.expected]


def listen(
    server: Listening,
    paths: Sequence[Request | str],
    expected: int,
    *,
    timeout: float = 60.0,
    http2: bool = False,
) -> list[Stream]:
    """Ask for streams of so many events, all at once, and hear them to their end.

    Args:
        timeout: seconds without a byte after which a client gives up.
        http2: over HTTP/2, each on a connection of its own.
    """
    with Delay() as delay:
        replies = together(server, paths, timeout=timeout, http2=http2, shared=False)
    return [Stream(reply, delay, expected) for reply in replies]
