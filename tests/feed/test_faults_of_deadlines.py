"""Fault 38 with real processes: a deadline falls while the centre is down; each process has its time moved."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from field import BASE_S, wait_for
from province_kit import Province, province_in

from socmon.event import Alert
from socmon.reports.alarms import MISSED, NEAR

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
ATTACKER = "203.0.113.7"


class Time:
    """Moves the clocks of all processes that are started from now on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def move(self, hours: float) -> None:
        moved = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{hours:+g}h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        for name, value in moved.items():
            self._patch.setenv(name, value)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    """A province that has found an attack that succeeded, and whose centre has never been there."""
    with province_in(tmp_path) as place:
        place.start_daemon()
        stamp = datetime.fromtimestamp(BASE_S).astimezone().strftime("%b %e %H:%M:%S")
        lines = [f"{stamp} web sshd[{n}]: Failed password for root from {ATTACKER} port 40022 ssh2" for n in range(20)]
        lines.append(f"{stamp} web sshd[99]: Accepted password for root from {ATTACKER} port 40022 ssh2")
        with (place.root / "auth").open("a") as log:
            log.write("".join(f"{line}\n" for line in lines))
        wait_for(lambda: criticals(place), "the finding")
        place.stop_daemon()
        yield place


def criticals(place: Province) -> list[Alert]:
    return [each for each in place.reading().alerts if each.level == "critical" and each.rule_id != MISSED]


def alarms(place: Province) -> list[tuple[str, str, str]]:
    """(kind, hours before, status) of all that were ever raised."""
    found = [each for each in place.reading().alerts if each.rule_id in {NEAR, MISSED}]
    return sorted((each.group["kind"], each.group["before_h"], each.status) for each in found)


def socmon(place: Province, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "socmon", "-c", str(place.root / "config.yaml"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def t0_us(place: Province) -> int:
    with closing(sqlite3.connect(f"file:{place.state}/socmon.db?mode=ro", uri=True)) as db:
        return int(db.execute("select received_us from alert where id = ?", (criticals(place)[0].id,)).fetchone()[0])


def metric(place: Province, name: str) -> str:
    started = place.events("daemon.log", "started", place.log_start)
    if not started:
        return ""
    with urllib.request.urlopen(f"{started[0]['http']}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return next((line.rpartition(" ")[2] for line in lines if line.startswith(name)), "")


def message(place: Province, finding: str) -> dict[str, Any]:
    """The data of the last message of the finding, as it went to the centre."""
    with closing(sqlite3.connect(f"file:{place.state}/socmon.db?mode=ro", uri=True)) as db:
        query = "select body from released where alert_id = ? order by id desc limit 1"
        data: dict[str, Any] = json.loads(db.execute(query, (finding,)).fetchone()[0])["data"]
    return data


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_fault_38_a_deadline_that_falls_while_the_centre_is_down_is_an_alarm_and_a_report_to_print(
    place: Province, clocks: Time
) -> None:
    (finding,) = criticals(place)
    clocks.move(21)
    place.start_daemon()
    wait_for(lambda: alarms(place) == [("first", "4", "open")], "the alarm of four hours before")
    assert place.daemon is not None
    place.daemon.send_signal(signal.SIGKILL)
    place.daemon.wait(30)
    clocks.move(25)
    place.start_daemon()
    fallen = [("first", "0", "open"), ("first", "4", "closed")]
    wait_for(lambda: alarms(place) == fallen, "the alarm of the deadline that fell")
    wait_for(lambda: metric(place, 'socmon_due_reports{status="missed"}') == "1.0", "the metric")

    status = json.loads(socmon(place, "-o", "json", "status").stdout)
    assert [each["finding"] for each in status["warnings"] if each["code"] == "report_missed"] == [finding.id[:8]]
    due = datetime.fromtimestamp(t0_us(place) / 1e6).astimezone() + timedelta(hours=24)
    for lang, words in (("en", "NOT TOLD, OVERDUE"), ("vi", "Thời hạn báo cáo, tính từ T0")):
        made = socmon(place, "--lang", lang, "report", "incident", finding.id)
        assert made.returncode == 0, made.stderr
        assert words in made.stdout
        assert re.search(r'data-deadline="first" data-state="missed"', made.stdout)
        assert f"{due:%Y-%m-%d %H:%M:%S}" in made.stdout

    place.start_centre()
    place.wait_until_settled()
    wait_for(lambda: {status for *_, status in alarms(place)} == {"closed"}, "the end of the alarm")
    place.wait_until_settled()
    sent = message(place, finding.id)["unmapped"]["vn_soc"]
    assert (sent["report_duty"]["kind"], sent["report_duty"]["reason"]) == ("first", "level critical")
    assert datetime.fromisoformat(sent["report_duty"]["due"]) == datetime.fromisoformat(sent["t0"]) + timedelta(
        hours=24
    )

    place.stop_daemon()
    clocks.move(40)
    place.start_daemon()
    wait_for(lambda: metric(place, 'socmon_due_reports{status="missed"}') == "0.0", "a look")
    place.wait_until_settled()
    assert len(alarms(place)) == 2
    held = {each.id: each.revision + each.analyst_revision for each in place.reading().alerts}
    assert place.findings() == held == place.reading().acknowledged["ncsc"]
    assert (place.of_all("rows_stored_twice"), place.dead()) == (0, 0)
    place.stop_daemon()


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_fault_38_a_person_who_says_that_it_was_told_otherwise_ends_the_alarm(place: Province, clocks: Time) -> None:
    (finding,) = criticals(place)
    clocks.move(25)
    place.start_daemon()
    wait_for(lambda: alarms(place) == [("first", "0", "open")], "the alarm")

    made = socmon(place, "report", "made", finding.id[:8], "--kind", "first", "--how", "fax no. 12 to the centre")

    assert (made.returncode, made.stderr) == (0, "")
    wait_for(lambda: alarms(place) == [("first", "0", "closed")], "its end")
    report = json.loads(socmon(place, "report", "incident", finding.id, "--json").stdout)["report"]
    first = report["duty"]["deadlines"][0]
    assert (first["state"], first["told"]["way"], first["told"]["text"]) == ("late", "hand", "fax no. 12 to the centre")
    assert first["told"]["who"]
    place.stop_daemon()
