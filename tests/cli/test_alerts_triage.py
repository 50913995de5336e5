"""`socmon alerts ack`, `close`, `reopen`, `comment` against a real daemon and a real centre."""

import json
import os
import pwd
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from control_kit import NOBODY, command, listening, logged, socmon, someone_else
from field import Field, field_in, wait_for
from store_kit import Place, alert, valid

from socmon.cli.control_client import asking
from socmon.store.reading import consult
from socmon.store.triage import MAX_ALERTS, MAX_TEXT_CHARS, history

ME = pwd.getpwuid(os.getuid()).pw_name
IN_PROGRESS, RESOLVED = 2, 4  # OCSF 1.8, Detection Finding, status_id
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Field]:
    """A province with its centre and some alerts, all delivered."""
    with field_in(tmp_path / "p") as place:
        place.start_centre()
        place.configure(["auth"])
        listening(place)
        place.write("auth", 0, 120)
        wait_for(lambda: place.settled() and len(place.findings()) > 3, "alerts at the centre")
        yield place


def alert_ids(place: Field) -> list[str]:
    return sorted(each.id for each in place.reading().alerts)


def changed(place: Field, *words: str, code: int = 0) -> dict[str, Any]:
    """What `socmon alerts …` says as JSON."""
    result = socmon(place, "-o", "json", "alerts", *words)
    assert result.returncode == code, result.stderr
    told: dict[str, Any] = valid(json.loads(result.stdout), "alerts.change.v1")
    return told


def at_centre(place: Field, alert_id: str) -> list[tuple[int, int, str | None]]:
    """(revision, status_id, disposition) of each message about an alert, in the order of their arrival."""
    address = f"{(place.root / 'centre' / 'centre.sqlite').as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as db:
        bodies = db.execute("select body from events where uid = ? and status = 'stored' order by n", (alert_id,))
        messages = [json.loads(body) for (body,) in bodies]
    return [
        (each["socrev"], each["data"]["status_id"], each["data"]["unmapped"]["vn_soc"].get("disposition"))
        for each in messages
    ]


def arrived(place: Field, alert_id: str, revision: int) -> None:
    wait_for(lambda: place.findings().get(alert_id) == revision, f"revision {revision} at the centre")


def revision_of(place: Field, alert_id: str) -> int:
    return next(each.revision + each.analyst_revision for each in place.reading().alerts if each.id == alert_id)


# ── the whole way ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_triage_reaches_the_centre_once_with_its_status_and_is_told_with_who_and_why(place: Field) -> None:
    first = alert_ids(place)[0]
    before = at_centre(place, first)[-1][0]

    acknowledged = changed(place, "ack", first[:13])
    arrived(place, first, before + 1)
    again = changed(place, "ack", first)
    noted = changed(place, "comment", first, "--text", "máy quét\x1b[2J của ta")
    closed = changed(place, "close", first, "--reason", "fp", "--comment", "đã hỏi Sở Y tế")
    arrived(place, first, before + 2)

    assert [each["alerts"][0]["outcome"] for each in (acknowledged, again, noted, closed)] == [
        "changed", "unchanged", "changed", "changed",
    ]  # fmt: skip
    assert at_centre(place, first)[-2:] == [(before + 1, IN_PROGRESS, None), (before + 2, RESOLVED, "fp")]
    page = valid(json.loads(socmon(place, "-o", "json", "alerts", "show", first).stdout), "alerts.show.v1")["alert"]
    assert (page["status"], page["reason"], page["status_by"], page["recurring"]) == ("closed", "fp", ME, False)
    assert [(each["actor"], each["verb"], each["reason"], each["text"]) for each in page["history"]] == [
        (ME, "ack", "", ""),
        (ME, "comment", "", "máy quét\x1b[2J của ta"),
        (ME, "close", "fp", "đã hỏi Sở Y tế"),
    ]
    shown = socmon(place, "--lang", "vi", "alerts", "show", first).stdout
    for part in ("Lịch sử xử lý", "Mới → Đã tiếp nhận", "(cảnh báo nhầm)", "đã hỏi Sở Y tế", f"do {ME}"):
        assert part in shown
    assert "\x1b" not in shown
    asked = [entry["arguments"]["change"]["verb"] for entry in logged(place) if entry["event"] == "change asked for"]
    assert asked == ["ack", "ack", "comment", "close"]


def test_events_that_join_a_closed_alert_make_it_recurring_and_open_again_it_goes_on(place: Field) -> None:
    changed(place, "close", *alert_ids(place), "--reason", "benign", "--yes")
    place.write("auth", 120, 480)  # the same addresses come again
    wait_for(place.settled, "more events")

    rows = json.loads(socmon(place, "-o", "json", "alerts", "list", "--status", "recurring").stdout)
    recurring = [each for each in valid(rows, "alerts.list.v1")["alerts"] if each["recurring"]]
    assert recurring
    assert {(each["status"], each["reason"]) for each in recurring} == {("closed", "benign")}
    assert "Tái diễn" in socmon(place, "--lang", "vi", "alerts", "list", "--status", "closed").stdout
    one = recurring[0]["id"]
    assert at_centre(place, one)[-1] == (revision_of(place, one), RESOLVED, "benign")

    reopened = changed(place, "reopen", one)["alerts"][0]

    assert (reopened["status_before"], reopened["status"], reopened["reason"]) == ("closed", "open", "")
    arrived(place, one, reopened["revision"])
    assert at_centre(place, one)[-1][1:] == (1, None)


