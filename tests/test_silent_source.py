"""A real daemon over a file: silent, told here and at the centre, heard again, closed at both; over kills."""

import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from control_kit import socmon, to_file
from field import Field, field_in, wait_for
from store_kit import valid

from socmon.event import Alert
from socmon.silence import RULE

SOURCES = {"web": {"collector": "auth", "host": "dvc-web-01", "silent_after_s": 1.2}}


def say(place: Field) -> None:
    """A line of now, which no rule looks at."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with (place.root / "auth").open("a") as log:
        log.write(f"{stamp} dvc-web-01 app[7]: hello\n")


def heard_once(place: Field) -> None:
    """Let a daemon hear the source before one expects it: else it is silent already where the start takes long."""
    say(place)
    place.start_daemon()
    wait_for(lambda: place.account("auth").evaluated == 1, "the first line")
    place.stop_daemon()


def silences(place: Field) -> list[Alert]:
    return [alert for alert in place.reading().alerts if alert.rule_id == RULE]


def statuses(place: Field) -> list[str]:
    return [alert.status for alert in silences(place)]


def listed(place: Field) -> dict[str, Any]:
    told = valid(json.loads(socmon(place, "-o", "json", "sources", "list").stdout), "sources.list.v1")
    (expected,) = told["expected"]
    return {**expected, "seen": told["sources"]}


@pytest.mark.timeout(120)
def test_a_silent_file_is_told_to_the_centre_and_closed_when_it_speaks_again(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        place.start_centre()
        place.configure(["auth"])
        heard_once(place)
        place.configure(["auth"], sources=SOURCES)
        place.start_daemon()
        wait_for(lambda: statuses(place) == ["open"], "an alert of the silence")
        (alert,) = silences(place)
        wait_for(lambda: place.findings() == {alert.id: 1}, "the alert at the centre")
        wait_for(lambda: listed(place)["state"] == "silent", "the source listed as silent")  # with the next checkpoint
        silent, status = listed(place), socmon(place, "status")

        def heard() -> bool:
            say(place)
            return "closed" in statuses(place)

        wait_for(heard, "the alert closed")
        wait_for(lambda: place.findings().get(alert.id) == 2, "its closing at the centre")
        place.stop_daemon()

        assert (alert.level, alert.group["source"], alert.count) == ("high", "web", 1)
        assert (silent["state"], silent["records"] > 0) == ("silent", True)
        assert status.returncode == 1
        assert status.stdout.startswith("warning  source web has been silent")
        (row,) = listed(place)["seen"]
        assert (row["collector"], row["host"], row["format"]) == ("auth", "dvc-web-01", "rfc3164")
        assert not row["clock_off"]
        assert place.events("daemon.log", "source is silent")[0]["level"] == "warning"


@pytest.mark.timeout(120)
def test_a_source_that_is_silent_over_a_kill_has_one_alert_which_is_closed_after_it_speaks(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        archive = {"archive": to_file(tmp_path / "out")}
        place.configure(["auth"], forwarders=archive)
        heard_once(place)
        place.configure(["auth"], sources=SOURCES, forwarders=archive)
        place.start_daemon()
        wait_for(lambda: statuses(place) == ["open"], "an alert of the silence")
        assert place.daemon is not None
        place.daemon.send_signal(signal.SIGKILL)
        place.daemon.wait(30)
        frame = place.reading().number
        place.start_daemon()
        wait_for(lambda: place.reading().number > frame + 1, "two ticks: longer than it may be silent")
        assert statuses(place) == ["open"]
        place.daemon.send_signal(signal.SIGKILL)
        place.daemon.wait(30)

        say(place)  # while nobody listens
        place.start_daemon()
        wait_for(lambda: "closed" in statuses(place), "the alert closed")
        place.stop_daemon()

        assert len({alert.id for alert in silences(place)}) == len(silences(place))
        assert statuses(place).count("closed") >= 1
