"""Sources and silences as rows, and back; the open alerts of one rule."""

import sqlite3
from collections.abc import Iterator, Mapping

import msgspec

from socmon.seen import Clock, Seen, Silence

_SEEN = Seen.__struct_fields__
_SILENCE = Silence.__struct_fields__
# Names of our own structs: nothing of it comes from outside.
_SELECT_SEEN = f"select {', '.join(_SEEN)} from source order by collector, peer, host"  # noqa: S608
_PUT_SEEN = f"insert or replace into source ({', '.join(_SEEN)}, skew_us) values ({', '.join('?' * len(_SEEN))}, ?)"  # noqa: S608
_SELECT_SILENCE = f"select {', '.join(_SILENCE)} from silence order by frame, name"  # noqa: S608
_PUT_SILENCE = f"insert or replace into silence ({', '.join(_SILENCE)}) values ({', '.join('?' * len(_SILENCE))})"  # noqa: S608


def write_sources(
    db: sqlite3.Connection, rows: Mapping[Clock, Seen | None], silences: Mapping[str, Silence | None]
) -> None:
    """Write the rows that changed, and remove those that are None."""
    db.executemany(
        "delete from source where collector = ? and peer = ? and host = ?",
        [clock for clock, row in rows.items() if row is None],
    )
    db.executemany(_PUT_SEEN, [(*msgspec.structs.astuple(row), row.skew_us) for row in rows.values() if row])
    db.executemany("delete from silence where name = ?", [(name,) for name, each in silences.items() if each is None])
    db.executemany(_PUT_SILENCE, [msgspec.structs.astuple(each) for each in silences.values() if each])


def read_seen(db: sqlite3.Connection) -> Iterator[Seen]:
    """Every source, by collector, peer and host."""
    for row in db.execute(_SELECT_SEEN):
        values = dict(zip(_SEEN, row, strict=True))
        yield Seen(**values | {"authenticated": bool(values["authenticated"])})


def read_silences(db: sqlite3.Connection) -> Iterator[Silence]:
    """The last silence of each expected source that ever had one, the oldest first."""
    for row in db.execute(_SELECT_SILENCE):
        yield Silence(*row)


def open_alerts(db: sqlite3.Connection, rule_id: str) -> list[tuple[str, dict[str, str]]]:
    """(id, group) of each alert of a rule that is not closed."""
    found = db.execute("select id, grouped from alert where rule_id = ? and status <> 'closed'", (rule_id,))
    return [(alert_id, msgspec.json.decode(group, type=dict[str, str])) for alert_id, group in found]
