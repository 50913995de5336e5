"""`socmon feed`: dead letters are shown, and released again as the alert is today."""

import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_kit import listening, logged, socmon, to_centre
from field import Field, field_in, wait_for
from store_kit import valid


def queue(place: Field, *words: str) -> list[dict[str, Any]]:
    result = socmon(place, "-o", "json", "feed", "queue", *words)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["schema"] == "socmon.feed.queue/v1"
    rows: list[dict[str, Any]] = told["rows"]
    return rows


def dead_letter(place: Field) -> dict[str, Any]:
    """Configure and start all, and let the centre refuse the first alert, which then grows."""
    place.start_centre()
    place.configure(["auth"])
    place.configure(
        ["auth"],
        forwarders={"ncsc": to_centre(place)},
        delivery={"release_interval_s": 3600, "backoff_first_s": 0.1, "backoff_limit_s": 0.5},
    )
    place.fault(fault="quarantine", times=1)
    listening(place)
    place.write("auth", 0, 5)
    wait_for(lambda: place.reading().backlogs.get("ncsc"), "an alert")
    wait_for(lambda: place.reading().backlogs["ncsc"].dead, "a dead letter")
    place.write("auth", 5, 7)
    wait_for(lambda: place.reading().alerts[0].count == 12, "the alert has grown")
    (row,) = queue(place, "--state", "dead")
    return row


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Field, dict[str, Any]]]:
    """A daemon with a dead letter, and the letter; for tests that change neither."""
    with field_in(tmp_path_factory.mktemp("refused") / "p") as place:
        yield place, dead_letter(place)


