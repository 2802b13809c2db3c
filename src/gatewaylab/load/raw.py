"""The timing path: HTTP/1.1 over non-blocking sockets, one epoll and one timerfd.

There is no event loop in between. A bare prototype on one core against the same null server, with
eight connections: 6.4 µs of CPU a request this way, 8.0 µs with uvloop protocols, 7.7 µs for wrk. A
server that closes after every answer widens the gap, because a new connection costs two system
calls here and a task there. It also puts the time stamps right beside the system calls.

Rules that keep the samples honest:

* a slow server never delays the plan: without an idle connection a new one is opened;
* the connection used last is used first, so that idle ones grow cold and are closed in peace;
* the send stamp is taken when this side acts, at ``send`` or, for a new connection, at
  ``connect``: a server that is slow to accept shows in the latency, not as a slow generator;
* nothing is sent twice. A connection that dies under its request is an error sample; one that
  was found closed *before* its next request is replaced and counted as a reconnect;
* an answer is whole only if it says where it ends. One that ends with its connection is marked as
  of unknown length, and is an error if that was reset.
"""

from __future__ import annotations

import errno
import gc
import heapq
import math
import select
import signal
import socket
from collections import deque
from time import monotonic

from gatewaylab.load import wire
from gatewaylab.load.connection import BUSY, CONNECTING, DEAD, IDLE, Connection
from gatewaylab.load.http1 import Answer, ProtocolError, Shapes
from gatewaylab.load.timer import Timer
from gatewaylab.load.wire import Columns, Job, Tally, Usage

#: A connection idle for longer than this is looked at before it is used.
_COLD = 0.05
#: Overdue requests that are started before answers are looked at again.
_BURST = 64
#: A unix socket with a full backlog refuses at once; if it is to be asked again, then so soon.
_RETRY = 0.001
_READ = 65_536

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


def run(job: Job, *, interruptible: bool = False) -> tuple[Columns, Tally]:
    """Send the plan (or play the closed clients) and return what was seen, at SIGINT so far."""
    loop = Loop(job)
    if interruptible:
        signal.signal(signal.SIGINT, loop.break_off)
    try:
        loop.run()
    finally:
        loop.close()
    return loop.columns, loop.tally


