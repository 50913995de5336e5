"""The journal as an archive: whole beside a writer that appends, compresses and trims, and unchanged by reading."""

from pathlib import Path

import pytest
from journal.samples import NOW_US, fill, sealed

from socmon.errors import JournalError
from socmon.journal import Archive, Batch, Journal

SEGMENT_BYTES = 2000


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.open(tmp_path / "journal", segment_bytes=SEGMENT_BYTES)


def compressed(journal: Journal, batches: list[Batch], *, up_to: int) -> None:
    assert journal.compress(checkpoint=batches[up_to].number) > 0


def trimmed(journal: Journal, checkpoint: int) -> int:
    return journal.trim(checkpoint=checkpoint, keep_bytes=0, max_age_us=None, now_us=NOW_US)


def files(directory: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.iterdir()}


def test_compressed_raw_and_active_segments_are_read_in_order_and_nothing_is_changed(
    tmp_path: Path, journal: Journal
) -> None:
    batches = fill(journal, 40)
    compressed(journal, batches, up_to=20)
    before = files(tmp_path / "journal")
    assert {name[20:] for name in before} >= {".seg", ".seg.zst"}

    archive = Archive(tmp_path / "journal")

    assert list(archive) == batches
    assert (archive.first_number, archive.last_number, archive.number) == (1, 40, 40)
    assert (archive.trimmed, archive.lost) == (0, 0)
    assert archive.incarnation == journal.incarnation
    assert files(tmp_path / "journal") == before


def test_what_is_appended_later_is_no_part_of_it(tmp_path: Path, journal: Journal) -> None:
    batches = fill(journal, 5)
    archive = Archive(tmp_path / "journal")
    fill(journal, 30)

    assert list(archive) == batches


def test_segments_compressed_meanwhile_are_read_all_the_same(tmp_path: Path, journal: Journal) -> None:
    batches = fill(journal, 40)
    archive = Archive(tmp_path / "journal")
    reading = iter(archive)
    read = [next(reading)]

    compressed(journal, batches, up_to=-1)

    assert [*read, *reading] == batches
    assert archive.lost == archive.trimmed == 0


@pytest.mark.parametrize("already", [0, 1, 15])
def test_segments_trimmed_meanwhile_are_counted_and_the_others_read(
    tmp_path: Path, journal: Journal, already: int
) -> None:
    batches = fill(journal, 40)
    archive = Archive(tmp_path / "journal")
    reading = iter(archive)
    read = [next(reading) for _ in range(already)]

    assert trimmed(journal, 39) > 3
    read += reading

    kept = journal.first_number
    assert read[already:] == [each for each in batches if each in read[already:]]
    assert read[-1] == batches[-1]
    assert {batch.number for batch in read} >= set(range(kept, 41))
    assert archive.trimmed == len(batches) - len(read) > 0
    assert archive.lost == 0


def test_a_segment_trimmed_just_before_it_is_opened_is_no_damage(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(journal, 40)
    archive = Archive(tmp_path / "journal")
    real_open = archive._directory.open
    first = sealed(tmp_path / "journal")[0]

    def racing(segment: int) -> object:
        first.unlink(missing_ok=True)
        return real_open(segment)

    monkeypatch.setattr(archive._directory, "open", racing)

    read = list(archive)

    assert archive.trimmed == read[0].number - 1 > 0
    assert archive.lost == 0
    assert read[-1].number == 40


def test_damage_is_passed_over_and_its_records_counted(tmp_path: Path, journal: Journal) -> None:
    batches = fill(journal, 40)
    compressed(journal, batches, up_to=10)
    for harmed in (sealed(tmp_path / "journal")[0], sealed(tmp_path / "journal")[-1]):
        data = bytearray(harmed.read_bytes())
        data[len(data) // 2] ^= 0xFF
        harmed.write_bytes(data)

    archive = Archive(tmp_path / "journal")
    read = list(archive)

    assert read == [batch for batch in batches if batch in read]
    assert archive.lost == sum(len(batch.records) for batch in batches) - sum(len(batch.records) for batch in read) > 0
    assert archive.trimmed == 0


def test_a_frame_that_is_being_written_is_not_read_nor_wiped(tmp_path: Path, journal: Journal) -> None:
    batches = fill(journal, 4)
    journal.close()
    active = tmp_path / "journal" / "00000000000000000001.seg"
    data = active.read_bytes()
    # What a writer has put there of the fourth frame so far.
    harmed = data[: data.rindex(b"Failed password")] + bytes(200)
    active.write_bytes(harmed)

    assert list(Archive(tmp_path / "journal")) == batches[:3]
    assert active.read_bytes() == harmed


def test_a_span_is_all_frames_received_in_it_both_ends_included(tmp_path: Path, journal: Journal) -> None:
    batches = fill(journal, 30)
    compressed(journal, batches, up_to=20)
    ends = [batch.written_us + step for batch in batches[::7] for step in (-1, 0, 1)]

    for since_us in [None, *ends]:
        for until_us in [None, *ends]:
            expected = [
                batch
                for batch in batches
                if (since_us is None or batch.written_us >= since_us)
                and (until_us is None or batch.written_us <= until_us)
            ]
            assert list(Archive(tmp_path / "journal", since_us=since_us, until_us=until_us)) == expected


def test_segments_before_the_span_are_not_read(tmp_path: Path, journal: Journal) -> None:
    batches = fill(journal, 40)

    archive = Archive(tmp_path / "journal", since_us=batches[-3].written_us)

    assert archive.first_number > 20
    assert list(archive) == batches[-3:]


def test_no_journal_is_said_and_none_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    for folder in ("empty", "absent"):
        with pytest.raises(JournalError, match=r"no journal here|no such file|No such file"):
            Archive(tmp_path / folder)
    assert [*tmp_path.iterdir()] == [tmp_path / "empty"]
    assert [*(tmp_path / "empty").iterdir()] == []
