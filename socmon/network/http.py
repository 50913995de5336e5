"""HTTP/1: every request of a connection, with the head of its response (RFC 9112), as in Zeek's http.log.

A line is written when its response begins, not when that ends: a response may go on for hours, and never end.
"""

from collections import deque
from collections.abc import Callable, Iterator

from socmon.network.flows import Flow
from socmon.network.limits import Counts
from socmon.network.reading import Budget, Held, Reader
from socmon.network.zeek import Http, Output, stamp, text

_LONGEST_HEAD = 32 * 1024
_LONGEST_CHUNK_LINE = 1024
_MOST_HEADERS = 200
_MOST_WAITING = 64
_LONGEST_VALUE = 8 * 1024

METHODS = frozenset(
    b"GET POST HEAD PUT DELETE OPTIONS CONNECT TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH "
    b"REPORT MKACTIVITY CHECKOUT MERGE NOTIFY SUBSCRIBE UNSUBSCRIBE M-SEARCH RPC_CONNECT RPC_IN_DATA RPC_OUT_DATA "
    b"BITS_POST CCM_POST SMS_POST".split()
)


def is_request(data: bytes) -> bool:
    """Whether a stream that begins so is one of requests."""
    return data[:20].lstrip(b"\r\n").split(b" ", 1)[0] in METHODS


class _Messages:
    """One side's messages: finds their heads, and passes over their bodies without keeping them."""

    __slots__ = ("body", "buffer", "chunked", "endless", "lost", "skip", "trailer")

    def __init__(self) -> None:
        self.buffer = b""
        self.body = 0  # bytes of the last message's body so far
        self.skip = 0  # bytes of it that are still to come
        self.chunked = self.trailer = False
        self.endless = False  # all that follows is body
        self.lost = False  # where the next message begins is not known

    def heads(self, data: bytes) -> Iterator[list[bytes]]:
        """The lines of each head that `data` completes. Whoever takes one says by `expect` what body follows."""
        data = self.buffer + data
        self.buffer = b""
        at = 0
        while at < len(data) and not self.endless and not self.lost:
            if self.skip:
                at += self._pass_over(len(data) - at)
                continue
            head: list[bytes] = []
            if self.chunked:
                after = self._chunk(data, at)
            else:
                head, after = _head(data, at)
            if after < 0:
                break
            at = after
            if head:
                yield head
        if not self.endless and not self.lost:
            self.buffer = data[at:]
            self.lost = len(self.buffer) > (_LONGEST_CHUNK_LINE if self.chunked else _LONGEST_HEAD)
        if self.lost:
            self.buffer = b""

    def passes_over(self, size: int) -> bool:
        """Pass over the next bytes if all of them are body, as most are: nothing else changes then."""
        if self.skip < size or self.buffer or self.lost:
            return False
        self._pass_over(size)
        return True

    def _pass_over(self, size: int) -> int:
        passed = min(self.skip, size)
        self.skip -= passed
        if not self.chunked:
            self.body += passed
        return passed

    def _chunk(self, data: bytes, at: int) -> int:
        """Read the line before a chunk; return where it ends, or -1 when it is not whole."""
        end = data.find(b"\n", at)
        if end < 0:
            return -1
        line = data[at:end].strip()
        if self.trailer:
            self.chunked = self.trailer = bool(line)
            return end + 1
        digits = line.split(b";", 1)[0].strip()
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            self.lost = True
            return end + 1
        size = int(digits, 16)
        self.body += size
        self.trailer = size == 0
        self.skip = size + 2 if size else 0
        return end + 1

    def expect(self, headers: dict[bytes, bytes], *, otherwise_endless: bool) -> None:
        """Settle what body follows the head that was just taken (RFC 9112, section 6)."""
        self.body = self.skip = 0
        self.trailer = False
        self.chunked = b"chunked" in headers.get(b"transfer-encoding", b"").lower()
        length = headers.get(b"content-length", b"").strip()
        if self.chunked:
            return
        if length.isdigit() and len(length) < 16:
            self.skip = int(length)
        else:
            self.endless = otherwise_endless

    def gap(self, size: int) -> None:
        """Bytes are missing: no harm within a body whose end is known."""
        if self.skip >= size:
            self.skip -= size
        elif not self.endless:
            self.lost = True
            self.buffer = b""
            self.skip = 0
            self.chunked = False


def _head(data: bytes, at: int) -> tuple[list[bytes], int]:
    """The lines of a head and where it ends, or -1 when it is not whole; no lines where only line ends stand."""
    while data[at : at + 1] in (b"\r", b"\n"):
        at += 1
    if at == len(data):
        return [], at
    ends = [
        (end, end + len(mark))
        for mark in (b"\r\n\r\n", b"\n\n")
        if (end := data.find(mark, at, at + _LONGEST_HEAD)) >= 0
    ]
    if ends:
        end, after = min(ends)
        return data[at:end].splitlines(), after
    if data.startswith(b"GET ", at) and (end := data.find(b"\n", at)) >= 0 and b" HTTP/" not in data[at:end]:
        return [data[at:end].rstrip(b"\r")], end + 1  # HTTP/0.9 has no headers
    return [], -1


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    """Names in lower case; of one that comes twice, the first counts."""
    found: dict[bytes, bytes] = {}
    for line in lines[1:_MOST_HEADERS]:
        name, colon, value = line.partition(b":")
        if colon:
            found.setdefault(name.strip().lower(), value.strip()[:_LONGEST_VALUE])
    return found


