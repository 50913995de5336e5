"""What the store says of the clocks' start, and of who accepted an alert."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from store_kit import START_US, Place, S, alert

from socmon.reports.duty import Facts, facts

_RELEASED = """
insert into released (destination, stream, epoch, seq, alert_id, revision, state, code, settled_us)
values (?, 'urgent', 'e', ?, ?, 1, ?, ?, ?)
"""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    place = Place(tmp_path)
    place.put(alert(1, received_us=START_US - S), now_us=START_US)
    with closing(sqlite3.connect(place.store)) as db:
        yield db


def test_the_clocks_start_when_its_record_was_received_or_at_what_is_known_of_old_alerts(
    db: sqlite3.Connection,
) -> None:
    received = facts(db, alert(1).id)
    db.execute("update alert set received_us = null")
    detected = facts(db, alert(1).id)
    db.execute("update alert set opened_us = null")
    first_event = facts(db, alert(1).id)

    assert received == Facts(START_US - S, "received", {})
    assert detected == Facts(START_US, "detected", {})
    assert first_event == Facts(alert(1).first_us, "first_event", {})


def test_the_first_acceptance_counts_and_what_was_refused_or_quarantined_does_not(db: sqlite3.Connection) -> None:
    rows = [
        ("ncsc", "dead", "oversize", 1),
        ("ncsc", "acknowledged", "id_reuse", 2),  # in quarantine
        ("ncsc", "waiting", None, None),
        ("ncsc", "acknowledged", "duplicate", 5),
        ("ncsc", "acknowledged", "accepted", 4),
        ("file", "acknowledged", "accepted", 3),
        ("other", "acknowledged", "bad_sig", 1),
    ]
    for seq, (destination, state, code, settled_us) in enumerate(rows):
        db.execute(_RELEASED, (destination, seq, alert(1).id, state, code, settled_us))

    assert facts(db, alert(1).id).accepted_us == {"ncsc": 4, "file": 3}
