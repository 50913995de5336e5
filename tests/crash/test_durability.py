"""Whatever the power cut takes, no durable row refers to a lost entry (docs/semantics.md, "Durability order")."""

import random
import sqlite3
import time
from pathlib import Path

import pytest
from field import failure_line
from journal.fakefiles import FakeFiles

from socmon.config import Config
from socmon.correlating import Correlating
from socmon.detection import load_detection
from socmon.event import Record, Source
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.sections import IntakeSettings, JournalSettings
from socmon.store import Store

SOURCE = Source("logs", "/var/log/auth.log", "rfc3164", "setting")


class LostError(AssertionError):
    """The store knows of an entry that the journal no longer has."""


class WatchedFiles(FakeFiles):
    """At every step of the journal's files, cuts the power on a copy and looks for rows that refer to what is lost."""

    store: Path | None = None  # none: nothing is looked at
    checks = 0

    def step(self, operation: str) -> bool:
        cut = super().step(operation)
        self.check()
        return cut

    def check(self) -> None:
        if self.store is None:
            return
        self.checks += 1
        after = self.crash()
        after.store = None
        journal = Journal.open(Path("journal"), files=after)
        db = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)
        seqs = "select seq from evidence union select opened_seq from alert"
        (seq,) = db.execute(f"select coalesce(max(seq), 0) from ({seqs})").fetchone()
        (number,) = db.execute("select coalesce(max(number), 0) from checkpoint").fetchone()
        db.close()
        if seq >= journal.next_seq or number > journal.last_number:
            raise LostError(f"store has {seq} in {number}, the journal {journal.next_seq - 1} in {journal.last_number}")
        journal.close()


def batches(rng: random.Random) -> list[list[Record]]:
    now_us = time.time_ns() // 1000
    numbers = iter(range(10_000))
    return [
        [Record(failure_line(next(numbers)).encode(), SOURCE, now_us) for _ in range(rng.randrange(1, 40))]
        for _ in range(10)
    ]


async def stream(files: WatchedFiles, path: Path, *, ordered: bool) -> int:
    """Journal, detect and commit a few hundred failures; return how many alerts were stored."""
    journal = Journal.open(Path("journal"), files=files, segment_bytes=64 * 1024)
    intake = Intake(journal, IntakeSettings(), JournalSettings())
    store = Store(path, destinations=["up"], durable=intake.durable if ordered else None)
    correlating = Correlating(
        journal=journal,
        intake=intake,
        store=store,
        detection=load_detection(Config(Path(), Path())),
        checkpoint_s=1.0,
        stored=lambda: None,
    )
    files.store = path
    reader = journal.reader(after=0)
    rng = random.Random(3)
    try:
        for records in batches(rng):
            journal.append(records, written_us=records[0].received_us)
            for batch in reader.read(10):
                await correlating._apply(correlating._matcher.match(batch))
            await correlating._commit(checkpoint=rng.random() < 0.5)
            files.check()
        return store._db.execute("select count(*) from alert").fetchone()[0]  # type: ignore[no-any-return]
    finally:
        await store.close()
        intake.shutdown()


async def test_no_durable_row_refers_to_a_lost_entry(tmp_path: Path) -> None:
    files = WatchedFiles(seed=1)

    alerts = await stream(files, tmp_path / "s.db", ordered=True)

    assert alerts > 3
    assert files.checks > 20


async def test_the_check_notices_a_store_that_does_not_wait_for_the_journal(tmp_path: Path) -> None:
    with pytest.raises(LostError):
        await stream(WatchedFiles(seed=1), tmp_path / "s.db", ordered=False)
