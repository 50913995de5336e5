"""Correlating behind workers: the state, the ledger and the alerts are those of a daemon that matches by itself."""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import until
from workers_kit import INVENTORY, RULES, batches

from socmon.correlating import Correlating
from socmon.detection import Detection, limits
from socmon.enrich import Assets
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.sections import DetectionSettings, IntakeSettings, JournalSettings
from socmon.store import Store, read
from socmon.workers import Asides


def detection(workers: int) -> Detection:
    return Detection(RULES, Assets(INVENTORY), limits(DetectionSettings()), (), workers=workers)


class Stage:
    """A correlating stage over what `batches` gives, in a journal whose identity is always the same."""

    def __init__(self, root: Path, workers: int, journal: Path | None = None, asides: Asides | None = None) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.journal = Journal.open(journal or root / "journal", segment_bytes=64 * 1024)
        self.intake = Intake(self.journal, IntakeSettings(), JournalSettings())
        self.store = Store(root / "s.db", destinations=["up"], durable=self.intake.durable)
        self.stage = Correlating(
            journal=self.journal,
            intake=self.intake,
            store=self.store,
            detection=detection(workers),
            checkpoint_s=60,
            stored=lambda: None,
            asides=asides,
        )

    async def end(self) -> tuple[Any, ...]:
        """Stop, and say what the store holds then."""
        await self.stage.checkpoint()
        saved = await self.store.load()
        assert saved is not None
        unknown = list(self.stage.detection.assets.unknown) if self.stage.detection.assets else []
        self.stage.shutdown()
        await self.store.close()
        self.intake.shutdown()
        self.journal.close()
        with closing(sqlite3.connect(self.root / "s.db")) as db:
            state = dict(db.execute("select key, value from state"))
        reading = read(self.root / "s.db")
        alerts = sorted(reading.alerts, key=lambda alert: alert.id)
        assert all(account.in_flight == 0 for account in reading.ledger.accounts.values())
        return reading.number, reading.ledger, alerts, state, saved.sources, unknown


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "given"
    written = Journal.open(path, segment_bytes=64 * 1024)
    for batch in batches(times=4):
        written.append(batch.records, written_us=batch.written_us, drops=batch.drops, tick=batch.tick)
    written.close()
    return path


async def whole(root: Path, workers: int, journal: Path, asides: Asides | None = None) -> tuple[Any, ...]:
    """What a run over all of the journal ends in."""
    one = Stage(root, workers, journal, asides)
    one.stage.drain()
    await one.stage.run()
    return await one.end()


@pytest.mark.parametrize("workers", [1, 2, 3])
async def test_state_ledger_and_alerts_are_the_same_however_many_match(
    workers: int, journal: Path, tmp_path: Path
) -> None:
    expected = await whole(tmp_path / "inline", 0, journal)

    found = await whole(tmp_path / "workers", workers, journal)

    assert found == expected
    assert len(found[2]) > 20


async def test_damage_in_the_journal_is_counted_as_without_workers(journal: Path, tmp_path: Path) -> None:
    damaged = sorted(journal.glob("*.seg"))[1]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = b"\xff" * 200
    damaged.write_bytes(data)
    expected = await whole(tmp_path / "inline", 0, journal)

    found = await whole(tmp_path / "workers", 2, journal)

    assert found == expected
    assert found[1].accounts["journal"].dropped["damaged"] > 0


async def test_reloads_amid_it_all_change_nothing_also_to_another_number_of_workers(
    journal: Path, tmp_path: Path
) -> None:
    expected = await whole(tmp_path / "inline", 0, journal)
    one = Stage(tmp_path / "workers", 1, journal)
    one.stage.drain()
    running = asyncio.create_task(one.stage.run())
    last = one.journal.last_number
    for turn, workers in enumerate((1, 2, 2, 0, 2)):
        await until(lambda: one.stage.number >= last * (turn + 1) // 7, 60)  # noqa: B023  awaited in its round
        await one.stage.exchange(replace(detection(workers), assets=one.stage.detection.assets))
    await running

    assert await one.end() == expected


async def test_workers_that_are_killed_amid_it_all_change_nothing(journal: Path, tmp_path: Path) -> None:
    expected = await whole(tmp_path / "inline", 0, journal)
    one = Stage(tmp_path / "workers", 2, journal)
    one.stage.drain()
    running = asyncio.create_task(one.stage.run())
    last = one.journal.last_number
    for turn in range(3):
        await until(lambda: one.stage.number >= last * (turn + 1) // 6, 60)  # noqa: B023  awaited in its round
        for pid in pids_of(os.getpid()):
            os.kill(pid, signal.SIGKILL)
    await running

    assert await one.end() == expected


def pids_of(parent: int) -> list[int]:
    """Its children that are workers."""
    children = Path(f"/proc/{parent}/task").glob("*/children")
    pids = [int(pid) for each in children for pid in each.read_text().split()]
    return [pid for pid in pids if b"socmon.workers" in Path(f"/proc/{pid}/cmdline").read_bytes()]
