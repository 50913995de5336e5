"""What becomes of sealed segments: compressed once nothing needs them soon, removed once nothing needs them at all."""

from contextlib import closing, suppress

from msgspec import Struct

from socmon.journal.compressed import compress_file
from socmon.journal.directory import SegmentDirectory, name_of
from socmon.journal.files import explained
from socmon.journal.segment import COMPRESSED, RAW

TEMPORARY = ".tmp"


class Retention(Struct, frozen=True):
    """What must be kept, and what may be.

    Attributes:
        checkpoint: number of a frame; nothing behind it is removed.
        keep_bytes: of sealed segments and the used part of the active one.
        max_age_us: age of the newest frame in a segment; None for no limit.
        oldest_needed_seq: nothing from this sequence on is removed; None when nothing is needed.
    """

    checkpoint: int
    keep_bytes: int
    max_age_us: int | None
    now_us: int
    oldest_needed_seq: int | None


def trim(directory: SegmentDirectory, retention: Retention) -> int:
    """Remove segments, oldest first, and return how many. Raises JournalError if a file cannot be removed."""
    sizes = {segment: _size(directory, segment) for segment in _sealed(directory)}
    total_bytes = sum(sizes.values()) + directory.tail.end
    removed = 0
    for segment, size_bytes in sizes.items():
        if not _may_go(directory, segment, total_bytes, retention):
            break
        directory.forget_oldest()
        _remove(directory, segment)
        total_bytes -= size_bytes
        removed += 1
    return removed


def compress(directory: SegmentDirectory, checkpoint: int) -> int:
    """Compress the sealed segments that end at or before frame `checkpoint`, and return how many.

    Raises:
        JournalError: a file cannot be read or written; the segment stays as it was.
    """
    present = set(directory.files.list())
    compressed = 0
    for segment, following in zip(directory.segments, directory.segments[1:], strict=False):
        if following - 1 <= checkpoint and name_of(segment, RAW) in present:
            _compress_one(directory, segment)
            compressed += 1
    return compressed


def _sealed(directory: SegmentDirectory) -> tuple[int, ...]:
    return directory.segments[:-1]


def _size(directory: SegmentDirectory, segment: int) -> int:
    for suffix in (COMPRESSED, RAW):
        with suppress(OSError):
            return directory.files.size(name_of(segment, suffix))
    return 0


def _may_go(directory: SegmentDirectory, segment: int, total_bytes: int, retention: Retention) -> bool:
    following = directory.after(segment)
    if following is None or following - 1 > retention.checkpoint:
        return False
    header = directory.header(following)  # what it says was reached before it is true of all of `segment`
    if retention.oldest_needed_seq is not None and header.first_seq > retention.oldest_needed_seq:
        return False
    aged = retention.max_age_us is not None and retention.now_us - header.written_us > retention.max_age_us
    return aged or total_bytes > retention.keep_bytes


def _remove(directory: SegmentDirectory, segment: int) -> None:
    with explained("remove", directory.path / name_of(segment), "check the owner of the directory"):
        for suffix in (RAW, COMPRESSED):
            with suppress(FileNotFoundError):
                directory.files.remove(name_of(segment, suffix))
        # One by one, so that a crash leaves no hole between the segments that are kept.
        directory.files.sync_directory()


def _compress_one(directory: SegmentDirectory, segment: int) -> None:
    files, raw, packed = directory.files, name_of(segment, RAW), name_of(segment, COMPRESSED)
    with explained("compress", directory.path / raw, "free space on its disk"):
        try:
            with closing(files.open(raw)) as source, closing(files.create(packed + TEMPORARY)) as target:
                compress_file(source, target)
        except OSError:
            with suppress(OSError):
                files.remove(packed + TEMPORARY)
            raise
        files.rename(packed + TEMPORARY, packed)
        files.sync_directory()
        files.remove(raw)
