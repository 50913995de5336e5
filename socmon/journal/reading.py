"""Reading the journal in order: from a place on, over segments, past damage, up to the last completed append."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from socmon.journal.batch import Batch
from socmon.journal.directory import SegmentDirectory
from socmon.journal.segment import SegmentFile


class Reader:
    """Follows the journal. For one thread; keeps a file open until closed.

    A frame that cannot be read takes the rest of its segment with it: reading goes on with the next segment.

    Attributes:
        lost_seqs: sequences that could not be read, known once the first frame behind the damage is read.
    """

    def __init__(self, directory: SegmentDirectory, after: int) -> None:
        self.lost_seqs = 0
        self._directory = directory
        self._wanted = after + 1
        self._expected_seq: int | None = None
        self._damaged: int | None = None
        self._segment = 0
        self._file: SegmentFile | None = None
        self._offset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def read(self, max_batches: int) -> list[Batch]:
        """The next batches, at most `max_batches`; none when all that was appended has been read.

        Raises:
            JournalError: the place to go on from has been trimmed, or a segment cannot be opened.
        """
        batches: list[Batch] = []
        while len(batches) < max_batches and self._wanted <= self._directory.tail.number:
            batch = self._next()
            if batch is not None:
                batches.append(batch)
            elif not self._leave():
                break
        return batches

    def close(self) -> None:
        """Let go of the open segment; a later `read` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _next(self) -> Batch | None:
        """The wanted frame; None if it is not in this segment, or cannot be read."""
        if self._file is None:
            self._segment = self._directory.holding(self._wanted)
            self._file = self._directory.open(self._segment)
            if self._file is None:
                return None
            self._seek(self._file)
        found = self._file.frame(self._offset, self._wanted, self._directory.end(self._file))
        if found is None:
            return None
        batch, self._offset = found
        self._wanted += 1
        self._account(batch)
        return batch

    def _seek(self, file: SegmentFile) -> None:
        place = before = file.header.start
        end = self._directory.end(file)
        for place in file.heads(file.header.start, end):
            if place.number == self._wanted:
                break
            before = place
        self._offset = place.offset
        if self._expected_seq is not None:
            return
        if self._wanted == file.header.first_number:
            self._expected_seq = file.header.first_seq
        elif found := file.frame(before.offset, self._wanted - 1, end):
            self._expected_seq = found[0].next_seq

    def _leave(self) -> bool:
        """Go on to the next segment; False if there is none yet."""
        following = self._directory.after(self._segment)
        if following is None or following > self._wanted:
            self._directory.holding(self._wanted)  # raises where the cause is not damage but trimming
            self._directory.note_damage(self._segment)
            self._damaged = self._segment
        if following is None:
            return False
        self._wanted = max(self._wanted, following)
        self.close()
        return True

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
