"""Arbitrary bytes in the files of a journal: opening may refuse them, reading passes over them, no more."""

from functools import cache
from pathlib import Path
from uuid import UUID
from zlib import crc32

from journal.fakefiles import FakeFiles
from journal.samples import NOW_US, fill

from socmon.errors import JournalError
from socmon.journal import Journal
from socmon.journal.compressed import compress_file
from socmon.journal.frames import seed_of
from socmon.journal.segment import Header

DIRECTORY = Path("journal")
SEGMENT_BYTES = 1000
FIRST = "00000000000000000001.seg"


def one_input(data: bytes) -> None:
    """The first byte says where in a journal the others are put."""
    incarnation, segments = _journal()
    body = data[1:]
    kind = data[0] % 9 if data else 0
    head = Header(incarnation, 1, 1, NOW_US).encode(b"\x92\x90\x90")
    if kind == 0:
        _open({FIRST: body})
    elif kind == 1:
        _open({FIRST: head + body})
    elif kind == 2:
        _open({FIRST: head + _frame(body, incarnation)})
    elif kind == 3:
        _open({FIRST: Header(incarnation, 1, 1, NOW_US).encode(body)})
    elif kind == 4:
        _open({**segments, FIRST: body})
    elif kind == 8:
        _open({FIRST: head + body + segments[FIRST][len(head) :]})
    elif kind == 5:
        _open({**segments, FIRST: head + _frame(body, incarnation)})
    else:
        del (segments := dict(segments))[FIRST]
        packed = body if kind == 6 else _packed(head + body)
        _open({**segments, FIRST + ".zst": packed})


def _open(contents: dict[str, bytes]) -> None:
    files = FakeFiles()
    for name, data in contents.items():
        files.create(name).write_at(0, data)
    try:
        journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    except JournalError:
        return
    kept = list(journal.read_after(0))
    assert len(kept) <= journal.last_number
    assert [batch.number for batch in kept] == sorted({batch.number for batch in kept})
    assert journal.lookup(range(10)).keys() <= set(range(10))
    list(journal.read_from(3))
    try:
        appended = fill(journal, 3)
    except JournalError:  # numbers and times beyond 64 bits: a forged frame, as no journal grows that long
        return
    assert list(journal.read_after(appended[0].number - 1)) == appended
    journal.trim(checkpoint=journal.last_number, keep_bytes=0, max_age_us=0, now_us=NOW_US)
    journal.compress(checkpoint=journal.last_number)
    journal.close()


@cache
def _journal() -> tuple[UUID, dict[str, bytes]]:
    """The incarnation and the files of a sound journal of several segments."""
    files = FakeFiles()
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    fill(journal, 10)
    journal.close()
    return journal.incarnation, {name: bytes(inode.seen) for name, inode in files.names.items()}


def _frame(body: bytes, incarnation: UUID) -> bytes:
    """A first frame whose checksum is right, whatever it holds."""
    length = (8 + len(body)).to_bytes(4, "little")
    first_seq = (1).to_bytes(8, "little")
    checksum = crc32(length + first_seq + body, seed_of(incarnation, 1))
    return length + checksum.to_bytes(4, "little") + first_seq + body + bytes(4)


def _packed(data: bytes) -> bytes:
    files = FakeFiles()
    raw, packed = files.create("raw"), files.create("packed")
    raw.write_at(0, data)
    compress_file(raw, packed)
    return packed.read_at(0, packed.size())
