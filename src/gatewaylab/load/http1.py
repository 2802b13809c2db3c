"""Just enough HTTP/1.1 to send one request and know when its answer is whole.

The plain case (a head and a Content-Length) is checked by hand: a full parser calls back once a
header, which costs more than everything else that the client does. A head that a connection has
seen before, but for digits that do not matter, is not looked into again. Chunked bodies go through
httptools. Framing rules: RFC 9112, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import httptools

MAX_HEAD = 65_536

#: Heads that differ in digits alone (a date, a service time) have one shape.
_SHAPE = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
#: Shapes that a connection remembers, and how long a head may be that is worth it.
_SHAPES, _SHAPED = 32, 2_048

_HEAD, _COUNTED, _CHUNKED, _UNTIL_CLOSE = range(4)


class ProtocolError(Exception):
    """The bytes are not an HTTP/1 response."""


def encode(
    method: str, host: str, path: str, headers: Sequence[tuple[str, str]], body: bytes
) -> bytes:
    """The request as one piece of bytes, so that it takes one write."""
    lines = [f"{method} {path} HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.append(f"Host: {host}")
    lines.extend(f"{name}: {value}" for name, value in headers)
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Answer:
    """One response, read piece by piece; made once a connection and reset before each request.

    Args:
        method: of the request; the answer to HEAD has no body.
        keep_body: collect the body in :attr:`body`.

    Attributes:
        status: HTTP status, 0 until the head is there.
        head: the raw header block without its final blank line.
        body: the body, if it was to be kept.
        keep: whether the server will take another request on this connection.
    """

    __slots__ = (
        "_bodiless",
        "_buffer",
        "_keep_body",
        "_known",
        "_known_length",
        "_left",
        "_mode",
        "_parser",
        "_shapes",
        "_whole",
        "body",
        "head",
        "keep",
        "status",
    )

    def __init__(self, method: str, *, keep_body: bool) -> None:
        self._bodiless = method == "HEAD"
        self._keep_body = keep_body
        self._known = (b"", 0, False)
        self._known_length = -1
        self._shapes: dict[bytes, tuple[bytes, int, int, bytes, int, int]] = {}
        self.body = b""
        self.head = b""
        self.keep = False
        self.reset()

    def reset(self) -> None:
        """Get ready for the next answer."""
        self.status = 0
        self._mode = _HEAD
        self._buffer = b""
        if self._keep_body:
            self.body = b""

    def feed(self, data: bytes) -> bool:
        """Take what arrived; True when the answer is whole.

        Raises:
            ProtocolError: this is not HTTP/1, or more arrived than was announced.
        """
        mode = self._mode
        if mode == _HEAD:
            if self._buffer:
                data = self._buffer + data
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                head = data[:end]
                if head == self._known[0]:  # as the last one, byte for byte: often so
                    self.head, self.status, self.keep = self._known
                    if len(data) - end - 4 == self._known_length and not self._keep_body:
                        return True
                    self._left = self._known_length
                    self._mode = _COUNTED
                    return self._count(data[end + 4 :])
                shape = self._shapes.get(head.translate(_SHAPE))
                if shape is not None:
                    start, at, to, digits, length, status = shape
                    # The digits that matter are the same too: version, status and length.
                    if head[:12] == start and head[at:to] == digits:
                        self.head, self.status, self.keep = head, status, True
                        if len(data) - end - 4 == length and not self._keep_body:
                            return True
                        self._left = length
                        self._mode = _COUNTED
                        return self._count(data[end + 4 :])
                return self._begin(data, end)
            if len(data) > MAX_HEAD or not data.startswith(b"HTTP/1."[: len(data)]):
                raise ProtocolError("no HTTP/1 response head")
            self._buffer = data
            return False
        if mode == _COUNTED:
            return self._count(data)
        if mode == _CHUNKED:
            return self._parse(data)
        if self._keep_body:
            self.body += data
        return False

    def eof(self) -> bool:
        """The server closed: True if that is how this answer ends."""
        return self._mode == _UNTIL_CLOSE

    def _begin(self, data: bytes, end: int) -> bool:
        if not data.startswith(b"HTTP/1.") or end > MAX_HEAD:
            raise ProtocolError("no HTTP/1 response head")
        head = data[:end]
        lower = head.lower()
        try:
            status = int(data[9:12])
        except ValueError:
            raise ProtocolError("no status in the response") from None
        if status < 200:
            if status < 100 or status == 101:
                raise ProtocolError(f"status {status} in answer to a plain request")
            self._buffer = b""  # interim (100, 103): the real answer follows
            return self.feed(data[end + 4 :]) if len(data) > end + 4 else False
        self.status = status
        self.head = head
        at = lower.find(b"\r\nconnection:")
        if at < 0:
            self.keep = data[7] == 49  # "1": persistence is the default of HTTP/1.1 only
        else:
            tokens = lower[at + 13 :].partition(b"\r\n")[0]
            self.keep = b"keep-alive" in tokens or (data[7] == 49 and b"close" not in tokens)
        rest = data[end + 4 :]
        self._left = 0
        if self._bodiless or status == 204 or status == 304:
            self._mode = _COUNTED
            return self._count(rest)
        if b"\r\ntransfer-encoding:" in lower:
            self._mode = _CHUNKED
            self._whole = False
            self._parser = httptools.HttpResponseParser(self)
            return self._parse(data)
        at = lower.find(b"\r\ncontent-length:")
        if at < 0:
            self._mode = _UNTIL_CLOSE
            self.keep = False
            return self.feed(rest)
        digits = lower[at + 17 :].partition(b"\r\n")[0].strip()
        if not digits.isdigit() or lower.find(b"\r\ncontent-length:", at + 17) >= 0:
            raise ProtocolError("the Content-Length makes no sense")
        self._mode = _COUNTED
        self._left = self._known_length = int(digits)
        self._known = (head, status, self.keep)
        if self.keep and end <= _SHAPED:
            if len(self._shapes) == _SHAPES:
                self._shapes.clear()
            at += 17
            to = at + len(head[at:].partition(b"\r\n")[0])
            shape = (head[:12], at, to, head[at:to], self._left, status)
            self._shapes[head.translate(_SHAPE)] = shape
        return self._count(rest)

    def _count(self, data: bytes) -> bool:
        self._left -= len(data)
        if self._left < 0:
            raise ProtocolError("more bytes than the Content-Length announced")
        if self._keep_body:
            self.body += data
        return self._left == 0

    def _parse(self, data: bytes) -> bool:
        if self._whole:
            raise ProtocolError("bytes after the last chunk")
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ProtocolError(str(error)) from error
        return self._whole

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        if self._whole:
            raise ProtocolError("a second response to one request")

    def on_body(self, body: bytes) -> None:
        if self._keep_body:
            self.body += body

    def on_message_complete(self) -> None:
        self._whole = True