def test_what_was_answered_survives_a_kill_and_its_revisions_arrive_in_order(place: Field) -> None:
    first = alert_ids(place)[0]
    before = revision_of(place, first)
    for number, words in enumerate((("ack", first), ("close", first, "--reason", "tp"), ("reopen", first)), start=1):
        told = changed(place, *words)["alerts"][0]
        assert place.daemon is not None
        place.daemon.kill()
        place.daemon.wait(10)
        assert (told["outcome"], revision_of(place, first)) == ("changed", before + number)
        listening(place)
    arrived(place, first, before + 3)

    revisions = [revision for revision, *_ in at_centre(place, first)]
    assert revisions == sorted(set(revisions))
    assert at_centre(place, first)[-1] == (before + 3, 1, None)
    assert [each.verb for each in consult(place.state / "socmon.db", lambda r: history(r.db, first))] == [
        "ack", "close", "reopen",
    ]  # fmt: skip


def test_of_analysts_who_ask_at_once_one_changes_it_and_none_is_lost(place: Field) -> None:
    first, second = alert_ids(place)[:2]
    words = [
        *(("ack", first) for _ in range(3)),
        *(("comment", second, "--text", f"note {number}") for number in range(3)),
    ]

    started = [
        subprocess.Popen(command(place, "-o", "ndjson", "alerts", *each), stdout=subprocess.PIPE, text=True)
        for each in words
    ]
    outcomes = [json.loads(each.communicate(timeout=60)[0])["outcome"] for each in started]

    assert sorted(outcomes[:3]) == ["changed", "unchanged", "unchanged"]
    assert outcomes[3:] == ["changed"] * 3
    entries = consult(place.state / "socmon.db", lambda reader: history(reader.db, second))
    assert sorted(each.text for each in entries) == ["note 0", "note 1", "note 2"]


# ── who, which, and what came of it ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Field]:
    """A daemon without a destination, over a store with alerts of our choice."""
    with field_in(tmp_path / "p") as place:
        place.configure(["auth"], forwarders={})
        (place.root / "state").mkdir()
        Place.put(_stored(place), alert(1), alert(2), alert(0xAB), alert(0xAC))
        listening(place)
        yield place


def _stored(place: Field) -> Place:
    found = Place(place.root / "unused")
    found.state, found.store = place.state, place.state / "socmon.db"
    return found


def test_each_outcome_has_its_exit_code_and_the_rest_is_done(alone: Field) -> None:
    changed(alone, "close", "00000002", "--reason", "duplicate")

    partly = changed(alone, "ack", "00000001", "ffff", "00000002", code=7)
    none = changed(alone, "ack", "ffff", code=5)
    refused = changed(alone, "ack", "00000002", code=1)
    several = socmon(alone, "alerts", "ack", "000000a", "00000001")

    assert [(each["id"][:8], each["outcome"], each["status"]) for each in partly["alerts"]] == [
        ("00000001", "changed", "acknowledged"),
        ("00000002", "refused", "closed"),
        ("ffff", "not_found", None),
    ]
    assert (none["actor"], none["time"]) == (None, None)
    assert refused["alerts"][0]["reason"] == "duplicate"
    assert several.returncode == 2
    assert "several alerts begin with '000000a'" in several.stderr
    alone.stop_daemon()
    assert socmon(alone, "alerts", "ack", "00000001").returncode == 4
    assert "no daemon at" in socmon(alone, "alerts", "ack", "00000001").stderr


def test_several_are_closed_after_asking_only_and_a_dry_run_closes_none(alone: Field) -> None:
    both = ("close", "00000001", "00000002", "--reason", "benign")

    unasked = socmon(alone, "--lang", "vi", "alerts", *both)
    dry = changed(alone, *both, "--dry-run")
    assert {each.status for each in alone.reading().alerts} == {"open"}
    done = changed(alone, *both, "--yes")

    assert unasked.returncode == 2
    assert "thêm --yes" in unasked.stderr
    assert (dry["dry_run"], done["dry_run"]) == (True, False)
    assert dry["alerts"] == done["alerts"]
    asked = [entry["arguments"]["ids"] for entry in logged(alone) if entry["event"] == "change asked for"]
    assert asked == [[alert(1).id, alert(2).id]]


