"""A damaged journal is read as far as it can be, and says what is lost; what cannot be opened says what to do."""

from pathlib import Path

import pytest
from journal.fakefiles import FakeFiles
from journal.samples import NOW_US, fill, sealed

from socmon.errors import JournalError
from socmon.journal import Batch, Journal
from socmon.journal.files import OsFiles

SEGMENT_BYTES = 2000
FIRST = "00000000000000000001.seg"


def flip(path: Path, at: bytes) -> None:
    """Change one byte of a file, where `at` first occurs in it."""
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(data.index(at))
        file.write(bytes([at[0] ^ 1]))


def damaged(directory: Path, at: bytes, *, compress: bool = False) -> tuple[Journal, list[Batch], list[int]]:
    """A journal of 40 batches, one byte changed at `at` in a sealed segment; and each segment's first number."""
    journal = Journal.open(directory, segment_bytes=SEGMENT_BYTES)
    batches = fill(journal, 40)
    firsts = [*journal._directory.segments]
    if compress:
        journal.compress(checkpoint=40)
    for path in sealed(directory):
        data = bytearray(path.read_bytes())
        if at in data:
            data[data.index(at)] ^= 0x40
            path.write_bytes(data)
    return journal, batches, firsts


def test_damage_in_a_sealed_segment_costs_the_damaged_frame_only(tmp_path: Path) -> None:
    journal, batches, _ = damaged(tmp_path, b"sshd[31]")
    bad = next(batch for batch in batches if batch.first_seq <= 31 < batch.next_seq)

    with journal.reader(0) as reader:
        read = reader.read(1000)
        assert reader.read(1000) == []
        assert reader.lost_seqs == len(bad.records)

    assert read == batches[: bad.number - 1] + batches[bad.number :]
    assert list(journal.read_after(0)) == read
    assert (journal.corrupt_frames, journal.lost) == (1, len(bad.records)), "each damage is counted once"
    for after in range(41):
        with journal.reader(after) as started:
            assert started.read(1000) == [batch for batch in read if batch.number > after]
            assert started.lost_seqs == (len(bad.records) if after < bad.number else 0)
    journal.close()


def test_records_beside_the_damage_are_still_found(tmp_path: Path) -> None:
    journal, batches, _ = damaged(tmp_path, b"sshd[31]")
    bad = next(batch for batch in batches if batch.first_seq <= 31 < batch.next_seq)

    found = journal.lookup(range(1, journal.next_seq))

    assert found.keys() == set(range(1, journal.next_seq)) - set(range(bad.first_seq, bad.next_seq))
    journal.close()


def test_a_segment_with_a_damaged_head_is_read_all_the_same(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=SEGMENT_BYTES)
    batches = fill(journal, 40)
    path = sealed(tmp_path)[1]
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)

    with journal.reader(0) as reader:
        assert reader.read(1000) == batches
        assert reader.lost_seqs == 0

    assert journal.lookup(range(1, journal.next_seq)).keys() == set(range(1, journal.next_seq))
    journal.close()


def test_a_segment_whose_head_and_first_frame_are_damaged_is_passed_over(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=SEGMENT_BYTES)
    batches = fill(journal, 40)
    _, second, third, *_ = journal._directory.segments
    path = sealed(tmp_path)[1]
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    data[data.index(b"sshd[")] ^= 1
    path.write_bytes(data)

    with journal.reader(0) as reader:
        assert reader.read(1000) == batches[: second - 1] + batches[third - 1 :]
        assert reader.lost_seqs == batches[third - 1].first_seq - batches[second - 1].first_seq

    assert journal.lookup([batches[second - 1].first_seq]) == {}
    assert next(journal.read_from(batches[second - 1].first_seq)) == batches[third - 1]
    removed = journal.trim(checkpoint=40, keep_bytes=0, max_age_us=None, now_us=NOW_US)
    assert (removed > 2, sealed(tmp_path)) == (True, [])
    journal.close()


ZSTD_MAGIC, TABLE_MAGIC = b"\x28\xb5\x2f\xfd", b"\xb1\xea\x92\x8f"


