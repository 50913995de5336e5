"""Silent sources: one alert a silence, closed when it is over, over restarts and troubles of our own."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness import until

from socmon import metrics
from socmon.config import Config
from socmon.correlating import Correlating
from socmon.detection import load_detection
from socmon.event import Alert, Record, Source
from socmon.intake import Intake
from socmon.journal import Journal
from socmon.sections import IntakeSettings, JournalSettings
from socmon.seen import Expected, Silence, Sources
from socmon.silence import RULE, Watch, ending
from socmon.store import Store, read

SHIPPED = load_detection(Config(Path(), Path()))
MAIL = Expected("mail", "syslog", host="mail-01", silent_after_s=60)


class Run:
    """One run of the core over a state directory, with a clock that stands still."""

    def __init__(self, root: Path, expected: Sequence[Expected]) -> None:
        self.now_s = 1_000.0
        self.journal = Journal.open(root / "journal", segment_bytes=256 * 1024)
        self.intake = Intake(self.journal, IntakeSettings(tick_s=3600), JournalSettings())
        self.store = Store(root / "socmon.db", destinations=["up"], durable=self.intake.durable)
        self.correlating = Correlating(
            journal=self.journal,
            intake=self.intake,
            store=self.store,
            detection=SHIPPED,
            checkpoint_s=0.01,
            stored=lambda: None,
            sources=Sources(expected),
        )
        self.watch = Watch(
            expected,
            intake=self.intake,
            journal=self.journal,
            correlating=self.correlating,
            store=self.store,
            clock=lambda: self.now_s,
        )

    async def hear(self, host: str = "mail-01") -> None:
        """A record arrives, and is matched."""
        await self.intake.emit([record(host)])
        await until(lambda: self.correlating.number == self.journal.last_number)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass while all is stored that there is; look before and after."""
        for later_s in (0.0, seconds, 0.0):
            self.now_s += later_s
            await until(lambda: self.correlating.committed == self.journal.last_number)
            await self.watch.look()
        await until(lambda: self.correlating.committed == self.journal.last_number)
        await self.watch.look()

    @property
    def alerts(self) -> list[Alert]:
        return [alert for alert in read(self.store.path).alerts if alert.rule_id == RULE]

    @property
    def statuses(self) -> list[str]:
        return [alert.status for alert in self.alerts]


def record(host: str = "mail-01") -> Record:
    line = f"<13>1 2026-11-26T01:00:00Z {host} app - - - hello"
    return Record(line.encode(), Source("syslog", "192.0.2.1", "rfc5424"), time.time_ns() // 1000)


@asynccontextmanager
async def running(root: Path, *expected: Expected, before: Callable[[Run], None] | None = None) -> AsyncIterator[Run]:
    run = Run(root, expected)
    if before:
        before(run)
    run.correlating.restore(await run.store.load())
    intake = asyncio.create_task(run.intake.run())
    correlating = asyncio.create_task(run.correlating.run())
    committing = asyncio.create_task(run.correlating.commit())
    try:
        yield run
    finally:
        run.intake.close()
        await intake
        run.correlating.drain()
        await correlating
        await run.correlating.settle(committing)
        await run.correlating.checkpoint()
        await run.store.close()
        run.correlating.shutdown()
        run.intake.shutdown()
        run.journal.close()


async def test_a_source_that_falls_silent_raises_one_alert_that_is_closed_when_it_is_heard(tmp_path: Path) -> None:
    async with running(tmp_path, MAIL) as run:
        await run.hear()
        await run.pass_time(59)
        assert run.alerts == []

        await run.pass_time(2)
        await run.pass_time(3600)
        (alert,) = run.alerts
        assert (alert.status, alert.level, alert.count, alert.group["source"]) == ("open", "high", 1, "mail")
        assert metrics.SOURCE_SILENT["mail"]._value.get() == 1

        await run.hear()
        await run.pass_time(0)
        assert run.statuses == ["closed"]
        assert metrics.SOURCE_SILENT["mail"]._value.get() == 0


async def test_each_silence_has_its_own_alert(tmp_path: Path) -> None:
    async with running(tmp_path, MAIL) as run:
        for _ in range(2):
            await run.hear()
            await run.pass_time(61)

        assert sorted(run.statuses) == ["closed", "open"]
        await run.hear()
        await run.pass_time(0)
        assert run.statuses == ["closed", "closed"]


async def test_a_source_that_was_never_heard_is_silent_after_its_interval(tmp_path: Path) -> None:
    async with running(tmp_path, MAIL) as run:
        await run.hear("web-01")
        await run.pass_time(61)

        assert run.statuses == ["open"]


async def test_silent_before_and_after_a_restart_is_one_alert(tmp_path: Path) -> None:
    async with running(tmp_path, MAIL) as run:
        await run.hear()
        await run.pass_time(61)
    async with running(tmp_path, MAIL) as run:
        await run.pass_time(3600)

        assert run.statuses == ["open"]


async def test_after_a_restart_everybody_has_its_interval_anew(tmp_path: Path) -> None:
    async with running(tmp_path, MAIL) as run:
        await run.hear()
    async with running(tmp_path, MAIL) as run:
        await run.pass_time(59)
        assert run.alerts == []
        await run.pass_time(2)
        assert run.statuses == ["open"]


def heard_while_down(run: Run) -> None:
    run.journal.append([record()], written_us=time.time_ns() // 1000)


async def test_what_the_journal_holds_of_a_silent_source_ends_the_silence_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, MAIL) as run:
        await run.pass_time(61)
        assert run.statuses == ["open"]
    async with running(tmp_path, MAIL, before=heard_while_down) as run:
        await run.pass_time(0)

        assert run.statuses == ["closed"]


@pytest.mark.parametrize("expected", [[], [Expected("post", "syslog", silent_after_s=1e6)]], ids=["removed", "renamed"])
async def test_the_alert_of_a_source_that_is_no_longer_expected_is_closed(
    tmp_path: Path, expected: list[Expected]
) -> None:
    async with running(tmp_path, MAIL) as run:
        await run.hear()
        await run.pass_time(61)
    async with running(tmp_path, *expected) as run:
        await run.pass_time(0)

        assert run.statuses == ["closed"]
    async with running(tmp_path, MAIL) as run:
        await run.pass_time(61)
        assert sorted(run.statuses) == ["closed", "open"]


async def test_an_alert_that_a_kill_left_open_is_closed_after_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, MAIL) as run:
        await run.pass_time(61)
        monkeypatch.setattr(run.watch, "_settle", lambda: asyncio.sleep(0))
        await run.hear()
        await run.pass_time(0)
        assert run.statuses == ["open"]
    async with running(tmp_path, MAIL) as run:
        await run.pass_time(0)

        assert run.statuses == ["closed"]


