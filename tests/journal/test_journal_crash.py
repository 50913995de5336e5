"""After a crash anywhere the journal is a prefix of what was appended, and holds all that was synced."""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from journal.fakefiles import FakeFiles, PowerCutError
from journal.samples import NOW_US, fill, fill_until_refused

from socmon.errors import JournalError
from socmon.journal import Batch, Journal, recovery

DIRECTORY = Path("journal")
SEGMENT_BYTES = 1500
FIRST = "00000000000000000001.seg"


class Story:
    """A run that appends, rolls, syncs, compresses and trims; kept so that it can be told up to the power cut."""

    def __init__(self, files: FakeFiles) -> None:
        self.appended: list[Batch] = []
        self.synced = 0
        self.positions: list[bytes | None] = [None]
        self.trimmed_to = 0
        self._files = files

    def run(self) -> None:
        journal = Journal.open(DIRECTORY, files=self._files, segment_bytes=SEGMENT_BYTES)
        for turn in range(14):
            self.appended += fill(journal, 1, each=turn % 4, size_bytes=60 * (turn % 5))
            self.positions.append(journal.position("auth", "auth.log"))
            if turn % 3 == 2:
                self.synced = journal.sync()
            if turn == 8:
                journal.compress(checkpoint=self.synced)
            if turn == 11:
                self.trimmed_to = self.synced
                journal.trim(checkpoint=self.synced, keep_bytes=SEGMENT_BYTES, max_age_us=None, now_us=NOW_US)
        journal.close()
        self.synced = journal.last_number


def steps_of_the_story() -> int:
    files = FakeFiles()
    Story(files).run()
    return files.steps


@pytest.fixture(autouse=True)
def _same_incarnation_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count(1)
    monkeypatch.setattr(recovery, "uuid4", lambda: UUID(int=next(numbers)))


@pytest.mark.parametrize("seed", range(6))
def test_after_a_power_cut_at_any_step_the_journal_is_a_prefix_with_all_that_was_synced(seed: int) -> None:
    for cut_at in range(1, steps_of_the_story() + 1):
        files = FakeFiles(cut_at=cut_at, seed=seed * 10_000 + cut_at)
        story = Story(files)
        with pytest.raises(PowerCutError):
            story.run()

        journal = Journal.open(DIRECTORY, files=files.crash(), segment_bytes=SEGMENT_BYTES)

        last = journal.last_number
        assert story.synced <= last <= len(story.appended) + 1, "the batch in hand at the cut may have got through"
        kept = list(journal.read_after(0))
        first = kept[0].number if kept else last + 1
        assert first - 1 <= story.trimmed_to
        assert [batch for batch in kept if batch.number <= len(story.appended)] == story.appended[first - 1 : last]
        if last < len(story.positions):
            assert journal.position("auth", "auth.log") == story.positions[last]
        assert fill(journal, 1)[0].number == last + 1
        assert [batch.number for batch in journal.read_after(0)] == list(range(first, last + 2))
        assert journal.corrupt_frames == 0
        journal.close()


def test_a_tail_torn_at_any_byte_is_cut_and_appends_go_on_without_a_hole() -> None:
    files = FakeFiles()
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    before = fill(journal, 3)
    start = journal._directory.tail.end
    fill(journal, 1)
    end = journal._directory.tail.end
    journal.close()
    data = bytes(files.names[FIRST].seen)

    for cut in range(start, end):
        files = FakeFiles()
        files.create(FIRST).write_at(0, data[:cut] + bytes(len(data) - cut))
        journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
        assert list(journal.read_after(0)) == before
        assert journal.torn_bytes <= cut - start
        again = fill(journal, 1)
        assert (again[0].number, again[0].first_seq) == (4, before[-1].next_seq)
        assert list(journal.read_after(0)) == before + again
        journal.close()


def test_a_file_that_ends_inside_the_last_frame_is_recovered_too(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=4096)
    before = fill(journal, 2)
    end = journal._directory.tail.end
    fill(journal, 1)
    journal.close()
    os.truncate(tmp_path / FIRST, end + 30)

    journal = Journal.open(tmp_path, segment_bytes=4096)

    assert (journal.torn_bytes, list(journal.read_after(0))) == (30, before)
    journal.close()


