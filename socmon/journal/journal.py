"""The journal: one writer, any number of readers, in one directory (docs/semantics.md, "Journal batch")."""

import uuid
from collections.abc import Collection, Iterator, Sequence
from itertools import dropwhile
from pathlib import Path
from threading import Lock
from typing import Self

from socmon.errors import JournalError
from socmon.event import Record, Source
from socmon.journal import retention
from socmon.journal.batch import Batch, Drop
from socmon.journal.carry import Carry
from socmon.journal.directory import SegmentDirectory, name_of, segments_in
from socmon.journal.files import FileLayer, OsFiles, explained
from socmon.journal.lookup import Lookup
from socmon.journal.reading import Reader, batches_after
from socmon.journal.recovery import clean_up, create_first, recover
from socmon.journal.writer import Writer

SEGMENT_BYTES = 64 * 1024 * 1024


class Journal:
    """Made by `Journal.open`. Append from one thread; everything else from any.

    Attributes:
        torn_bytes: what a crash had left of unfinished frames, wiped when the journal was opened; a copy is in
            NAME.seg.torn, of the newest two.
        torn_segment: the segment that they were wiped from.
    """

    def __init__(self, directory: SegmentDirectory, carry: Carry, writer: Writer | None, torn_bytes: int) -> None:
        self.torn_bytes = torn_bytes
        self.torn_segment = directory.path / name_of(directory.tail.segment)
        self._directory = directory
        self._carry = carry
        self._writer = writer
        self._lookup = Lookup(directory)
        self._retention_lock = Lock()

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        files: FileLayer | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        read_only: bool = False,
    ) -> Self:
        """Open the journal in `directory`; unless `read_only`, create it if absent and wipe a torn tail.

        Read-only, it ends for ever where it ended at this moment; another process may be writing it.

        Args:
            files: the disk, when it is not the operating system's.
            segment_bytes: size at which the next segment is begun, and that is set aside for it.

        Raises:
            JournalError: what is there is no journal, of another version, damaged at its end, or cannot be opened.
        """
        layer = OsFiles(directory) if files is None else files
        with explained("open the journal in", directory, "check that the directory exists and its owner and mode"):
            if not read_only:
                layer.make_directory()
            segments = segments_in(layer.list())
            if not segments and not read_only:
                create_first(directory, layer)
                segments = [1]
        if not segments:
            raise JournalError(f"{directory}: there is no journal here; check the path, or start socmon once")
        found, carry = recover(directory, layer, segments)
        if read_only:
            return cls(found, carry, None, 0)
        torn_bytes = clean_up(found)
        return cls(found, carry, Writer(found, carry, segment_bytes), torn_bytes)

    @property
    def incarnation(self) -> uuid.UUID:
        """Random, made with the first segment; the same for all."""
        return self._directory.incarnation

    @property
    def next_seq(self) -> int:
        """Sequence of the next record to be appended."""
        return self._directory.tail.next_seq

    @property
    def first_number(self) -> int:
        """Number of the oldest frame kept, readable or not; `last_number` + 1 when there is none."""
        return self._directory.segments[0]

    @property
    def last_number(self) -> int:
        """Number of the last frame appended; 0 when there is none."""
        return self._directory.tail.number

    @property
    def synced_number(self) -> int:
        """Number of the last frame that is known to be durable."""
        return self.last_number if self._writer is None else self._writer.synced_number

    @property
    def preallocated(self) -> bool:
        """Whether the room of the next segment is set aside on disk."""
        return self._writer is not None and self._writer.preallocated

    @property
    def broken(self) -> bool:
        """Nothing can be appended until the journal is opened anew, as after a sync that failed."""
        return self._writer is not None and self._writer.broken

    @property
    def corrupt_frames(self) -> int:
        """Places where reading had to pass over one or more frames."""
        return len(self._directory.damage)

    @property
    def lost(self) -> int:
        """Sequences known to be lost to damage; complete once the frames behind it have been read."""
        return sum(self._directory.damage.values())

    def append(
        self, records: Sequence[Record], *, written_us: int, drops: Sequence[Drop] = (), tick: bool = False
    ) -> Batch:
        """Write one frame, and return it, its records numbered; it survives the process, after `sync` the machine.

        Args:
            written_us: received time of the frame; less than that of the frame before is treated as that.

        Raises:
            UnwritableError: the frame is over 16 MiB, or a name is no Unicode; other batches can be appended.
            JournalError: the disk is full or failing. Nothing of it is seen by readers; the next append works when the
                cause is gone.
        """
        return self._writing().append(records, written_us=written_us, drops=drops, tick=tick)

    def sync(self) -> int:
        """Make all that was appended survive the machine, and return the number of its last frame.

        Raises:
            JournalError: the disk failed; what is on it is unknown, so every append fails until it is reopened.
        """
        return self._writing().sync()

    def position(self, collector: str, stream: str) -> bytes | None:
        """The last position appended for `stream` by `collector`, ever; of the 20,000 streams moved last."""
        return self._carry.position(collector, stream)

    def sources(self) -> dict[tuple[str, str], Source]:
        """(collector, peer) → the last settled Source; of the 10,000 seen last, the least recent first."""
        return self._carry.sources()

    def read_after(self, number: int) -> Iterator[Batch]:
        """Frames behind `number` that are kept and were appended when the iteration began, oldest first."""
        return batches_after(self._directory, number)

    def read_from(self, seq: int) -> Iterator[Batch]:
        """Frames from the one that holds `seq`; where that is trimmed, from the oldest kept."""
        frames = batches_after(self._directory, self._lookup.number_of(seq) - 1)
        return dropwhile(lambda batch: batch.next_seq <= seq, frames)

    def reader(self, after: int) -> Reader:
        """A reader that follows the appends, from the frame behind `after`; close it after use."""
        return Reader(self._directory, after)

    def lookup(self, seqs: Collection[int]) -> dict[int, Record]:
        """{sequence: record}; sequences that are trimmed, damaged or not written yet are left out.

        Raises:
            JournalError: a segment is there and cannot be opened or read.
        """
        return self._lookup.records(seqs)

    def trim(
        self,
        *,
        checkpoint: int,
        keep_bytes: int,
        max_age_us: int | None,
        now_us: int,
        oldest_needed_seq: int | None = None,
    ) -> int:
        """Remove sealed segments, oldest first, while there are too many bytes or they are too old; return how many.

        Then tries again to set the next segment aside, if the disk was too full for it.

        Args:
            checkpoint: number of the last frame that a durable checkpoint covers; later frames stay.
            keep_bytes: of sealed segments and the used part of the active one, together.
            max_age_us: greatest age of a segment's newest frame; None for no limit.
            oldest_needed_seq: this sequence and later ones stay.

        Raises:
            JournalError: a file cannot be removed.
        """
        writer = self._writing()
        with self._retention_lock:
            rules = retention.Retention(checkpoint, keep_bytes, max_age_us, now_us, oldest_needed_seq)
            removed = retention.trim(self._directory, rules)
        writer.prepare()
        return removed

    def compress(self, *, checkpoint: int) -> int:
        """Compress the sealed segments wholly at or before frame `checkpoint`; return how many.

        Raises:
            JournalError: a file cannot be read or written; its segment stays as it was.
        """
        self._writing()
        with self._retention_lock:
            return retention.compress(self._directory, checkpoint)

    def close(self) -> None:
        """Sync and close. Raises JournalError if the sync fails."""
        if self._writer is not None:
            self._writer.close()

    def _writing(self) -> Writer:
        if self._writer is None:
            raise JournalError(f"{self._directory.path}: the journal was opened read-only; open it for writing")
        return self._writer
