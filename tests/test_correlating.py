"""The correlating stage: what it hands to the store is whole, whatever happens in between."""

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from field import failure_line
from harness import until as until_true

from socmon.config import Config
from socmon.correlating import Correlating
from socmon.detection import Detection, load_detection
from socmon.errors import JournalError, StoreError
from socmon.event import Match, Record, Source
from socmon.instruments import REGISTRY
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.ledger import Ledger
from socmon.sections import IntakeSettings, JournalSettings
from socmon.seen import Clock, Seen
from socmon.store import Checkpoint, Reading, Store, read

SHIPPED = load_detection(Config(Path(), Path()))
SOURCE = Source("logs", "/f", "rfc3164")


class Stage:
    """A correlating stage over a journal of `lines` failures."""

    def __init__(self, root: Path, lines: int = 0, detection: Detection = SHIPPED) -> None:
        self.detection = detection
        self.journal = Journal.open(root / "journal", segment_bytes=256 * 1024)
        self.intake = Intake(self.journal, IntakeSettings(), JournalSettings())
        self.store = Store(root / "s.db", destinations=["up"], durable=self.intake.durable)
        self.stage = self.anew()
        now_us = time.time_ns() // 1000
        for first in range(0, lines, 50):
            rows = [Record(failure_line(n).encode(), SOURCE, now_us) for n in range(first, min(first + 50, lines))]
            self.journal.append(rows, written_us=now_us)

    def anew(self) -> Correlating:
        return Correlating(
            journal=self.journal,
            intake=self.intake,
            store=self.store,
            detection=self.detection,
            checkpoint_s=60,
            stored=lambda: None,
        )

    async def close(self) -> None:
        await self.store.close()
        self.intake.shutdown()
        self.journal.close()


async def test_a_stop_amid_a_commit_loses_no_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Stage(tmp_path, lines=300)
    looking, go_on = threading.Event(), threading.Event()
    lookup = one.journal.lookup

    def slow(wanted: set[int]) -> dict[int, Record]:
        looking.set()
        assert go_on.wait(60)
        return lookup(wanted)

    monkeypatch.setattr(one.journal, "lookup", slow)
    committing = asyncio.create_task(one.stage.commit())
    one.stage.drain()
    await one.stage.run()
    await until_true(looking.is_set)
    settling = asyncio.create_task(one.stage.settle(committing))
    go_on.set()
    await settling
    await one.stage.checkpoint()
    await one.close()

    reading = read(tmp_path / "s.db")
    assert reading.number == 6
    assert sum(alert.count for alert in reading.alerts) == 300


async def test_alerts_that_could_not_be_stored_are_stored_later_with_their_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socmon.correlating._RETRY_S", 0.01)
    one = Stage(tmp_path, lines=300)
    broken = [True]
    commit_now = one.store.commit_now

    def failing(*args: object) -> int:
        if broken[0]:
            raise StoreError("disk full")
        return commit_now(*args)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(one.store, "commit_now", failing)
    committing = asyncio.create_task(one.stage.commit())
    one.stage.drain()
    await one.stage.run()
    await until_true(lambda: one.stage.failing)
    assert one.stage.failing == "disk full"

    broken[0] = False
    await until_true(lambda: not one.stage.failing)
    await one.stage.settle(committing)
    await one.close()

    alerts = read(tmp_path / "s.db").alerts
    assert sum(alert.count for alert in alerts) == 300
    assert all(len(alert.evidence) == min(alert.count, 40) for alert in alerts)


async def test_senders_wait_when_too_many_alerts_cannot_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socmon.correlating.MAX_UNCOMMITTED", 3)
    one = Stage(tmp_path, lines=300)
    one.stage.drain()
    await one.stage.run()
    monkeypatch.setattr(one.store, "commit_now", lambda *_args: (_ for _ in ()).throw(StoreError("disk full")))
    with pytest.raises(StoreError):
        await one.stage._commit(checkpoint=False)

    one.stage._fail("disk full")
    refused = one.intake.offer([Record(b"x", SOURCE, 0)])
    one.stage._recover()
    taken = one.intake.offer([Record(b"x", SOURCE, 0)])

    assert refused == (0, {"store_failing": 1})
    assert taken == (1, {})
    await one.close()


async def test_a_checkpoint_beyond_the_journal_is_refused(tmp_path: Path) -> None:
    one = Stage(tmp_path, lines=50)
    beyond = Checkpoint(str(one.journal.incarnation), 2, Ledger(), {})

    with pytest.raises(JournalError, match="the journal ends at frame 1, the store knows frame 2"):
        one.stage.restore(beyond)
    await one.close()


