"""`socmon replay --journal`: what the daemon has journalled, again, as the daemon took it in."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from command_kit import run_here
from field import Field, field_in, wait_for
from replay_kit import failed, objects
from store_kit import valid

from socmon.event import SECOND_US, Alert, Record, Source, rfc3339, to_us
from socmon.journal import Drop, Journal
from socmon.workers.asides import Aside

START_US = to_us(datetime(2026, 3, 1, 12, tzinfo=UTC))
SOURCE = Source("auth", "/var/log/auth.log", "rfc3164", "detected")
ONE_RULE = """
title: Any failure
id: 77777777-7777-4777-8777-777777777777
status: test
level: low
logsource: {product: linux, service: sshd}
detection: {any: {outcome: failure}, condition: any}
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    path = tmp_path / "rule.yml"
    path.write_text(ONE_RULE)
    return str(path)


def shown(alert: Alert) -> dict[str, Any]:
    """A stored alert as a row of replay, but for its events."""
    return {
        "rule_id": alert.rule_id,
        "title": alert.title,
        "level": alert.level,
        "group": alert.group,
        "agency": alert.agency,
        "system": alert.system,
        "system_level": alert.system_level,
        "first_seen": rfc3339(alert.first_us),
        "last_seen": rfc3339(alert.last_us),
        "count": alert.count,
        "id": alert.id,
        "revision": alert.revision,
        "approximate": alert.approximate,
    }


def replayed(place: Field, *more: str) -> tuple[list[dict[str, Any]], int]:
    """The alerts of the archive without their events, by id, and the exit code."""
    done = run_here("-c", str(place.root / "config.yaml"), "replay", "--journal", "-o", "ndjson", *more)
    assert done.returncode in {0, 1}, done.stderr
    rows = [valid(row, "replay.v1", row=True) for row in objects(done.stdout)]
    for row in rows:
        del row["events"]
    return sorted(rows, key=lambda row: str(row["id"])), done.returncode


def stored(place: Field) -> list[dict[str, Any]]:
    return sorted(map(shown, place.reading().alerts), key=lambda row: str(row["id"]))


def journalled(directory: Path, lines: Sequence[str], *, each: int = 10, received: Sequence[int] = ()) -> None:
    """A journal with these lines, `each` a frame; line n was received n seconds after START_US, or when it is told."""
    journal = Journal.open(directory, segment_bytes=4000)
    for at in range(0, len(lines), each):
        seconds = [received[n] if received else n for n in range(at, min(at + each, len(lines)))]
        moments = [START_US + second * SECOND_US for second in seconds]
        records = [
            Record(line.rstrip("\n").encode(), SOURCE, moment)
            for line, moment in zip(lines[at : at + each], moments, strict=True)
        ]
        journal.append(records, written_us=max(moments))
    journal.close()


def test_alerts_are_those_that_the_daemon_has_stored(tmp_path: Path) -> None:
    with field_in(tmp_path / "province") as place:
        place.configure(["auth", "other"], forwarders={})
        place.start_daemon()
        place.write("auth", 0, 3000)
        wait_for(lambda: place.account("auth").evaluated >= 1000, "a thousand lines evaluated")
        assert place.daemon is not None
        place.daemon.kill()
        place.daemon.wait()
        place.start_daemon()
        place.write("other", 3000, 2000)
        place.write("auth", 100, 500)  # too late, all of them
        wait_for(lambda: place.account("other").evaluated >= 2000, "the other file evaluated")
        wait_for(lambda: [*(place.state / "journal").glob("*.zst")], "a compressed segment")
        wait_for(lambda: place.account("auth").evaluated >= 3500, "the first file evaluated")
        ticks = Journal.open(place.state / "journal", read_only=True)
        wait_for(
            lambda: any(
                batch.tick
                for batch in Journal.open(place.state / "journal", read_only=True).read_after(ticks.last_number)
            ),
            "a tick",
        )

        beside, _ = replayed(place)  # the daemon runs, and has all of it in its store
        expected = stored(place)
        place.stop_daemon()

        assert len(expected) > 30
        assert beside == expected
        again, code = replayed(place)
        assert again == stored(place)
        assert code == 1  # some were late, and that is said


def test_a_new_rule_is_asked_of_what_was_received_in_a_span(tmp_path: Path, rules: str) -> None:
    journalled(tmp_path / "journal", [failed(n, f"192.0.2.{n // 10}", host=f"h{n // 10}") for n in range(100)])

    def groups(*span: str) -> list[str]:
        done = run_here("replay", "--journal", str(tmp_path / "journal"), "--rules", rules, "-o", "ndjson", *span)
        assert done.returncode == 0, done.stderr
        return [row["group"]["host"] for row in objects(done.stdout)]

    assert groups() == [f"h{n}" for n in range(10)]
    assert groups("--since", "2026-03-01T12:00:49Z") == [f"h{n}" for n in range(4, 10)]
    assert groups("--until", "2026-03-01T12:00:49Z") == [f"h{n}" for n in range(5)]
    assert groups("--since", "2026-03-01T12:00:30Z", "--until", "2026-03-01T12:00:59Z") == ["h3", "h4", "h5"]
    assert groups("--since", "30m") == []


