"""Under which conditions a server answers: loop, parser, workers, access log, protocol.

They are read from the command that starts it, so no comparison has to be told them, and none can
leave them out.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gatewaylab.servers.registry import Server
from gatewaylab.timeline import session


class Conditions(NamedTuple):
    """What a comparison of servers must name besides their titles, in words for a reader."""

    server: str
    loop: str
    parser: str
    workers: str
    log: str
    protocol: str


def conditions(server: Server) -> Conditions:
    """The conditions of one configuration, as its command and the front before it make them."""
    spec = server.spec
    words = [*(server.command or spec.call.line.split()), *server.extra]
    workers = server.workers
    if spec.slot_kind == "process":
        workers *= server.slots or 1
    if server.command:
        workers = int(_value(words, f"--workers {dict(server.env).get('WEB_CONCURRENCY', 1)}"))
    state, _, switch = spec.log.partition(" ")
    if any(word.partition("=")[0] == switch for word in words):
        state = "off" if state == "on" else "on"
    configured = bool(server.site and spec.site_files) or "--config" in words
    loop = _value(words, spec.loop)
    way = f"{' and TLS' * server.tls}{' through nginx' * server.nginx}"
    return Conditions(
        server=spec.title,
        loop=loop if loop == "no loop" else f"loop {loop}",
        parser=f"parser {_value(words, spec.parser)}",
        workers=f"{workers} worker{'s' * (workers != 1)}",
        log="access log as configured" if configured else f"access log {state}",
        protocol=f"HTTP{way} over {'a unix socket' if server.unix else 'TCP'}",
    )


def _value(words: Sequence[str], choice: str) -> str:
    """What a command says of a choice: ``--option default``, or what nobody can choose."""
    option, _, value = choice.partition(" ")
    if not option.startswith("-"):
        return choice
    for place, word in enumerate(words):
        name, given, stated = word.partition("=")
        if name == option:
            value = stated if given else words[place + 1]
    return value


def sentence(servers: Iterable[Conditions], spoken: Iterable[str] = ("HTTP/1.1",)) -> str:
    """What a table or a figure says under it; empty if no server was at work.

    What all have in common is said once, at the end.

    Args:
        spoken: the versions of HTTP that the clients speak.
    """
    several = sorted(set(servers))  # side by side, they start in any order
    if not several:
        return ""
    columns = list(zip(*several, strict=True))[1:]
    same = [len(set(column)) == 1 for column in columns]
    groups: dict[str, list[str]] = {}
    for title, *each in several:
        own = ", ".join(said for said, shared in zip(each, same, strict=True) if not shared)
        groups.setdefault(own, []).append(title)
    parts = [
        " and ".join(dict.fromkeys(titles)) + (f" ({own})" if own else "")
        for own, titles in groups.items()
    ]
    shared = [column[0] for column, alike in zip(columns, same, strict=True) if alike]
    ends = f"; with {', '.join(shared)}" if shared else ""
    return f"{', '.join(parts)}{ends}; clients speak {' and '.join(spoken)}."


def conditions_so_far() -> str:
    """HTML that opens to the conditions of all servers that this process has started."""
    told = sentence(session.conditions(), session.spoken())
    if not told:
        return ""
    return (
        "<details><summary>Conditions of all servers on this page so far</summary>"
        f"{html.escape(told)}</details>"
    )
