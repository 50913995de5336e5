"""Messages out of the bytes of one connection: octet counting and newline framing (RFC 6587, sections 3.4.1, 3.4.2)."""

import re

# A count above 9,999,999 is none. Among lines a priority must follow it: a line may begin with a number.
_COUNT = re.compile(rb"([1-9][0-9]{0,6}) ")
_COUNT_AMONG_LINES = re.compile(rb"([1-9][0-9]{0,6}) (?=<[0-9]{1,3}>)")
_UNDECIDED = re.compile(rb"(?:[1-9][0-9]{0,6}|\r)\Z")
_UNDECIDED_AMONG_LINES = re.compile(rb"(?:[1-9][0-9]{0,6}(?: (?:<[0-9]{0,3})?)?|\r)\Z")
# Where a count ends a run of lines. Without NUL the pattern begins with one fixed byte, which is found far faster.
_NEXT_COUNT = re.compile(rb"\n[1-9][0-9]{0,6} <[0-9]{1,3}>")
_NEXT_COUNT_NUL = re.compile(rb"[\n\0][1-9][0-9]{0,6} <[0-9]{1,3}>")
_LINE_ENDS = re.compile(rb"(?:\r?[\n\0])*")
_LINE_END = re.compile(rb"[\n\0]")
_PRIORITY = ord("<")
_SPARE_BYTES = 3  # held beyond the longest message: what fills this is too long whatever its end is


class Framing:
    """Cuts the bytes of one connection into messages; the pieces in which they come make no difference.

    A frame that begins with a count (1 to 7 digits, no zero first, then a space) has so many octets; any other is a
    line, which LF, CRLF or NUL ends. The first frame says what the connection is. Among lines, a count must be followed
    by a priority. Among counted frames, a line must begin with one; anything else is `lost`, since nobody knows where
    the next frame begins. Line ends between counted frames, or counted in at their end, are passed over; so are
    empty messages.

    Attributes:
        too_long: messages that were cut at `max_bytes`, since the start.
        lost: what stands where a frame must begin and is none, up to 40 bytes; nothing more can be read. b"" before.
    """

    def __init__(self, max_bytes: int) -> None:
        self.too_long = 0
        self.lost = b""
        self._max_bytes = max_bytes
        self._counts: bool | None = None  # whether the first frame was a counted one
        self._start = b""  # the start of a frame, too short to tell which kind it is
        self._in_line = False
        self._missing = 0  # octets of a counted frame that are still to come
        self._held = bytearray()  # what there is of an unfinished frame

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes, framing removed."""
        messages: list[bytes] = []
        data, self._start = self._start + data, b""
        at = 0
        while at < len(data) and not self.lost:
            if self._missing:
                at = self._go_on_counted(data, at, messages)
            elif self._in_line:
                at = self._go_on_line(data, at, messages)
            else:
                at = self._begin(data, at, messages)
        return messages

    def finish(self) -> tuple[list[bytes], bool]:
        """When nothing more comes: the line that only lacked its end, and whether a counted frame is incomplete."""
        rest, self._start = self._start.removesuffix(b"\r"), b""
        incomplete = bool(self._missing or (self._counts and rest))
        self._missing, self._in_line = 0, False
        messages: list[bytes] = []
        if not incomplete:
            self._held += rest
            self._complete(messages)
        self._held.clear()
        return messages, incomplete

    def _begin(self, data: bytes, at: int, messages: list[bytes]) -> int:
        """Take what begins at `at`, where a frame does; return where to go on."""
        if ends := _LINE_ENDS.match(data, at):
            at = ends.end()
        undecided = _UNDECIDED_AMONG_LINES if self._counts is False else _UNDECIDED
        if at == len(data) or undecided.match(data, at):
            self._start = data[at:]
            return len(data)
        if self._counts is None:
            self._counts = _COUNT.match(data, at) is not None
        count = _COUNT if self._counts else _COUNT_AMONG_LINES
        if count.match(data, at):
            return self._counted(count, data, at, messages)
        if not self._counts:
            return self._lines(data, at, messages)
        self._in_line = data[at] == _PRIORITY
        if not self._in_line:
            self.lost = data[at : at + 40]
        return at

    def _counted(self, count: re.Pattern[bytes], data: bytes, at: int, messages: list[bytes]) -> int:
        """All counted frames from `at` on that follow each other directly."""
        while found := count.match(data, at):
            start = found.end()
            at = start + int(found[1])
            if at > len(data):
                self._missing = at - start
                return start
            self._add(data[start:at], messages)
        return at

    def _lines(self, data: bytes, at: int, messages: list[bytes]) -> int:
        """All whole lines from `at` on, up to the next count."""
        has_nul = data.find(b"\0", at) >= 0
        next_count = (_NEXT_COUNT_NUL if has_nul else _NEXT_COUNT).search(data, at)
        last = next_count.start() if next_count else max(data.rfind(b"\n", at), data.rfind(b"\0", at))
        if last < 0:
            self._in_line = True
            return at
        lines = data[at:last]
        if has_nul:
            lines = lines.replace(b"\0", b"\n")
        if len(lines) > self._max_bytes or b"\r" in lines:
            for line in lines.split(b"\n"):
                self._add(line, messages)
        else:
            messages += filter(None, lines.split(b"\n"))
        return last + 1

    def _go_on_counted(self, data: bytes, at: int, messages: list[bytes]) -> int:
        piece = data[at : at + self._missing]
        self._hold(piece)
        self._missing -= len(piece)
        if not self._missing:
            self._complete(messages)
        return at + len(piece)

    def _go_on_line(self, data: bytes, at: int, messages: list[bytes]) -> int:
        end = _LINE_END.search(data, at)
        self._hold(data[at : end.start() if end else len(data)])
        if end is None:
            return len(data)
        self._in_line = False
        self._complete(messages)
        return end.end()

    def _hold(self, piece: bytes) -> None:
        self._held += piece[: self._max_bytes + _SPARE_BYTES - len(self._held)]

    def _complete(self, messages: list[bytes]) -> None:
        self._add(bytes(self._held), messages)
        self._held.clear()

    def _add(self, frame: bytes, messages: list[bytes]) -> None:
        """The message of a frame: without one line end, not longer than `max_bytes`."""
        if frame[-1:] in (b"\n", b"\0"):
            frame = frame[:-1]
        frame = frame.removesuffix(b"\r")
        if len(frame) > self._max_bytes:
            self.too_long += 1
            frame = frame[: self._max_bytes]
        if frame:
            messages.append(frame)