@pytest.mark.parametrize("lost_at", [0, 700])
def test_a_frame_that_a_power_cut_lost_takes_the_whole_ones_behind_it_along(tmp_path: Path, lost_at: int) -> None:
    journal = Journal.open(tmp_path, segment_bytes=8192)
    fill(journal, 1)
    start = journal._directory.tail.end
    fill(journal, 1, size_bytes=600)
    fill(journal, 1)
    end = journal._directory.tail.end
    journal.close()
    segment = tmp_path / FIRST
    data = bytearray(segment.read_bytes())
    sector = (start + lost_at) // 512 * 512
    lost = slice(max(start, sector), sector + 512)
    data[lost] = bytes(lost.stop - lost.start)  # never reached the disk; what follows did
    segment.write_bytes(data)

    journal = Journal.open(tmp_path, segment_bytes=8192)
    again = fill(journal, 1)
    journal.close()

    assert journal.torn_bytes == end - start
    journal = Journal.open(tmp_path, segment_bytes=8192)
    assert [batch.number for batch in journal.read_after(0)] == [1, 2]
    assert list(journal.read_after(1)) == again
    assert b"sshd[7]" not in segment.read_bytes()
    assert b"sshd[7]" in (tmp_path / f"{FIRST}.torn").read_bytes()
    journal.close()


def test_the_newest_two_torn_tails_are_kept(tmp_path: Path) -> None:
    kept = []
    for _ in range(4):
        journal = Journal.open(tmp_path, segment_bytes=500)
        fill(journal, 4)
        journal.close()
        segment = max(tmp_path.glob("*.seg"))
        os.truncate(segment, journal._directory.tail.end - 30)
        kept.append(f"{segment.name}.torn")

    torn = Journal.open(tmp_path, segment_bytes=500)

    assert sorted(path.name for path in tmp_path.glob("*.torn")) == sorted(set(kept))[-2:]
    assert len((tmp_path / kept[-1]).read_bytes()) == torn.torn_bytes > 0
    torn.close()


def test_a_disk_too_full_for_the_torn_tail_does_not_keep_the_journal_from_opening() -> None:
    files = FakeFiles()
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    before = fill(journal, 3)
    end = journal._directory.tail.end
    journal.close()
    files.open(FIRST, write=True).write_at(end, b"torn")
    files.free_bytes = 0

    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)

    assert journal.torn_bytes == 4
    assert list(journal.read_after(0)) == before
    journal.close()


def test_a_frame_of_another_journal_is_no_frame_here(tmp_path: Path) -> None:
    segments = []
    for name in ("one", "other"):
        journal = Journal.open(tmp_path / name, segment_bytes=4096)
        fill(journal, 1)
        start = journal._directory.tail.end
        fill(journal, 1)
        journal.close()
        segments.append(tmp_path / name / FIRST)
    one, other = (segment.read_bytes() for segment in segments)
    segments[0].write_bytes(one[:start] + other[start:])

    journal = Journal.open(tmp_path / "one", segment_bytes=4096)

    assert journal.last_number == 1
    journal.close()


def test_a_frame_in_another_place_is_no_frame() -> None:
    files = FakeFiles()
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    start = journal._directory.tail.end
    fill(journal, 1)
    end = journal._directory.tail.end
    journal.close()
    segment = files.open(FIRST, write=True)
    segment.write_at(end, segment.read_at(start, end - start))

    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)

    assert (journal.last_number, journal.torn_bytes > 0) == (1, True)
    journal.close()


@pytest.mark.parametrize("seed", range(10))
def test_what_a_killed_process_left_unsynced_is_durable_once_the_journal_is_reopened(seed: int) -> None:
    files = FakeFiles(seed=seed)
    appended = fill(Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES), 3)
    reopened = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    assert reopened.synced_number == 3

    journal = Journal.open(DIRECTORY, files=files.crash(), segment_bytes=SEGMENT_BYTES)

    assert list(journal.read_after(0)) == appended
    journal.close()