@pytest.mark.parametrize(("answer", "code", "status"), [("n", 1, "open"), ("y", 0, "closed")])
def test_on_a_terminal_the_person_is_asked(alone: Field, answer: str, code: int, status: str) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "wb", buffering=0) as terminal, os.fdopen(theirs, "rb", buffering=0) as keyboard:
        terminal.write(f"{answer}\n".encode())
        done = subprocess.run(
            command(alone, "--lang", "en", "alerts", "close", "00000001", "00000002", "--reason", "fp"),
            stdin=keyboard, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert done.returncode == code
    assert "Close 2 alerts (false positive)?" in done.stderr
    assert [each.status for each in alone.reading().alerts][:2] == [status] * 2


def test_ids_come_from_standard_input_as_a_list_or_as_listed_alerts(alone: Field) -> None:
    def piped(text: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(alone, "-o", "ndjson", "alerts", *words), input=text, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    listed = socmon(alone, "-o", "ndjson", "alerts", "list").stdout
    ids = piped(f"00000001\n\n  {alert(1).id}  \n", "ack", "-")
    rows = piped(listed, "close", "-", "--reason", "benign", "--yes")
    text = piped("một\nhai\n", "comment", "00000001", "--text", "-")
    wrong = {
        words: piped(given, *words).stderr
        for words, given in (
            (("ack", "-"), "\n"),
            (("ack", "-", "-q"), '{"a": 1}\n'),
            (("reopen", "-"), "".join(f"{number:x}\n" for number in range(MAX_ALERTS + 1))),
            (("comment", "-", "--text", "-"), ""),
            (("comment", "00000001", "--text", "-"), "x" * (MAX_TEXT_CHARS + 1)),
            (("comment", "00000002", "--text", "-"), "ế" * 2 * MAX_TEXT_CHARS),  # cut within a character
            (("comment", "00000001", "--text", " "), ""),
        )
    }

    assert [json.loads(line)["status"] for line in ids.stdout.splitlines()] == ["acknowledged"]
    assert [json.loads(line)["status"] for line in rows.stdout.splitlines()] == ["closed"] * 4
    assert text.returncode == 0
    page = json.loads(socmon(alone, "-o", "json", "alerts", "show", "00000001").stdout)["alert"]
    assert page["history"][-1]["text"] == "một\nhai"
    said = (
        "no ids were given",
        "is no alert",
        "at most 1000",
        "not both",
        *["more than 4000 characters"] * 2,
        "needs a text",
    )
    for stderr, part in zip(wrong.values(), said, strict=True):
        assert part in stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_the_actor_is_whom_the_kernel_names_and_the_request_cannot_say_another() -> None:
    with tempfile.TemporaryDirectory() as folder, field_in(Path(folder) / "p") as place:
        Path(folder).chmod(0o755)
        place.root.chmod(0o755)
        place.configure(["auth"], forwarders={})
        place.state.mkdir(0o755)
        Place.put(_stored(place), alert(1))
        listening(place)
        place.state.chmod(0o755)
        close = {"ids": [alert(1).id], "change": {"verb": "close", "reason": "tp"}}

        with asking(place.state) as ask:
            ask("alerts.change", dict, ids=[alert(1).id], change={"verb": "ack"})
            with pytest.raises(Exception, match="unknown field `actor`"):
                ask("alerts.change", dict, **close, actor="somebody")
        with someone_else((place.state / "control.sock").stat().st_gid), asking(place.state) as ask:
            ask("alerts.change", dict, **close)

        entries = consult(place.state / "socmon.db", lambda reader: history(reader.db, alert(1).id))
        assert [(each.actor, each.verb) for each in entries] == [
            ("root", "ack"),
            (pwd.getpwuid(NOBODY).pw_name, "close"),
        ]


def test_what_a_request_may_hold_is_bounded_and_the_largest_is_taken(alone: Field) -> None:
    ids = [f"{number:036}" for number in range(MAX_ALERTS)]
    text = "\x01" * MAX_TEXT_CHARS  # six bytes each on the wire

    with asking(alone.state) as ask:
        told = ask("alerts.change", dict, ids=ids, change={"verb": "comment", "text": text})
        assert {each["outcome"] for each in told["alerts"]} == {"not_found"}
        for wrong, said in (
            ({"ids": []}, "length >= 1"),
            ({"ids": [*ids[:5], "x" * 65]}, "length <= 64"),
            ({"change": {"verb": "fly"}}, "Invalid enum value 'fly'"),
            ({"change": {"verb": "close"}}, "is no reason to close"),
        ):
            with pytest.raises(Exception, match=said):
                ask("alerts.change", dict, **({"ids": ids[:5], "change": {"verb": "ack"}} | wrong))


def test_how_long_it_took_is_measured_by_level(alone: Field) -> None:
    http = next(entry["http"] for entry in logged(alone) if entry["event"] == "started")
    for words in (
        ("ack", "00000001"),
        ("close", "00000001", "--reason", "tp"),
        ("close", "00000002", "--reason", "fp"),
    ):
        changed(alone, *words)

    with urlopen(f"{http}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    assert 'socmon_alert_acknowledge_seconds_count{level="high"} 1.0' in lines
    assert 'socmon_alert_close_seconds_count{level="high"} 2.0' in lines
