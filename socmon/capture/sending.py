"""Events on their way to the daemon, kept until it has them in its journal; what there is no room for is counted."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

from socmon import log
from socmon.capture.told import Told, read_answer
from socmon.errors import ParseError

FIRST_S, LIMIT_S = 0.1, 2.0  # between two tries to reach the daemon
ANSWER_S = 10.0
LINE_BYTES = 100  # what Python needs around each line
_PIECE_LINES = 500
_MAX_ANSWER_BYTES = 4096

_log = log.get("capture")


class Sending:
    """Lines for the daemon's socket, in order, each until the daemon has answered for it.

    Args:
        path: the daemon's socket.
        limit_bytes: what may wait, with what Python needs around it; a line for which there is no room is dropped.
        told: how we are; asked with the number of the next line.

    Attributes:
        dropped: lines for which there was no room.
    """

    def __init__(self, path: Path, limit_bytes: int, told: Callable[[int], Told]) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._told = told
        self._sent: deque[bytes] = deque()  # and not answered for
        self._unsent: deque[bytes] = deque()
        self._bytes = 0
        self._first = 0  # number of the first of these
        self._link: _Link | None = None
        self._empty = asyncio.Event()
        self._reached = False
        self._away = False  # and that was told
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Lines that the daemon has not answered for."""
        return len(self._sent) + len(self._unsent)

    @property
    def connected(self) -> bool:
        """Whether the daemon takes lines."""
        return self._link is not None and self._link.answered

    @property
    def crowded(self) -> bool:
        """Whether what waits takes more than half of its room."""
        return 2 * self._bytes > self._limit_bytes

    def put(self, line: bytes) -> None:
        """Let `line` wait, without its end; never waits itself. `flush` sends it."""
        size_bytes = len(line) + LINE_BYTES
        if self._bytes + size_bytes > self._limit_bytes:
            self.dropped += 1
            return
        self._unsent.append(line)
        self._bytes += size_bytes

    def flush(self) -> None:
        """Hand on what waits, as much as the connection takes now."""
        link = self._link
        while self._unsent and link is not None and link.takes:
            piece = [self._unsent.popleft() for _ in range(min(_PIECE_LINES, len(self._unsent)))]
            self._sent.extend(piece)
            link.write(b"\n".join(piece) + b"\n")

    def tell(self) -> None:
        """Say how we are, where somebody listens."""
        if self._link is not None and self._link.takes:
            self._link.write(self._told(self._first + len(self._sent)).line())

    async def run(self) -> None:
        """Reach the daemon, again and again, until cancelled: nobody supervises this process but its own waits."""
        wait_s = FIRST_S
        while True:
            self._reached = False
            why = await self._once()
            wait_s = FIRST_S if self._reached else min(2 * wait_s, LIMIT_S)
            if wait_s == LIMIT_S and not self._away:  # longer than a restart of the daemon takes
                self._away = True
                _log.warning("the daemon takes no events, they wait for it", socket=str(self._path), error=why)
            await asyncio.sleep(wait_s)

    async def finish(self, timeout_s: float) -> int:
        """Wait until the daemon has all, at most so long; how many lines it has not."""
        self._empty.clear()
        self.flush()
        if self.waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._empty.wait()
        return self.waiting

    async def _once(self) -> str:
        """Be connected as long as that goes; why it did not."""
        loop = asyncio.get_running_loop()
        link = _Link(self)
        try:
            async with asyncio.timeout(ANSWER_S):
                await loop.create_unix_connection(lambda: link, str(self._path))
        except OSError as error:  # TimeoutError is one
            return str(error) or f"nobody answers within {ANSWER_S:.0f} s"
        try:
            await asyncio.wait([link.lost], timeout=ANSWER_S)
            if link.answered:
                await asyncio.wait([link.lost])
        finally:
            link.abort()
        return "it ended the connection; its log says whether it refuses us"

    # ── called by the connection ─────────────────────────────────────────────────────────────────────────────────

    def begin(self, link: "_Link") -> None:
        """A connection is there: all that is not answered for is to be sent again, once the daemon says from where."""
        self._link = link
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()
        link.write(self._told(self._first).line())

    def answered(self, wanted: int) -> None:
        """The daemon has all before line `wanted`."""
        if wanted > self._first + self.waiting:
            raise ParseError(f"an answer for line {wanted}, which was never sent")
        self._reached = True
        if self._away:
            self._away = False
            _log.info("the daemon takes events again")
        for _ in range(wanted - self._first):  # fewer than none where an old journal was restored
            line = (self._sent or self._unsent).popleft()
            self._bytes -= len(line) + LINE_BYTES
            self._first += 1
        if not self.waiting:
            self._empty.set()
        self.flush()

    def ended(self, link: "_Link") -> None:
        """A connection is over."""
        if self._link is link:
            self._link = None


class _Link(asyncio.Protocol):
    """One connection to the daemon.

    Attributes:
        answered: it has said from where it wants lines.
        lost: done when the connection is over.
    """

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._rest = b""
        self.answered = False
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def takes(self) -> bool:
        """Whether lines may be written now."""
        return self.answered and not self._paused

    def write(self, data: bytes) -> None:
        """Hand `data` to the kernel, or to the transport's bounded buffer."""
        if self._transport is not None:
            self._transport.write(data)

    def abort(self) -> None:
        """End the connection; harmless when it is over."""
        if self._transport is not None:
            self._transport.abort()

    # ── called by the transport ──────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._sending.begin(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            for line in [*lines, *([self._rest] if len(self._rest) > _MAX_ANSWER_BYTES else [])]:
                wanted = read_answer(line)
                self.answered = True
                self._sending.answered(wanted)
        except ParseError as error:
            _log.error("the daemon's answer makes no sense, connection closed", error=str(error))
            self.abort()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._sending.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._sending.ended(self)
        if not self.lost.done():
            self.lost.set_result(None)
