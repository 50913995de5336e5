"""`socmon db` as people and programs use it; and beside a daemon that writes all the time."""

import json
import os
import pwd
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from control_kit import command, listening, socmon
from damage_kit import page_of, zero
from field import ORG, Field, field_in, wait_for
from store_kit import START_US, Place, alert, in_use, valid

from socmon.journal import Journal
from socmon.store import read
from socmon.store.verifying import verify

DAY_US = 86_400_000_000


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "p")
    made.put(*(alert(number) for number in range(1, 4)))
    return made


def told(place: Place, *words: str, code: int = 0) -> Any:
    result = place.socmon("-o", "json", "db", *words)
    assert result.returncode == code, result.stderr
    return json.loads(result.stdout)


def numbers(path: Path) -> list[int]:
    return sorted(int(each.id[:8], 16) for each in read(path).alerts)


def test_what_was_backed_up_is_restored(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "backup"

    made = valid(told(place, "backup", str(file)), "db.backup.v1")
    place.put(alert(4))
    done = valid(told(place, "restore", str(file)), "db.restore.v1")

    assert (made["alerts"], made["bytes"], made["damaged"]) == (3, file.stat().st_size, "")
    assert numbers(place.store) == [1, 2, 3]
    assert numbers(Path(done["aside"])) == [1, 2, 3, 4]


def test_a_backup_is_not_overwritten_unasked(place: Place, tmp_path: Path) -> None:
    told(place, "backup", str(tmp_path / "backup"))

    refused = place.socmon("db", "backup", str(tmp_path / "backup"))

    assert refused.returncode == 1
    assert "--force" in refused.stderr
    told(place, "backup", str(tmp_path / "backup"), "--force")


def test_nothing_is_restored_under_a_daemon(place: Place, tmp_path: Path) -> None:
    told(place, "backup", str(tmp_path / "backup"))

    with in_use(place):
        refused = place.socmon("db", "restore", str(tmp_path / "backup"))

    assert refused.returncode == 78
    assert f"in use by process {os.getpid()}" in refused.stderr


def test_damage_is_listed_by_table_and_row_in_both_languages(place: Place) -> None:
    assert valid(told(place, "verify"), "db.verify.v1")["count"] == 0
    with closing(sqlite3.connect(place.store, isolation_level=None)) as db:
        db.execute("update evidence set raw = 'another line' where rowid = 2")

    found = valid(told(place, "verify", code=1), "db.verify.v1")
    english, vietnamese = place.socmon("db", "verify"), place.socmon("--lang", "vi", "db", "verify")

    assert found["damages"] == [{"table": "evidence", "row": "2", "what": "its line is not what was received"}]
    assert english.stdout == "damaged  evidence 2: its line is not what was received\n"
    assert "1 damage" in english.stderr
    assert vietnamese.stdout.startswith("hỏng  evidence 2: ")
    assert (english.returncode, vietnamese.returncode) == (1, 1)


def test_a_file_that_was_cut_off_is_one_damage_for_programs(place: Place, tmp_path: Path) -> None:
    cut = tmp_path / "cut.db"
    with closing(sqlite3.connect(place.store)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    cut.write_bytes(place.store.read_bytes()[:10_000])

    found = valid(told(place, "verify", str(cut), code=1), "db.verify.v1")

    assert (found["count"], found["rows"]) == (1, {})
    assert found["damages"] == [{"table": "", "row": "", "what": "database disk image is malformed"}]
    assert "is damaged" in place.socmon("db", "verify", str(cut)).stderr


@pytest.mark.parametrize("words", [["backup", "x"], ["verify"], ["prune", "--older-than", "90d", "--yes"]])
def test_where_there_is_no_store_that_is_said(tmp_path: Path, words: list[str]) -> None:
    result = Place(tmp_path / "p").socmon("db", *words)

    assert result.returncode == 5
    assert "there is no store" in result.stderr


def close_all(place: Place, *, delivered: bool = True) -> None:
    with closing(sqlite3.connect(place.store, isolation_level=None)) as db:
        db.execute("update alert set status = 'closed', closed_revision = revision")
        if delivered:
            db.execute("delete from pending")


def test_closed_and_delivered_alerts_are_pruned_with_all_that_is_theirs(place: Place) -> None:
    close_all(place)

    shown = valid(told(place, "prune", "--older-than", "4d", "--dry-run"), "db.prune.v1")
    unasked = place.socmon("db", "prune", "--older-than", "4d")
    assert (shown["alerts"], unasked.returncode, numbers(place.store)) == (3, 2, [1, 2, 3])

    done = valid(told(place, "prune", "--older-than", "4d", "--yes"), "db.prune.v1")

    assert (done["alerts"], numbers(place.store)) == (3, [])
    assert verify(place.store).rows | {"checkpoint": 0} == dict.fromkeys(verify(place.store).rows, 0)
    assert verify(place.store).count == 0


@pytest.mark.parametrize("age", ["d", "0.5d", "90", "-1d", "٩d", "1y", ""])
def test_what_is_no_age_is_refused(place: Place, age: str) -> None:
    assert place.socmon("db", "prune", "--older-than", age, "--dry-run").returncode == 2


def test_prune_wants_a_bound(place: Place) -> None:
    assert place.socmon("db", "prune", "--dry-run").returncode == 2


# ── with a daemon ────────────────────────────────────────────────────────────────────────────────────────────────────


def backup(field: Field, name: str) -> Path:
    path = field.root / name
    assert socmon(field, "db", "backup", str(path)).returncode == 0
    return path


@pytest.mark.timeout(120)
def test_backups_are_whole_while_a_daemon_writes_and_a_restored_one_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as field:
        field.start_centre()
        field.configure(["auth", "more"])
        listening(field)
        field.write("auth", 0, 600)
        wait_for(lambda: field.reading().alerts, "alerts")
        made = []
        for number in range(5):
            field.write("more", 600 * number, 600)
            made.append(backup(field, f"backup-{number}"))
        for path in made:
            assert verify(path).count == 0
        wait_for(field.settled, "all delivered")
        whole = {each.id: (each.count, each.revision) for each in field.reading().alerts}
        before = field.findings()
        epochs = epochs_of(field)
        field.stop_daemon()

        assert socmon(field, "db", "restore", str(made[0])).returncode == 0
        listening(field)
        field.write("auth", 600, 60)
        wait_for(field.settled, "all delivered again")
        wait_for(lambda: set(whole) <= {each.id for each in field.reading().alerts}, "all alerts again")

        # What the centre had it has still, at the same revision or a later one; nothing was refused or written over.
        after = field.findings()
        assert before.keys() <= after.keys()
        assert all(after[uid] >= revision for uid, revision in before.items())
        found = {each.id: (each.count, each.revision) for each in field.reading().alerts}
        assert all(found[uid][1] >= revision for uid, (_, revision) in whole.items())
        assert after == field.reading().acknowledged["ncsc"]
        assert found.keys() <= after.keys()
        stats = field.stats()["organisations"][ORG]
        assert (stats["quarantined"], stats["rows_stored_twice"], stats["findings"]) == (0, 0, len(after))
        assert all(epoch > max(epochs) for epoch in epochs_of(field))
        field.stop_daemon()
        assert verify(field.state / "socmon.db").count == 0


def epochs_of(field: Field) -> list[str]:
    with closing(sqlite3.connect(f"file:{field.state / 'socmon.db'}?mode=ro", uri=True)) as db:
        return [epoch for (epoch,) in db.execute("select epoch from stream")]


@pytest.mark.timeout(120)
def test_a_restore_killed_in_its_middle_is_finished_by_the_daemons_start(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as field:
        field.start_centre()
        field.configure(["auth"])
        listening(field)
        field.write("auth", 0, 60)
        wait_for(field.settled, "all delivered")
        path = backup(field, "backup")
        field.write("auth", 60, 600)
        wait_for(field.settled, "all delivered")
        whole = {each.id for each in field.reading().alerts}
        field.stop_daemon()

        killed = subprocess.run(
            command(field, "db", "restore", str(path)), env=os.environ | {"SOCMON_FAILPOINT": "restore.aside"},
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL
        assert not (field.state / "socmon.db").exists()
        listening(field)

        wait_for(lambda: {each.id for each in field.reading().alerts} == whole, "all alerts again")
        wait_for(field.settled, "all delivered again")
        (aside,) = field.state.glob("socmon.db.before-*Z")
        assert {each.id for each in read(aside).alerts} == whole


@pytest.mark.timeout(120)
def test_a_backup_from_before_the_journals_beginning_goes_on_from_it(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as field:
        field.start_centre()
        field.configure(["auth"])
        listening(field)
        field.write("auth", 0, 60)
        wait_for(field.settled, "all delivered")
        path = backup(field, "backup")
        field.write("auth", 60, 6_000)
        wait_for(field.settled, "all delivered")
        field.stop_daemon()
        journal = Journal.open(field.state / "journal", segment_bytes=128 * 1024)
        journal.trim(checkpoint=journal.last_number, keep_bytes=1, max_age_us=None, now_us=START_US)
        first = journal.first_number
        journal.close()
        restored = socmon(field, "-o", "json", "db", "restore", str(path))
        assert first > json.loads(restored.stdout)["frame"] + 1

        listening(field)
        before = {each.id: each.revision for each in field.reading().alerts}
        field.write("auth", 6_060, 60)
        wait_for(lambda: {each.id: each.revision for each in field.reading().alerts} != before, "what comes now")

        (told,) = field.events("daemon.log", "the journal's beginning was trimmed, starting from its oldest frame")
        assert told["frame"] == first
        field.stop_daemon()


@pytest.mark.timeout(120)
def test_the_daemon_prunes_when_it_is_asked_and_says_what_a_damaged_store_needs(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as field:
        field.start_centre()
        field.configure(["auth"], forwarders={})
        listening(field)
        field.write("auth", 0, 60)
        wait_for(lambda: field.reading().alerts, "alerts")
        field.stop_daemon()
        with closing(sqlite3.connect(field.state / "socmon.db", isolation_level=None)) as db:
            db.execute("update alert set status = 'closed', closed_revision = revision, stored_us = ?, last_us = ?",
                       (START_US, START_US))  # fmt: skip
        field.configure(["auth"], forwarders={}, store={"keep_days": 36_500})
        listening(field)
        count = len(field.reading().alerts)

        result = socmon(field, "-o", "json", "db", "prune", "--older-than", "30d", "--yes")

        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["alerts"] == count
        assert field.reading().alerts == []
        (logged,) = field.events("daemon.log", "old alerts removed from the store")
        assert (logged["alerts"], logged["actor"]) == (count, pwd.getpwuid(os.getuid()).pw_name)
        field.stop_daemon()

        with closing(sqlite3.connect(field.state / "socmon.db")) as db:
            (page,) = db.execute("select rootpage from sqlite_schema where name = 'evidence'").fetchone()
        with (field.state / "socmon.db").open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(bytes(4096))
        refused = subprocess.run(command(field, "run"), capture_output=True, text=True, check=False, timeout=60)
        assert refused.returncode == 1
        assert "socmon db verify" in refused.stderr
        assert "socmon db restore" in refused.stderr


@pytest.mark.timeout(120)
def test_a_daemon_whose_outbox_is_damaged_starts_raises_an_alert_and_delivers_all(tmp_path: Path) -> None:
    with field_in(tmp_path / "p") as field:
        field.start_centre()
        field.configure(["auth"])
        listening(field)
        field.write("auth", 0, 600)
        wait_for(field.settled, "all delivered")
        before = field.findings()
        field.stop_daemon()
        zero(field.state / "socmon.db", page_of(field.state / "socmon.db", "released", 13))

        listening(field)
        wait_for(lambda: [each for each in field.reading().alerts if each.title == "Outbox damaged"], "the alert")
        field.write("auth", 600, 60)
        wait_for(field.settled, "all delivered")

        (told,) = field.events("daemon.log", "the outbox was damaged, what could be read of it was kept")
        assert told["lost"] > 0
        after = field.findings()
        assert before.keys() < after.keys()
        assert after == {each.id: each.revision for each in field.reading().alerts}
        stats = field.stats()["organisations"][ORG]
        assert (stats["quarantined"], stats["rows_stored_twice"]) == (0, 0)
        field.stop_daemon()
        assert verify(field.state / "socmon.db").count == 0