async def test_a_checkpoint_of_another_journal_is_not_used(tmp_path: Path) -> None:
    one = Stage(tmp_path, lines=50)

    row = Seen("other", "p", "h", "rfc3164", True, 1, 1, 1, 1, 1)
    old = Checkpoint("another", 99, Ledger(), {b"of the other": b"journal"}, {row.clock: row}, {})
    await one.store.commit([], depends_on=0, now_us=0, checkpoint=old)

    one.stage.restore(await one.store.load())
    assert one.stage.number == 0
    one.stage.drain()
    await one.stage.run()
    await one.stage.checkpoint()

    saved = await one.store.load()
    assert saved is not None
    assert saved.incarnation == str(one.journal.incarnation)
    assert b"of the other" not in saved.state
    assert [(clock, row.records) for clock, row in saved.sources.items() if row] == [(("logs", "/f", "dvc-web-01"), 50)]
    await one.close()


async def test_sources_go_on_from_the_checkpoint(tmp_path: Path) -> None:
    one = Stage(tmp_path, lines=100)
    one.stage.drain()
    await one.stage.run()
    await one.stage.checkpoint()
    half = await one.store.load()
    one.journal.append([Record(failure_line(100).encode(), SOURCE, 7)], written_us=time.time_ns() // 1000)

    again = one.anew()
    again.restore(half)
    again.drain()
    await again.run()
    await again.checkpoint()

    saved = await one.store.load()
    assert saved is not None
    (row,) = filter(None, saved.sources.values())
    assert (row.records, row.last_us, row.frame) == (101, 7, 3)
    await one.close()


async def test_each_frame_and_each_alert_is_timed_once(tmp_path: Path) -> None:
    def counted(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"{name}_count", labels) or 0

    def seen() -> list[float]:
        lag = counted("socmon_collector_lag_seconds", component="logs")
        return [counted("socmon_matching_batch_seconds"), lag, counted("socmon_alert_store_delay_seconds")]

    before = seen()
    one = Stage(tmp_path, lines=300)
    committing = asyncio.create_task(one.stage.commit())
    one.stage.drain()
    await one.stage.run()
    await one.stage.settle(committing)
    await one.close()

    alerts = len(read(tmp_path / "s.db").alerts)
    assert alerts > 1
    assert [now - then for now, then in zip(seen(), before, strict=True)] == [6, 6, alerts]
    assert REGISTRY.get_sample_value("socmon_matching_last_frame") == 6
    assert REGISTRY.get_sample_value("socmon_store_waiting_alerts") == 0


def amid(one: Stage, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Is set when the stage is in the middle of a batch."""
    reached, whole = asyncio.Event(), one.stage._correlator.steps

    def steps(matches: Iterable[Match], highs: Mapping[Clock, int]) -> Iterator[None]:
        for _ in whole(matches, highs):
            reached.set()
            yield

    monkeypatch.setattr(one.stage._correlator, "steps", steps)
    return reached


def one_frame(one: Stage, lines: int) -> None:
    now_us = time.time_ns() // 1000
    one.journal.append([Record(failure_line(n).encode(), SOURCE, now_us) for n in range(lines)], written_us=now_us)


def is_whole(reading: Reading, lines: int) -> bool:
    evaluated = reading.ledger.accounts["logs"].evaluated
    return (reading.number, sum(alert.count for alert in reading.alerts), evaluated) == (1, lines, lines)


async def test_a_checkpoint_amid_a_batch_waits_until_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Stage(tmp_path)
    one_frame(one, 320)
    reached = amid(one, monkeypatch)
    one.stage.drain()
    running = asyncio.create_task(one.stage.run())
    await asyncio.wait_for(reached.wait(), 60)
    committing = asyncio.create_task(one.stage.checkpoint())
    for _ in range(2):
        await asyncio.sleep(0)
    assert one.stage._whole.locked()
    assert one.stage.number == 0, "the batch is still being taken in"
    await asyncio.gather(running, committing)
    await one.stage.checkpoint()
    await one.close()

    assert is_whole(read(tmp_path / "s.db"), 320)


async def test_a_batch_that_fails_does_not_count_as_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Stage(tmp_path)
    one_frame(one, 320)

    def failing(_matches: object, _highs: object) -> Iterator[None]:
        yield
        raise ValueError("a bug")

    monkeypatch.setattr(one.stage._correlator, "steps", failing)
    with pytest.raises(ValueError, match="a bug"):
        await one.stage.run()
    await one.close()

    assert one.stage.number == 0, "the next start takes it in"
    assert not one.stage._ledger.accounts


async def test_a_stop_amid_a_batch_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Stage(tmp_path)
    one_frame(one, 320)
    reached = amid(one, monkeypatch)
    running = asyncio.create_task(one.stage.run())
    await asyncio.wait_for(reached.wait(), 60)
    assert one.stage.number == 0, "the batch is still being taken in"
    running.cancel()
    await asyncio.wait([running])
    await one.stage.checkpoint()
    await one.close()

    assert is_whole(read(tmp_path / "s.db"), 320)
