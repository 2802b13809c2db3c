"""One connection of the lean transport: its socket, the answer that it waits for, its state."""

from __future__ import annotations

import socket

from gatewaylab.load.http1 import Answer
from gatewaylab.load.wire import CUT_OFF, KEPT_RESET, RESET

IDLE, CONNECTING, BUSY, DEAD = range(4)


class Connection:
    """A socket and what is under way on it.

    Attributes:
        row: of the request that it answers now; -1 for none.
        idle_since: when it was last given back, on the monotonic clock; 0.0 in its first request.
        unsent: what is left of a request that the kernel did not take at once.
        broken: a send has met a reset, which the kernel tells only once.
    """

    __slots__ = ("answer", "broken", "fd", "idle_since", "row", "sock", "state", "unsent")

    def __init__(self, sock: socket.socket, answer: Answer, row: int) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.answer = answer
        self.state = CONNECTING
        self.row = row
        self.idle_since = 0.0
        self.unsent: memoryview | None = None
        self.broken = False

    def is_quiet(self) -> bool:
        """Whether the server has neither closed it nor sent anything that nobody asked for."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def loss(self) -> int:
        """The error of a request whose connection has died under it.

        An answer that had begun is cut off. If it had not, a kept connection may have been closed
        by the server just when the request was on its way, which has a name of its own.
        """
        if self.answer.begun:
            return CUT_OFF
        return KEPT_RESET if self.idle_since else RESET
