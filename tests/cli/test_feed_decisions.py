"""`socmon feed approve`, `withdraw`, `drop`, `pause`, `resume`: what they say and how they end, over a real daemon."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_kit import text_here
from control_kit import listening, logged, socmon
from field import wait_for
from province_kit import Province, province_in
from store_kit import valid

from socmon.cli import UNREACHABLE

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    """A daemon with one alert that is released; its centre is down."""
    with province_in(tmp_path) as made:
        made.start_centre()
        listening(made)
        assert socmon(made, "alerts", "test", "--timeout", "60s").returncode == 0  # it has heard from the centre
        made.stop_centre()
        made.more(6)
        wait_for(lambda: backlog(made).get("waiting"), "the alert is released")
        yield made


def answer(place: Province, *words: str, schema: str) -> dict[str, Any]:
    result = socmon(place, "-o", "json", "feed", *words)
    assert result.returncode == 0, result.stderr
    told: dict[str, Any] = valid(json.loads(result.stdout), schema)
    return told


def backlog(place: Province) -> dict[str, Any]:
    """What `socmon status` says of the destination; nothing before there is a store."""
    status = json.loads(socmon(place, "-o", "json", "status").stdout)
    valid(status, "status.v1")
    return next(iter((status["store"] or {"destinations": []})["destinations"]), {})


def alert_id(place: Province) -> str:
    return next(each.id for each in place.reading().alerts if each.level == "high")


@pytest.mark.parametrize("verb", ["approve", "withdraw"])
def test_without_a_daemon_that_is_what_is_wrong(tmp_path: Path, verb: str) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps({"state_dir": str(tmp_path / "state")}))
    config = str(tmp_path / "config.yaml")

    done = text_here("-c", config, "feed", verb, "ncsc", "ffff", "--reason", "a test", "--yes")

    assert (done.returncode, "no daemon at" in done.stderr) == (UNREACHABLE, True)


def test_a_pause_is_shown_with_its_end_outlives_a_restart_and_is_ended(place: Province) -> None:
    paused = answer(place, "pause", "ncsc", "--for", "1h", "--urgent", schema="feed.pause.v1")["pause"]
    place.start_centre()
    place.stop_daemon()
    listening(place)
    queue = answer(place, "queue", schema="feed.queue.v1")
    human = socmon(place, "--tz", "UTC", "feed", "queue").stdout
    warned = json.loads(socmon(place, "-o", "json", "status").stdout)["warnings"]
    kept = backlog(place)
    told = socmon(place, "--tz", "Asia/Ho_Chi_Minh", "feed", "pause", "ncsc", "--for", "1h").stdout
    status = " ".join(socmon(place, "--tz", "Asia/Ho_Chi_Minh", "status").stdout.split())

    assert "+07:00" in told
    assert f"{told.strip()}; what is urgent goes on" in status
    assert paused["until"] > paused["since"]
    assert queue["paused"] == [paused]
    assert human.startswith(f"ncsc is paused by {paused['actor']} until ")
    assert {"code": "paused", "name": "ncsc", "actor": paused["actor"], "time": paused["until"]} in warned
    assert (kept["waiting"], kept["paused"]) == (1, paused)
    assert alert_id(place) not in place.findings()
    assert answer(place, "resume", "ncsc", schema="feed.pause.v1")["was_paused"] is True
    wait_for(lambda: alert_id(place) in place.findings(), "the alert at the centre")
    assert answer(place, "resume", "ncsc", schema="feed.pause.v1")["was_paused"] is False
    assert "tạm dừng" in socmon(place, "--lang", "vi", "feed", "pause", "ncsc").stdout
    assert "what is urgent goes on" in socmon(place, "feed", "queue").stdout


def test_what_waits_is_given_up_when_a_person_says_so(place: Province) -> None:
    alert = alert_id(place)
    shown = answer(place, "drop", "ncsc", "--alert", alert[:8], "--dry-run", schema="feed.drop.v1")
    unasked = socmon(place, "feed", "drop", "ncsc", "--alert", alert)
    assert backlog(place)["waiting"] == 1

    done = answer(place, "drop", "ncsc", "--alert", alert, "--reason", "a drill", "--yes", schema="feed.drop.v1")
    none_left = socmon(place, "feed", "drop", "ncsc", "--dead", "--yes")

    assert unasked.returncode == 2
    assert [(row["alert_id"], row["state"]) for row in done["rows"]] == [(alert, "waiting")]
    assert done["rows"] == shown["rows"]
    assert none_left.stderr == "there was nothing to give up\n"
    assert (backlog(place)["waiting"], backlog(place)["dropped"]) == (0, 1)
    asked = [entry for entry in logged(place) if entry["event"] == "change asked for"]
    assert [entry["arguments"]["ids"] for entry in asked if entry["verb"] == "feed.drop"] == [[alert]]


def test_each_form_says_what_became_of_each_alert(place: Province) -> None:
    alert = alert_id(place)
    words = ("feed", "withdraw", "ncsc", alert, "nobody", "--reason", "a drill", "--yes")

    tried = socmon(place, *words, "--dry-run")
    table = socmon(place, "-o", "csv", *words)
    lines = socmon(place, "-o", "ndjson", *words).stdout.splitlines()
    human = socmon(place, "--lang", "vi", "feed", "approve", "ncsc", alert, "--yes")

    assert (tried.returncode, table.returncode, human.returncode) == (7, 7, 0)
    assert "withdrawn, it is taken back on its way" in tried.stdout
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    assert [(row["id"], row["outcome"], row["then"]) for row in rows] == [
        (alert, "changed", "void"),
        ("nobody", "not_found", ""),
    ]
    assert [json.loads(line)["outcome"] for line in lines] == ["unchanged", "not_found"]
    assert "đã duyệt, gửi đi ngay" in human.stdout


def test_what_cannot_be_done_has_its_exit_code(place: Province) -> None:
    alert = alert_id(place)

    codes = {
        words: socmon(place, "feed", *words.split()).returncode
        for words in (
            f"approve mars {alert} --yes", "approve ncsc nobody --yes", f"approve ncsc {alert}", "approve ncsc",
            f"withdraw ncsc {alert} --yes", f"withdraw ncsc {alert} --reason {'x' * 501} --yes",
            "drop ncsc", f"drop ncsc --dead --alert {alert}", "drop ncsc --alert nobody --yes",
            "drop mars --dead --yes",
            "pause mars", "pause ncsc --for 0h", "pause ncsc --for soon", "resume mars",
        )
    }  # fmt: skip
    place.stop_daemon()
    gone = socmon(place, "feed", "pause", "ncsc").returncode

    assert list(codes.values()) == [5, 5, 2, 2, 2, 2, 2, 2, 5, 5, 5, 2, 2, 5], codes
    assert gone == 4
