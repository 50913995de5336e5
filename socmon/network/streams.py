"""The bytes of one side of a TCP connection in their order, while somebody reads them (RFC 9293, section 3.4)."""

from heapq import heappop, heappush

from socmon.network.flows import Flow
from socmon.network.limits import Counts
from socmon.network.reading import Budget

_MODULUS = 1 << 32
_HALF = 1 << 31
MOST_HELD_BYTES = 256 * 1024
MOST_HELD_SEGMENTS = 256


class Stream:
    """Hands segments on in order. What came out of order waits, bounded; then what is missing is given up as a gap.

    Of bytes that come twice those count that were handed on first; an attacker's second version is never seen.
    """

    __slots__ = ("_budget", "_counts", "_flow", "_from_originator", "_held", "_held_bytes", "_next", "_place", "_taken")

    def __init__(self, flow: Flow, budget: Budget, counts: Counts, *, from_originator: bool, first: int) -> None:
        self._flow = flow
        self._budget = budget
        self._counts = counts
        self._from_originator = from_originator
        self._next = first % _MODULUS
        self._place = 0  # of `_next` in the stream: it does not wrap
        self._held: list[tuple[int, int, bytes]] = []  # a heap: place, order of arrival, data
        self._held_bytes = 0
        self._taken = 0

    def segment(self, seq: int, data: bytes, ts: float) -> None:
        """Take a segment with data."""
        if seq != self._next or self._held:
            self._hold(seq, data)
            self._release(ts)
        else:
            self._advance(len(data))
            self._flow.app.data(self._from_originator, data, ts)

    def drop(self) -> None:
        """Let go of what is held; nobody reads this any more."""
        self._budget.left += self._held_bytes
        self._held, self._held_bytes = [], 0

    def _advance(self, size: int) -> None:
        self._next = (self._next + size) % _MODULUS
        self._place += size

    def _hold(self, seq: int, data: bytes) -> None:
        ahead = (seq - self._next + _HALF) % _MODULUS - _HALF
        if ahead + len(data) > 0:
            self._taken += 1
            heappush(self._held, (self._place + ahead, self._taken, data))
            self._held_bytes += len(data)
            self._budget.left -= len(data)

    def _release(self, ts: float) -> None:
        while self._held:
            place, _, data = self._held[0]
            ahead = place - self._place
            if ahead > 0:
                if not self._full():
                    return
                self._counts.unbuffered += 1
                self._advance(ahead)
                self._flow.app.gap(self._from_originator, ahead)
                continue  # the reader may have had enough, and dropped all
            heappop(self._held)
            self._held_bytes -= len(data)
            self._budget.left += len(data)
            data = data[-ahead:]
            if data:
                self._advance(len(data))
                self._flow.app.data(self._from_originator, data, ts)

    def _full(self) -> bool:
        return self._held_bytes > MOST_HELD_BYTES or len(self._held) > MOST_HELD_SEGMENTS or self._budget.left < 0
