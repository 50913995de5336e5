"""Intake under a flood: whoever keeps to the quota waits for one batch of the flooder's at most, and all is counted."""

import asyncio
import contextlib
import itertools
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import FakeContext
from harness import until as until_true
from journal.fakefiles import FakeFiles
from msgspec.structs import replace

from socmon import log, waiting
from socmon.component import CollectorSettings
from socmon.event import OWN, Record, Source
from socmon.intake import Intake
from socmon.journal import Drop, Journal
from socmon.quotas import BATCH_BYTES, RECORD_BYTES
from socmon.sections import IntakeSettings, JournalSettings

QUOTA = 100
FLOOD, OTHER, THIRD = "/flood", "/other", "/third"


def records(peer: str, first: int, count: int, *, collector: str = "logs") -> list[Record]:
    source = Source(collector, peer, "rfc3164")
    return [
        Record(b"%d" % n, source, time.time_ns() // 1000, position=(peer, b"%d" % n))
        for n in range(first, first + count)
    ]


def frames(journal: Journal) -> list[tuple[str, int]]:
    """Of each frame, whose records it holds, in order of appearance, and how many they are."""
    return [
        (" ".join(dict.fromkeys(record.source.peer for record in batch.records)), len(batch.records))
        for batch in journal.read_after(0)
        if batch.records
    ]


def numbers(journal: Journal, peer: str) -> list[int]:
    return [
        int(record.data) for batch in journal.read_after(0) for record in batch.records if record.source.peer == peer
    ]


@contextlib.asynccontextmanager
async def running(
    *, fsync: str = "interval", files: FakeFiles | None = None, over_quota_bytes: int = 1 << 26
) -> AsyncIterator[tuple[Intake, Journal]]:
    """An intake with a quota of 100 a second; detection comes as far as the test says."""
    journal = Journal.open(Path("journal"), files=files or FakeFiles(), segment_bytes=256 * 1024)
    journalling = JournalSettings.model_validate({"fsync": fsync, "fsync_interval_s": 0.01})
    intake = Intake(journal, IntakeSettings(over_quota_bytes=over_quota_bytes, tick_s=3600), journalling)
    intake.limit("logs", QUOTA)
    tasks = [asyncio.create_task(intake.run()), asyncio.create_task(intake.sync())]
    try:
        yield intake, journal
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        intake.shutdown()


async def test_between_a_record_within_quota_and_its_frame_comes_one_batch_of_the_flooder_at_most() -> None:
    async with running() as (intake, journal):
        flood = [asyncio.create_task(intake.emit(records(FLOOD, n * 1000, 1000))) for n in range(10)]
        for turn in range(10):
            # Detection takes in all there is, so one batch goes; it stands still while the other's record comes.
            intake.detected(journal.last_number)
            await until_true(lambda at=turn: journal.last_number == 2 * at + 1)  # type: ignore[misc]  # mypy#12557: a default's type
            await asyncio.wait_for(intake.emit(records(OTHER, turn, 1)), 30)

        assert frames(journal) == [(FLOOD, 1000), (OTHER, 1)] * 10
        assert numbers(journal, FLOOD) == list(range(10_000))
        await asyncio.gather(*flood)


async def test_a_flood_that_is_offered_delays_nobody_either() -> None:
    async with running() as (intake, journal):
        assert intake.offer(records(FLOOD, 0, 5000)) == (5000, {})
        await until_true(lambda: journal.last_number == 1)
        for turn in range(5):
            assert intake.offer(records(OTHER, turn, 1)) == (1, {})
            await until_true(lambda at=turn: journal.last_number == 2 + at)  # type: ignore[misc]  # as above

        assert frames(journal) == [(FLOOD, 1000), *[(OTHER, 1)] * 5]


async def test_an_idle_daemon_takes_a_burst_of_sixty_thousand_whole() -> None:
    async with running() as (intake, journal):
        for first in range(0, 60_000, 200):
            assert intake.offer(records(FLOOD, first, 200)) == (200, {})
        while journal.next_seq <= 60_000:
            intake.detected(journal.last_number)
            before = journal.last_number
            await until_true(lambda at=before: journal.last_number > at)  # type: ignore[misc]  # as above

        assert numbers(journal, FLOOD) == list(range(60_000))


async def test_a_batch_of_several_sources_is_parted() -> None:
    async with running() as (intake, journal):
        await intake.emit(records(THIRD, 0, QUOTA))
        await intake.emit(records(THIRD, 0, 1, collector="relay"))  # and nothing of it is detected yet
        batch = itertools.chain.from_iterable(zip(records(FLOOD, 0, QUOTA + 1), records(OTHER, 0, QUOTA), strict=False))
        emitting = asyncio.create_task(intake.emit([*batch, *records(FLOOD, QUOTA, 1)]))
        await until_true(lambda: journal.last_number == 3)
        others_first = frames(journal)[2]
        assert not emitting.done()
        intake.detected(3)
        await asyncio.wait_for(emitting, 30)

        assert others_first == (OTHER, QUOTA)
        assert numbers(journal, FLOOD) == list(range(QUOTA + 1))


async def test_what_there_is_no_room_for_is_dropped_from_the_flooder_alone_and_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("info", "json")
    room = 1000
    async with running(over_quota_bytes=room * (RECORD_BYTES + 4) + 2 * BATCH_BYTES) as (intake, journal):
        intake._detected = -1  # nothing is ever detected
        flood = [record for n in range(9) for record in records(FLOOD, 1000 + n * 1000, 1000)]
        taken, dropped = intake.offer([*records(OTHER, 0, 50), *flood, *records(THIRD, 0, 50)])
        intake.offer(records(FLOOD, 10_000, 10))
        more = intake.offer(records(OTHER, 50, 50))
        intake.hurry()
        await until_true(lambda: journal.next_seq == 1 + 150 + room // 2)

        assert (taken, dropped) == (600, {"over_quota": 8500})
        assert more == (50, {})
        told = [line for line in capsys.readouterr().err.splitlines() if "a source floods" in line]
        assert len(told) == 1, "once a minute"
        assert FLOOD in told[0]
        assert numbers(journal, FLOOD) == list(range(1000, 1500))


async def test_sources_of_one_batch_share_the_room_that_is_left() -> None:
    room = 1000
    async with running(over_quota_bytes=room * (RECORD_BYTES + 4)) as (intake, _):
        intake._detected = -1
        batch = [record for n in range(200) for record in records(f"10.0.0.{n}", 1000, QUOTA + 1)]
        taken, dropped = intake.offer(batch)

        assert taken <= room
        assert dropped == {"over_quota": len(batch) - taken}


async def test_many_senders_with_a_batch_each_take_no_more_memory_than_they_may() -> None:
    async with running(over_quota_bytes=4 << 20) as (intake, _):
        intake.limit("logs", 1)
        intake._detected = -1
        sources = [Source("logs", f"10.0.{n // 250}.{n % 250}", "rfc3164") for n in range(5000)]
        tracemalloc.start()
        try:
            for source in sources:
                intake.offer([Record(b"%060d" % n, source, n) for n in range(2)])
            held_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert held_bytes < 4 << 20


async def test_a_position_that_waited_does_not_set_back_one_that_was_handed_in_later() -> None:
    def carrying(told: bytes, peer: str, count: int) -> list[Record]:
        first, *others = records(peer, 0, count)
        return [replace(record, position=None) for record in others] + [replace(first, position=("told", told))]

    async with running() as (intake, journal):
        intake._detected = -1
        intake.offer(carrying(b"1", FLOOD, 1000))
        intake.offer(carrying(b"2", OTHER, 1))
        await until_true(lambda: journal.position("logs", "told") == b"2")
        intake.offer(carrying(b"3", FLOOD, 1))
        intake.hurry()
        await until_true(lambda: journal.next_seq == 1003)

        told = [record.position for batch in journal.read_after(0) for record in batch.records if record.position]
        assert told == [("told", b"2"), ("told", b"3")]


async def test_socmons_own_records_and_collectors_without_a_quota_are_never_over_it() -> None:
    async with running() as (intake, journal):
        intake.limit("relay", 0)
        intake._detected = -1
        await asyncio.wait_for(intake.emit(records("service", 0, 1000, collector=OWN)), 30)
        await asyncio.wait_for(intake.emit(records(FLOOD, 0, 5000, collector="relay")), 30)

        assert journal.next_seq == 6001


async def test_flooders_take_turns() -> None:
    async with running() as (intake, journal):
        intake.offer(records(FLOOD, 0, 3000))
        intake.offer(records(THIRD, 0, 3000))
        for number in range(1, 7):
            await until_true(lambda at=number: journal.last_number == at)  # type: ignore[misc]  # as above
            intake.detected(number)

        assert frames(journal) == [(FLOOD, 1000), (THIRD, 1000)] * 3


async def test_what_is_journalled_over_quota_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = time.monotonic_ns()
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic_ns=lambda: now_ns))  # no token comes back
    async with running() as (intake, _):
        intake.limit("logs", 1)
        await asyncio.wait_for(intake.emit(records(FLOOD, 0, 1000)), 30)

        assert intake.over_quota(Source("logs", FLOOD), 1)
        assert not intake.over_quota(Source("logs", OTHER), 1)