def test_a_segment_begins_clean_whatever_a_crash_left_in_the_spare_file() -> None:
    files = FakeFiles()
    Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES).close()
    files.open("spare", write=True).write_at(0, b"\xff" * SEGMENT_BYTES)
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    while len(journal._directory.segments) == 1:
        fill(journal, 1)
    journal.close()

    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)

    assert journal.torn_bytes == 0
    journal.close()


def test_a_crash_between_compressing_and_removing_leaves_one_of_the_two(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=1000)
    batches = fill(journal, 10)
    raw = tmp_path / FIRST
    kept = raw.read_bytes()
    journal.compress(checkpoint=10)
    journal.close()
    raw.write_bytes(kept)
    (tmp_path / "00000000000000000009.seg.zst.tmp").write_bytes(b"half")

    journal = Journal.open(tmp_path, segment_bytes=1000)

    assert not raw.exists()
    assert not list(tmp_path.glob("*.tmp"))
    assert list(journal.read_after(0)) == batches
    journal.close()


def test_a_process_killed_inside_a_write_leaves_a_tail_that_is_cut(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\n"
        "from socmon.journal import Journal\n"
        "from journal.samples import fill\n"
        f"fill(Journal.open(Path({str(tmp_path)!r}), segment_bytes=4096), 5)\n"
    )
    tests = Path(__file__).parents[1]
    environment = {**os.environ, "SOCMON_FAILPOINT": "journal.write:3:50", "PYTHONPATH": str(tests)}

    killed = subprocess.run([sys.executable, "-c", program], env=environment, cwd=tests.parent, timeout=60, check=False)

    assert killed.returncode == -9
    journal = Journal.open(tmp_path, segment_bytes=4096)
    assert (journal.last_number, journal.torn_bytes > 0) == (2, True)
    assert fill(journal, 1)[0].number == 3
    journal.close()


def test_a_full_disk_fails_the_append_and_the_next_one_works_when_there_is_room() -> None:
    files = FakeFiles()
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    appended = fill(journal, 1)
    files.free_bytes = 100

    with pytest.raises(JournalError, match="No space left on device; free space"):
        fill_until_refused(journal, appended)
    assert not journal.preallocated
    assert list(journal.read_after(0)) == appended
    assert journal._directory.segments[:2] == (1, 5), "appends went on inside the segment that was set aside"

    files.free_bytes = 100_000
    appended += fill(journal, 20)
    journal.trim(checkpoint=0, keep_bytes=1 << 40, max_age_us=None, now_us=NOW_US)
    assert journal.preallocated
    assert list(journal.read_after(0)) == appended
    journal.close()


def test_a_torn_write_on_a_full_disk_is_wiped() -> None:
    files = FakeFiles()
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    files.free_bytes = 0
    appended: list[Batch] = []
    with pytest.raises(JournalError):
        fill_until_refused(journal, appended)
    files.free_bytes = 700  # room for the head of a segment and some frames, not for all of it

    with pytest.raises(JournalError):
        fill_until_refused(journal, appended)

    reopened = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    assert reopened.torn_bytes == 0
    assert list(reopened.read_after(0)) == appended
    reopened.close()


def test_after_a_failed_sync_nothing_is_appended_until_the_journal_is_reopened() -> None:
    files = FakeFiles()
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    fill(journal, 1)
    files.failing = {"sync"}
    with pytest.raises(JournalError, match="check the disk and restart"):
        journal.sync()
    files.failing = set()

    for attempt in (journal.sync, lambda: fill(journal, 1)):
        with pytest.raises(JournalError, match="cannot go on"):
            attempt()

    journal.close()
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    assert journal.last_number == 1
    journal.close()


@pytest.mark.parametrize("operation", ["rename", "sync_directory", "write"])
def test_a_failure_while_a_segment_is_begun_loses_nothing(operation: str) -> None:
    files = FakeFiles()
    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    appended: list[Batch] = []
    while journal._directory.tail.end < SEGMENT_BYTES - 400:
        appended += fill(journal, 1)
    files.failing = {operation}
    with pytest.raises(JournalError):
        fill_until_refused(journal, appended)
    files.failing = set()
    journal.close()

    journal = Journal.open(DIRECTORY, files=files, segment_bytes=SEGMENT_BYTES)
    appended += fill(journal, 10)

    assert list(journal.read_after(0)) == appended
    journal.close()
