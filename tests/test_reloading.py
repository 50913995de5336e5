"""Reloading: what did not change goes on, exactly as a kill at that place and a start with the new rules would."""

import json
import os
import re
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from control_kit import listening, logged, socmon, to_file
from field import Field, failure_line, field_in, wait_for
from notify_kit import manager_in
from test_correlating import Stage

from socmon.config import Config
from socmon.detection import Detection, load_detection
from socmon.errors import StoreError
from socmon.sections import RulesSettings
from socmon.store import Reading, read

FAILURE = """\
title: A password was wrong
name: wrong
id: 9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1a01
logsource: {product: linux, service: sshd}
detection:
  selection: {outcome: failure}
  condition: selection
level: low
"""


def guessing(number: int, at_least: int, timespan: str = "1h") -> str:
    return (
        f"---\ntitle: Guessing {number}\nid: 9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1b0{number}\nlevel: high\n"
        f"correlation:\n  type: event_count\n  rules: [wrong]\n  group-by: [src_ip]\n  timespan: {timespan}\n"
        f"  condition: {{gte: {at_least}}}\n"
    )


BEFORE = FAILURE + guessing(1, 10) + guessing(2, 5) + guessing(3, 4)
AFTER = FAILURE + guessing(1, 10) + guessing(2, 7) + guessing(4, 3)  # 1 stays, 2 changes, 3 goes, 4 is new
LINES, FRAMES = 600, 12


def detection(folder: Path, rules: str) -> Detection:
    folder.mkdir(exist_ok=True)
    path = folder / "rules.yml"
    path.write_text(rules)
    return load_detection(Config(Path(), Path(), rules=RulesSettings(paths=[path], shipped=False)))


async def feed(one: Stage, last: int) -> None:
    """Match and correlate the frames up to `last`."""
    for batch in one.journal.read_after(one.stage.number):
        if batch.number <= last:
            await one.stage._apply(one.stage._matcher.match(batch))


async def ended(one: Stage, root: Path) -> tuple[Reading, dict[bytes, bytes]]:
    """Go to the journal's end and stop; what the store then holds, with the state of detection."""
    await feed(one, FRAMES)
    await one.stage.checkpoint()
    await one.close()
    with closing(sqlite3.connect(root / "s.db")) as db:
        return read(root / "s.db"), dict(db.execute("select key, value from state"))


@pytest.mark.parametrize("frame", [0, 1, 5, 11, FRAMES])
async def test_a_reload_equals_a_kill_at_that_place_and_a_start_with_the_new_rules(frame: int, tmp_path: Path) -> None:
    before, after = detection(tmp_path, BEFORE), detection(tmp_path / "after", AFTER)
    one = Stage(tmp_path, LINES, before)
    await feed(one, frame)

    await one.stage.exchange(after)
    cut = tmp_path / "cut"
    cut.mkdir()
    with closing(sqlite3.connect(tmp_path / "s.db")) as db, closing(sqlite3.connect(cut / "s.db")) as copy:
        db.backup(copy)  # what a kill in this moment leaves
    reloaded, state = await ended(one, tmp_path)

    (cut / "journal").symlink_to(tmp_path / "journal")
    two = Stage(cut, 0, after)
    two.stage.restore(await two.store.load())
    assert two.stage.number == frame
    restarted, restarted_state = await ended(two, cut)

    assert essence(reloaded) == essence(restarted)
    assert reloaded.ledger == restarted.ledger
    assert state == restarted_state
    assert len({alert.rule_id for alert in reloaded.alerts}) == (3 if frame == 0 else 4 if frame < FRAMES else 3)


def essence(reading: Reading) -> list[tuple[Any, ...]]:
    return sorted(
        (each.id, each.rule_id, each.first_us, each.last_us, each.count, each.revision, len(each.evidence))
        for each in reading.alerts
    )


async def test_a_rule_that_did_not_change_does_not_notice_and_one_that_did_begins_empty(tmp_path: Path) -> None:
    before, after = detection(tmp_path, BEFORE), detection(tmp_path / "after", AFTER)
    one = Stage(tmp_path, LINES, before)
    await feed(one, 1)  # 50 lines

    await one.stage.exchange(after)
    await feed(one, 2)
    alerts = {(each.title, each.group["src_ip"]): each.count for each, _ in one.stage._correlator.take_alerts()}
    await one.close()

    counts = {key: count for key, count in alerts.items() if key[1] == "203.0.113.5"}
    # Lines 48 to 59 are of this address: two before the reload, ten after it.
    assert counts == {("Guessing 1", "203.0.113.5"): 12, ("Guessing 2", "203.0.113.5"): 10,
                      ("Guessing 4", "203.0.113.5"): 10}  # fmt: skip


