"""Which cores the load generator and the servers get: one choice for all that is measured."""

from __future__ import annotations

from dataclasses import dataclass

from gatewaylab.records.environment import available_cores


@dataclass(frozen=True)
class Cores:
    """A choice of cores.

    Attributes:
        generator: the last core, for the generator alone; None when there is only one core, which
            everything then shares.
        server: the first core, for a server of one process that is held to one; None likewise.
        servers: all cores but the generator's, for a server under test; None likewise.
    """

    generator: int | None
    server: int | None
    servers: frozenset[int] | None


def choose_cores() -> Cores:
    """The choice on this machine, among the cores that this process may use."""
    cores = available_cores()
    if len(cores) == 1:
        return Cores(None, None, None)
    return Cores(cores[-1], cores[0], frozenset(cores[:-1]))