async def test_a_cancelled_emit_leaves_nothing_parked() -> None:
    async with running() as (intake, journal):
        intake._detected = -1
        emitting = asyncio.create_task(intake.emit([*records(OTHER, 0, 5), *records(FLOOD, 0, 3000)]))
        await until_true(lambda: journal.last_number == 1)

        emitting.cancel()
        await asyncio.wait([emitting], timeout=30)
        intake.detected(1)
        await asyncio.wait_for(intake.emit(records(THIRD, 0, 1)), 30)

        assert frames(journal) == [(OTHER, 5), (THIRD, 1)]
        assert journal.position("logs", FLOOD) is None


async def test_a_stop_journals_what_is_parked_without_waiting_for_detection() -> None:
    async with running() as (intake, journal):
        intake._detected = -1
        emitting = asyncio.create_task(intake.emit(records(FLOOD, 0, 3000)))
        intake.offer(records(THIRD, 0, 3000))
        await asyncio.sleep(0)

        intake.hurry()
        assert not intake.may_detect.is_set()
        await asyncio.wait_for(emitting, 30)
        intake.close()
        await until_true(lambda: journal.next_seq == 6001)

        assert intake.may_detect.is_set()
        assert numbers(journal, FLOOD) == numbers(journal, THIRD) == list(range(3000))


