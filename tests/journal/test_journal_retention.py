"""Old segments are compressed and removed, never past the checkpoint, and what must outlive them does."""

import subprocess
from pathlib import Path
from shutil import which

import pytest
from journal.fakefiles import FakeFiles
from journal.samples import NOW_US, SSHD, fill, sealed

from socmon.errors import JournalError
from socmon.event import SECOND_US
from socmon.journal import Batch, Journal

SEGMENT_BYTES = 2000
NO_BYTES = 0
ALL_BYTES = 1 << 40


def long_journal(directory: Path, batches: int = 40) -> tuple[Journal, list[Batch]]:
    journal = Journal.open(directory, segment_bytes=SEGMENT_BYTES)
    return journal, fill(journal, batches)


def first_numbers(directory: Path) -> list[int]:
    return sorted(int(path.name[:20]) for path in directory.iterdir() if ".seg" in path.name)


def trim(journal: Journal, checkpoint: int, keep_bytes: int = NO_BYTES, **rules: int | None) -> int:
    return journal.trim(
        checkpoint=checkpoint,
        keep_bytes=keep_bytes,
        max_age_us=rules.get("max_age_us"),
        now_us=rules.get("now_us") or NOW_US,
        oldest_needed_seq=rules.get("oldest_needed_seq"),
    )


def test_nothing_behind_the_checkpoint_is_ever_removed(tmp_path: Path) -> None:
    journal, batches = long_journal(tmp_path)

    for checkpoint in range(len(batches) + 1):
        trim(journal, checkpoint)
        assert list(journal.read_after(checkpoint)) == batches[checkpoint:]
        segments = first_numbers(tmp_path)
        assert len(segments) == 1 or segments[1] - 1 > checkpoint, "all before the checkpoint's segment is gone"
    journal.close()


def test_a_sealed_segment_gives_back_the_room_it_did_not_need(tmp_path: Path) -> None:
    journal, _ = long_journal(tmp_path)

    assert all(path.read_bytes().endswith(b"..") for path in sealed(tmp_path)), "it ends with its last record"
    journal.close()


def test_the_active_segment_stays_whatever_the_checkpoint(tmp_path: Path) -> None:
    journal, batches = long_journal(tmp_path)

    trim(journal, len(batches))

    assert len(first_numbers(tmp_path)) == 1
    assert list(journal.read_after(0)) == batches[first_numbers(tmp_path)[0] - 1 :]
    assert fill(journal, 1)[0].number == len(batches) + 1
    journal.close()


def test_only_as_many_segments_go_as_there_are_bytes_too_many(tmp_path: Path) -> None:
    journal, batches = long_journal(tmp_path)
    sizes = [path.stat().st_size for path in sealed(tmp_path)]
    total_bytes = sum(sizes) + journal._directory.tail.end

    assert trim(journal, len(batches), total_bytes) == 0
    assert trim(journal, len(batches), total_bytes - sizes[0] - 1) == 2

    assert len(sealed(tmp_path)) == len(sizes) - 2
    journal.close()


def test_a_segment_goes_when_its_newest_frame_is_too_old(tmp_path: Path) -> None:
    journal, batches = long_journal(tmp_path)
    second = first_numbers(tmp_path)[1]
    newest_us = batches[second - 2].written_us

    young = trim(journal, len(batches), ALL_BYTES, max_age_us=60 * SECOND_US, now_us=newest_us + 60 * SECOND_US)
    aged = trim(journal, len(batches), ALL_BYTES, max_age_us=60 * SECOND_US, now_us=newest_us + 60 * SECOND_US + 1)

    assert (young, aged) == (0, 1)
    assert first_numbers(tmp_path)[0] == second
    journal.close()


def test_a_sequence_that_is_needed_keeps_its_segment_and_all_behind_it(tmp_path: Path) -> None:
    journal, batches = long_journal(tmp_path)
    needed = batches[20].first_seq

    trim(journal, len(batches), oldest_needed_seq=needed)

    assert list(journal.read_from(needed))[0] == batches[20]  # noqa: RUF015  the whole rest must be readable
    assert first_numbers(tmp_path)[1] - 1 > 20
    journal.close()