class Loop:
    """One run. Public only so that tests can put a fault into it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._request = job.request
        self._address: str | tuple[str, int] = (job.host, job.port) if job.port else job.host
        family = socket.AF_INET6 if ":" in job.host else socket.AF_INET
        self._family = family if job.port else socket.AF_UNIX
        self._poller = select.epoll()
        self._timer = Timer()
        self._poller.register(self._timer.fd, _IN | select.EPOLLET)
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._backlogged: deque[int] = deque()
        self._shapes: Shapes = {}
        wanted = job.expected_body
        self._keep_body = 0 if wanted is None else len(wanted) + 1  # one more shows a longer one
        # Who asks for the connection to be closed must not use it again, whatever the server says.
        self._reuses = not any(
            name.lower() == "connection" and "close" in value.lower() for name, value in job.headers
        )
        self._thinking: list[tuple[float, int, Connection | None]] = []
        self._thoughts = 0
        self._next = 0
        self._in_flight = 0
        self._lost = 0
        self._armed = math.inf
        self._gave_up = self._broken_off = False
        self.tally = Tally()
        self.columns: Columns

    def run(self) -> None:
        """Send, wait, and stop when all is answered or the last deadline has passed."""
        job = self._job
        gc.collect()
        gc.freeze()
        gc.disable()
        usage = Usage()
        zero = monotonic() + wire.LEAD
        plan = job.plan
        for row, offset in enumerate(plan):
            plan[row] = zero + offset
        self._plan, self._planned = plan, len(plan)
        self.columns = columns = Columns(plan)
        self._scheduled, self._sent = columns.scheduled_at, columns.sent_at
        self._first, self._finished = columns.first_byte_at, columns.finished_at
        self._close_at = zero + job.duration
        last = plan[-1] if plan else self._close_at
        self._end_at = (self._close_at if job.clients else last) + job.deadline
        for _ in range(job.clients):
            self._think(zero, None)
        self._tick()
        poll, connections, timer = self._poller.poll, self._connections, self._timer.fd
        read = self._read
        while not self._over():
            due = False
            for fd, event in poll():
                if fd == timer:
                    due = True
                    continue
                connection = connections.get(fd)
                if connection is None:
                    continue
                if connection.state == CONNECTING:
                    self._connected(connection, event)
                    continue
                if event == _IN:
                    read(connection)
                    continue
                if event & _OUT and connection.unsent is not None:
                    self._push(connection)
                if event & ~_OUT and connection.state != DEAD:
                    self._read(connection)
            if due:  # after the answers, so that a connection freed just now can be used
                self._tick()
        connecting = [c.row for c in connections.values() if c.state == CONNECTING]
        for row in [*connecting, *self._backlogged]:
            self._sent[row] = math.nan
        if self._broken_off and not job.clients:
            columns.rows = self._next
        usage.settle(self.tally)
        self.tally.monotonic_start = zero

    def break_off(self, *_: object) -> None:
        """End `run` as soon as it looks up; what has not been started yet is cut off."""
        self._gave_up = self._broken_off = True
        self._timer.at(monotonic())

    def close(self) -> None:
        """Close every connection, the poller and the timer."""
        for connection in self._connections.values():
            connection.sock.close()
        self._poller.close()
        self._timer.close()

    def _over(self) -> bool:
        if self._gave_up:
            return True
        if self._in_flight:
            return False
        if self._job.clients:
            return monotonic() >= self._close_at
        return self._next >= self._planned

    def _tick(self) -> None:
        """Start all that is due, and set the alarm for what comes next."""
        self._armed = math.inf
        if monotonic() >= self._end_at:
            self._gave_up = True
            return
        while self._backlogged:  # those refused first are first, until the next refusal
            row = self._backlogged.popleft()
            self.tally.retries += 1
            if not self._open(row):
                self._backlogged.appendleft(row)
                break
        if self._job.clients:
            thinking = self._thinking
            while thinking and thinking[0][0] <= monotonic():
                due, _, connection = heapq.heappop(thinking)
                if due < self._close_at:
                    self._start(self.columns.add(due), connection)
            closing = self._close_at if monotonic() < self._close_at else self._end_at
            self._alarm(min(closing, thinking[0][0]) if thinking else closing)
            return
        plan, planned, row = self._plan, self._planned, self._next
        burst = row + _BURST
        while row < planned and row < burst and plan[row] <= monotonic():
            self._next = row + 1
            self._start(row, None)
            row += 1
        self._alarm(plan[row] if row < planned else self._end_at)

    def _alarm(self, when: float) -> None:
        if when < self._armed:
            self._armed = when
            self._timer.at(when)

    def _think(self, until: float, connection: Connection | None) -> None:
        self._thoughts += 1  # breaks ties, because connections have no order
        heapq.heappush(self._thinking, (until, self._thoughts, connection))
        self._alarm(until)

    def _start(self, row: int, connection: Connection | None) -> None:
        self._in_flight += 1
        if self._in_flight > self.tally.peak_in_flight:
            self.tally.peak_in_flight = self._in_flight
        idle = self._idle if connection is None else [connection]
        while idle:
            connection = idle.pop()
            if self._usable(connection):
                self._send(connection, row)
                return
        if not self._open(row):
            self._backlogged.append(row)

    def _usable(self, connection: Connection) -> bool:
        if connection.state != IDLE:
            return False
        if monotonic() - connection.idle_since < _COLD:
            return True
        if connection.is_quiet():
            return True
        self._discard(connection)
        return False

    def _open(self, row: int) -> bool:
        """Connect for a request; False if it has to be tried again, and then the alarm is set."""
        if self._sent[row] != self._sent[row]:  # NaN: not the second try on a full backlog
            self._sent[row] = monotonic()
        try:
            sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            self._unsent(row, wire.CONNECT)
            return True
        if self._job.port:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(self._address)
        if code not in (0, errno.EINPROGRESS):
            sock.close()
            full = code == errno.EAGAIN
            if full and self._job.retry:
                self._alarm(monotonic() + _RETRY)
                return False
            self._unsent(row, wire.BACKLOG_FULL if full else wire.CONNECT)
            return True
        answer = Answer(self._job.method, keep_body=self._keep_body, shapes=self._shapes)
        connection = Connection(sock, answer, row)
        self._connections[connection.fd] = connection
        if code == 0:
            self._poller.register(connection.fd, _IN)
            self._opened(connection)
        else:
            self._poller.register(connection.fd, _OUT)
        return True

    def _connected(self, connection: Connection, event: int) -> None:
        if not event & ~_IN:  # left over from a closed connection that had the same descriptor
            return
        if connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            row, connection.row = connection.row, -1
            self._discard(connection, served=False)
            self._unsent(row, wire.CONNECT)
            return
        self._poller.modify(connection.fd, _IN)
        self._opened(connection)

    def _opened(self, connection: Connection) -> None:
        self.tally.connections += 1
        if self._lost > self.tally.reconnects:
            self.tally.reconnects += 1
        self._transmit(connection, connection.row)

    def _send(self, connection: Connection, row: int) -> None:
        self._sent[row] = monotonic()
        self._transmit(connection, row)

    def _transmit(self, connection: Connection, row: int) -> None:
        connection.row = row
        connection.state = BUSY
        connection.answer.reset()
        try:
            count = connection.sock.send(self._request)
        except BlockingIOError:
            count = 0
        except OSError:
            self._sent[row] = math.nan
            self._fail(connection, connection.loss())
            return
        if count < len(self._request):
            connection.unsent = memoryview(self._request)[count:]
            self._poller.modify(connection.fd, _IN | _OUT)

    def _push(self, connection: Connection) -> None:
        assert connection.unsent is not None
        try:
            connection.unsent = connection.unsent[connection.sock.send(connection.unsent) :]
        except BlockingIOError:
            return
        except OSError:
            # The server may have answered and closed without reading on; let the read decide.
            connection.broken = True
            self._poller.modify(connection.fd, _IN)
            return
        if not connection.unsent:
            connection.unsent = None
            self._poller.modify(connection.fd, _IN)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
            connection.broken = True
        now = monotonic()
        row = connection.row
        if row < 0:  # closed while idle, or talking out of turn: either way it is of no more use
            self._discard(connection)
            return
        answer = connection.answer
        if data:
            began = self._first[row]
            if began != began:  # still NaN
                self._first[row] = now
            try:
                whole = answer.feed(data)
            except ProtocolError:
                self._fail(connection, wire.PROTOCOL)
                return
            if answer.interim:
                answer.interim = False
                self._first[row] = now if answer.begun or whole else math.nan
            if not whole:
                return
        elif connection.broken or not answer.eof():
            self._fail(connection, connection.loss())
            return
        else:
            self.columns.length_unknown[row] = 1
        columns, job = self.columns, self._job
        self._finished[row] = now
        status = columns.status[row] = answer.status
        if job.trace:
            columns.heads[row] = answer.head
        # As job.accepts says, without the call.
        if status not in job.expected if job.expected else not 200 <= status < 300:
            columns.error[row] = wire.STATUS
        elif job.expected_body is not None and answer.body != job.expected_body:
            columns.error[row] = wire.BODY
        connection.row = -1
        self._in_flight -= 1
        if answer.keep and self._reuses and connection.unsent is None:
            connection.state = IDLE
            connection.idle_since = now
            if not job.clients:
                self._idle.append(connection)
                return
        else:
            self._discard(connection)
        if job.clients and now < self._close_at:
            if job.think:
                self._think(now + job.think, connection)
            elif connection.state == IDLE:
                self._in_flight += 1
                self._send(connection, columns.add(now))
            else:
                self._start(columns.add(now), None)

    def _fail(self, connection: Connection, code: int) -> None:
        row = connection.row
        connection.row = -1
        if connection.answer.status:
            self.columns.status[row] = connection.answer.status
        self._discard(connection)
        self._failed(row, code)

    def _unsent(self, row: int, code: int) -> None:
        self._sent[row] = math.nan
        self._failed(row, code)

    def _failed(self, row: int, code: int) -> None:
        self.columns.error[row] = code
        self._in_flight -= 1
        if self._job.clients:
            self._think(monotonic() + max(self._job.think, wire.BACKOFF), None)

    def _discard(self, connection: Connection, *, served: bool = True) -> None:
        if connection.state == DEAD:
            return
        connection.state = DEAD
        self._lost += served
        del self._connections[connection.fd]
        connection.sock.close()
