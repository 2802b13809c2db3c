"""Just enough HTTP/1.1 to send one request and know when its answer is whole.

A head is checked by hand: a full parser calls back once a header, which costs more than everything
else that the client does. A head that was seen before, but for digits that do not matter, is not
looked into again. Chunked bodies go through httptools. Framing rules: RFC 9112, section 6.

Whatever a server sends is bounded, and what could be read in two ways is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import httptools

#: What a server may send in answer to one request: bytes of a head, heads before the answer's own,
#: and bytes of the rest.
MAX_HEAD, MAX_INTERIM, MAX_BODY = 65_536, 16, 2**30

#: A status line and header lines as RFC 9112, sections 4 and 5, have them, without folded lines.
_TEXT = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
_HEAD_FORM = re.compile(
    rb"HTTP/1\.[01] [1-9][0-9]{2}(?: " + _TEXT + rb")?"
    rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:" + _TEXT + rb")*"
)
_LONE_LINE_FEED = re.compile(rb"(?<!\r)\n")

#: Heads that differ in digits alone (a date, a service time) have one shape.
_SHAPE = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
#: Shapes that are remembered, and how long a head may be that is worth it.
_SHAPES, _SHAPED = 32, 2_048
#: By shape: the head's first 12 bytes, where its Content-Length is and what that says; then what
#: follows from these: how the body ends, how long it is at most, the status, and `Answer.keep`.
Shapes = dict[bytes, tuple[bytes, int, int, bytes, int, int, int, bool]]

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
        keep_body: of how many bytes of the body :attr:`body` is to hold the whole; 0 for none.
        shapes: the heads seen so far, which all answers to one method may share.

    Attributes:
        status: HTTP status, 0 until the head is there.
        head: the raw header block without its final blank line.
        body: the body as far as it was to be kept, and at most one piece more.
        keep: whether the server will take another request on this connection.
        interim: a head before the answer's own (100, 103) has ended, so that what arrived before
            does not count as its beginning. Whoever stamps that sets this back.
    """

    __slots__ = (
        "_bodiless",
        "_buffer",
        "_interims",
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
        "interim",
        "keep",
        "status",
    )

    def __init__(self, method: str, *, keep_body: int, shapes: Shapes | None = None) -> None:
        self._bodiless = method == "HEAD"
        self._keep_body = keep_body
        self._known = (b"", 0, False)
        self._known_length = -1
        self._shapes: Shapes = {} if shapes is None else shapes
        self.body = b""
        self.head = b""
        self.keep = self.interim = False
        self.reset()

    def reset(self) -> None:
        """Get ready for the next answer."""
        self.status = self._interims = 0
        self._mode = _HEAD
        self._buffer = b""
        if self._keep_body:
            self.body = b""

    @property
    def begun(self) -> bool:
        """Whether something of the answer itself is there, and not only of an interim head."""
        return self._mode != _HEAD or bool(self._buffer)

    def feed(self, data: bytes) -> bool:
        """Take what arrived; True when the answer is whole.

        Raises:
            ProtocolError: this is not HTTP/1, it is more than the bounds allow, or more arrived
                than was announced.
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
                    return self._follow(_COUNTED, self._known_length, data, end)
                shape = self._shapes.get(head.translate(_SHAPE))
                if shape is not None:
                    start, at, to, digits, mode, left, status, keep = shape
                    # The digits that matter are the same too: version, status and length.
                    if head[:12] == start and head[at:to] == digits:
                        self.head, self.status, self.keep = head, status, keep
                        if self._known_length < 0 and mode == _COUNTED:
                            self._known, self._known_length = (head, status, keep), left
                        if len(data) - end - 4 == left and not self._keep_body:
                            return True
                        return self._follow(mode, left, data, end)
                return self._begin(data, head)
            if (
                len(data) > MAX_HEAD
                or not data.startswith(b"HTTP/1."[: len(data)])
                or _LONE_LINE_FEED.search(data)
            ):
                raise ProtocolError("no HTTP/1 response head")
            self._buffer = data
            return False
        if mode == _CHUNKED:
            return self._parse(data)
        return self._count(data)

    def eof(self) -> bool:
        """The server closed: True if that is how this answer ends.

        Nothing tells such an answer from the first part of a longer one.
        """
        return self._mode == _UNTIL_CLOSE

    def _begin(self, data: bytes, head: bytes) -> bool:
        end = len(head)
        if end > MAX_HEAD or not _HEAD_FORM.fullmatch(head):
            raise ProtocolError("no HTTP/1 response head")
        status = int(head[9:12])
        if status < 200:
            self.interim = True
            self._interims += 1
            if status == 101 or self._interims > MAX_INTERIM:
                raise ProtocolError(f"status {status} in answer to a plain request")
            self._buffer = b""  # the real answer follows
            return self.feed(data[end + 4 :]) if len(data) > end + 4 else False
        lower = head.lower()
        codings, lengths = _values(lower, b"transfer-encoding"), _values(lower, b"content-length")
        if codings and (lengths or codings != [b"chunked"]):
            raise ProtocolError("the Transfer-Encoding makes no sense")
        if lengths and (
            len(lengths) > 1
            or not lengths[0].isdigit()
            or len(lengths[0]) > 18  # Python reads no number of thousands of digits
        ):
            raise ProtocolError("the Content-Length makes no sense")
        options = b",".join(_values(lower, b"connection"))
        newer = head[7] == 49  # "1": persistence is the default of HTTP/1.1 only
        keep = b"close" not in options and (newer or b"keep-alive" in options)
        mode, left, at, to = _COUNTED, 0, 0, 0
        if self._bodiless or status == 204 or status == 304:
            pass
        elif codings:
            mode, left = _CHUNKED, MAX_BODY
        elif lengths:
            left = int(lengths[0])
            if left > MAX_BODY:
                raise ProtocolError(f"the body has {left} bytes; up to {MAX_BODY} are read")
            at = lower.index(b"\r\ncontent-length:") + 17
            to = at + len(head[at:].partition(b"\r\n")[0])
            self._known, self._known_length = (head, status, keep), left
        else:
            mode, left, keep = _UNTIL_CLOSE, MAX_BODY, False
        if end <= _SHAPED:
            if len(self._shapes) == _SHAPES:
                self._shapes.clear()
            shape = (head[:12], at, to, head[at:to], mode, left, status, keep)
            self._shapes[head.translate(_SHAPE)] = shape
        self.head, self.status, self.keep = head, status, keep
        return self._follow(mode, left, data, end)

    def _follow(self, mode: int, left: int, data: bytes, end: int) -> bool:
        """Read on after the head, which ``end`` bytes of ``data`` are."""
        self._mode, self._left = mode, left
        if mode == _CHUNKED:
            self._whole = False
            self._parser = httptools.HttpResponseParser(self)
            return self._parse(data)
        return self._count(data[end + 4 :])

    def _count(self, data: bytes) -> bool:
        self._left -= len(data)
        if self._left < 0:
            raise ProtocolError("more bytes than were announced, or than are read")
        if len(self.body) < self._keep_body:
            self.body += data
        return self._left == 0 and self._mode == _COUNTED

    def _parse(self, data: bytes) -> bool:
        self._left -= len(data)
        if self._whole or self._left < 0:
            raise ProtocolError("bytes after the last chunk, or more than are read")
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
        if len(self.body) < self._keep_body:
            self.body += body

    def on_message_complete(self) -> None:
        self._whole = True


def _values(lower: bytes, name: bytes) -> list[bytes]:
    """What each line of that name says, in a head in lower case."""
    if b"\r\n" + name + b":" not in lower:
        return []
    start = name + b":"
    lines = [line for line in lower.split(b"\r\n") if line.startswith(start)]
    return [line[len(start) :].strip(b" \t") for line in lines]
