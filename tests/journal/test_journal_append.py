"""What is appended is read back the same, in order, from any place, while appends go on."""

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal.fakefiles import FakeFiles
from journal.samples import NOW_US, SSHD, fill, record

from socmon.errors import JournalError
from socmon.event import Record, Source
from socmon.journal import MAX_FRAME_BYTES, Batch, Drop, Journal, UnwritableError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.integers(0, 1 << 60)
SOURCES = st.builds(
    Source, collector=NAMES, peer=NAMES, format=st.sampled_from(["auto", "syslog"]), authenticated=st.booleans()
)
DATA = st.one_of(st.binary(max_size=100), st.just(b"\0" * 65_536))
POSITIONS = st.none() | st.tuples(NAMES, st.binary(max_size=10))
RECORDS = st.builds(Record, DATA, SOURCES, TIMES, POSITIONS, st.none() | TIMES, st.integers(1, 1000))
DROPS = st.builds(Drop, NAMES, NAMES, st.integers(0, 1 << 40))
BATCHES = st.tuples(st.lists(RECORDS, max_size=5), TIMES, st.lists(DROPS, max_size=2), st.booleans())


@settings(max_examples=100, deadline=None)
@given(st.lists(BATCHES, max_size=5))
def test_every_batch_is_read_back_as_it_was_appended(batches: list[tuple[list[Record], int, list[Drop], bool]]) -> None:
    journal = Journal.open(Path("journal"), files=FakeFiles(), segment_bytes=100_000)

    appended = [
        journal.append(records, written_us=written_us, drops=drops, tick=tick)
        for records, written_us, drops, tick in batches
    ]

    read = list(journal.read_after(0))
    assert read == appended
    for (records, _, drops, tick), batch in zip(batches, read, strict=True):
        assert [(r.data, r.source, r.received_us, r.position, r.anchor_us, r.count) for r in batch.records] == [
            (r.data, r.source, r.received_us, r.position, r.anchor_us, r.count) for r in records
        ]
        assert (batch.drops, batch.tick) == (drops, tick)
    journal.close()


def test_numbers_and_sequences_have_no_hole_and_an_empty_batch_takes_no_sequence(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)

    first = journal.append([record(1), record(2)], written_us=NOW_US)
    tick = journal.append([], written_us=NOW_US, tick=True)
    last = journal.append([record(3)], written_us=NOW_US)

    assert [(b.number, b.first_seq, b.next_seq) for b in (first, tick, last)] == [(1, 1, 3), (2, 3, 3), (3, 3, 4)]
    assert [r.seq for b in (first, last) for r in b.records] == [1, 2, 3]
    assert (journal.last_number, journal.next_seq) == (3, 4)
    journal.close()