class HttpReader(Reader):
    """Reads both sides of a connection, and joins responses with requests by their order.

    Args:
        tunnel: makes the reader of what follows a CONNECT that was accepted.
    """

    __slots__ = (
        "_client",
        "_counts",
        "_depth",
        "_flow",
        "_held",
        "_output",
        "_sides",
        "_tunnel",
        "_waiting",
        "_waiting_size",
    )

    def __init__(
        self,
        flow: Flow,
        output: Output,
        counts: Counts,
        budget: Budget,
        *,
        client_is_originator: bool,
        tunnel: Callable[[Flow], Reader],
    ) -> None:
        self._flow = flow
        self._output = output
        self._counts = counts
        self._held = Held(budget, counts)
        self._tunnel = tunnel
        self._client = client_is_originator
        self._sides = {True: _Messages(), False: _Messages()}
        self._waiting: deque[tuple[Http, int]] = deque()  # with the size of its head
        self._waiting_size = 0
        self._depth = 0
        flow.service = "http"

    def data(self, from_originator: bool, data: bytes, ts: float) -> None:  # noqa: FBT001 - see Reader
        """Read what one side sent."""
        side = self._sides[from_originator]
        request = from_originator == self._client
        if side.endless:
            return
        if side.passes_over(len(data)):
            return
        if side.lost:
            if not (is_request(data) if request else data.startswith(b"HTTP/1.")):
                return
            side.lost = False
        for lines in side.heads(data):
            if request:
                self._request(lines, side, ts)
            else:
                self._response(lines, side, ts)
            if self._flow.app is not self:
                return
        if not self._held.fits(self._waiting_size + sum(len(side.buffer) for side in self._sides.values())):
            self.end()
            self._flow.stop()

    def drop(self) -> None:
        """Give back the room."""
        self._held.fits(0)

    def gap(self, from_originator: bool, size: int) -> None:  # noqa: FBT001 - see Reader
        """Go on behind it if that is known to be within a body, else where a message begins."""
        self._sides[from_originator].gap(size)

    def end(self) -> None:
        """Tell of the requests that nobody answered."""
        while self._waiting:
            self._output.write(self._next())

    def _next(self) -> Http:
        line, size = self._waiting.popleft()
        self._waiting_size -= size
        return line

    def _request(self, lines: list[bytes], side: _Messages, ts: float) -> None:
        method, _, rest = lines[0].partition(b" ")
        if not method or method.strip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"):
            self._counts.bad += 1
            side.lost = True
            return
        uri, found, version = rest.strip().rpartition(b" HTTP/")
        if not found and method != b"GET":  # SIP, RTSP
            side.lost = True
            return
        headers = _headers(lines)
        side.expect(headers, otherwise_endless=False)
        if len(self._waiting) >= _MOST_WAITING:
            self._output.write(self._next())
        self._depth += 1
        line = self._line(ts)
        line.method = text(method[:64])
        line.uri = text((uri if found else rest.strip())[:_LONGEST_VALUE])
        line.version = text(version[:8]) if found else "0.9"
        line.host = _value(headers, b"host")
        line.referrer = _value(headers, b"referer")
        line.user_agent = _value(headers, b"user-agent")
        line.origin = _value(headers, b"origin")
        size = sum(map(len, lines))
        self._waiting.append((line, size))
        self._waiting_size += size

    def _response(self, lines: list[bytes], side: _Messages, ts: float) -> None:
        version, _, rest = lines[0].partition(b" ")
        code, _, reason = rest.strip().partition(b" ")
        if not version.startswith(b"HTTP/") or not code.isdigit() or len(code) != 3:
            side.endless = True  # HTTP/0.9, or not HTTP at all
            return
        status = int(code)
        if 100 <= status < 200 and status != 101:
            return
        if self._waiting:
            line = self._next()
            client = self._sides[self._client]
            line.request_body_len = client.body if not self._waiting else None
        else:  # its request was not seen
            self._depth += 1
            line = self._line(ts)
        line.version = text(version[5:13])
        line.status_code = status
        line.status_msg = text(reason.strip()[:256])
        self._output.write(line)
        if line.method == "HEAD" or status in (204, 304):
            side.expect({b"content-length": b"0"}, otherwise_endless=False)
        else:
            side.expect(_headers(lines), otherwise_endless=True)
        if status == 101:
            self._flow.stop()
        elif line.method == "CONNECT" and 200 <= status < 300:
            self.end()
            self.drop()
            self._flow.app = self._tunnel(self._flow)

    def _line(self, ts: float) -> Http:
        orig_h, orig_p, resp_h, resp_p = self._flow.ends
        return Http(
            ts=stamp(ts),
            uid=self._flow.uid,
            id_orig_h=orig_h,
            id_orig_p=orig_p,
            id_resp_h=resp_h,
            id_resp_p=resp_p,
            trans_depth=self._depth,
        )


def _value(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return text(value) if value else None
