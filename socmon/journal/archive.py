"""A journal as an archive: read in its order while the daemon goes on writing, compressing and trimming it."""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

from socmon.errors import JournalError
from socmon.journal.batch import Batch
from socmon.journal.directory import SegmentDirectory, segments_in
from socmon.journal.files import OsFiles, explained
from socmon.journal.reading import Reader
from socmon.journal.recovery import recover

_REMEDY = "check that the directory exists and its owner and mode"


class Archive:
    """What the journal in `directory` held when this was made. Changes nothing, and takes no lock.

    Args:
        since_us, until_us: received times of frames, both included; None has no bound.

    Attributes:
        number: of the last frame read.
        trimmed: frames that were trimmed before they could be read.
        lost: records that damage on the disk has cost, as far as frames were read.

    Raises:
        JournalError: what is there is no journal, of another version, damaged at its end, or cannot be opened.
    """

    def __init__(self, directory: Path, *, since_us: int | None = None, until_us: int | None = None) -> None:
        files = OsFiles(directory)
        with explained("open the journal in", directory, _REMEDY):
            segments = segments_in(files.list())
        if not segments:
            raise JournalError(f"{directory}: there is no journal here; check the path, or start socmon once")
        found, _ = recover(directory, files, segments)
        self._directory = _Kept(directory, files, found.incarnation, segments, found.tail)
        self._since_us, self._until_us = since_us, until_us
        self._first = self.number = self._start() - 1
        self.trimmed = self.lost = 0

    @property
    def incarnation(self) -> UUID:
        """The journal's."""
        return self._directory.incarnation

    @property
    def first_number(self) -> int:
        """The oldest frame that was kept when this was made, or the first one of the segment that `since_us` is in."""
        return self._first + 1

    @property
    def last_number(self) -> int:
        """The last frame when this was made."""
        return self._directory.tail.number

    def __iter__(self) -> Iterator[Batch]:
        """The frames of the span, oldest first.

        Raises:
            JournalError: a segment is there and cannot be opened or read.
        """
        while self.number < self.last_number:
            with closing(Reader(self._directory, self.number)) as reader:
                try:
                    yield from self._read(reader)
                except JournalError:
                    oldest = self._directory.oldest()
                    if oldest <= self.number + 1:
                        raise
                    self.trimmed += oldest - 1 - self.number
                    self.number = oldest - 1

    def _read(self, reader: Reader) -> Iterator[Batch]:
        lost = self.lost
        while batches := reader.read(1):
            [batch] = batches
            self.lost = lost + reader.lost_seqs
            if batch.number > self.last_number:
                break
            self.number = batch.number
            if self._until_us is not None and batch.written_us > self._until_us:
                break
            if self._since_us is None or batch.written_us >= self._since_us:
                yield batch
        self.lost = lost + reader.lost_seqs
        self.number = self.last_number

    def _start(self) -> int:
        """The first frame to look at: that of the last segment before which all is older than `since_us`."""
        segments = self._directory.segments
        if self._since_us is None:
            return segments[0]
        # A header says when the frame before it was written.
        behind = bisect_left(segments, self._since_us, key=lambda segment: self._directory.header(segment).written_us)
        return segments[max(0, behind - 1)]


class _Kept(SegmentDirectory):
    """The segments of a journal that another process trims; one whose file is gone is left out when that is noticed."""

    def holding(self, number: int) -> int:
        """See SegmentDirectory; a reader asks when it opens a segment, and when it could not."""
        self.oldest()
        return super().holding(number)

    def oldest(self) -> int:
        """The first frame of the oldest segment whose file is still there."""
        with explained("read", self.path, _REMEDY):
            present = set(segments_in(self.files.list()))
        while len(self.segments) > 1 and self.segments[0] not in present:
            self.forget_oldest()
        return self.segments[0]