@pytest.mark.timeout(120)
def test_a_dead_letter_is_shown_and_released_again_once_at_its_last_revision(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        letter = dead_letter(place)
        assert (letter["code"], letter["stream"], letter["seq"]) == ("injected", "urgent", 1)
        assert place.findings() == {}

        shown = socmon(place, "-o", "json", "feed", "retry", str(letter["id"]), "--dry-run")
        unasked = socmon(place, "feed", "retry", str(letter["id"]))
        assert queue(place, "--state", "dead") == [letter]
        done = socmon(place, "-o", "json", "feed", "retry", str(letter["id"]), "--yes")
        wait_for(place.settled, "the alert delivered")

        alert = place.reading().alerts[0]
        assert (shown.returncode, unasked.returncode, done.returncode) == (0, 2, 0)
        assert "add --yes" in unasked.stderr
        assert (json.loads(shown.stdout)["dry_run"], json.loads(done.stdout)["dry_run"]) == (True, False)
        assert json.loads(done.stdout)["letters"] == json.loads(shown.stdout)["letters"]
        assert alert.revision > letter["revision"]
        assert place.findings() == {alert.id: alert.revision}
        again = queue(place, "--state", "retried", "--state", "acknowledged")
        assert [(row["state"], row["seq"]) for row in again] == [("retried", 1), ("acknowledged", 2)]
        assert again[0] == letter | {"state": "retried"}  # and nothing else of it
        status = socmon(place, "-o", "json", "status")
        (backlog,) = json.loads(status.stdout)["store"]["destinations"]
        (warning,) = json.loads(status.stdout)["warnings"]
        assert warning["code"] == "clock_off"  # the kit's lines are two hours old; and nothing else is wrong
        assert (status.returncode, backlog["dead"], backlog["acknowledged"]) == (1, 0, 1)
        page = json.loads(socmon(place, "-o", "json", "alerts", "show", alert.id).stdout)
        assert valid(page, "alerts.show.v1")
        assert "đã gửi lại" in socmon(place, "--lang", "vi", "alerts", "show", alert.id).stdout
        asked = [entry for entry in logged(place) if entry["event"] == "change asked for"]
        assert [(entry["verb"], entry["arguments"]["ids"]) for entry in asked] == [("feed.retry", [letter["id"]])]


def test_words_of_ours_are_said_in_the_readers_language(refused: tuple[Field, dict[str, Any]]) -> None:
    place, letter = refused
    english, vietnamese = (socmon(place, "--lang", lang, "feed", "queue").stdout for lang in ("en", "vi"))

    assert "(injected)" in english
    assert "(lỗi tạo theo yêu cầu)" in vietnamese
    assert letter["code"] == "injected"


@pytest.mark.timeout(120)
def test_all_dead_letters_of_a_destination_are_released_again(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        dead_letter(place)

        done = socmon(place, "feed", "retry", "--dead", "ncsc", "--yes")
        none_left = socmon(place, "feed", "retry", "--dead", "--yes")
        wait_for(place.settled, "the alert delivered")

        assert (done.returncode, none_left.returncode) == (0, 0)
        assert "1 dead letter released again" in done.stderr
        assert "no dead letters released again" in none_left.stderr
        assert len(place.findings()) == 1


@pytest.mark.timeout(120)
def test_what_cannot_be_retried_has_its_exit_code(refused: tuple[Field, dict[str, Any]]) -> None:
    place, letter = refused

    codes = {
        words: socmon(place, "feed", *words.split()).returncode
        for words in (
            "retry 99 --yes", f"retry {letter['id']} 99 --yes", "retry --dead mars --yes", "retry", "retry ncsc",
            "retry --dead a b", "queue mars", "queue ncsc",
        )
    }  # fmt: skip
    place.stop_daemon()  # the other test needs none
    gone = socmon(place, "feed", "retry", "--dead", "--yes")

    assert list(codes.values()) == [5, 5, 5, 2, 2, 2, 5, 0]
    assert gone.returncode == 4
    assert queue(place, "--state", "dead") == [letter]  # without a daemon too, and nothing was done


@pytest.mark.timeout(120)
def test_the_queue_is_shown_in_every_form(refused: tuple[Field, dict[str, Any]]) -> None:
    place, letter = refused

    human = socmon(place, "--tz", "Asia/Ho_Chi_Minh", "feed", "queue", "--state", "dead").stdout
    ndjson = socmon(place, "-o", "ndjson", "feed", "queue").stdout.splitlines()
    table = socmon(place, "-o", "csv", "feed", "queue").stdout
    rows = list(csv.DictReader(io.StringIO(table)))

    dead, pending = map(json.loads, ndjson)
    assert dead == letter
    assert (pending["id"], pending["state"], pending["seq"], pending["alert_id"]) == (
        None,
        "pending",
        None,
        letter["alert_id"],
    )
    assert pending["revision"] > letter["revision"]
    assert [row["state"] for row in rows] == ["dead", "pending"]
    assert rows[0] == {name: str(value) for name, value in letter.items()}
    heading, *lines = human.splitlines()
    assert heading.split() == [
        "ID", "DESTINATION", "STATE", "STREAM,", "SEQ", "REV", "BYTES", "RELEASED", "ALERT", "TITLE",
    ]  # fmt: skip
    assert [line.index(letter["alert_id"]) for line in lines] == [heading.index("ALERT")]
    assert "SSH brute force" in human
    assert "(injected)" in human
    assert " +07:00  " in human


@pytest.mark.timeout(90)
def test_a_destination_that_gave_up_is_tried_at_once(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as place:
        out = tmp_path / "out"
        os.mkfifo(out)  # no regular file: only a person can help
        place.configure(["auth"], forwarders={"archive": {"kind": "file", "path": str(out)}})
        listening(place)
        before = socmon(place, "alerts", "test", "--timeout", "1s")
        wait_for(lambda: any("gave up" in entry["event"] for entry in logged(place)), "giving up")
        out.unlink()

        helped = socmon(place, "feed", "retry", "--dead", "archive")
        wait_for(lambda: out.is_file() and out.read_bytes(), "the alert written")

        assert (before.returncode, helped.returncode) == (7, 0)
        assert len(out.read_text().splitlines()) == 1


def test_a_folder_without_a_store_is_a_clear_error(tmp_path: Path) -> None:
    place = Field(tmp_path / "p")
    place.configure(["auth"])

    result = socmon(place, "feed", "queue")

    assert result.returncode == 5
    assert "there is no store at" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_who_may_not_read_the_store_is_told_so(tmp_path: Path) -> None:
    place = Field(tmp_path / "p")
    place.configure(["auth"])
    place.state.mkdir(parents=True, exist_ok=True)
    (place.state / "socmon.db").touch(mode=0o000)

    result = socmon(place, "feed", "queue")

    assert result.returncode == 77
    assert f"{place.state}/socmon.db: permission denied" in result.stderr
