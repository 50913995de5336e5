"""Matching of a replay in processes of its own: several streams of batches over one pool, each in its own order."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from socmon.journal import Batch, Frame
from socmon.matching import Matched
from socmon.workers import Pool

_AHEAD = 4  # batches of one stream on their way, per worker


class Pooled:
    """A Matching over `pool`; results are the same as in one process, whatever the pool's size.

    Args:
        streams: how many are read side by side; so many divide what may be on its way.
    """

    def __init__(self, pool: Pool, size: int, *, streams: int = 1) -> None:
        self._pool = pool
        # One batch of each at least is matched while another one's are correlated.
        self._ahead = max(2, _AHEAD * size // streams)
        self._next = 0
        self._of: dict[int, _Stream] = {}  # by the numbers under which batches are on their way

    def __call__(self, batches: Iterable[Batch], *, undated: bool = False) -> Iterator[Matched]:
        """See Matching."""
        stream = _Stream()
        left = iter(batches)
        more = True
        while more or stream.waiting:
            while more and stream.waiting < self._ahead and self._pool.room:
                batch = next(left, None)
                more = batch is not None
                if batch is not None:
                    self._submit(batch, stream, undated=undated)
            if stream.done:
                yield stream.take()
            else:
                self._pool.step()
                self._hand_out()

    def _submit(self, batch: Batch, stream: "_Stream", *, undated: bool) -> None:
        self._next += 1
        number, first_seq, records = self._next, batch.first_seq, batch.records
        seqs = [record.seq for record in records]
        # A worker numbers records on from the first; where lines are empty, their numbers are put back afterwards.
        holes = bool(seqs) and seqs[-1] - first_seq >= len(seqs)
        stream.sent.append((batch.number, first_seq, seqs if holes else ()))
        self._of[number] = stream
        self._pool.submit(Frame.of(msgspec.structs.replace(batch, number=number)), undated=undated)

    def _hand_out(self) -> None:
        while (matched := self._pool.take()) is not None:
            self._of.pop(matched.number).done.append(matched)


class _Stream:
    """One stream.

    Attributes:
        sent: per batch that was not taken yet its number, its first sequence, and all of them where they have holes.
        done: what the first of them have come to.
    """

    def __init__(self) -> None:
        self.sent: deque[tuple[int, int, Sequence[int]]] = deque()
        self.done: deque[Matched] = deque()

    @property
    def waiting(self) -> int:
        """Batches that were sent and not taken yet."""
        return len(self.sent)

    def take(self) -> Matched:
        """What the first one has come to, once."""
        matched = self.done.popleft()
        matched.number, first_seq, seqs = self.sent.popleft()
        if seqs:
            for match in matched.matches:
                record = match.event.record
                match.event.record = msgspec.structs.replace(record, seq=seqs[record.seq - first_seq])
        return matched
