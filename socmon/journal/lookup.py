"""Random access to the journal by sequence: a sparse index of each segment asked for, and the frames read last."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection
from threading import Lock

from socmon.event import Record
from socmon.journal.batch import Batch
from socmon.journal.directory import SegmentDirectory
from socmon.journal.segment import Place, SegmentFile

_STRIDE_BYTES = 64 * 1024  # between two places of an index
_MAX_INDEXES = 64  # segments; an index has at most 1,024 places in a segment of 64 MiB
_MAX_FRAMES = 64  # held decoded
_MAX_FRAMES_BYTES = 32 * 1024 * 1024  # of their records, roughly; the last frame is held whatever its size
_RECORD_BYTES = 200  # of a Record beside its data, roughly


class Lookup:
    """Finds records by sequence; any thread may ask, one is answered at a time."""

    def __init__(self, directory: SegmentDirectory) -> None:
        self._directory = directory
        self._lock = Lock()
        self._indexes: OrderedDict[int, list[Place]] = OrderedDict()
        self._frames: OrderedDict[int, tuple[Batch, int]] = OrderedDict()  # number → (batch, bytes)
        self._frames_bytes = 0
        self._file: SegmentFile | None = None

    def records(self, seqs: Collection[int]) -> dict[int, Record]:
        """The records of these sequences; those trimmed, damaged or not written yet are left out."""
        with self._lock:
            try:
                found = {seq: self._record(seq) for seq in sorted(seqs)}
            finally:
                self._close()
        return {seq: record for seq, record in found.items() if record is not None}

    def number_of(self, seq: int) -> int:
        """The last frame that begins at or before `seq`; the oldest kept one if that is trimmed."""
        with self._lock:
            try:
                segment = self._segment_of(seq)
                file = None if segment is None else self._open(segment)
                if file is None:
                    return segment or self._directory.segments[0]
                return self._places(file, seq)[0].number
            finally:
                self._close()

    def _record(self, seq: int) -> Record | None:
        batch = self._remembered(seq) or self._read(seq)
        if batch is None or not batch.first_seq <= seq < batch.next_seq:
            return None
        return batch.records[seq - batch.first_seq]

    def _read(self, seq: int) -> Batch | None:
        segment = self._segment_of(seq)
        file = None if segment is None else self._open(segment)
        if file is None:
            return None
        for place in reversed(self._places(file, seq)):
            found = file.frame(place.offset, place.number, self._directory.end(file))
            if found is not None:
                self._remember(found.batch)
                return found.batch
        return None

    def _segment_of(self, seq: int) -> int | None:
        segments = self._directory.segments
        index = bisect_right(segments, seq, key=lambda segment: self._directory.header(segment).first_seq) - 1
        return segments[index] if index >= 0 else None

    def _places(self, file: SegmentFile, seq: int) -> list[Place]:
        """The last frame of `file` that says it begins at or before `seq`; after empty frames, the one with records.

        Before it the one before, if that is as near: what a damaged head says may be wrong.
        """
        end = self._directory.end(file)
        places = self._index(file, end)
        before = found = places[bisect_right(places, seq, key=lambda place: place.first_seq) - 1]
        for place in file.heads(found, end):
            if place.first_seq == 0 or place.first_seq > seq:
                break
            before, found = found, place
        return [before, found]

    def _index(self, file: SegmentFile, end: int) -> list[Place]:
        """Places in `file`, far apart; goes on from the last known one, as the active segment grows."""
        segment = file.header.first_number
        places = self._indexes.setdefault(segment, [file.header.start])
        self._indexes.move_to_end(segment)
        while len(self._indexes) > _MAX_INDEXES:
            self._indexes.popitem(last=False)
        for place in file.heads(places[-1], end):
            if place.first_seq and place.offset - places[-1].offset >= _STRIDE_BYTES:
                places.append(place)
        return places

    def _remembered(self, seq: int) -> Batch | None:
        for number, (batch, _) in self._frames.items():
            if batch.first_seq <= seq < batch.next_seq:
                self._frames.move_to_end(number)
                return batch
        return None

    def _remember(self, batch: Batch) -> None:
        size_bytes = sum(len(record.data) + _RECORD_BYTES for record in batch.records)
        self._frames_bytes += size_bytes - self._frames.pop(batch.number, (batch, 0))[1]
        self._frames[batch.number] = (batch, size_bytes)
        while len(self._frames) > _MAX_FRAMES or (self._frames_bytes > _MAX_FRAMES_BYTES and len(self._frames) > 1):
            _, (_, forgotten_bytes) = self._frames.popitem(last=False)
            self._frames_bytes -= forgotten_bytes

    def _open(self, segment: int) -> SegmentFile | None:
        if self._file is None or self._file.header.first_number != segment:
            self._close()
            self._file = self._directory.open(segment)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
