"""A damaged journal is read as far as it can be, and says what is lost; what cannot be opened says what to do."""

from pathlib import Path

import pytest
from journal.fakefiles import FakeFiles
from journal.samples import NOW_US, fill, sealed

from socmon.errors import JournalError
from socmon.journal import Batch, Journal
from socmon.journal.files import OsFiles

SEGMENT_BYTES = 2000


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


def test_damage_in_a_sealed_segment_costs_the_rest_of_that_segment_only(tmp_path: Path) -> None:
    journal, batches, firsts = damaged(tmp_path, b"sshd[31]")
    bad = next(batch for batch in batches if batch.first_seq <= 31 < batch.next_seq)
    following = next(first for first in firsts if first > bad.number)
    lost = batches[following - 2].next_seq - bad.first_seq

    with journal.reader(0) as reader:
        read = reader.read(1000)
        assert reader.read(1000) == []
        assert reader.lost_seqs == lost > 0

    assert read == batches[: bad.number - 1] + batches[following - 1 :]
    assert list(journal.read_after(0)) == read
    assert (journal.corrupt_frames, journal.lost) == (1, lost), "each damage is counted once"
    with journal.reader(bad.number - 1) as after_checkpoint:
        after_checkpoint.read(1)
        assert after_checkpoint.lost_seqs == lost
    journal.close()


def test_records_beside_the_damage_are_still_found(tmp_path: Path) -> None:
    journal, batches, _ = damaged(tmp_path, b"sshd[31]")
    bad = next(batch for batch in batches if batch.first_seq <= 31 < batch.next_seq)

    found = journal.lookup(range(1, journal.next_seq))

    assert found.keys() == set(range(1, journal.next_seq)) - set(range(bad.first_seq, bad.next_seq))
    journal.close()


def test_a_segment_with_a_damaged_head_is_passed_over(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=SEGMENT_BYTES)
    batches = fill(journal, 40)
    _, second, third, *_ = journal._directory.segments
    path = sealed(tmp_path)[1]
    data = bytearray(path.read_bytes())
    data[30] ^= 1
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

    assert journal.corrupt_frames == len(firsts) - 1
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


def test_damage_in_the_active_segment_holds_a_reader_until_the_next_one_and_no_longer(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=SEGMENT_BYTES)
    before = fill(journal, 3)
    path = tmp_path / "00000000000000000001.seg"
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(b"sshd[4]"))
        file.write(b"X")
    with journal.reader(0) as reader:
        assert reader.read(10) == before[:1]
        assert reader.read(10) == []
        after = fill(journal, 10)

        read = reader.read(100)

        assert read == after[-len(read) :]
        assert read[0].number == journal._directory.segments[1]
        assert reader.lost_seqs == read[0].first_seq - before[0].next_seq
    assert journal.corrupt_frames == 1
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


def test_a_disk_that_cannot_be_read_costs_records_not_the_reader() -> None:
    files = FakeFiles()
    journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)
    batches = fill(journal, 40)
    second = journal._directory.segments[1]
    bad = files.names["00000000000000000001.seg"]
    bad.broken = True

    assert list(journal.read_after(0)) == batches[second - 1 :]

    assert journal.corrupt_frames == 1
    journal.close()
