"""The tables of the store, as numbered migrations. Imported only to run one: sqlite_utils takes long to import."""

from collections.abc import Callable

import sqlite_utils
from sqlite_utils.db import DescIndex, Table


def _table(db: sqlite_utils.Database, name: str) -> Table:
    return db.table(name)


def _first(db: sqlite_utils.Database) -> None:
    _create_alerts(db)
    _create_outbox(db)
    _create_checkpoint(db)


def _create_alerts(db: sqlite_utils.Database) -> None:
    _table(db, "alert").create(
        {
            "id": str,
            "rule_id": str,
            "title": str,
            "level": str,
            "tags": str,
            "grouped": str,  # {field: value}; "group" is a word of SQL
            "first_us": int,
            "last_us": int,
            "count": int,
            "revision": int,
            "opened_seq": int,
            "approximate": int,
            "host": str,
            "agency": str,
            "entities": str,
            "status": str,
            "analyst_revision": int,
            "stored_us": int,
        },
        pk="id",
        not_null={"rule_id", "level", "revision"},
    )
    _table(db, "alert").create_index(["last_us"])
    _table(db, "evidence").create(
        {
            "alert_id": str,
            "seq": int,
            "time_us": int,
            "host": str,
            "collector": str,
            "peer": str,
            "raw": str,
            "sha256": str,
            "fields": str,
            "cut": int,
        },
        pk=("alert_id", "seq"),
    )


def _create_outbox(db: sqlite_utils.Database) -> None:
    # At most one row a destination and alert: a newer revision overwrites it until it is released.
    _table(db, "pending").create(
        {"destination": str, "alert_id": str, "urgency": int, "since_us": int, "error": str},
        pk=("destination", "alert_id"),
    )
    _table(db, "pending").create_index(["destination", DescIndex("urgency"), "since_us"])
    # A released row never changes, but for what became of it.
    _table(db, "released").create(
        {
            "id": int,
            "destination": str,
            "stream": str,
            "epoch": str,
            "seq": int,
            "alert_id": str,
            "revision": int,
            "level": str,
            "urgency": int,
            "status": str,
            "released_us": int,
            "body": bytes,
            "sha256": str,
            "state": str,  # waiting, acknowledged, dead, or retried: a dead letter that a person released again
            "code": str,
            "settled_us": int,
        },
        pk="id",
    )
    _table(db, "released").create_index(["destination", "stream", "epoch", "seq"], unique=True)
    _table(db, "released").create_index(["destination", "state", "id"])
    _table(db, "released").create_index(["destination", "alert_id", "id"])
    _table(db, "stream").create(
        {"destination": str, "stream": str, "epoch": str, "next_seq": int}, pk=("destination", "stream")
    )


def _create_checkpoint(db: sqlite_utils.Database) -> None:
    _table(db, "checkpoint").create(
        {"id": int, "incarnation": str, "number": int, "ledger": bytes, "taken_us": int}, pk="id"
    )
    _table(db, "state").create({"key": bytes, "value": bytes}, pk="key")


def _retried(db: sqlite_utils.Database) -> None:
    _table(db, "released").add_column("retried_us", int)
    _table(db, "released").add_column("retried_by", str)


def _add_system(db: sqlite_utils.Database) -> None:
    _table(db, "alert").add_column("system", str, not_null_default="")
    _table(db, "alert").add_column("system_level", int)


_COUNT = """
begin
    delete from change where alert_id = new.id;
    insert into change (alert_id) values (new.id);
end
"""
_COUNT_HISTORY = _COUNT.replace("new.id", "new.alert_id")


def _follow_alerts(db: sqlite_utils.Database) -> None:
    """Each alert's last change gets a number that only grows: whoever follows alerts asks for those after the last.

    By triggers, so that no writer can forget it. One thread writes, so a number is never seen before a lower one;
    AUTOINCREMENT, so that none is given twice.
    """
    db.execute("create table change (number integer primary key autoincrement, alert_id text not null unique)")
    db.execute("insert into change (alert_id) select id from alert order by stored_us, opened_seq, id")
    db.execute("create index idx_alert_level_status on alert (level, status)")  # `socmon status` counts them
    db.execute(f"create trigger alert_added after insert on alert {_COUNT}")
    db.execute(f"create trigger alert_changed after update on alert {_COUNT}")


