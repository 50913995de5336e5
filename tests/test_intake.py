"""Intake: what was handed in is journalled once, in order, before it is acknowledged; losses are counted."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness import until as until_true
from journal.fakefiles import FakeFiles

from socmon.event import Record, Source
from socmon.instruments import REGISTRY
from socmon.intake import Intake
from socmon.journal import Batch, Drop, Journal
from socmon.sections import IntakeSettings, JournalSettings
from socmon.waiting import MAX_BATCH

SSHD = b"Dec 10 06:55:46 web sshd[24200]: Connection closed by 10.0.0.1 port 4 [preauth]"


def records(count: int, *, data: bytes = SSHD, peer: str = "/f", start: int = 0) -> list[Record]:
    source = Source("logs", peer)
    return [
        Record(data, source, time.time_ns() // 1000, position=(peer, str(start + n).encode())) for n in range(count)
    ]


def journalled(journal: Journal) -> list[Batch]:
    return list(journal.read_after(0))


@contextlib.asynccontextmanager
async def running(
    *, files: FakeFiles | None = None, fsync: str = "interval", buffer_records: int = 10_000, tick_s: float = 60.0
) -> AsyncIterator[tuple[Intake, Journal]]:
    journal = Journal.open(Path("journal"), files=files or FakeFiles(), segment_bytes=64 * 1024)
    settings = JournalSettings.model_validate({"fsync": fsync, "fsync_interval_s": 0.01})
    intake = Intake(journal, IntakeSettings(buffer_records=buffer_records, tick_s=tick_s), settings)
    tasks = [asyncio.create_task(intake.run()), asyncio.create_task(intake.sync())]
    try:
        yield intake, journal
    finally:
        intake.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        intake.shutdown()


async def test_emit_returns_when_every_record_is_in_the_journal() -> None:
    async with running() as (intake, journal):
        await intake.emit(records(2500))

        batches = journalled(journal)
        assert sum(len(batch.records) for batch in batches) == 2500
        assert max(len(batch.records) for batch in batches) <= MAX_BATCH
        assert [record.seq for batch in batches for record in batch.records] == list(range(1, 2501))


async def test_records_too_large_for_one_frame_are_spread_over_several() -> None:
    async with running() as (intake, journal):
        await intake.emit(records(40, data=b"x" * 1_000_000))

        assert sum(len(batch.records) for batch in journalled(journal)) == 40


async def test_a_format_is_settled_once_and_kept_in_the_journal() -> None:
    async with running() as (intake, journal):
        await intake.emit(records(3))
        await intake.emit(records(1, data=b"not syslog at all"))

        formats = {record.source.format for batch in journalled(journal) for record in batch.records}
        assert formats == {"rfc3164"}
        assert journal.sources()["logs", "/f"].chosen == "detected"


async def test_offer_takes_what_fits_and_says_how_much() -> None:
    async with running(buffer_records=10) as (intake, journal):
        taken = intake.offer(records(25))

        assert taken == (10, {"buffer_full": 15})
        await until_true(lambda: journal.next_seq == 11)


async def test_emit_waits_while_the_buffer_is_full() -> None:
    async with running(buffer_records=10) as (intake, journal):
        await asyncio.gather(*(intake.emit(records(8, peer=f"/{n}")) for n in range(20)))

        assert journal.next_seq == 161


async def test_drops_enter_the_journal() -> None:
    async with running() as (intake, journal):
        intake.drop("logs", "buffer_full", 3)
        intake.drop("logs", "buffer_full", 4)
        await intake.emit(records(1))

        assert [drop for batch in journalled(journal) for drop in batch.drops] == [Drop("logs", "buffer_full", 7)]


async def test_drops_are_journalled_a_second_after_they_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socmon.intake._DROPS_LATE_S", 0.01)
    async with running(tick_s=3600) as (intake, journal):
        await intake.emit(records(1))
        intake.drop("logs", "buffer_full", 3)

        await until_true(lambda: any(batch.drops for batch in journalled(journal)))


async def test_drops_of_the_last_moment_are_journalled_before_the_end() -> None:
    journal = Journal.open(Path("journal"), files=FakeFiles(), segment_bytes=64 * 1024)
    intake = Intake(journal, IntakeSettings(), JournalSettings())
    running_intake = asyncio.create_task(intake.run())
    await asyncio.sleep(0)

    intake.close()
    intake.drop("logs", "buffer_full", 3)
    await asyncio.wait_for(running_intake, 30)
    intake.shutdown()

    assert [drop for batch in journalled(journal) for drop in batch.drops] == [Drop("logs", "buffer_full", 3)]


async def test_a_record_that_cannot_be_written_down_is_dropped_and_the_others_go_on() -> None:
    bad = Record(b"x", Source("logs", "\udcff"), time.time_ns() // 1000)
    dropped = ("socmon_collector_dropped_records_total", {"component": "logs", "reason": "unwritable"})
    before = REGISTRY.get_sample_value(*dropped) or 0
    async with running() as (intake, journal):
        await asyncio.wait_for(intake.emit([*records(3), bad, *records(4)]), 30)
        await intake.emit(records(1))

        batches = journalled(journal)
        assert sum(len(batch.records) for batch in batches) == 8
        assert [drop for batch in batches for drop in batch.drops] == [Drop("logs", "unwritable", 1)]
        assert REGISTRY.get_sample_value(*dropped) == before + 1


async def test_what_was_dropped_before_a_record_that_cannot_be_written_down_is_told_all_the_same() -> None:
    bad = Record(b"x", Source("logs", "\udcff"), time.time_ns() // 1000)
    async with running() as (intake, journal):
        intake.drop("logs", "buffer_full", 7)
        await asyncio.wait_for(intake.emit([bad]), 30)
        await intake.emit(records(1))

        drops = [drop for batch in journalled(journal) for drop in batch.drops]
        assert sorted(drops, key=lambda drop: drop.reason) == [
            Drop("logs", "buffer_full", 7),
            Drop("logs", "unwritable", 1),
        ]


async def test_a_time_zone_that_is_changed_in_the_configuration_counts_from_then_on() -> None:
    async with running() as (intake, journal):
        await intake.emit(records(1))
        moved = Source("logs", "/f", zone="Asia/Ho_Chi_Minh")
        await intake.emit([Record(SSHD, moved, time.time_ns() // 1000)])

        sources = [record.source for batch in journalled(journal) for record in batch.records]
        assert [source.zone for source in sources] == ["UTC", "Asia/Ho_Chi_Minh"]
        assert sources[1].format == "rfc3164"


async def test_a_wait_that_is_cancelled_twice_does_not_end_the_intake() -> None:
    async with running() as (intake, journal):
        for turns in range(8):
            emitting = asyncio.create_task(intake.emit(records(5)))
            for _ in range(turns):
                await asyncio.sleep(0)
            emitting.cancel()
            await asyncio.sleep(0)
            emitting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await emitting
        await asyncio.wait_for(intake.emit(records(1, peer="/last")), 30)

        assert journal.position("logs", "/last") == b"0"


async def test_an_intake_that_ends_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socmon.intake._RETRY_S", 0.01)
    files = FakeFiles()
    journal = Journal.open(Path("journal"), files=files, segment_bytes=64 * 1024)
    intake = Intake(journal, IntakeSettings(), JournalSettings())
    running_intake = asyncio.create_task(intake.run())
    files.failing = {"write"}
    emitting = asyncio.create_task(intake.emit(records(5)))
    await until_true(lambda: bool(intake.failing))

    emitting.cancel()
    running_intake.cancel()
    done, _ = await asyncio.wait([emitting, running_intake], timeout=30)
    intake.shutdown()

    assert len(done) == 2


async def test_idle_time_is_journalled_as_a_tick() -> None:
    async with running(tick_s=0.01) as (_intake, journal):
        await until_true(lambda: any(batch.tick for batch in journalled(journal)))

        assert journal.next_seq == 1


async def test_with_fsync_batch_an_acknowledgement_follows_the_sync() -> None:
    async with running(fsync="batch") as (intake, journal):
        await intake.emit(records(5))

        assert journal.synced_number == journal.last_number


async def test_saved_tells_positions_after_the_sync_and_only_the_newest() -> None:
    async with running() as (intake, journal):
        saved = intake.saved("logs")
        first = asyncio.ensure_future(anext(saved))
        await asyncio.sleep(0)
        await intake.emit(records(5))

        assert await asyncio.wait_for(first, 30) == ("/f", b"4")
        assert journal.synced_number == journal.last_number


async def test_a_cancelled_emit_is_either_written_whole_or_not_at_all() -> None:
    async with running() as (intake, journal):
        for turns in range(12):
            before = journal.next_seq
            emitting = asyncio.create_task(intake.emit(records(5, start=turns * 5)))
            for _ in range(turns):
                await asyncio.sleep(0)
            emitting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await emitting

            # What is not in the journal now never will be: the collector goes on from the position it finds there.
            now = journal.next_seq
            await intake.emit(records(1, peer="/other"))
            assert now - before in (0, 5)
            assert journal.next_seq == now + 1


async def test_a_full_disk_makes_senders_wait_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socmon.intake._RETRY_S", 0.01)
    files = FakeFiles()
    async with running(files=files) as (intake, journal):
        await intake.emit(records(1))
        files.failing = {"write"}
        emitting = asyncio.create_task(intake.emit(records(5)))
        await until_true(lambda: bool(intake.failing))
        assert not emitting.done()

        files.failing = set()
        await asyncio.wait_for(emitting, 30)

        assert intake.failing == ""
        assert journal.next_seq == 7


async def test_paused_intake_takes_nothing_until_it_is_resumed() -> None:
    async with running() as (intake, journal):
        intake.pause()
        emitting = asyncio.create_task(intake.emit(records(2)))
        offered = intake.offer(records(3))
        await asyncio.sleep(0)
        assert (offered, journal.next_seq) == ((0, {"store_failing": 3}), 1)

        intake.resume()
        await asyncio.wait_for(emitting, 30)

        assert journal.next_seq == 3
