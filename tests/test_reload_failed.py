"""A reload that changed nothing raises an alert of socmon's own: one, however often, and without what was written."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import listening, logged, socmon, to_file
from field import Field, field_in, wait_for
from harness import until
from test_correlating import SHIPPED, Stage

from socmon.config import Config
from socmon.errors import JournalError
from socmon.event import Alert
from socmon.notify import Manager
from socmon.own import Own
from socmon.reloading import SERVICE, Reloading

RULE = "7d3f0f0a-9a5e-4c1e-8b62-5a0c3d7e1f46"  # rules/socmon/reload_failed.yml
SECRET = "hunter2hunter2"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Field]:
    with field_in(tmp_path / "province") as one:
        configure(one)
        yield one


def configure(place: Field, **changes: Any) -> None:
    place.configure(["auth"], **{"forwarders": {"out": to_file(place.root / "out.ndjson")}} | changes)


def failures(place: Field) -> list[Alert]:
    return [alert for alert in place.reading().alerts if alert.rule_id == RULE]


def test_failed_reloads_are_one_alert_which_is_sent_and_holds_no_value(place: Field) -> None:
    rules = place.root / "rules"
    rules.mkdir()
    listening(place)
    configure(place, log={"level": SECRET}, journal={"fsync": SECRET}, jornal={})
    assert place.daemon is not None
    place.daemon.send_signal(signal.SIGHUP)
    wait_for(lambda: [alert.count for alert in failures(place)] == [1], "an alert of the first failure")
    configure(place, rules={"paths": ["rules"]})
    (rules / "bad.yml").write_text("title: no detection\n")
    refused = socmon(place, "config", "reload").returncode
    wait_for(lambda: [alert.count for alert in failures(place)] == [2], "the second failure in the same alert")
    (rules / "bad.yml").unlink()
    loaded = socmon(place, "config", "reload").returncode
    wait_for(lambda: RULE in (place.root / "out.ndjson").read_text(), "the alert at its destination")
    place.stop_daemon()

    (alert,) = failures(place)
    assert (refused, loaded) == (78, 0)
    assert (alert.title, alert.level, alert.status) == ("Configuration not reloaded", "medium", "open")
    who = [line["actor"] for line in logged(place) if line["event"] == "change asked for"]
    assert [[each.fields[name] for name in ("state", "actors", "problems", "places")] for each in alert.evidence] == [
        ["refused", "SIGHUP", "3", f"{place.root}/config.yaml:1"],
        ["refused", who[0], "2", f"{rules}/bad.yml:1"],
    ]
    assert SECRET in (place.root / "daemon.log").read_text(), "else this test proves nothing"
    assert SECRET not in (place.root / "out.ndjson").read_text()
    assert SECRET not in " ".join(each.raw for each in alert.evidence)


def test_without_the_shipped_rules_a_failed_reload_is_journalled_and_raises_nothing(place: Field) -> None:
    (place.root / "rules").mkdir()
    configure(place, rules={"paths": ["rules"], "shipped": False})
    listening(place)
    (place.root / "rules" / "bad.yml").write_text("title: no detection\n")
    assert socmon(place, "config", "reload").returncode == 78
    wait_for(lambda: place.account("socmon").evaluated == 1, "the record")
    place.stop_daemon()

    assert place.reading().alerts == []


class Asked:
    """Reloading over a stage that runs, of a configuration file that is wrong."""

    def __init__(self, root: Path) -> None:
        self.path = root / "config.yaml"
        self.path.write_text("jornal: {}\n")
        self.one = Stage(root)
        self.own = Own(self.one.intake, self.one.journal)
        config = Config(self.path, root)
        self.reloading = Reloading(config, SHIPPED, correlating=self.one.stage, manager=Manager(), own=self.own)
        self.tasks = [asyncio.create_task(self.one.intake.run()), asyncio.create_task(self.reloading.run())]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        await self.one.close()

    def told(self) -> list[str]:
        """The actors of each record."""
        records = [record for batch in self.one.journal.read_after(0) for record in batch.records]
        assert {record.source.peer for record in records} <= {SERVICE}
        return [json.loads(record.data)["fields"]["actors"] for record in records]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A journal of which a record cannot be had, while `now` says so."""
    state = {"now": True, "met": False}
    find = Own._find

    def finding(self: Own, before: int, data: bytes) -> Any:
        if state["now"]:
            state["met"] = True
            raise JournalError("no room")
        return find(self, before, data)

    monkeypatch.setattr(Own, "_find", finding)
    monkeypatch.setattr("socmon.reloading.TELL_AGAIN_S", 0.05)
    return state


async def test_a_failure_that_cannot_be_journalled_is_answered_and_tried_again(
    tmp_path: Path, broken: dict[str, bool]
) -> None:
    asked = Asked(tmp_path)
    reloaded = await asked.reloading.ask("lan")
    await until(lambda: broken["met"])
    broken["now"] = False
    await until(lambda: asked.reloading._untold is None)
    await asked.close()

    assert reloaded.invalid
    assert asked.told()[-1] == "lan"


async def test_a_failure_that_was_mended_before_it_could_be_journalled_is_told_no_more(
    tmp_path: Path, broken: dict[str, bool]
) -> None:
    asked = Asked(tmp_path)
    await asked.reloading.ask("lan")
    await until(lambda: broken["met"])
    asked.path.write_text("{}\n")
    reloaded = await asked.reloading.ask("hoa")
    await until(lambda: asked.reloading._untold is None)
    await asked.close()

    assert reloaded.ok
    assert "hoa" not in asked.told()


async def test_those_who_ask_at_once_share_one_record(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    both = await asyncio.gather(asked.reloading.ask("lan"), asked.reloading.ask("hoa"), asked.reloading.ask("lan"))
    await until(asked.told)
    await asked.close()

    assert [each.invalid for each in both] == [True] * 3
    assert asked.told() == ["lan, hoa"]