@pytest.mark.parametrize("restart", [False, True])
def test_positions_and_sources_outlive_the_segments_they_were_written_in(tmp_path: Path, *, restart: bool) -> None:
    journal, _ = long_journal(tmp_path)
    for _ in range(40):
        journal.append([], written_us=NOW_US, tick=True)
    trim(journal, journal.last_number)
    if restart:
        journal.close()
        journal = Journal.open(tmp_path, segment_bytes=SEGMENT_BYTES)

    assert all(not batch.records for batch in journal.read_after(0))
    assert journal.position("auth", "auth.log") == b"120"
    assert journal.sources() == {("auth", SSHD.peer): SSHD}
    journal.close()


def test_a_reader_whose_place_was_trimmed_is_told_so(tmp_path: Path) -> None:
    journal, batches = long_journal(tmp_path)
    with journal.reader(0) as begun, journal.reader(0) as late:
        assert begun.read(1) == batches[:1]
        trim(journal, len(batches))

        with pytest.raises(JournalError, match="frame 1 is no longer kept"):
            late.read(1)
        begun.read(len(batches))  # what is left of the segment that it holds open
        with pytest.raises(JournalError, match="no longer kept"):
            begun.read(1)
    assert (late.lost_seqs, begun.lost_seqs, journal.corrupt_frames) == (0, 0, 0)
    journal.close()


def test_the_first_number_is_where_a_reader_of_all_that_is_kept_starts(tmp_path: Path) -> None:
    journal, batches = long_journal(tmp_path)
    assert journal.first_number == 1

    trim(journal, len(batches))

    assert journal.first_number == first_numbers(tmp_path)[0] > 1
    with journal.reader(journal.first_number - 1) as reader:
        assert reader.read(100) == batches[journal.first_number - 1 :]
        assert reader.lost_seqs == 0
    journal.close()


def test_compressed_segments_read_the_same(tmp_path: Path) -> None:
    journal, batches = long_journal(tmp_path)
    wanted = range(1, journal.next_seq)
    with journal.reader(0) as reader:
        read = reader.read(3)
        before = sum(path.stat().st_size for path in sealed(tmp_path))

        assert journal.compress(checkpoint=len(batches)) == len(sealed(tmp_path))

        assert sum(path.stat().st_size for path in sealed(tmp_path)) < before
        assert all(path.name.endswith(".seg.zst") for path in sealed(tmp_path))
        assert read + reader.read(1000) == batches
    for _ in range(2):
        assert list(journal.read_after(0)) == batches
        assert list(journal.lookup(wanted)) == list(wanted)
        assert journal.compress(checkpoint=len(batches)) == 0
        journal.close()
        journal = Journal.open(tmp_path, segment_bytes=SEGMENT_BYTES)
    assert trim(journal, len(batches)) > 1
    journal.close()


def test_only_segments_wholly_before_the_checkpoint_are_compressed(tmp_path: Path) -> None:
    journal, _ = long_journal(tmp_path)
    second, third = first_numbers(tmp_path)[1:3]

    assert journal.compress(checkpoint=second - 2) == 0
    assert journal.compress(checkpoint=third - 2) == 1
    assert journal.compress(checkpoint=third - 1) == 1
    journal.close()


def test_blocks_of_a_large_compressed_segment_are_found_by_offset(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=3_000_000)
    batches = fill(journal, 40, each=10, size_bytes=10_000)

    assert journal.compress(checkpoint=40) == 1

    assert list(journal.read_after(0)) == batches
    assert journal.lookup([1, 150, 299])[299].data.startswith(b"sshd[299]")
    journal.close()


@pytest.mark.skipif(which("zstd") is None, reason="the zstd program is not installed")
def test_the_zstd_program_gives_the_segment_back(tmp_path: Path) -> None:
    journal, _ = long_journal(tmp_path)
    raw = sealed(tmp_path)[0]
    image = raw.read_bytes()
    journal.compress(checkpoint=journal.last_number)
    journal.close()

    unpacked = subprocess.run(["zstd", "-dc", f"{raw}.zst"], capture_output=True, check=True, timeout=60)

    assert unpacked.stdout == image


def test_a_disk_too_full_to_compress_leaves_the_segment_as_it_was() -> None:
    files = FakeFiles()
    journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)
    batches = fill(journal, 20)
    files.free_bytes = 10

    with pytest.raises(JournalError, match=r"cannot compress .*free space"):
        journal.compress(checkpoint=20)

    assert not [name for name in files.list() if "zst" in name]
    assert list(journal.read_after(0)) == batches
    journal.close()
