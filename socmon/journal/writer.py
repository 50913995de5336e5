"""Appending frames to the active segment, and going on to the next one, which is set aside before it is needed."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock

from socmon import failpoints
from socmon.errors import JournalError
from socmon.event import Record
from socmon.journal.batch import Batch, Drop
from socmon.journal.carry import Carry
from socmon.journal.directory import SegmentDirectory, Tail, name_of
from socmon.journal.files import File, explained, wipe
from socmon.journal.frames import END_BYTES, encode
from socmon.journal.recovery import SPARE
from socmon.journal.segment import Header

_FREE_SPACE = "free space on its disk"
_CLOSED = "it is closed"


class Writer:
    """The only one that writes frames.

    Attributes:
        preallocated: the next segment has its room on disk, so that appends go on inside it when the disk fills.
        synced_number: last frame known to be on stable storage.
    """

    def __init__(self, directory: SegmentDirectory, carry: Carry, segment_bytes: int) -> None:
        self.preallocated = False
        self.synced_number = directory.tail.number
        self._directory = directory
        self._files = directory.files
        self._carry = carry
        self._segment_bytes = segment_bytes
        self._spare: File | None = None
        self._failure = ""
        self._lock = Lock()
        self._sync_lock = Lock()  # whoever needs both takes it second
        name = name_of(directory.tail.segment)
        with explained("open", directory.path / name, "check its owner and mode"):
            self._file = self._files.open(name, write=True)
        self.prepare()

    @property
    def broken(self) -> bool:
        """Nothing can be written any more until the journal is opened anew, as after a sync that failed."""
        return bool(self._failure)

    def append(self, records: Sequence[Record], *, written_us: int, drops: Sequence[Drop], tick: bool) -> Batch:
        """Write one frame. Raises JournalError or UnwritableError, and then nothing of it is seen."""
        with self._lock:
            self._check()
            batch = _number(self._directory.tail, records, written_us, drops, tick=tick)
            frame = encode(batch, self._directory.incarnation)
            tail = self._directory.tail
            if self._is_done(tail, len(frame)):
                tail = self._roll(tail)
            self._write(frame, tail)
            after = tail.end + len(frame) - END_BYTES
            self._directory.tail = Tail(tail.segment, after, batch.number, batch.next_seq, batch.written_us)
            self._carry.update(batch.records)
            return batch

    def sync(self) -> int:
        """Make what was appended durable, and return the number of its last frame. Raises JournalError."""
        with self._sync_lock:
            self._check()
            number = self._directory.tail.number  # in this file, or in one that was synced when it was sealed
            if number > self.synced_number:
                with self._fatal():
                    self._file.sync()
                self.synced_number = number
            return number

    def prepare(self) -> None:
        """Set room aside for the active and the next segment; a full disk is told by `preallocated` only."""
        with self._lock, suppress(OSError):
            if not self._failure:
                self._file.preallocate(self._segment_bytes)
                self._next_file()

    def close(self) -> None:
        """Sync, unless writing has failed, and let go of the files."""
        if self._failure == _CLOSED:
            return
        try:
            if not self._failure:
                self.sync()
        finally:
            with self._lock, self._sync_lock:
                self._failure = _CLOSED
                self._file.close()
                self._drop_spare()

    def _is_done(self, tail: Tail, frame_bytes: int) -> bool:
        """Whether the active segment takes no more: it is full, or a part of it is damaged and the next may be too."""
        damaged = max(self._directory.damage, default=0) >= tail.segment
        return tail.number >= tail.segment and (damaged or tail.end + frame_bytes > self._segment_bytes)

    def _check(self) -> None:
        if self._failure:
            raise JournalError(f"{self._directory.path}: cannot go on: {self._failure}")

    @contextmanager
    def _fatal(self) -> Iterator[None]:
        # After a failed fsync nobody knows what is on the disk, and the next one may succeed falsely: only what is
        # read back after a restart can be trusted.
        try:
            yield
        except OSError as error:
            self._failure = f"a sync failed: {error.strerror or error}; check the disk and restart socmon"
            raise JournalError(f"{self._directory.path}: cannot go on: {self._failure}") from error

    def _write(self, frame: bytes, tail: Tail) -> None:
        cut = failpoints.torn("journal.write")
        if cut is not None:
            self._file.write_at(tail.end, frame[:cut])
            os.kill(os.getpid(), signal.SIGKILL)
        with explained("write to", self._directory.path / name_of(tail.segment), _FREE_SPACE):
            try:
                self._file.write_at(tail.end, frame)
            except OSError:
                # Should this fail as well, the next frame overwrites it.
                with suppress(OSError):
                    wipe(self._file, tail.end)
                raise

    def _roll(self, tail: Tail) -> Tail:
        """Seal the active segment and begin the next; until that has its name, a failure leaves all as it was."""
        segment = tail.number + 1
        header = Header(self._directory.incarnation, segment, tail.next_seq, tail.written_us)
        head = header.encode(self._carry.encode())
        begun = Tail(segment, len(head), tail.number, tail.next_seq, tail.written_us)
        with explained("begin", self._directory.path / name_of(segment), _FREE_SPACE):
            file = self._next_file()
            file.write_at(0, head)
            file.sync()
        with self._sync_lock:
            # The old segment is durable before the new one can be seen: what is found after a crash is a prefix.
            with self._fatal():
                self._file.sync()
            self.synced_number = tail.number
            with explained("begin", self._directory.path / name_of(segment), _FREE_SPACE):
                self._files.rename(SPARE, name_of(segment))
            sealed, self._file = self._file, file
            self._spare, self.preallocated = None, False
            self._directory.add(segment)
            self._directory.tail = begun
            with self._fatal():
                self._files.sync_directory()
        with suppress(OSError):
            sealed.truncate(tail.end)
        sealed.close()
        with suppress(OSError):
            self._next_file()
        return begun

    def _next_file(self) -> File:
        """The file of the next segment, all zeros, with its room set aside if the disk has it. Raises OSError."""
        if self._spare is None:
            try:
                self._spare = self._files.open(SPARE, write=True)
                wipe(self._spare, 0)
            except FileNotFoundError:
                self._spare = self._files.create(SPARE)
        if not self.preallocated:
            try:
                self._spare.preallocate(self._segment_bytes)
                self.preallocated = True
            except OSError:
                self._spare.truncate(0)  # gives back what room it got
        return self._spare

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._spare.close()
        self._spare, self.preallocated = None, False


def _number(tail: Tail, records: Sequence[Record], written_us: int, drops: Sequence[Drop], *, tick: bool) -> Batch:
    """The batch that follows `tail`, its records with their sequences."""
    seqs = range(tail.next_seq, tail.next_seq + len(records))
    numbered = [
        Record(record.data, record.source, record.received_us, record.position, record.anchor_us, record.count, seq)
        for record, seq in zip(records, seqs, strict=True)
    ]
    return Batch(tail.number + 1, tail.next_seq, max(written_us, tail.written_us), numbered, list(drops), tick)