async def test_a_reload_that_cannot_be_stored_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = detection(tmp_path, BEFORE), detection(tmp_path / "after", AFTER)
    one = Stage(tmp_path, LINES, before)
    await feed(one, 3)
    monkeypatch.setattr(one.store, "commit_now", lambda *_args: (_ for _ in ()).throw(StoreError("disk full")))

    with pytest.raises(StoreError):
        await one.stage.exchange(after)
    monkeypatch.undo()

    assert one.stage.detection is before
    reading, _ = await ended(one, tmp_path)
    assert {alert.title for alert in reading.alerts} == {"Guessing 1", "Guessing 2", "Guessing 3"}
    assert reading.ledger.accounts["logs"].evaluated == LINES


def test_a_problem_that_was_there_before_is_none_of_the_reload(tmp_path: Path) -> None:
    refused = BEFORE + "---\ntitle: Refused\nlogsource: {}\ndetection: {a: {b: c}, condition: d}\n"
    before = detection(tmp_path, refused)
    moved = detection(tmp_path, f"# a line more\n{refused}")

    assert before.problems != moved.problems
    assert moved.worse_than(before) == []
    assert moved.worse_than(replace(before, problems=())) == list(moved.problems)


# ── the daemon ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Field]:
    with field_in(tmp_path / "province") as one:
        (one.root / "rules").mkdir()
        (one.root / "rules" / "mine.yml").write_text(BEFORE)
        configure(one)
        yield one


def configure(place: Field, **changes: Any) -> None:
    forwarders = {"out": to_file(place.root / "out.ndjson")}
    mine: dict[str, Any] = {"forwarders": forwarders, "rules": {"paths": ["rules"], "shipped": False}}
    place.configure(["auth"], **mine | changes)


