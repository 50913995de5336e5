"""The bytes of one side of a TCP connection in their order, while somebody reads them (RFC 9293, section 3.4)."""

from socmon.network.flows import Flow
from socmon.network.limits import Counts

_MODULUS = 1 << 32
_HALF = 1 << 31
MOST_HELD_BYTES = 256 * 1024
MOST_HELD_SEGMENTS = 256


class Budget:
    """How many bytes all streams together may still hold back."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class Stream:
    """Hands segments on in order. What came out of order waits, bounded; then what is missing is given up as a gap.

    Of bytes that come twice those count that were handed on first; an attacker's second version is never seen.
    """

    __slots__ = ("_budget", "_counts", "_flow", "_from_originator", "_held", "_held_bytes", "_next")

    def __init__(self, flow: Flow, budget: Budget, counts: Counts, *, from_originator: bool, first: int) -> None:
        self._flow = flow
        self._budget = budget
        self._counts = counts
        self._from_originator = from_originator
        self._next = first % _MODULUS
        self._held: list[tuple[int, bytes]] = []
        self._held_bytes = 0

    def segment(self, seq: int, data: bytes, ts: float) -> None:
        """Take a segment with data."""
        if seq != self._next or self._held:
            self._hold(seq, data)
            self._release(ts)
        else:
            self._next = (seq + len(data)) % _MODULUS
            self._flow.app.data(self._from_originator, data, ts)

    def drop(self) -> None:
        """Let go of what is held; nobody reads this any more."""
        self._budget.left += self._held_bytes
        self._held, self._held_bytes = [], 0

    def _ahead(self, seq: int) -> int:
        """How far `seq` lies behind what was handed on; less than 0 for what was handed on already."""
        return (seq - self._next + _HALF) % _MODULUS - _HALF

    def _hold(self, seq: int, data: bytes) -> None:
        if self._ahead(seq) + len(data) > 0:
            self._held.append((seq, data))
            self._held_bytes += len(data)
            self._budget.left -= len(data)

    def _release(self, ts: float) -> None:
        while self._held:
            at = min(range(len(self._held)), key=lambda index: self._ahead(self._held[index][0]))
            seq, data = self._held[at]
            ahead = self._ahead(seq)
            if ahead > 0:
                if not self._full():
                    return
                self._counts.unbuffered += 1
                self._next = seq
                self._flow.app.gap(self._from_originator, ahead)
                continue  # the reader may have had enough, and dropped all
            del self._held[at]
            self._held_bytes -= len(data)
            self._budget.left += len(data)
            data = data[-ahead:] if ahead else data
            if data:
                self._next = (self._next + len(data)) % _MODULUS
                self._flow.app.data(self._from_originator, data, ts)

    def _full(self) -> bool:
        return self._held_bytes > MOST_HELD_BYTES or len(self._held) > MOST_HELD_SEGMENTS or self._budget.left < 0
