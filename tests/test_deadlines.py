"""Alarms of deadlines over the core: each is raised once, wherever it is cut."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from harness import until
from store_kit import S, alert, put

from socmon.config import Config
from socmon.correlating import Correlating
from socmon.deadlines import Deadlines
from socmon.detection import load_detection
from socmon.event import Alert
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.reports.alarms import MISSED
from socmon.sections import IntakeSettings, JournalSettings, ReportSettings
from socmon.seen import Sources
from socmon.store import Store, read

SHIPPED = load_detection(Config(Path(), Path()))
OVERDUE_US = 25 * 3600 * S


class Run:
    """One run of the core over a state directory."""

    def __init__(self, root: Path) -> None:
        self.journal = Journal.open(root / "journal", segment_bytes=256 * 1024)
        self.intake = Intake(self.journal, IntakeSettings(tick_s=3600), JournalSettings())
        self.store = Store(root / "socmon.db", destinations=["ncsc"], durable=self.intake.durable)
        self.correlating = Correlating(
            journal=self.journal,
            intake=self.intake,
            store=self.store,
            detection=SHIPPED,
            checkpoint_s=0.01,
            stored=lambda: None,
            sources=Sources(),
        )
        self.deadlines = Deadlines(
            ReportSettings(),
            ["ncsc"],
            intake=self.intake,
            journal=self.journal,
            correlating=self.correlating,
            store=self.store,
        )

    @property
    def alarms(self) -> list[Alert]:
        return [each for each in read(self.store.path).alerts if each.rule_id == MISSED]

    async def settled(self) -> None:
        await until(lambda: self.correlating.committed == self.journal.last_number)


@asynccontextmanager
async def running(root: Path, *, stores: bool = True) -> AsyncIterator[Run]:
    """A run; one that does not store ends as by a kill: its journal is all that is left of it."""
    run = Run(root)
    run.correlating.restore(await run.store.load())
    tasks = [asyncio.create_task(run.intake.run()), asyncio.create_task(run.correlating.run())]
    committing = asyncio.create_task(run.correlating.commit()) if stores else None
    try:
        yield run
    finally:
        run.intake.close()
        await tasks[0]
        run.correlating.drain()
        await tasks[1]
        if committing is not None:
            await run.correlating.settle(committing)
            await run.correlating.checkpoint()
        await run.store.close()
        run.correlating.shutdown()
        run.intake.shutdown()
        run.journal.close()


def overdue(root: Path) -> None:
    t0_us = time.time_ns() // 1000 - OVERDUE_US
    put(root / "socmon.db", [alert(1, level="critical", received_us=t0_us)])


async def test_an_alarm_that_was_journalled_and_not_stored_is_not_raised_again_after_a_kill(tmp_path: Path) -> None:
    await asyncio.to_thread(overdue, tmp_path)
    async with running(tmp_path, stores=False) as run:
        await run.deadlines.look()
        assert run.journal.last_number > 0
        assert run.alarms == []

    async with running(tmp_path) as run:
        before = run.journal.last_number
        await run.deadlines.look()
        await run.settled()
        for _ in range(3):
            await run.deadlines.look()
            await run.settled()
        (alarm,) = run.alarms
        assert (alarm.count, run.journal.last_number) == (1, before)
        assert (alarm.group["finding"], alarm.group["kind"], alarm.group["before_h"]) == (alert(1).id, "first", "0")