def _add_triage(db: sqlite_utils.Database) -> None:
    """What analysts do with an alert: what it is by that in columns of the alert's, each change in `history`."""
    alerts = _table(db, "alert")
    alerts.add_column("opened_us", int)  # null for alerts of before: nobody wrote it down
    alerts.add_column("reason", str, not_null_default="")
    alerts.add_column("status_by", str, not_null_default="")
    alerts.add_column("closed_revision", int)  # detection's, when it was closed: a greater one tells of matches since
    _table(db, "history").create(
        {
            "id": int,
            "alert_id": str,
            "time_us": int,
            "actor": str,
            "verb": str,
            "status_before": str,
            "status_after": str,
            "reason": str,
            "text": str,
            "analyst_revision": int,
        },
        pk="id",
        not_null={"alert_id", "time_us", "actor", "verb"},
    )
    _table(db, "history").create_index(["alert_id", "id"])
    # A comment leaves the alert as it is; who follows alerts hears of it all the same.
    db.execute(f"create trigger history_added after insert on history {_COUNT_HISTORY}")


def _add_received(db: sqlite_utils.Database) -> None:
    _table(db, "alert").add_column("received_us", int)  # null: stored before this column was, or the journal lost it


def _add_sources(db: sqlite_utils.Database) -> None:
    _table(db, "source").create(
        {
            "collector": str,
            "peer": str,
            "host": str,
            "format": str,
            "authenticated": int,
            "records": int,
            "first_us": int,
            "last_us": int,
            "last_event_us": int,
            "skew_us": int,  # of the two below, for who reads the table
            "frame": int,
            "period": int,
            "least_us": int,
            "before_us": int,
        },
        pk=("collector", "peer", "host"),
    )
    _table(db, "silence").create({"name": str, "state": str, "since_us": int, "silent_s": int, "frame": int}, pk="name")
    _table(db, "alert").create_index(
        ["rule_id"]
    )  # when a source is heard again, the alert of its silence is looked for


def _add_receipt(db: sqlite_utils.Database) -> None:
    """What the centre signed: one receipt for a batch, so for many rows."""
    _table(db, "receipt").create({"id": int, "content": str}, pk="id", not_null={"content"})
    _table(db, "released").add_column("receipt_id", int)
    _table(db, "released").create_index(["receipt_id"])


def _add_voids(db: sqlite_utils.Database) -> None:
    """Sequences in which no alert comes; how far a stream was pruned; whose revisions are sent as greater ones."""
    _table(db, "void").create(
        {
            "id": int,
            "destination": str,
            "stream": str,
            "epoch": str,
            "seq": int,
            "to_seq": int,
            "reason": str,
            "alert_id": str,
            "made_us": int,
            "body": bytes,
            "sha256": str,
            "state": str,  # pending (no message yet), waiting, held, acknowledged, or dead
            "code": str,
            "settled_us": int,
        },
        pk="id",
        not_null={"destination", "stream", "epoch", "seq", "to_seq", "reason", "alert_id", "made_us", "state"},
        defaults={"alert_id": "", "state": "pending"},
    )
    _table(db, "void").create_index(["destination", "stream", "epoch", "seq"], unique=True)
    _table(db, "void").create_index(["destination", "state"])
    _table(db, "stream").add_column("pruned_seq", int, not_null_default=0)
    _table(db, "lifted").create(
        {"destination": str, "alert_id": str, "revisions": int}, pk=("destination", "alert_id"), not_null={"revisions"}
    )


def _add_aggregates(db: sqlite_utils.Database) -> None:
    """A release within another one, whose message tells of it too; that one is within itself."""
    _table(db, "released").add_column("within", int)
    db.execute("create index idx_released_within on released (within) where within is not null")
    # What waits is little, and is asked for with each batch.
    db.execute(
        "create index idx_released_waiting on released (destination, stream, epoch, seq) where state = 'waiting'"
    )


def _add_decisions(db: sqlite_utils.Database) -> None:
    """What people decide on alerts for a destination, and on the destination; by what its alerts were looked at."""
    _table(db, "decision").create(
        {
            "id": int,
            "destination": str,
            "alert_id": str,
            "verb": str,  # approve, withdraw, or drop: of the revisions up to `revision`
            "actor": str,
            "time_us": int,
            "reason": str,
            "revision": int,
        },
        pk="id",
        not_null={"destination", "alert_id", "verb", "actor", "time_us", "reason", "revision"},
    )
    _table(db, "decision").create_index(["destination", "alert_id", "id"])
    _table(db, "pause").create(
        {"destination": str, "since_us": int, "until_us": int, "urgent": int, "actor": str},
        pk="destination",
        not_null={"since_us", "urgent", "actor"},
    )
    _table(db, "policy").create({"destination": str, "policy": str}, pk="destination")
    _table(db, "released").add_column("closing", int, not_null_default=0)  # 1: it tells that the alert is withdrawn


MIGRATIONS: tuple[Callable[[sqlite_utils.Database], None], ...] = (
    _first,
    _retried,
    _add_system,
    _follow_alerts,
    _add_triage,
    _add_received,
    _add_sources,
    _add_receipt,
    _add_voids,
    _add_aggregates,
    _add_decisions,
)