@pytest.mark.parametrize("at", [ZSTD_MAGIC, TABLE_MAGIC])
def test_damage_in_compressed_segments_is_passed_over(tmp_path: Path, at: bytes) -> None:
    journal, batches, firsts = damaged(tmp_path, at, compress=True)

    assert list(journal.read_after(0)) == batches[firsts[-1] - 1 :]

    with journal.reader(0) as reader:
        reader.read(1)
        assert reader.lost_seqs == batches[firsts[-1] - 1].first_seq - 1
    assert journal.lost == batches[firsts[-1] - 1].first_seq - 1
    journal.close()


def test_a_damaged_block_of_a_compressed_segment_costs_the_frames_in_it(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=3_000_000)
    batches = fill(journal, 40, each=10, size_bytes=10_000)
    journal.compress(checkpoint=40)
    path = sealed(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[data.index(ZSTD_MAGIC, 1)] ^= 1  # the second block, of three
    path.write_bytes(data)

    with journal.reader(0) as reader:
        read = reader.read(100)
        assert reader.lost_seqs == 400 - sum(len(batch.records) for batch in read)

    assert 28 < len(read) < 31
    assert (read[:10], read[-15:]) == (batches[:10], batches[-15:])
    journal.close()


def test_a_segment_that_somebody_deleted_is_counted_as_lost(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=SEGMENT_BYTES)
    batches = fill(journal, 40)
    _, second, third, *_ = journal._directory.segments
    sealed(tmp_path)[1].unlink()

    for _ in range(2):
        with journal.reader(0) as reader:
            assert reader.read(1000) == batches[: second - 1] + batches[third - 1 :]
            assert reader.lost_seqs == batches[third - 1].first_seq - batches[second - 1].first_seq
        journal.close()
        journal = Journal.open(tmp_path, segment_bytes=SEGMENT_BYTES)
    journal.close()


def test_damage_in_the_active_segment_does_not_hold_a_reader(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    batches = fill(journal, 4)
    flip(tmp_path / FIRST, b"sshd[4]")

    with journal.reader(0) as reader:
        assert reader.read(10) == batches[:1] + batches[2:]
        assert reader.lost_seqs == 3
        after = fill(journal, 2)
        assert reader.read(10) == after
        assert reader.lost_seqs == 3

    assert (journal.corrupt_frames, journal.lost) == (1, 3)
    assert journal._directory.segments == (1, 5), "the damaged segment takes no more"
    journal.close()


def test_damage_up_to_the_end_of_the_journal_is_counted_at_once(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    batches = fill(journal, 3)
    flip(tmp_path / FIRST, b"sshd[4]")
    flip(tmp_path / FIRST, b"sshd[7]")

    with journal.reader(0) as reader:
        assert reader.read(10) == batches[:1]
        assert (reader.lost_seqs, journal.lost) == (6, 6)
        assert reader.read(10) == []
        after = fill(journal, 1)
        assert reader.read(10) == after
        assert reader.lost_seqs == 6
    journal.close()


def test_a_journal_with_damage_in_its_last_segment_goes_on_behind_all_its_frames(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=4096)
    batches = fill(journal, 6)
    position = journal.position("auth", "auth.log")
    journal.close()
    flip(tmp_path / FIRST, b"sshd[4]")
    image = (tmp_path / FIRST).read_bytes().rstrip(b"\0")

    for _ in range(2):
        journal = Journal.open(tmp_path, segment_bytes=4096)
        assert (journal.last_number, journal.next_seq, journal.torn_bytes) == (6, 19, 0)
        assert (journal.corrupt_frames, journal.lost) == (1, 3)
        assert journal.position("auth", "auth.log") == position
        journal.close()
    journal = Journal.open(tmp_path, segment_bytes=4096)
    after = fill(journal, 2)

    assert [batch.number for batch in after] == [7, 8]
    assert list(journal.read_after(0)) == batches[:1] + batches[2:] + after
    assert (tmp_path / FIRST).read_bytes() == image
    assert journal._directory.segments == (1, 7)
    journal.close()


def test_a_full_disk_does_not_keep_a_damaged_journal_from_opening() -> None:
    files = FakeFiles()
    journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)
    fill(journal, 4)
    journal.close()
    data = files.names[FIRST].seen
    data[data.index(b"sshd[4]")] ^= 1
    files.remove("spare")
    files.free_bytes = 0

    journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)

    with pytest.raises(JournalError, match="free space"):
        fill(journal, 1)
    files.free_bytes = None
    assert fill(journal, 1)[0].number == 5
    journal.close()


@pytest.mark.parametrize(
    ("at", "change", "message"),
    [
        (0, b"#!/bin/sh\n", r"not a journal segment .*move the directory aside"),
        (15, b"\x07", "journal version 7, this socmon reads version 1"),
        (40, b"\xff", "head of the segment is damaged; restore it"),
        (75, b"\xff\xff", "head of the segment is damaged; restore it"),
    ],
)
def test_a_last_segment_that_cannot_be_used_says_where_and_what_to_do(
    tmp_path: Path, at: int, change: bytes, message: str
) -> None:
    journal = Journal.open(tmp_path, segment_bytes=500)
    fill(journal, 10)
    journal.close()
    last = max(path for path in tmp_path.iterdir() if path.suffix == ".seg")
    data = last.read_bytes()
    last.write_bytes(data[:at] + change + data[at + len(change) :])

    with pytest.raises(JournalError, match=message) as caught:
        Journal.open(tmp_path)

    assert str(last) in str(caught.value)


def test_a_segment_under_another_number_is_refused(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.close()
    (tmp_path / "00000000000000000001.seg").rename(tmp_path / "00000000000000000002.seg")

    with pytest.raises(JournalError, match="it holds segment 1"):
        Journal.open(tmp_path)


def test_a_journal_without_its_newest_segment_is_refused(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=500)
    fill(journal, 10)
    journal.compress(checkpoint=10)
    journal.close()
    next(path for path in tmp_path.iterdir() if path.suffix == ".seg").unlink()

    with pytest.raises(JournalError, match="the newest segment is missing"):
        Journal.open(tmp_path)


def test_a_directory_of_something_else_is_not_made_a_journal(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root")

    with pytest.raises(JournalError, match="not a journal, it holds 'passwd'"):
        Journal.open(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["passwd"]


def test_read_only_does_not_make_a_journal(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(JournalError, match="check"):
            Journal.open(directory, read_only=True)
    assert not list(tmp_path.iterdir())


def test_a_journal_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file")

    with pytest.raises(JournalError, match=r"cannot open the journal in .*: .*; check"):
        Journal.open(tmp_path / "journal", files=OsFiles(tmp_path / "journal"))


def test_a_disk_that_does_not_answer_is_told_apart_from_damage_and_from_the_end() -> None:
    files = FakeFiles()
    journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)
    batches = fill(journal, 40)
    second, third = journal._directory.segments[1:3]
    for name in (f"{second:020}.seg", f"{third:020}.seg"):
        with journal.reader(0) as reader:
            read = reader.read(2)
            files.names[name].broken = True
            read += reader.read(100)
            with pytest.raises(JournalError, match=r"cannot read .*Input/output error; check its disk"):
                reader.read(100)
            files.names[name].broken = False

            assert read + reader.read(100) == batches
            assert reader.lost_seqs == 0

    assert (journal.corrupt_frames, journal.lost) == (0, 0)
    journal.close()


def test_a_disk_that_does_not_answer_keeps_the_journal_from_opening_and_nothing_is_wiped() -> None:
    files = FakeFiles()
    journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)
    batches = fill(journal, 40)
    journal.close()
    last = files.names[f"{journal._directory.segments[-1]:020}.seg"]
    last.broken = True

    with pytest.raises(JournalError, match=r"cannot read .*Input/output error; check its disk"):
        Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)

    last.broken = False
    journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)
    assert list(journal.read_after(0)) == batches
    journal.close()