async def test_offered_records_that_the_end_cuts_off_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    context = FakeContext(CollectorSettings())
    monkeypatch.setattr("socmon.intake._log", context.log)
    async with running() as (intake, _):
        intake._detected = -1
        intake.offer(records(FLOOD, 0, 3000))
        await asyncio.sleep(0)

    assert [(entry["event"], entry["records"]) for entry in context.logged] == [
        ("records taken in are lost, the journal did not take them", 3000)
    ]


async def test_with_fsync_batch_what_was_parked_is_acknowledged_after_the_sync() -> None:
    async with running(fsync="batch") as (intake, journal):
        await asyncio.wait_for(intake.emit(records(FLOOD, 0, 1000)), 30)

        assert frames(journal) == [(FLOOD, 1000)]
        assert journal.synced_number == journal.last_number


async def test_paused_intake_takes_no_flood_and_a_resumed_one_does() -> None:
    async with running() as (intake, journal):
        intake.pause()
        emitting = asyncio.create_task(intake.emit(records(FLOOD, 0, 1000)))
        offered = intake.offer(records(THIRD, 0, 1000))
        await asyncio.sleep(0)
        assert (offered, journal.next_seq) == ((0, {"store_failing": 1000}), 1)

        intake.resume()
        await asyncio.wait_for(emitting, 30)

        assert numbers(journal, FLOOD) == list(range(1000))


async def test_a_full_disk_loses_nothing_that_is_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socmon.intake._RETRY_S", 0.01)
    files = FakeFiles()
    async with running(files=files) as (intake, journal):
        files.failing = {"write"}
        emitting = asyncio.create_task(intake.emit(records(FLOOD, 0, 1000)))
        await until_true(lambda: bool(intake.failing))

        files.failing = set()
        await asyncio.wait_for(emitting, 30)

        assert numbers(journal, FLOOD) == list(range(1000))


async def test_drops_for_the_quota_enter_the_journal_when_the_caller_counts_them() -> None:
    async with running(over_quota_bytes=64 * 1024) as (intake, journal):
        taken, dropped = intake.offer(records(FLOOD, 0, 1000))
        for reason, count in dropped.items():
            intake.drop("logs", reason, count)
        await until_true(lambda: any(batch.drops for batch in journal.read_after(0)))

        drops = [drop for batch in journal.read_after(0) for drop in batch.drops]
        assert drops == [Drop("logs", "over_quota", 1000 - taken)]
        assert len(numbers(journal, FLOOD)) == taken
