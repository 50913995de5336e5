"""Opening a journal: the last segment is read to its last whole frame, which is all there is to know.

What cannot be read before that frame is damage: it stays as it is. What is behind it is the torn tail of a crash.
"""

from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

from socmon.errors import JournalError
from socmon.journal.batch import Batch
from socmon.journal.carry import Carry
from socmon.journal.directory import SegmentDirectory, Tail, name_of, open_file
from socmon.journal.files import File, FileLayer, dirt, explained, wipe
from socmon.journal.frames import HEAD_BYTES, MAX_FRAME_BYTES
from socmon.journal.retention import TEMPORARY
from socmon.journal.search import Found
from socmon.journal.segment import COMPRESSED, HEADER_BYTES, RAW, SECTOR_BYTES, Header, SegmentFile, read_header

SPARE = "spare"  # the next segment, preallocated, until it has a number
TORN = ".torn"
_TORN_FILES = 2  # kept, the newest
_REMEDY = "restore it from a backup, or move the directory aside and socmon starts a new journal"


def recover(path: Path, files: FileLayer, segments: list[int]) -> tuple[SegmentDirectory, Carry]:
    """The segments with their end, and what was carried up to there. Changes nothing.

    Raises:
        JournalError: the last segment is no segment, of another version, its head is damaged, or it cannot be read.
    """
    segment = segments[-1]
    header = _last_header(path, files, segment)
    start = Tail(segment, header.start.offset, header.first_number - 1, header.first_seq, header.written_us)
    directory = SegmentDirectory(path, files, header.incarnation, segments, start)
    file = directory.open(segment)
    if file is None:
        raise JournalError(f"{path / name_of(segment)}: it holds segment {header.first_number}; {_REMEDY}")
    with file:
        carry = file.carry()
        if carry is None:
            raise JournalError(f"{path / name_of(segment)}: the head of the segment is damaged; {_REMEDY}")
        directory.tail = _scan(file, carry, directory)
    return directory, carry


def create_first(path: Path, files: FileLayer) -> None:
    """Make the first segment of a new journal, durable, with a random incarnation."""
    strange = [name for name in files.list() if not _is_ours(name)]
    if strange:
        raise JournalError(
            f"{path}: not a journal, it holds {min(strange)[:80]!r} and no segment; give it a directory of its own"
        )
    with explained("create the journal in", path, "check its owner, its mode, and the space on its disk"):
        with closing(files.create(SPARE)) as file:
            file.write_at(0, Header(uuid4(), 1, 1, 0).encode(Carry().encode()))
            file.sync()
        files.rename(SPARE, name_of(1))
        files.sync_directory()


def clean_up(directory: SegmentDirectory) -> int:
    """Remove what a crash left behind, and return how many bytes of a torn tail were wiped from the last segment.

    They are first copied to NAME.torn, if the disk has room.

    Everything that is kept is durable afterwards. Raises JournalError.
    """
    files, tail = directory.files, directory.tail
    name = name_of(tail.segment)
    with explained("recover", directory.path / name, "check its owner, its mode, and its disk"):
        names = set(files.list())
        if name not in names:
            raise JournalError(f"{directory.path}: the newest segment is missing, the last is compressed; {_REMEDY}")
        for old in names:
            whole = old.removesuffix(RAW) + COMPRESSED if old.endswith(RAW) else old
            if old.endswith(TEMPORARY) or (whole != old and whole in names):
                files.remove(old)
        with closing(files.open(name, write=True)) as file:
            torn_bytes = dirt(file, tail.end)
            if torn_bytes:
                _copy_torn(files, file, tail, torn_bytes)
                wipe(file, tail.end)
            file.sync()
        files.sync_directory()
    return torn_bytes


def _last_header(path: Path, files: FileLayer, segment: int) -> Header:
    file = open_file(path, files, segment)
    if file is None:
        raise JournalError(f"{path / name_of(segment)}: it has vanished; try again")
    with closing(file), explained("read", path / name_of(segment), "check its disk"):
        try:
            return read_header(file.read_at(0, HEADER_BYTES))
        except JournalError as error:
            raise JournalError(f"{path / name_of(segment)}: {error}; {_REMEDY}") from error


def _scan(file: SegmentFile, carry: Carry, directory: SegmentDirectory) -> Tail:
    tail, end = directory.tail, file.end()
    while found := file.frame(tail.end, tail.number + 1, end) or _behind_damage(file, tail, end):
        batch = found.batch
        if batch.number > tail.number + 1:
            directory.note_damage(tail.number + 1, batch.first_seq - tail.next_seq)
        carry.update(batch.records)
        tail = Tail(tail.segment, found.end, batch.number, batch.next_seq, batch.written_us)
    return tail


def _behind_damage(file: SegmentFile, tail: Tail, end: int) -> Found[Batch] | None:
    """The next whole frame, if what lies before it is damaged; None if that was never written, or nothing follows.

    A power cut may lose a frame that was not synced and keep the next one. The journal then ends before both, as the
    positions in the second would have collectors pass over what the first one held.
    """
    # As a rule nothing at all was written there: this spares a search through the room that is set aside.
    if file.never_written(tail.end, min(end, tail.end + HEAD_BYTES + SECTOR_BYTES)):
        return None
    found = file.find(tail.end, tail.number + 1, end)
    return None if found is None or file.never_written(tail.end, found.start) else found


def _copy_torn(files: FileLayer, file: File, tail: Tail, size: int) -> None:
    # For whoever wants to know what was lost; a disk too full for that must not keep the journal from opening.
    with suppress(OSError):
        with closing(files.create(name_of(tail.segment, RAW + TORN))) as copy:
            copy.write_at(0, file.read_at(tail.end, min(size, MAX_FRAME_BYTES)))
            copy.sync()
        for old in sorted(name for name in files.list() if name.endswith(TORN))[:-_TORN_FILES]:
            files.remove(old)


def _is_ours(name: str) -> bool:
    return name in {SPARE, "lost+found"} or name.startswith(".") or name.endswith((TEMPORARY, TORN))
