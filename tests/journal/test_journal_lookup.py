"""A record is found by its sequence, wherever it is, without reading the journal from its start."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from journal.fakefiles import FakeFiles
from journal.samples import NOW_US, fill

from socmon.journal import Journal


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 4), max_size=40),
    wanted=st.lists(st.integers(0, 90), max_size=20),
    segment_bytes=st.sampled_from([500, 3000]),
)
def test_every_sequence_that_was_written_is_found_and_no_other(
    sizes: list[int], wanted: list[int], segment_bytes: int
) -> None:
    journal = Journal.open(Path("journal"), files=FakeFiles(), segment_bytes=segment_bytes)
    batches = [fill(journal, 1, each=size)[0] for size in sizes]
    written = {record.seq: record for batch in batches for record in batch.records}

    for seqs in (wanted, range(100), wanted):
        assert journal.lookup(seqs) == {seq: written[seq] for seq in set(seqs) if seq in written}
    journal.close()


def test_what_is_appended_after_a_lookup_is_found_by_the_next(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=1 << 20)
    for turn in range(20):
        fill(journal, 3, each=10, size_bytes=2000)
        assert journal.lookup([1, journal.next_seq - 1, journal.next_seq]).keys() == {1, journal.next_seq - 1}, turn
    journal.close()


def test_trimmed_sequences_are_left_out(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=1000)
    fill(journal, 40)
    journal.trim(checkpoint=20, keep_bytes=0, max_age_us=None, now_us=NOW_US)
    oldest = next(journal.read_after(0)).first_seq

    assert sorted(journal.lookup(range(1, journal.next_seq))) == list(range(oldest, journal.next_seq))
    assert next(journal.read_from(1)).first_seq == oldest
    journal.close()


def test_a_lookup_far_inside_a_segment_reads_little_of_it() -> None:
    files = FakeFiles()
    journal = Journal.open(Path("journal"), files=files, segment_bytes=4 << 20)
    fill(journal, 100, each=10, size_bytes=3000)
    journal.lookup([1])
    files.read_bytes = 0

    assert journal.lookup([900]).keys() == {900}

    assert files.read_bytes < 300_000
    journal.close()


def test_frames_held_decoded_are_bounded(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    fill(journal, 100)
    fill(journal, 12, each=100, size_bytes=65_000)

    journal.lookup(range(1, journal.next_seq))

    held = journal._lookup._frames
    assert sum(len(record.data) for batch, _ in held.values() for record in batch.records) <= 32 << 20
    assert len(held) <= 64
    journal.close()


def test_opening_reads_the_last_segment_only() -> None:
    files = FakeFiles()
    journal = Journal.open(Path("journal"), files=files, segment_bytes=5000)
    fill(journal, 400)
    journal.close()
    files.read_bytes = 0

    journal = Journal.open(Path("journal"), files=files, segment_bytes=5000)

    assert len(journal._directory.segments) > 10
    assert files.read_bytes < 6 * 5000
    assert journal.last_number == 400
    journal.close()
