"""What is looked up now and then: sizes as they are on disk, alerts as they are in the store."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from harness import until
from store_kit import alert, put

from socmon import measuring
from socmon.instruments import REGISTRY
from socmon.journal import Journal
from socmon.measuring import Measuring


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    Journal.open(tmp_path / "journal", segment_bytes=64 * 1024).close()
    return tmp_path


def close_alerts(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("update alert set status = 'closed'")


async def test_what_lies_in_the_state_directory_is_shown(state: Path) -> None:
    await asyncio.to_thread(put, state / "socmon.db", [alert(1), alert(2)])
    level = alert(1).level
    task = asyncio.create_task(Measuring(state, []).run())

    await until(lambda: value("socmon_alerts_stored", level=level, status="open") == 2)

    task.cancel()
    on_disk = sum(file.stat().st_blocks for file in (state / "journal").iterdir()) * 512
    assert value("socmon_journal_size_bytes") == on_disk
    assert value("socmon_journal_segments") == 1
    assert 0 < (value("socmon_state_free_bytes") or 0) < (value("socmon_state_disk_bytes") or 0)
    assert (value("socmon_store_size_bytes") or 0) >= (state / "socmon.db").stat().st_size


async def test_a_state_that_no_alert_has_any_more_is_shown_as_none(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "EVERY_S", 0.01)
    await asyncio.to_thread(put, state / "socmon.db", [alert(1)])
    level = alert(1).level
    task = asyncio.create_task(Measuring(state, []).run())
    await until(lambda: value("socmon_alerts_stored", level=level, status="open") == 1)

    await asyncio.to_thread(close_alerts, state / "socmon.db")

    await until(lambda: value("socmon_alerts_stored", level=level, status="closed") == 1)
    assert value("socmon_alerts_stored", level=level, status="open") == 0
    task.cancel()


async def test_a_store_that_cannot_be_read_is_told_once_and_looked_at_again(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "EVERY_S", 0.01)
    told: list[str] = []
    monkeypatch.setattr(measuring._log, "warning", lambda event, **_about: told.append(event))
    measured = Measuring(state, [])
    task = asyncio.create_task(measured.run())
    await until(lambda: measured._failing)

    await asyncio.to_thread(put, state / "socmon.db", [alert(1)])

    await until(lambda: not measured._failing)
    task.cancel()
    assert told == ["sizes and backlogs cannot be measured, will try again"]
