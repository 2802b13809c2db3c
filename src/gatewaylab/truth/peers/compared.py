"""What other load tools say of a server that stalls, beside the truth.

Each is run as its own manual has it and taken at its word; nothing it reports is corrected. It is
a process of its own, sends to this machine only, and is ended when it does not end by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gatewaylab.errors import InputError, LoadError
from gatewaylab.measure.cores import choose_cores
from gatewaylab.measure.delay import Delay
from gatewaylab.measure.reference import reference_server
from gatewaylab.model.arrivals import ConstantRate
from gatewaylab.model.queueing import stall_latencies
from gatewaylab.truth.peers.registry import PEERS, reported
from gatewaylab.truth.peers.reports import LEVELS, quantiles_of

#: Below this a true latency is nothing, and no error is stated relative to it.
_NOTHING = 1e-3


@dataclass(frozen=True)
class StallRow:
    """What one tool reported of a server that stood still once, beside the truth.

    Attributes:
        peer: key in `PEERS`. title, model: of the tool.
        truth: quantiles in seconds for visitors who come at the constant rate, whatever the
            server does, from the moment of the tool's first request.
        reported: the tool's own, by the same levels.
        error: reported / truth - 1 by level; None where the truth is below a millisecond.
        planned: how many such visitors there are.
        requests: how many the tool counts. served: how many the server took.
        stall: how long the server stood still, by its own clock.
        lost: seconds that others can have taken meanwhile (:class:`.Delay`).
    """

    peer: str
    title: str
    model: str
    truth: Mapping[float, float]
    reported: Mapping[float, float]
    error: Mapping[float, float | None]
    planned: int
    requests: int
    served: int
    stall: float
    lost: float = 0.0

    def over(self, level: float, share: float) -> float:
        """Seconds by which the report at a level is off by more than ``share`` of the truth."""
        truth = self.truth[level]
        return abs(self.reported[level] - truth) - share * truth


def stall_reports(
    stall: float = 0.6,
    at: float = 1.005,
    rate: float = 100.0,
    seconds: float = 3.0,
    only: Collection[str] | None = None,
) -> list[StallRow]:
    """Show a stalling server to each tool that is here, and set what it says beside the truth.

    Each meets a fresh reference server that answers at once, but stands still for ``stall``
    seconds, ``at`` seconds after its first request (half-way between two visitors by default, so
    that a millisecond does not decide whom it meets). A visitor who comes during the stall waits
    for the rest of it; that is the whole truth, as the server has no other delay worth naming.
    Where a tool does not say when it began, the server's timer does, to about a millisecond.

    Args:
        only: the tools to ask, by their keys in :data:`PEERS`; all that are here if None.

    Raises:
        InputError: an unknown tool, a stall that does not lie within the run, or another
            argument that makes no sense.
        LoadError: a tool failed.
    """
    if not (stall > 0 and at >= 0 and at + stall < seconds):
        raise InputError(f"a stall of {stall!r} s after {at!r} s does not lie within {seconds!r} s")
    if unknown := {*(only or ())} - {*PEERS}:
        raise InputError(f"no load tool {sorted(unknown)}; there are: {', '.join(PEERS)}")
    plan = ConstantRate(rate).plan(seconds, 0)
    cores = choose_cores()
    rows = []
    for name, peer in PEERS.items():
        if not peer.available() or (only is not None and name not in only):
            continue
        stalls = reference_server("stall", hold=stall, at=at, pin=cores.server)
        with stalls as server, Delay() as delay:
            said = reported(name, server.url, rate, seconds, cores.generator)
            did = server.report()
        if not did["stalls"]:
            raise LoadError(f"the server never stalled while {peer.title} asked it; measure again")
        begin, end = did["stalls"][0]
        start = at if said.began is None else begin - said.began
        truth = quantiles_of(stall_latencies(plan, start, end - begin, 0.0, None))
        rows.append(
            StallRow(
                peer=name, title=peer.title, model=peer.model,
                truth=truth, reported={level: said.quantiles[level] for level in LEVELS},
                error={
                    level: said.quantiles[level] / truth[level] - 1
                    if truth[level] > _NOTHING else None
                    for level in LEVELS
                },
                planned=len(plan), requests=said.requests, served=did["requests"],
                stall=end - begin, lost=delay.seconds,
            )
        )  # fmt: skip
    return rows
