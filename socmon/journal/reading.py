"""Reading the journal in order: from a place on, over segments, past damage, up to the last completed append."""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import takewhile
from types import TracebackType
from typing import Self, TypeAlias

from socmon.errors import JournalError
from socmon.journal.batch import Batch
from socmon.journal.directory import SegmentDirectory, Tail
from socmon.journal.frames import Frame
from socmon.journal.search import BatchT, Found
from socmon.journal.segment import HIGHEST, SegmentFile

_At: TypeAlias = Callable[[SegmentFile, int, int, int], Found[BatchT] | None]


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
        return self._read(max_batches, SegmentFile.frame, lambda batch: batch)

    def read_raw(self, max_frames: int) -> list[Frame]:
        """The next frames, records not decoded; else as `read`."""
        return self._read(max_frames, SegmentFile.raw_frame, Frame.of)

    def _read(self, most: int, at: _At[BatchT], made: Callable[[Batch], BatchT]) -> list[BatchT]:
        """Args: how a frame is read where it must be, and what is made of one that was found behind damage."""
        batches: list[BatchT] = []
        while len(batches) < most and self._wanted <= (tail := self._directory.tail).number:
            try:
                found = self._next(at, made)
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

    def _next(self, at: _At[BatchT], made: Callable[[Batch], BatchT]) -> Found[BatchT] | None:
        """The wanted frame, or the first behind it in this segment that can be read; None if there is none."""
        if self._file is None:
            self._segment = self._directory.holding(self._wanted)
            self._file = self._directory.open(self._segment)
            self._sought = False
        if self._file is not None:
            if not self._sought:
                self._seek(self._file)
            found = at(self._file, self._offset, self._wanted, self._directory.end(self._file))
            if found is not None:
                return found
        behind = self._pass_damage()
        return None if behind is None else Found(made(behind.batch), behind.start, behind.end)

    def _pass_damage(self) -> Found[Batch] | None:
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

    def _account(self, batch: Batch | Frame) -> None:
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
