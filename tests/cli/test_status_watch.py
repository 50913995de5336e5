"""`socmon status --watch` in a pipe, and what the running daemon itself says is wrong."""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from control_kit import listening
from field import field_in, wait_for
from store_kit import Place, alert, clean, in_use, valid

from socmon.control.protocol import address
from socmon.ledger import Account, Ledger
from socmon.store import Checkpoint


def checkpoint(number: int) -> Checkpoint:
    return Checkpoint("one", number, Ledger({"auth": Account(journalled=number, evaluated=number)}), {})


def watching(place: Place, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        place.command("status", "--watch", "--interval", "0.2", *args),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=clean(),
    )  # fmt: skip


def looked(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    told: dict[str, Any] = valid(json.loads(process.stdout.readline()), "status.v1")
    return told


def until(process: "subprocess.Popen[str]", field: str) -> dict[str, Any]:
    """The next look in which `field` is not empty."""
    while not (told := looked(process))[field]:
        pass
    return told


def test_each_look_is_one_line_with_rates_and_changes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    start_us = time.time_ns() // 1000
    place.put(alert(1), now_us=start_us, checkpoint=checkpoint(100))
    with watching(place, "-o", "ndjson") as process:
        first = looked(process)
        place.put(alert(2), now_us=start_us + 10_000_000, checkpoint=checkpoint(600))
        second = until(process, "changes")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    assert (first["rates"], first["changes"]) == ({}, [])
    changes = {
        (each["section"], each["name"], each["field"]): (each["before"], each["after"]) for each in second["changes"]
    }
    assert changes["alerts", "", "total"] == (1, 2)
    assert changes["collector", "auth", "received"] == (100, 600)
    assert second["rates"] == {"auth": 50.0}
    assert (process.returncode, err) == (130, "")


def test_a_store_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with watching(place, "-o", "ndjson") as process:
        first = looked(process)
        place.put(alert(1))
        while looked(process)["store"] is None:
            pass
        process.terminate()
        process.communicate(timeout=30)

    assert [each["code"] for each in first["warnings"]] == ["daemon_down", "no_store"]
    assert process.returncode == 143


def test_people_get_one_status_after_the_other_without_escapes(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.put(alert(1))
    with watching(place) as process:
        assert process.stdout is not None
        text = ""
        while text.count("alerts: 1") < 2:
            text += process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=30)

    assert "\x1b" not in text
    assert process.returncode == 141


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_form_that_is_one_whole_cannot_be_watched(tmp_path: Path, form: str) -> None:
    done = Place(tmp_path).socmon("-o", form, "status", "--watch")

    assert done.returncode == 2
    assert "use -o ndjson" in done.stderr


# ── what the daemon says ─────────────────────────────────────────────────────────────────────────────────────────────


def warned(place: Place, code: str) -> list[dict[str, Any]]:
    """The warnings of this kind; in time the daemon finds the clock of the kit's lines two hours off, too."""
    told = valid(json.loads(place.socmon("-o", "json", "status").stdout), "status.v1")
    return [each for each in told["warnings"] if each["code"] == code]


@pytest.mark.timeout(120)
def test_a_destination_that_fails_is_told_at_once(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        place.feed_port = 1  # nobody listens there
        place.configure(["auth"])
        listening(place)
        place.write("auth", 0, 100)
        seen = Place(tmp_path / "p")
        seen.config = place.root / "config.yaml"

        wait_for(lambda: warned(seen, "not_delivering"), "the warning")
        (told,) = warned(seen, "not_delivering")
        human = seen.socmon("status")

    assert (told["name"], human.returncode) == ("ncsc", 1)
    assert told["reason"] in human.stdout
    assert human.stdout.startswith("warning  ncsc: alerts are not delivered: ")


@pytest.mark.timeout(120)
def test_a_collector_that_fails_is_told_at_once(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        place.configure(["auth"])
        away = "{kind: mqtt, host: 127.0.0.1, port: 1, client_id: one, topics: [a]}"
        (place.root / "conf.d").mkdir()
        (place.root / "conf.d" / "away.yaml").write_text(f"collectors:\n  away: {away}\n")
        listening(place)
        seen = Place(tmp_path / "p")
        seen.config = place.root / "config.yaml"

        wait_for(lambda: warned(seen, "not_collecting"), "the warning")
        (told,) = warned(seen, "not_collecting")
        human = seen.socmon("status").stdout

    assert told["name"] == "away"
    assert f"warning  away: nothing is collected: {told['reason']}" in human


def test_a_daemon_that_does_not_answer_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.put(alert(1), now_us=time.time_ns() // 1000, checkpoint=checkpoint(1))
    with in_use(place), socket.socket(socket.AF_UNIX) as mute, address(place.state) as bound:
        mute.bind(bound)
        mute.listen()
        told = json.loads(place.socmon("-o", "json", "status").stdout)

    assert [each["code"] for each in valid(told, "status.v1")["warnings"]] == ["daemon_mute"]