def test_events_are_named_by_the_journal_and_their_sequence(tmp_path: Path, rules: str) -> None:
    journalled(tmp_path / "journal", [failed(n) for n in range(25)])
    command = ["replay", "--journal", str(tmp_path / "journal"), "--rules", rules, "-o", "ndjson"]

    [alert] = objects(run_here(*command).stdout)
    matches = objects(run_here(*command, "--matches").stdout)

    places = [{"file": str(tmp_path / "journal"), "n": seq} for seq in range(1, 26)]
    assert alert["events"] == places
    assert [{"file": row["file"], "n": row["n"]} for row in matches] == places
    assert (alert["count"], alert["revision"]) == (25, 25)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_record_that_the_daemon_has_set_aside_is_not_looked_at(tmp_path: Path, rules: str, jobs: str) -> None:
    journalled(tmp_path / "journal", [failed(n) for n in range(25)])
    incarnation = str(Journal.open(tmp_path / "journal", read_only=True).incarnation)
    list_of = tmp_path / "set-aside.jsonl"
    known = [Aside(incarnation, 7, "auth", "x", "spins", "-"), Aside("another journal's", 8, "auth", "x", "spins", "-")]
    list_of.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in known))
    before = list_of.read_bytes()

    done = run_here(
        "replay", "--journal", str(tmp_path / "journal"), "--rules", rules, "--matches", "-o", "ndjson", "-j", jobs
    )

    assert [row["n"] for row in objects(done.stdout)] == [seq for seq in range(1, 26) if seq != 7]
    assert list_of.read_bytes() == before


def test_lateness_is_that_of_the_time_of_receipt(tmp_path: Path, rules: str) -> None:
    """A clock that ran ahead when the first line came makes no later line late, as in the daemon."""
    lines = [failed(0, stamp="2026-03-01T13:00:00Z"), *(failed(n, host="web") for n in range(1, 6))]
    journalled(tmp_path / "journal", lines, each=1)
    log = tmp_path / "auth.log"
    log.write_text("".join(lines))

    of_journal, of_file = (
        run_here("replay", *source, "--rules", rules, "-o", "ndjson")
        for source in (["--journal", str(tmp_path / "journal")], [str(log)])
    )

    assert [row["count"] for row in objects(of_journal.stdout)] == [6]
    assert of_journal.returncode == 0
    assert [row["count"] for row in objects(of_file.stdout)] == [1]
    assert b"5 events are more than 300 s behind" in of_file.stderr


def test_late_and_lost_records_are_told_and_make_it_exit_with_1(tmp_path: Path, rules: str) -> None:
    journalled(tmp_path / "journal", [failed(n * 60) for n in [*range(20), 1, 2]], received=[n * 60 for n in range(22)])
    journal = Journal.open(tmp_path / "journal")
    journal.append([], written_us=START_US + 3600 * SECOND_US, drops=[Drop("auth", "buffer_full", 7)])
    journal.close()
    command = ["replay", "--journal", str(tmp_path / "journal"), "--rules", rules]

    late = run_here(*command)
    oldest = min((tmp_path / "journal").glob("*.seg"))
    data = bytearray(oldest.read_bytes())
    data[data.index(b"Failed password")] ^= 0xFF
    oldest.write_bytes(data)
    damaged = run_here(*command)

    assert late.returncode == damaged.returncode == 1
    assert b"2 events came too late for their source; they are matched, not correlated\n" in late.stderr
    assert b"22 records, 22 evaluated, 0 unparsed, 7 lost before the journal" in late.stderr
    assert b"a part of the journal is damaged: 10 records are lost\n" in damaged.stderr


def test_tables_have_what_tells_an_alert_from_another(tmp_path: Path, rules: str) -> None:
    journalled(tmp_path / "journal", [failed(n) for n in range(3)])

    table = run_here("replay", "--journal", str(tmp_path / "journal"), "--rules", rules, "-o", "csv").stdout.decode()

    assert table.splitlines()[0].endswith(",count,id,revision,approximate")
    assert table.splitlines()[1].endswith(",3,false")


def test_rules_inventory_and_limits_are_the_configurations(tmp_path: Path, rules: str) -> None:
    state = tmp_path / "state"
    hours = timedelta(hours=3) // timedelta(seconds=1)
    state.mkdir()
    journalled(state / "journal", [failed(n * hours) for n in range(4)], received=[n * hours for n in range(4)])
    (tmp_path / "assets.yaml").write_text("agencies: [{id: soyte, name: Health, systems: [{id: web, hosts: [web]}]}]\n")
    config = {
        "state_dir": str(state),
        "rules": {"shipped": False, "paths": [rules]},
        "assets": {"paths": [str(tmp_path / "assets.yaml")]},
        "detection": {"suppress_s": 4 * 3600},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))

    done = run_here("-c", str(tmp_path / "config.yaml"), "replay", "--journal", "-o", "ndjson")

    assert done.stderr == b""
    assert [(row["agency"], row["count"], row["title"]) for row in objects(done.stdout)] == [
        ("soyte", 4, "Any failure")
    ]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--journal", "DIR", "log"], 2, "--journal goes without FILE"),
        (["--journal", "DIR", "--year", "2026"], 2, "--journal goes without FILE"),
        (["--journal", "DIR", "--since", "soon"], 2, "is no time"),
        (["log", "--since", "2h"], 2, "go with --journal only"),
        (["--journal", "DIR/nothing"], 1, "cannot open the journal"),
        (["--journal", "DIR/empty"], 1, "no journal here"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, words: list[str], code: int, reason: str) -> None:
    (tmp_path / "empty").mkdir()

    done = run_here("replay", *(word.replace("DIR", str(tmp_path)) for word in words))

    assert (done.returncode, done.stdout) == (code, b"")
    assert reason in done.stderr.decode()
    assert [*(tmp_path / "empty").iterdir()] == []
