"""A changed byte in a journal at rest costs the frame that it is in, and no other."""

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal.fakefiles import FakeFiles
from journal.samples import fill

from socmon.errors import JournalError
from socmon.journal import Batch, Journal

SEGMENT_BYTES = 2000
FIRST = "00000000000000000001.seg"


@cache
def _at_rest() -> tuple[dict[str, bytes], list[Batch]]:
    files = FakeFiles()
    journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)
    batches = [batch for each in (3, 1, 0, 7, 2) * 6 for batch in fill(journal, 1, each=each)]
    journal.close()
    return {name: bytes(inode.seen) for name, inode in files.names.items() if name != "spare"}, batches


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_changed_byte_anywhere_costs_no_frame_but_its_own(data: st.DataObject) -> None:
    images, batches = _at_rest()
    files = FakeFiles()
    for name, image in images.items():
        files.create(name).write_at(0, image)
    name = data.draw(st.sampled_from(sorted(images)))
    at = data.draw(st.integers(0, len(images[name].rstrip(b"\0")) - 1))
    files.names[name].seen[at] ^= data.draw(st.integers(1, 255))

    try:
        journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)
    except JournalError:  # the head of the last segment
        assert name == max(images)
        assert bytes(files.names[name].seen[at + 1 :]) == images[name][at + 1 :]
        return

    last = journal.last_number
    assert last >= len(batches) - 1, "only the last frame may pass for the torn tail of a crash"
    with journal.reader(0) as reader:
        kept = reader.read(1000)
        missing = [batch for batch in batches if batch not in kept]
        assert len(missing) <= 1
        assert kept == [batch for batch in batches if batch not in missing]
        assert reader.lost_seqs == sum(len(batch.records) for batch in missing if batch.number <= last)
        appended = fill(journal, 2)
        assert [batch.number for batch in appended] == [last + 1, last + 2]
        assert appended[0].first_seq == batches[last - 1].next_seq
        assert reader.read(1000) == appended
    readable = {record.seq for batch in kept + appended for record in batch.records}
    assert journal.lookup(range(1, journal.next_seq)).keys() == readable
    journal.close()


@pytest.mark.parametrize("field", [0, 8], ids=["length", "first_seq"])
def test_a_head_that_lies_misleads_no_lookup(field: int) -> None:
    images, batches = _at_rest()
    segment = images[FIRST]
    filled = [batch for batch in batches[:5] if batch.records]
    starts = [
        segment.index(batch.first_seq.to_bytes(8, "little") + b"\x9b") - 8 for batch in filled
    ]  # or the empty frame before it
    for start in starts:
        for bit in range(8):
            files = FakeFiles()
            for name, image in images.items():
                files.create(name).write_at(0, image)
            files.names[FIRST].seen[start + field] ^= 1 << bit
            journal = Journal.open(Path("journal"), files=files, segment_bytes=SEGMENT_BYTES)

            readable = {record.seq for batch in journal.read_after(0) for record in batch.records}
            assert journal.lookup(range(1, journal.next_seq)).keys() == readable
            assert journal.corrupt_frames == 1
            journal.close()
