"""Fault 9 with real processes: the outbox of a daemon that was killed is damaged in its file, and all is made whole."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from control_kit import socmon
from damage_kit import page_of, zero
from field import ORG, failure_line, wait_for
from pages_kit import metrics
from province_kit import Province, province_in

from socmon.store.verifying import verify

_ONE_ALERT_A_LINE = """
title: Each failure by itself
id: 00000000-0000-4000-8000-0000000000b1
level: medium
logsource: {product: linux, service: sshd}
detection: {s: {'|contains': Failed password}, condition: s}
---
title: Each address by itself
id: 00000000-0000-4000-8000-0000000000b2
level: medium
correlation:
  type: event_count
  rules: [00000000-0000-4000-8000-0000000000b1]
  group-by: [src_ip]
  timespan: 1h
  condition: {gte: 1}
"""
ALERTS, BATCH = 120, 40
COUNTED = {"lost": "message_lost", "queued": "alert_queued", "unproved": "receipt_lost"}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Province]:
    """A province of one alert a line, of which BATCH are in a batch."""
    with province_in(tmp_path) as made:
        rules = made.root / "rules.yml"
        rules.write_text(_ONE_ALERT_A_LINE)
        made.configure(["auth"], rules={"paths": [str(rules), *OWN_RULES], "shipped": False})
        config = json.loads((made.root / "config.yaml").read_text())
        config["forwarders"]["ncsc"]["max_events"] = BATCH
        (made.root / "config.yaml").write_text(json.dumps(config))
        yield made


OWN_RULES = [str(path) for path in (Path(__file__).parents[2] / "rules" / "socmon").glob("*.yml")
             if not path.name.endswith(".test.yml")]  # fmt: skip


def write(place: Province, first: int, count: int) -> None:
    lines = [
        failure_line(0).replace("203.0.113.1 ", f"198.18.{number // 250}.{number % 250 + 1} ")
        for number in range(first, first + count)
    ]
    with (place.root / "auth").open("a") as log:
        log.write("".join(f"{line}\n" for line in lines))
    place.sent.setdefault("auth", []).extend(lines)


def store(place: Province) -> Path:
    return place.state / "socmon.db"


def kill(place: Province) -> None:
    """Kill the daemon, and put what SQLite has in its log into the file, as the next start would."""
    assert place.daemon is not None
    place.daemon.kill()
    place.daemon.wait(30)
    with closing(sqlite3.connect(store(place))) as db:
        db.execute("pragma wal_checkpoint(truncate)")


def rows(place: Province, query: str) -> list[Any]:
    with closing(sqlite3.connect(store(place))) as db:
        return db.execute(query).fetchall()


def backlog_behind(place: Province, delivered: int) -> None:
    """Deliver `delivered` alerts; then kill the daemon with a batch that waits for its answer, and more behind it."""
    place.start_centre()
    write(place, 0, delivered)
    place.start_daemon()
    place.wait_until_settled()
    place.stop_centre()
    write(place, delivered, ALERTS)
    wait_for(lambda: place.backlog() == ALERTS, "a backlog")
    wait_for(lambda: place.reading().backlogs["ncsc"].waiting == BATCH, "a batch that was released")
    kill(place)


def start_and_settle(place: Province) -> None:
    place.start_centre()
    place.start_daemon()
    wait_for(lambda: place.events("daemon.log", "started", place.log_start), "it starts on what is left")
    place.wait_until_settled()
    place.check_nothing_is_lost_or_doubled()


def damage_shown(place: Province) -> dict[str, float]:
    """What log, metrics and `socmon status` all say of the damage."""
    sampled = metrics(place)
    counted = {name: sampled[f'socmon_outbox_damage_total{{reason="{reason}"}}'] for name, reason in COUNTED.items()}
    seen = socmon(place, "-o", "json", "status")
    assert seen.returncode == 1
    (warning,) = [each for each in json.loads(seen.stdout)["warnings"] if each["code"] == "outbox_damaged"]
    assert {name: warning[name] for name in counted} == counted
    return counted


@pytest.mark.parametrize(("table", "page"), [("released", 13), ("pending", 0), ("receipt", 0)])
def test_fault_09_page_of_the_outbox_zeroed(place: Province, table: str, page: int) -> None:
    backlog_behind(place, 40)
    zero(store(place), page_of(store(place), table, page))

    start_and_settle(place)

    shown = damage_shown(place)
    (told,) = place.events("daemon.log", "the outbox was damaged, what could be read of it was kept")
    assert {name: told[name] for name in shown} == shown
    assert (shown["lost"] > 0) == (table == "released")
    assert (shown["queued"] > 0) == (table != "receipt")
    assert (shown["unproved"] > 0) == (table == "receipt")
    assert [each for each in place.reading().alerts if each.title == "Outbox damaged"]
    place.stop_daemon()
    assert verify(store(place)).count == 0


def test_fault_09_bit_of_a_message_flipped(place: Province) -> None:
    backlog_behind(place, 10)
    ((number, body),) = rows(place, "select id, body from released where state = 'waiting' order by id limit 1")
    data = bytearray(store(place).read_bytes())
    data[data.index(json.loads(body)["id"].encode())] ^= 1
    store(place).write_bytes(data)
    assert [(each.table, each.row) for each in verify(store(place)).damages] == [("released", str(number))]

    start_and_settle(place)

    assert damage_shown(place) == {"lost": 1, "queued": 1, "unproved": 0}
    assert [each["code"] for each in place.events("daemon.log", "alert refused, kept as a dead letter")] == ["damaged"]
    assert rows(place, f"select state, code, retried_by from released where id = {number}") == [
        ("retried", "damaged", "socmon")
    ]


def test_fault_09_lost_sequences_become_voids(place: Province) -> None:
    backlog_behind(place, 40)
    zero(store(place), page_of(store(place), "released", 13))

    start_and_settle(place)

    wait_for(lambda: place.stats()["organisations"][ORG]["gaps"] == [], "the centre waits for no sequence any more")


def test_a_store_that_is_empty_is_made_again_from_the_journal(place: Province) -> None:
    backlog_behind(place, 10)
    store(place).write_bytes(b"")

    start_and_settle(place)

    assert place.events("daemon.log", "the file of the store was empty, it is made again from the journal")


def test_detection_goes_on_where_it_was_though_the_ledger_is_lost(place: Province) -> None:
    backlog_behind(place, 10)
    with closing(sqlite3.connect(store(place), isolation_level=None)) as db:
        db.execute("update checkpoint set ledger = x'c1'")
    place.start_centre()
    place.start_daemon()
    write(place, ALERTS + 10, 5)

    wait_for(lambda: len(place.reading().alerts) == ALERTS + 15, "what was written since is found")
    wait_for(lambda: place.backlog() == 0, "all is delivered")

    place.check_nothing_is_lost_or_doubled()
    assert place.events("daemon.log", "the ledger cannot be read, it begins anew at the checkpoint")
    assert place.account("auth").journalled < ALERTS + 15
    assert place.account("auth").in_flight == 0