def sample(place: Field, metric: str) -> float:
    url = next(line["http"] for line in reversed(logged(place)) if line["event"] == "started")
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        found = re.search(rf"^{metric} (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def write(place: Field, first: int, count: int) -> None:
    """As Field.write, all of one address."""
    lines = [re.sub(r"from \S+ ", "from 203.0.113.9 ", failure_line(number)) for number in range(first, first + count)]
    with (place.root / "auth").open("a") as log:
        log.write("".join(f"{line}\n" for line in lines))
    wait_for(lambda: evaluated(place) == first + count, "the lines evaluated")


def evaluated(place: Field) -> int:
    return place.account("auth").evaluated


def counts(place: Field) -> dict[str, int]:
    return {alert.title: alert.count for alert in place.reading().alerts}


def test_a_brute_force_that_began_before_the_reload_is_found_after_it(place: Field) -> None:
    listening(place)
    write(place, 0, 6)
    assert counts(place) == {"Guessing 2": 6, "Guessing 3": 6}

    (place.root / "rules" / "mine.yml").write_text(AFTER)
    configure(place, http={"port": 0, "address": "127.0.0.2"}, store={"checkpoint_s": 0.3}, reports={"first_h": 12})
    result = socmon(place, "-o", "json", "config", "reload")
    write(place, 6, 6)
    wait_for(lambda: len(counts(place)) == 4, "the alerts of the new rules")
    place.stop_daemon()

    told = json.loads(result.stdout)
    assert result.returncode == 0
    assert told.pop("frame") > 0
    assert told == {
        "schema": "socmon.config.reload/v1", "ok": True, "invalid": False, "problems": [], "rules": 4,
        "changed": ["9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1b02", "9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1b04"],
        "gone": ["9f2c1c52-4d0e-4b8e-9d1e-0c7c7c7b1b03"], "needs_restart": ["store", "http"],
    }  # fmt: skip
    # 1 has counted all twelve, 2 and 4 the six after the reload, 3 is as it was.
    assert counts(place) == {"Guessing 1": 12, "Guessing 2": 6, "Guessing 3": 6, "Guessing 4": 6}
    assert all(alert.evidence for alert in place.reading().alerts)
    (asked,) = [line for line in logged(place) if line["event"] == "configuration reload asked for"]
    (changed,) = [line for line in logged(place) if line["event"] == "change asked for"]
    assert asked["actors"] == [changed["actor"]]
    assert changed["verb"] == "config.reload"
    (warned,) = [line for line in logged(place) if line["level"] == "warning"]
    assert warned["options"] == ["store", "http"]


def test_a_bad_configuration_is_refused_with_every_problem_and_what_runs_goes_on(place: Field) -> None:
    listening(place)
    write(place, 0, 6)
    assert sample(place, "socmon_config_reload_success") == 1
    since = sample(place, "socmon_config_reload_success_timestamp_seconds")

    (place.root / "rules" / "mine.yml").write_text(AFTER.replace("condition: selection", "condition: selektion"))
    rule = socmon(place, "config", "reload")
    configure(place, jornal={}, colectors={})
    option = socmon(place, "config", "reload")  # the command cannot read it either
    process = place.daemon
    assert process is not None
    process.send_signal(signal.SIGHUP)
    kept = "configuration not reloaded, what runs is kept"
    wait_for(lambda: len([line for line in logged(place) if line["event"] == kept]) == 2, "the second refusal")

    assert (rule.returncode, option.returncode) == (78, 78)
    assert f"problem  {place.root}/rules/mine.yml:7: " in rule.stderr
    assert "not reloaded; what ran before goes on" in rule.stderr
    problems = [line["problems"] for line in logged(place) if line["event"] == kept]
    assert len(problems[1]) == 2
    assert all(problem.startswith(f"{place.root}/config.yaml:1: ") for problem in problems[1])
    assert sample(place, "socmon_config_reload_success") == 0
    assert sample(place, "socmon_config_reload_success_timestamp_seconds") == since
    write(place, 6, 6)
    wait_for(lambda: counts(place) == {"Guessing 1": 12, "Guessing 2": 12, "Guessing 3": 12}, "the old rules at work")
    place.stop_daemon()


def test_the_service_manager_is_told_of_a_reload_by_signal(place: Field) -> None:
    with manager_in() as manager:
        place.start_daemon(environment=manager.environment)
        number = manager.wait(lambda each: "READY" in each)
        assert place.daemon is not None

        place.daemon.send_signal(signal.SIGHUP)
        number = manager.wait(lambda each: "RELOADING" in each and int(each["MONOTONIC_USEC"]) > 0, number)
        manager.wait(lambda each: "READY" in each, number)
        place.stop_daemon()

    (asked,) = [line for line in logged(place) if line["event"] == "configuration reload asked for"]
    assert asked["actors"] == ["SIGHUP"]
    assert [line["rules"] for line in logged(place) if line["event"] == "configuration reloaded"] == [4]


def test_a_reload_that_is_asked_for_during_the_start_comes_after_it(place: Field) -> None:
    assets = place.root / "assets.yaml"
    os.mkfifo(assets)
    configure(place, assets={"paths": ["assets.yaml"]})
    with manager_in() as manager:
        place.start_daemon(environment=manager.environment)
        pipe: list[int] = []

        def is_read() -> bool:
            with suppress(OSError):  # ENXIO: nobody reads it yet (fifo(7))
                pipe.append(os.open(assets, os.O_WRONLY | os.O_NONBLOCK))
            return bool(pipe)

        wait_for(is_read, "the start")
        assert place.daemon is not None
        place.daemon.send_signal(signal.SIGHUP)
        assets.unlink()
        assets.write_text("agencies: []\n")
        os.write(pipe[0], b"agencies: []\n")
        os.close(pipe[0])
        number = manager.wait(lambda each: "RELOADING" in each)
        manager.wait(lambda each: "READY" in each, number)
        said = [name for each in manager.listen() for name in ("READY", "RELOADING") if name in each]
        place.stop_daemon()

    assert said == ["READY", "RELOADING", "READY"]
    assert [line["rules"] for line in logged(place) if line["event"] == "configuration reloaded"] == [4]


def test_an_inventory_and_limits_are_reloaded_too(place: Field) -> None:
    (place.root / "assets.yaml").write_text("agencies: [{id: 000.00.11.H07, name: A, hosts: [dvc-web-01]}]\n")
    listening(place)
    write(place, 0, 6)

    configure(place, assets={"paths": ["assets.yaml"]}, detection={"max_alert_h": 48})
    result = socmon(place, "config", "reload")
    write(place, 6, 6)
    wait_for(lambda: "Guessing 1" in counts(place), "an alert after the reload")
    place.stop_daemon()

    assert result.stdout == "reloaded: 4 rules, 0 of them begin empty, 0 gone\n"
    assert {alert.title: alert.agency for alert in place.reading().alerts}["Guessing 1"] == "000.00.11.H07"


def test_values_of_placeholders_are_reloaded_by_a_signal_too(place: Field) -> None:
    rule = FAILURE.replace("{outcome: failure}", "{src_ip|expand: '%watched%'}").replace("wrong", "seen")
    (place.root / "rules" / "seen.yml").write_text(rule.replace("b1a01", "b1a02"))
    configure(place, detection={"placeholders": {"watched": ["192.0.2.*"]}})
    with manager_in() as manager:
        place.start_daemon(environment=manager.environment)
        number = manager.wait(lambda each: "READY" in each)
        write(place, 0, 3)
        before = counts(place)
        configure(place, detection={"placeholders": {"watched": ["203.0.113.*"]}})
        assert place.daemon is not None
        place.daemon.send_signal(signal.SIGHUP)
        number = manager.wait(lambda each: "RELOADING" in each, number)
        manager.wait(lambda each: "READY" in each, number)
        write(place, 3, 2)
        wait_for(lambda: "A password was seen" in counts(place), "an alert by the new value")
        place.stop_daemon()

    (told,) = [line for line in logged(place) if line["event"] == "configuration reloaded"]
    assert (told["rules"], told["changed"]) == (5, 1)
    assert before == {}
    assert counts(place)["A password was seen"] == 2
    assert counts(place)["Guessing 2"] == 5


def test_no_daemon_to_reload_is_told_apart(place: Field) -> None:
    assert socmon(place, "config", "reload").returncode == 4
