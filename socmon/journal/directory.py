"""The segments of a journal: which there are, where the last one ends, which are damaged."""

from bisect import bisect_right
from contextlib import suppress
from pathlib import Path
from threading import Lock
from uuid import UUID

from msgspec import Struct

from socmon.errors import JournalError
from socmon.journal.compressed import CompressedFile
from socmon.journal.files import File, FileLayer, explained
from socmon.journal.segment import COMPRESSED, HEADER_BYTES, RAW, Header, SegmentFile, read_header

_NAME_DIGITS = 20


def name_of(segment: int, suffix: str = RAW) -> str:
    """File name of the segment whose first frame is `segment`."""
    return f"{segment:0{_NAME_DIGITS}}{suffix}"


def segments_in(names: list[str]) -> list[int]:
    """First frame numbers of the segments among these file names, ascending."""
    stems = {name.removesuffix(suffix) for name in names for suffix in (RAW, COMPRESSED) if name.endswith(suffix)}
    return sorted(int(stem) for stem in stems if len(stem) == _NAME_DIGITS and stem.isascii() and stem.isdigit())


def open_file(path: Path, files: FileLayer, segment: int) -> File | CompressedFile | None:
    """The bytes of a segment; None if it is not there. Raises JournalError if it cannot be opened."""
    # In this order: the compressed file gets its name before the raw one is removed.
    for suffix in (RAW, COMPRESSED):
        name = name_of(segment, suffix)
        remedy = "check its owner and mode, and the limit of open files"
        with explained("open", path / name, remedy), suppress(FileNotFoundError):
            file = files.open(name)
            return CompressedFile(file) if suffix == COMPRESSED else file
    return None


class Tail(Struct, frozen=True):
    """The end of the journal at one moment; replaced whole, so that any thread reads it without a lock.

    Attributes:
        segment: the active one.
        end: offset behind its last frame.
        number: of the last frame; 0 when there is none.
        written_us: received time of the last frame.
    """

    segment: int
    end: int
    number: int
    next_seq: int
    written_us: int


class SegmentDirectory:
    """Shared by writer, readers and retention; a segment is named by the number of its first frame.

    Attributes:
        segments: oldest first; replaced whole.
        tail: set by the writer.
        damage: number of the first frame that cannot be read → sequences known to be lost from there (0 until the next
            readable frame tells).
    """

    def __init__(self, path: Path, files: FileLayer, incarnation: UUID, segments: list[int], tail: Tail) -> None:
        self.path = path
        self.files = files
        self.incarnation = incarnation
        self.segments: tuple[int, ...] = tuple(segments)
        self.tail = tail
        self.damage: dict[int, int] = {}
        self._headers: dict[int, Header | None] = {}
        self._lock = Lock()

    def add(self, segment: int) -> None:
        """Take in a new last segment."""
        with self._lock:
            self.segments = (*self.segments, segment)

    def forget_oldest(self) -> None:
        """Leave out the oldest segment, before its file is removed."""
        with self._lock:
            self._headers.pop(self.segments[0], None)
            self.segments = self.segments[1:]

    def holding(self, number: int) -> int:
        """The segment that frame `number` is or was in. Raises JournalError if it is trimmed."""
        segments = self.segments
        index = bisect_right(segments, number) - 1
        if index < 0:
            raise JournalError(
                f"{self.path}: frame {number} is no longer kept, the oldest is {segments[0]}; "
                "let the journal keep more bytes or days, or start from the oldest"
            )
        return segments[index]

    def after(self, segment: int) -> int | None:
        """The next segment; None behind the active one."""
        segments = self.segments
        index = bisect_right(segments, segment)
        return segments[index] if index < len(segments) else None

    def open(self, segment: int) -> SegmentFile | None:
        """The segment for reading, to be closed by the caller; None if it is another's or the file is gone.

        A damaged head does no harm while the first frame is whole.

        Raises:
            JournalError: it is there and cannot be opened or read.
        """
        file = open_file(self.path, self.files, segment)
        if file is None:
            return None
        path = self.path / name_of(segment)
        try:
            with explained("read", path, "check its disk, and start again when it can be read"):
                data = file.read_at(0, HEADER_BYTES)
            header = self._header_of(data, SegmentFile(path, file, Header(self.incarnation, segment, 0, 0)))
        except JournalError:
            file.close()
            raise
        if header is None:
            file.close()
            return None
        return SegmentFile(path, file, header)

    def end(self, file: SegmentFile) -> int:
        """The offset behind which no frame of `file` may be looked for."""
        tail = self.tail
        return tail.end if file.header.first_number == tail.segment else file.end()

    def header(self, segment: int) -> Header:
        """The header of `segment`, or else of the first one behind it that is whole; in the end, the tail's."""
        following: int | None = segment
        while following is not None:
            if following not in self._headers:
                file = self.open(following)
                self._headers[following] = file.header if file else None
                if file:
                    file.close()
            if header := self._headers[following]:
                return header
            following = self.after(following)
        tail = self.tail
        return Header(self.incarnation, tail.number + 1, tail.next_seq, tail.written_us)

    def note_damage(self, number: int, lost: int = 0) -> None:
        """Remember that frame `number` cannot be read; `lost` sequences from there, as far as is known."""
        self.damage[number] = max(lost, self.damage.get(number, 0))

    def _header_of(self, data: bytes, file: SegmentFile) -> Header | None:
        """What `data` says, or what the first frame of `file` lets one know; None if the segment is no part of this."""
        segment = file.header.first_number
        try:
            header = read_header(data)
        except JournalError:
            found = file.find(HEADER_BYTES, segment, file.end(), below=segment + 1)
            if found is None:
                return None
            carry_bytes = found.start - HEADER_BYTES
            return Header(self.incarnation, segment, found.batch.first_seq, found.batch.written_us, carry_bytes)
        return header if (header.incarnation, header.first_number) == (self.incarnation, segment) else None
