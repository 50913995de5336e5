"""Reading the journal in order: from a place on, over segments, past damage, up to the last completed append."""

from collections import deque
from collections.abc import Iterator
from itertools import takewhile
from types import TracebackType
from typing import Self

from socmon.errors import JournalError
from socmon.journal.batch import Batch
from socmon.journal.directory import SegmentDirectory, Tail
from socmon.journal.search import Found
from socmon.journal.segment import HIGHEST, SegmentFile


class Reader:
    """Follows the journal. For one thread; keeps a file open until closed.

    Where a frame cannot be read, reading goes on with the next one that can.

    Attributes:
        lost_seqs: sequences that could not be read; known once the first frame behind the damage is read, or when
            the damage reaches to the end of the journal.
    """

    def __init__(self, directory: SegmentDirectory, after: int) -> None:
        self.lost_seqs = 0
        self._directory = directory
        self._wanted = after + 1
        self._expected_seq: int | None = 1 if after == 0 else None
        self._damaged: int | None = None
        self._segment = 0
        self._file: SegmentFile | None = None
        self._sought = False
        self._offset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def read(self, max_batches: int) -> list[Batch]:
        """The next batches, at most `max_batches`; none when all that was appended has been read.

        Raises:
            JournalError: the place to go on from has been trimmed, or a segment cannot be opened or read. The next
                call tries that place again; what was read up to there is returned before.
        """
        batches: list[Batch] = []
        while len(batches) < max_batches and self._wanted <= (tail := self._directory.tail).number:
            try:
                found = self._next()
            except JournalError:
                if not batches:
                    raise
                break
            if found is None:
                self._leave(tail)
            else:
                self._account(found.batch)
                self._wanted, self._offset = found.batch.number + 1, found.end
                batches.append(found.batch)
        return batches

    def close(self) -> None:
        """Let go of the open segment; a later `read` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self) -> Found | None:
        """The wanted frame, or the first behind it in this segment that can be read; None if there is none."""
        if self._file is None:
            self._segment = self._directory.holding(self._wanted)
            self._file = self._directory.open(self._segment)
            self._sought = False
        if self._file is not None:
            if not self._sought:
                self._seek(self._file)
            found = self._file.frame(self._offset, self._wanted, self._directory.end(self._file))
            if found is not None:
                return found
        return self._pass_damage()

    def _pass_damage(self) -> Found | None:
        following = self._directory.after(self._segment)
        if following is not None and following <= self._wanted:
            return None  # no damage: the segment ends here
        self._directory.holding(self._wanted)  # raises where the cause is not damage but trimming
        found = None
        if self._file is not None:
            end = self._directory.end(self._file)
            found = self._file.find(self._offset, self._wanted, end, below=following or HIGHEST)
        if self._damaged is None and (found is None or found.batch.number > self._wanted):
            self._damaged = self._wanted
            self._directory.note_damage(self._wanted)
        return found

    def _seek(self, file: SegmentFile) -> None:
        """Find the place of the wanted frame, and the sequence that it must begin with."""
        header, end = file.header, self._directory.end(file)
        before = None
        if self._wanted > header.first_number:
            places = file.heads(header.start, end)
            place = next((place for place in places if place.number >= self._wanted - 1), header.start)
            before = file.frame(place.offset, self._wanted - 1, end)
            if before is None:
                earlier = takewhile(lambda found: found.batch.number < self._wanted, file.frames(end))
                before = next(iter(deque(earlier, maxlen=1)), None)
        number, self._offset, seq = header.first_number - 1, header.start.offset, header.first_seq
        if before is not None:
            number, self._offset, seq = before.batch.number, before.end, before.batch.next_seq
        if self._expected_seq is None and number == self._wanted - 1:
            self._expected_seq = seq
        self._sought = True

    def _leave(self, tail: Tail) -> None:
        """Go on to the next segment; behind the active one, where all up to `tail` is lost, to the end."""
        following = self._directory.after(self._segment)
        if following is not None:
            self._wanted = max(self._wanted, following)
            self.close()
        elif tail.segment == self._segment:
            self._account(Batch(tail.number, tail.next_seq, tail.written_us, [], [], tick=False))
            self._wanted, self._offset = tail.number + 1, tail.end

    def _account(self, batch: Batch) -> None:
        if self._expected_seq is not None and batch.first_seq > self._expected_seq and self._damaged is not None:
            lost = batch.first_seq - self._expected_seq
            self.lost_seqs += lost
            self._directory.note_damage(self._damaged, lost)
        self._expected_seq = batch.next_seq
        self._damaged = None


def batches_after(directory: SegmentDirectory, number: int) -> Iterator[Batch]:
    """Frames behind `number` that are kept and were appended when this began, oldest first. Raises as Reader does."""
    last = directory.tail.number
    with Reader(directory, max(number, directory.segments[0] - 1)) as reader:
        while batches := reader.read(1):
            if batches[0].number > last:
                return
            yield batches[0]