def test_written_time_never_goes_back_not_even_over_a_restart(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.append([], written_us=500, tick=True)
    assert journal.append([], written_us=400, tick=True).written_us == 500
    journal.close()

    journal = Journal.open(tmp_path)

    assert journal.append([], written_us=300, tick=True).written_us == 500
    journal.close()


def test_a_restart_goes_on_where_the_journal_ended(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    incarnation = journal.incarnation
    before = fill(journal, 3)
    journal.close()

    journal = Journal.open(tmp_path)
    after = fill(journal, 1)

    assert (journal.incarnation, journal.torn_bytes) == (incarnation, 0)
    assert list(journal.read_after(0)) == before + after
    assert list(journal.read_after(2)) == before[2:] + after
    assert after[0].first_seq == before[-1].next_seq
    journal.close()


def test_sync_answers_the_last_frame_it_made_durable(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    fill(journal, 2)
    assert journal.synced_number == 0

    assert journal.sync() == 2

    assert journal.synced_number == 2
    journal.close()


def test_a_tailing_reader_sees_each_append_once_and_nothing_when_it_has_caught_up(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=2000)
    with journal.reader(0) as reader:
        assert reader.read(10) == []
        for _ in range(10):
            batch = fill(journal, 1)[0]
            assert reader.read(10) == [batch]
            assert reader.read(10) == []
    assert len([path for path in tmp_path.iterdir() if path.suffix == ".seg"]) > 1
    journal.close()


def test_a_reader_takes_no_more_than_it_is_asked_to(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    batches = fill(journal, 5)

    with journal.reader(1) as reader:
        assert [reader.read(3), reader.read(3)] == [batches[1:4], batches[4:]]
    journal.close()


def test_read_from_begins_with_the_batch_that_holds_the_sequence(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=1000)
    batches = []
    for _ in range(20):
        batches += [*fill(journal, 1), journal.append([], written_us=NOW_US, tick=True)]

    for seq in range(1, journal.next_seq):
        first = next(journal.read_from(seq))
        assert first.first_seq <= seq < first.next_seq
    assert list(journal.read_from(1)) == batches
    assert list(journal.read_from(journal.next_seq)) == []
    journal.close()


def test_readers_in_other_threads_see_whole_batches_in_order_while_appends_go_on(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=20_000)
    wanted = 300
    seen: list[list[Batch]] = [[], []]

    def follow(into: list[Batch]) -> None:
        with journal.reader(0) as reader:
            while len(into) < wanted:
                into += reader.read(7)

    threads = [threading.Thread(target=follow, args=(into,), daemon=True) for into in seen]
    for thread in threads:
        thread.start()
    appended = []
    for number in range(wanted):
        appended += fill(journal, 1)
        if number % 50 == 0:
            journal.sync()
    for thread in threads:
        thread.join(timeout=60)

    assert seen == [appended, appended]
    assert journal.corrupt_frames == 0
    journal.close()


def test_a_batch_over_the_bound_of_a_frame_is_refused_and_the_next_one_is_not(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)

    with pytest.raises(UnwritableError, match="append it in smaller batches"):
        journal.append([record(1, size_bytes=MAX_FRAME_BYTES)], written_us=NOW_US)

    assert journal.append([record(1)], written_us=NOW_US).number == 1
    journal.close()


def test_a_frame_larger_than_a_segment_has_one_of_its_own(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=1000)

    batches = [*fill(journal, 1), *fill(journal, 2, size_bytes=5000), *fill(journal, 1)]

    assert list(journal.read_after(0)) == batches
    journal.close()
    journal = Journal.open(tmp_path, segment_bytes=1000)
    assert list(journal.read_after(0)) == batches
    journal.close()


def test_a_name_that_is_no_unicode_is_refused_with_the_remedy(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    hostile = Source(collector="auth", peer="/var/log/\udcff.log")

    with pytest.raises(UnwritableError, match="escape undecodable names"):
        journal.append([Record(b"x", hostile, NOW_US)], written_us=NOW_US)
    with pytest.raises(UnwritableError, match="escape undecodable names"):
        journal.append([Record(b"x", SSHD, NOW_US, position=("\udcff", b""))], written_us=NOW_US)
    assert journal.append([record(1)], written_us=NOW_US).number == 1
    journal.close()


def test_positions_and_sources_are_the_last_ones_of_each_stream_and_peer(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    unsettled = Source(collector="tcp", peer="192.0.2.1")
    settled = Source(collector="tcp", peer="192.0.2.1", format="syslog", chosen="detected")
    records = [
        Record(b"1", settled, NOW_US, position=("a", b"1")),
        Record(b"2", unsettled, NOW_US, position=("a", b"2")),
        Record(b"3", SSHD, NOW_US, position=("a", b"3")),
    ]

    journal.append(records, written_us=NOW_US)

    for _ in range(2):
        assert journal.position("tcp", "a") == b"2"
        assert journal.position("auth", "a") == b"3"
        assert journal.position("auth", "b") is None
        assert journal.sources() == {("tcp", "192.0.2.1"): settled, ("auth", SSHD.peer): SSHD}
        journal.close()
        journal = Journal.open(tmp_path)
    journal.close()


def test_the_last_word_on_a_peer_stands_when_a_batch_says_several_things(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    json = Source(collector="auth", peer=SSHD.peer, format="json")

    journal.append([Record(b"", source, NOW_US) for source in (SSHD, json, SSHD)], written_us=NOW_US)

    assert journal.sources() == {("auth", SSHD.peer): SSHD}
    journal.close()


def test_only_the_sources_seen_last_are_held(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    for start in range(0, 10_500, 500):
        sources = [Source(collector="tcp", peer=str(peer), format="syslog") for peer in range(start, start + 500)]
        journal.append([Record(b"", source, NOW_US) for source in sources], written_us=NOW_US)

    held = journal.sources()

    assert len(held) == 10_000
    assert ("tcp", "499") not in held
    assert ("tcp", "10499") in held
    journal.close()


def test_read_only_sees_what_another_process_has_written_and_changes_nothing(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=1000)
    batches = fill(journal, 10)
    names = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    reading = Journal.open(tmp_path, read_only=True)

    assert list(reading.read_after(0)) == batches
    assert reading.lookup([1, 30]) == {1: batches[0].records[0], 30: batches[-1].records[-1]}
    with pytest.raises(JournalError, match="read-only"):
        reading.append([], written_us=NOW_US)
    reading.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == names
    journal.close()


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.close()
    journal.close()

    with pytest.raises(JournalError, match="closed"):
        journal.append([], written_us=NOW_US)
    assert journal.trim(checkpoint=0, keep_bytes=0, max_age_us=None, now_us=NOW_US) == 0
    assert not journal.preallocated


def test_files_are_not_for_everybody(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "state" / "journal")
    fill(journal, 1)

    assert {path.stat().st_mode & 0o007 for path in (tmp_path / "state").rglob("*")} == {0}
    journal.close()
