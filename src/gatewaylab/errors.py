"""Every exception the instrument raises on purpose, as one tree.

::

    GatewaylabError
    ├── InputError               a caller's value makes no sense (also a ValueError)
    ├── ServerError
    │   ├── ServerMissingError   the system is not installed on this machine
    │   └── ServerStartError     it was started and did not become ready
    ├── LoadError                the generator failed, so there is no trial
    ├── InvalidTrialError        a trial's data are wrong, whatever the machine did
    ├── ResultError              a stored result is not what it says it is
    ├── RefusedError             the instrument declines to state a number
    ├── ClaimError               a claim is badly declared, or the data refute it
    └── BuildError               a step of the book's build failed
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Literal

StartFailure = Literal["late", "broken", "ended", "unsafe"]


class GatewaylabError(Exception):
    """Base of all errors below; the command line prints its text and nothing else."""


class InputError(GatewaylabError, ValueError):
    """A value given by the caller is unusable; the text says what would be."""


class ServerError(GatewaylabError):
    """Something about a server under test."""


class ServerMissingError(ServerError):
    """A server, proxy or module is not installed here.

    Attributes:
        system: what is missing, for example ``"mod_wsgi"``.
        install: the command line that would install it.
    """

    def __init__(self, system: str, install: str) -> None:
        super().__init__(f"{system} is not installed on this machine; to install it: {install}")
        self.system = system
        self.install = install


class ServerStartError(ServerError):
    """A server did not start, or never became ready.

    Attributes:
        command: the argument list that was run.
        exit_code: the exit status, or None while it was still alive.
        elapsed: seconds from start to giving up.
        log_tail: the last lines that it wrote.
        port_owner: a description of the process that holds the port, if a foreign process does.
        kind: ``late`` (not ready in time), ``broken`` (it answers with status 500), ``ended`` (it
            ended, or cannot load its application), or ``unsafe`` (its address is not its own).
    """

    def __init__(
        self,
        reason: str,
        *,
        command: Sequence[str],
        exit_code: int | None,
        elapsed: float,
        log_tail: str,
        port_owner: str | None = None,
        kind: StartFailure = "ended",
    ) -> None:
        lines = [
            f"{reason} (after {elapsed:.2f} s)",
            f"  command: {' '.join(command)}",
            f"  exit code: {'still running' if exit_code is None else exit_code}",
        ]
        if port_owner:
            lines.append(f"  the port belongs to: {port_owner}")
        if log_tail:
            lines.append("  last lines of its log:")
            lines.extend(f"    {line}" for line in log_tail.splitlines())
        super().__init__("\n".join(lines))
        self.command = list(command)
        self.exit_code = exit_code
        self.elapsed = elapsed
        self.log_tail = log_tail
        self.port_owner = port_owner
        self.kind = kind


class LoadError(GatewaylabError):
    """The load generator failed; there is no trial, and there is no zero either."""


class InvalidTrialError(GatewaylabError):
    """A trial broke a rule of validity: wrong answers, a lost worker, an impossible time.

    It is not repeated, because looking for a run that hides the fault would select the data.
    """


class ResultError(GatewaylabError):
    """A stored result is truncated, malformed or of an unknown schema."""


class RefusedError(GatewaylabError):
    """A number was asked for that the data cannot carry; the text names the rule."""


class ClaimError(GatewaylabError):
    """A claim lacks a part (its sabotage, its entry), or the data refute it."""


class BuildError(GatewaylabError):
    """A step of the build failed; what was accepted before is untouched."""


def in_words(error: OSError) -> str:
    """What the system refused, and what to do about it where that is known."""
    where = f" ({error.filename})" if error.filename else ""
    advice = {
        errno.ENOSPC: "; make room, or set TMPDIR to a folder of another disk",
        errno.EROFS: "; it is read-only: use another folder, or set TMPDIR to one",
        errno.EACCES: "; use a folder of your own, or set TMPDIR to one",
    }.get(error.errno or 0, "")
    return f"{error.strerror or error}{where}{advice}"
