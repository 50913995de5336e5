"""Faults by which the province and its centre come to differ, with real processes: they agree again by themselves."""

import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from field import ORG, wait_for
from province_kit import Province, province_in

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    with province_in(tmp_path) as made:
        yield made


def changed(path: Path, *statements: str, **values: object) -> list[tuple[Any, ...]]:
    """What the last statement returns, with the file's own process away."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            rows = db.execute(statement, values).fetchall()
    return rows


def store(place: Province) -> Path:
    return place.state / "socmon.db"


def inbox(place: Province) -> Path:
    return place.root / "centre" / "centre.sqlite"


def killed_after_a_release(place: Province) -> None:
    """The centre runs; the daemon is dead, with released rows that nobody has sent."""
    place.start_centre()
    place.more(200)
    place.start_daemon("outbox.released")
    assert place.daemon is not None
    assert place.daemon.wait(60) == -signal.SIGKILL


def all_sequences_are_taken(place: Province) -> None:
    """The centre's cursors are behind the last sequence of each stream: it waits for nothing."""
    given = changed(store(place), "select stream, next_seq - 1 from stream where next_seq > 1")
    committed = place.stats()["organisations"][ORG]["committed"]
    assert {name: committed[name]["seq"] for name, _ in given} == dict(given)


def test_fault_12_a_body_that_is_no_json_with_its_hash(place: Province) -> None:
    killed_after_a_release(place)
    body = b'{"specversion": "1.0", '
    ((damaged,),) = changed(
        store(place),
        "update released set body = :body, sha256 = :digest where id = (select min(id) from released where"
        " state = 'waiting') returning alert_id",
        body=body,
        digest=sha256(body).hexdigest(),
    )

    place.start_daemon()

    wait_for(place.settled, "all else delivered", timeout_s=90)
    assert place.dead() == 1
    held = {alert.id: alert.revision for alert in place.reading().alerts if alert.id != damaged}
    found = place.findings()
    assert {uid: found[uid] for uid in held} == held
    wait_for(lambda: not changed(store(place), "select 1 from void where state <> 'acknowledged'"), "its void is taken")
    all_sequences_are_taken(place)


def test_fault_19_a_sequence_that_is_gone_at_the_province(place: Province) -> None:
    killed_after_a_release(place)
    changed(
        store(place),
        "insert or replace into pending (destination, alert_id, urgency, since_us)"
        " select destination, alert_id, urgency, released_us from released where id in (select min(id) from released)",
        "delete from released where id in (select min(id) from released)",
    )

    place.start_daemon()

    place.wait_until_settled()
    place.check_nothing_is_lost_or_doubled()
    rows = "select to_seq - seq + 1, reason, state from void"
    wait_for(lambda: changed(store(place), rows) == [(1, "lost_local", "acknowledged")], "its void is taken")
    all_sequences_are_taken(place)
    assert place.events("daemon.log", "alerts are lost for the destination, neither side has them")


def test_fault_19_a_sequence_that_is_gone_at_the_centre(place: Province) -> None:
    place.start_centre()
    place.more(120)
    place.start_daemon()
    place.wait_until_settled()
    place.stop_centre()
    changed(
        inbox(place),
        "delete from findings where (source, epoch, seq) in (select source, epoch, seq from events where seq = 2)",
        "delete from events where seq = 2",
        "insert into taken select source, epoch, 3, last from taken where first = 1 and last > 2",
        "update taken set last = 1 where first = 1 and last > 1",
        "update streams set committed = 1 where committed > 1",
    )
    place.start_centre()
    place.more(120)

    place.wait_until_settled()
    wait_for(lambda: place.findings() == place.reading().acknowledged["ncsc"], "what was lost is there again")
    place.check_nothing_is_lost_or_doubled()
    all_sequences_are_taken(place)


def test_fault_20_sender_restored_from_an_old_backup(place: Province, tmp_path: Path) -> None:
    place.start_centre()
    place.more(120)
    place.start_daemon()
    place.wait_until_settled()
    place.stop_daemon()
    shutil.copytree(place.state, tmp_path / "backup")
    place.start_daemon()
    place.more(300)
    wait_for(lambda: place.account("auth").journalled >= place.lines, "more lines")
    place.wait_until_settled()
    place.stop_daemon()
    before = place.findings()
    shutil.rmtree(place.state)
    shutil.copytree(tmp_path / "backup", place.state)

    place.start_daemon()
    place.more(60)

    wait_for(lambda: place.account("auth").journalled >= place.lines, "all lines again")
    place.wait_until_settled()
    held, found = {alert.id for alert in place.reading().alerts}, place.findings()
    assert found == place.reading().acknowledged["ncsc"]
    assert held == set(found) >= set(before)
    assert all(found[uid] >= revision for uid, revision in before.items())
    assert (place.of_all("quarantined"), place.of_all("rows_stored_twice"), place.dead()) == (0, 0, 0)
    assert place.events("daemon.log", "destination and outbox differ, what it lacks is sent again", place.log_start)
    epochs = changed(inbox(place), "select count(distinct epoch) from events group by source")
    assert max(epochs) == (2,)


def test_fault_21_receiver_restored_from_an_old_backup(place: Province, tmp_path: Path) -> None:
    place.start_centre()
    place.more(120)
    place.start_daemon()
    place.wait_until_settled()
    place.stop_centre()
    shutil.copytree(place.root / "centre", tmp_path / "backup")
    place.start_centre()
    place.more(300)
    wait_for(lambda: place.account("auth").journalled >= place.lines, "more lines")
    place.wait_until_settled()
    place.stop_centre()
    shutil.rmtree(place.root / "centre")
    shutil.copytree(tmp_path / "backup", place.root / "centre")

    place.start_centre()
    place.more(60)

    wait_for(lambda: place.account("auth").journalled >= place.lines, "the last lines")
    wait_for(lambda: place.findings() == place.reading().acknowledged["ncsc"], "what was lost is there again")
    place.wait_until_settled()
    place.check_nothing_is_lost_or_doubled()
    all_sequences_are_taken(place)
    assert place.events("daemon.log", "destination and outbox differ, what it lacks is sent again")


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
def test_fault_35_a_schema_that_the_centre_does_not_know(place: Province) -> None:
    killed_after_a_release(place)
    ((number, body),) = changed(store(place), "select id, body from released where state = 'waiting' limit 1")
    newer = msgspec.json.encode(msgspec.json.decode(body) | {"dataschema": "urn:vn:soc:schema:finding:99"})

    def put(content: bytes) -> None:
        statement = "update released set body = :body, sha256 = :digest where id = :id"
        changed(store(place), statement, body=content, digest=sha256(content).hexdigest(), id=number)

    put(newer)
    place.start_daemon()
    wait_for(place.settled, "all else delivered", timeout_s=90)
    assert changed(store(place), "select state, code from released where id = :id", id=number) == [("held", "schema")]
    assert place.events("daemon.log", "alert not understood there, it is sent again in an hour")
    place.stop_daemon()
    put(body)

    place.start_daemon(
        environment={"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+2h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    )

    place.wait_until_settled()
    wait_for(lambda: not changed(store(place), "select 1 from released where state = 'held'"), "it is tried again")
    place.wait_until_settled()
    place.check_nothing_is_lost_or_doubled()
    all_sequences_are_taken(place)