async def test_nobody_is_silent_before_what_the_journal_holds_of_it_was_looked_at(tmp_path: Path) -> None:
    async with running(tmp_path, MAIL) as run:
        await run.pass_time(0)
        run.journal.append([record("web-01")], written_us=time.time_ns() // 1000)
        run.intake.appended.set()
        await until(lambda: run.correlating.number == run.journal.last_number)
        run.correlating._room.clear()  # matching stops
        run.journal.append([record()], written_us=time.time_ns() // 1000)
        await run.watch.look()

        run.now_s += 3600
        await run.watch.look()
        await run.watch.look()
        run.correlating._room.set()
        await run.pass_time(0)

        assert run.alerts == []


async def test_a_flooder_whose_records_are_held_back_is_not_silent(tmp_path: Path) -> None:
    async with running(tmp_path, MAIL) as run:
        run.intake.limit("syslog", 1)
        await run.hear()
        await run.pass_time(0)
        run.intake._detected = -1  # detection does not come to the journal's end
        run.intake.offer([record(), record()])
        run.now_s += 3600
        await run.watch.look()
        await run.watch.look()
        assert run.alerts == []

        run.intake.detected(run.journal.last_number)
        await until(
            lambda: run.correlating.number == run.journal.last_number and not run.intake.holds_back("syslog", None)
        )
        await run.pass_time(61)
        assert run.statuses == ["open"]


async def test_while_we_take_nothing_in_nobody_is_silent(tmp_path: Path) -> None:
    async with running(tmp_path, MAIL) as run:
        await run.hear()
        await run.pass_time(50)
        run.intake.failing = "disk full"
        await run.pass_time(3600)
        run.intake.failing = ""
        await run.pass_time(59)
        assert run.alerts == []

        await run.pass_time(2)
        assert run.statuses == ["open"]


async def test_what_cannot_be_written_in_time_is_written_later_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Expected("web", "syslog", host="web-01", silent_after_s=100)
    async with running(tmp_path, MAIL, other) as run:
        await run.pass_time(0)
        run.intake.pause()
        with monkeypatch.context() as briefly:
            briefly.setattr("socmon.silence._WRITE_S", 0.05)
            await run.pass_time(90)
            run.now_s += 20
            await run.watch.look()
        run.intake.resume()
        await run.pass_time(0)

        assert [alert.group["source"] for alert in run.alerts] == ["mail"]  # of the other nothing could be known


async def test_an_untouched_run_over_a_copy_of_the_journal_finds_the_same_alerts(tmp_path: Path) -> None:
    async with running(tmp_path / "a", MAIL) as run:
        await run.hear()
        await run.pass_time(61)
        await run.hear()
        await run.pass_time(61)
        found = {(alert.id, alert.revision) for alert in run.alerts}
    shutil.copytree(tmp_path / "a" / "journal", tmp_path / "b" / "journal")

    async with running(tmp_path / "b") as run:
        await until(lambda: run.correlating.committed == run.journal.last_number)

        assert {(alert.id, alert.revision) for alert in run.alerts} == found
        assert len(found) == 2


def test_the_comment_says_how_long_the_silence_was() -> None:
    text = ending(Silence("mail", "heard", 0, 3 * 3600 + 62, 1))

    assert "after 3:01:02 (h:mm:ss)" in text
    assert "sau 3:01:02 (giờ:phút:giây)" in text
    assert "no longer expected" in ending(Silence("mail", "removed", 0, 1, 1))
    assert ending(None)
