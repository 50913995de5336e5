"""Whether a store is whole: its file, its rows, and what its rows say of each other; and what of it is not."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct

from socmon.errors import StoreError
from socmon.i18n import Message, mark
from socmon.store.ledgers import is_place, readable_ledger
from socmon.store.reading import connect, readable

MAX_SHOWN = 1_000  # damages that are listed; all are counted
_MAX_FOUND = 100  # by SQLite, in each table
_UNKNOWN_END = 10_000  # rows that are looked for where a table's end cannot be read

_AHEAD = """
next_seq > coalesce((select max(seq) from released where released.destination = stream.destination
                     and released.stream = stream.stream and released.epoch = stream.epoch), 0)
"""
# What each row must be, by table: (whether it is so, what it is if not). "x is not true" holds for null too.
_RULES: tuple[tuple[str, str, str], ...] = (
    ("alert", "level in ('informational', 'low', 'medium', 'high', 'critical')", mark("its level is none")),
    ("alert", "status in ('open', 'acknowledged', 'closed')", mark("its status is none")),
    ("alert", "revision > 0 and count > 0 and analyst_revision >= 0", mark("its counts are none")),
    ("alert", "json_valid(tags) and json_valid(grouped) and json_valid(entities)", mark("its fields cannot be read")),
    ("alert", "id in (select alert_id from change)", mark("its last change has no number")),
    ("evidence", "alert_id in (select id from alert)", mark("its alert is gone")),
    ("evidence", "json_valid(fields)", mark("its fields cannot be read")),
    ("history", "alert_id in (select id from alert)", mark("its alert is gone")),
    ("change", "alert_id in (select id from alert)", mark("its alert is gone")),
    ("pending", "alert_id in (select id from alert)", mark("its alert is gone")),
    (
        "released",
        "state in ('waiting', 'held', 'acknowledged', 'dead', 'retried', 'withdrawn', 'dropped')",
        mark("its state is none"),
    ),
    ("receipt", "json_valid(content)", mark("it cannot be read")),
    (
        "released",
        "(seq > 0 or seq is null and within <> id and body = x'') and revision > 0",
        mark("its sequence or revision is none"),
    ),
    ("void", "state in ('pending', 'waiting', 'held', 'acknowledged', 'dead')", mark("its state is none")),
    ("decision", "verb in ('approve', 'withdraw', 'drop')", mark("its verb is none")),
    ("void", "seq > 0 and to_seq >= seq", mark("its sequences are none")),
    ("stream", _AHEAD, mark("its next sequence is given already")),
)


class Damage(Struct, frozen=True):
    """One thing that is wrong.

    Attributes:
        table: "" is the whole file.
        row: its number in the table (SQLite's rowid), or `first-last` of some; "" is the whole table.
    """

    table: str
    row: str
    what: str


class Verified(Struct):
    """What was found.

    Attributes:
        rows: by table, how many could be read.
        count: damages in all; `damages` are the first MAX_SHOWN.
    """

    rows: dict[str, int]
    count: int
    damages: list[Damage]


class _Found:
    """Collects damages, each place and word of it once."""

    def __init__(self) -> None:
        self.damages: dict[Damage, None] = {}
        self.count = 0

    def add(self, table: str, row: str, what: str) -> None:
        damage = Damage(table, row, what)
        if damage in self.damages:
            return
        self.count += 1
        if self.count <= MAX_SHOWN:
            self.damages[damage] = None

    def by(self, table: str, work: Callable[[], None]) -> None:
        """Do `work`, and add that it could not be done, if so."""
        try:
            work()
        except sqlite3.DatabaseError as error:
            self.add(table, "", str(error))


def verify(path: Path) -> Verified:
    """Look at all of a store, whether or not a daemon writes to it; or at a backup.

    Raises:
        NotFoundError: there is none.
        PermissionError: this user may not read it.
        StoreError: it is no store at all, or of a newer socmon.
    """
    readable(path)
    db, _ = connect(path)
    with closing(db):
        db.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            db.execute("begin")
            tables = _tables(db)
        except sqlite3.DatabaseError as error:
            raise StoreError(Message("cannot read {path}: {error}", path=path, error=error)) from error
        if "alert" not in tables or "checkpoint" not in tables:
            raise StoreError(Message("{path} is no store of socmon", path=path))
        found = _Found()
        whole = _is_whole(db, found)
        rows = {}
        for table in tables:
            spans, rows[table] = unreadable(db, table)
            for first, last in spans:
                found.add(table, str(first) if first == last else f"{first}-{last}", mark("cannot be read"))
            if not whole:
                _check_table(db, table, found)
        _check_contents(db, tables, found)
    return Verified(rows, found.count, list(found.damages))


def _tables(db: sqlite3.Connection) -> list[str]:
    query = "select name from sqlite_schema where type = 'table' and name not like 'sqlite^_%' escape '^' order by name"
    return [name for (name,) in db.execute(query)]


def _is_whole(db: sqlite3.Connection, found: _Found) -> bool:
    """Whether SQLite finds the file sound. At great damage it gives up: its tables are then looked at one by one."""
    try:
        lines = [str(line) for (line,) in db.execute(f"pragma integrity_check({_MAX_FOUND})")]
    except sqlite3.DatabaseError as error:
        lines = [str(error)]
    for each in db.execute("pragma foreign_key_check").fetchall():
        found.add(each[0], str(each[1]), mark("what it refers to is gone"))
    if lines == ["ok"]:
        return True
    for line in lines:
        found.add("", "", " ".join(line.split())[:200])
    return False


def _check_table(db: sqlite3.Connection, table: str, found: _Found) -> None:
    def work() -> None:
        # Names of tables are ours, or were damaged: then quoting them is all the more in place.
        for (line,) in db.execute(f"pragma integrity_check({quoted(table)})").fetchmany(_MAX_FOUND):
            if line != "ok":
                found.add(table, "", " ".join(str(line).split())[:200])

    found.by(table, work)


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def unreadable(db: sqlite3.Connection, table: str) -> tuple[list["Span"], int]:
    """Where rows of a table cannot be read, and how many can."""
    spans, read = [], 0
    for each in scan(db, table, "*"):
        if isinstance(each, Span):
            spans.append(each)
        else:
            read += 1
    return spans, read


class Span(NamedTuple):
    """Numbers of rows that cannot be read.

    What is damaged is a page, and what it held cannot be known: a number in between may never have been given.
    """

    first: int
    last: int


def scan(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...] | Span]:
    """Each row that can be read, as its number and `columns`, in the order of numbers; and a Span for what cannot."""
    select = f"select rowid, {columns} from {quoted(table)} not indexed where rowid >= ? order by rowid"  # noqa: S608  quoted
    at, end = -(1 << 62), None
    while True:
        try:
            for row in db.execute(select, (at,)):
                at = row[0] + 1
                yield row
            return
        except sqlite3.DatabaseError:
            # Python looks for the next row before it hands one out: the last before the damage is asked for alone.
            found = _first(db, select, at)
        if found is not None:
            at = found[0] + 1
            yield found
            continue
        at = max(at, 0)
        end = _last(db, table, at) if end is None else end
        first, at = at, _readable_from(db, select, at, end)
        yield Span(first, at - 1)
        if at > end:
            return


def _first(db: sqlite3.Connection, select: str, at: int) -> tuple[Any, ...] | None:
    try:
        row: tuple[Any, ...] | None = db.execute(f"{select} limit 1", (at,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row


def _readable_from(db: sqlite3.Connection, select: str, at: int, end: int) -> int:
    """The first number behind `at` from which on a row, or the table's end, can be read; `end` + 1 if there is none."""
    for number in range(at + 1, end + 1):
        try:
            db.execute(f"{select} limit 1", (number,)).fetchone()
        except sqlite3.DatabaseError:
            continue
        return number
    return max(end, at) + 1


def _last(db: sqlite3.Connection, table: str, at: int) -> int:
    """The greatest number of a row, from the table or an index of it."""
    indexes = [row[1] for row in _tried(db, f"pragma index_list({quoted(table)})")]
    ways = ["not indexed", *(f"indexed by {quoted(name)}" for name in indexes)]
    for way in ways:
        for (last,) in _tried(db, f"select max(rowid) from {quoted(table)} {way}"):  # noqa: S608  quoted
            return int(last or 0)
    return at + _UNKNOWN_END


def _tried(db: sqlite3.Connection, statement: str) -> list[tuple[Any, ...]]:
    try:
        return db.execute(statement).fetchall()
    except sqlite3.DatabaseError:
        return []


def _check_contents(db: sqlite3.Connection, tables: list[str], found: _Found) -> None:
    for table, rule, what in _RULES:
        if table in tables:
            found.by(table, partial(_check_rule, db, table, rule, what, found))
    if "released" in tables:
        text = mark("its message is not what was made")
        found.by("released", lambda: _check_hashes(_messages(db), "released", text, found))
    if "receipt" in tables:  # before there were any, no release named one
        named = "receipt_id is null or receipt_id in (select id from receipt)"
        gone = mark("its receipt is gone")
        found.by("released", lambda: _check_rule(db, "released", named, gone, found))
    if "evidence" in tables:
        line = mark("its line is not what was received")
        found.by("evidence", lambda: _check_hashes(_lines(db), "evidence", line, found))
    found.by("checkpoint", lambda: _check_checkpoint(db, found))


def _check_rule(db: sqlite3.Connection, table: str, rule: str, what: str, found: _Found) -> None:
    statement = f"select rowid from {table} where ({rule}) is not true"  # noqa: S608  constants of this file
    for (rowid,) in db.execute(statement):
        found.add(table, str(rowid), what)


def _check_hashes(rows: Iterator[tuple[int, bytes, str]], table: str, what: str, found: _Found) -> None:
    for rowid, data, stated in rows:
        if hashlib.sha256(data).hexdigest() != stated:
            found.add(table, str(rowid), what)


def _messages(db: sqlite3.Connection) -> Iterator[tuple[int, bytes, str]]:
    # What was acknowledged and then followed by something newer has given up its bytes.
    for rowid, data, stated, state in _rows(db, "released", "body, sha256, state"):
        if data or state != "acknowledged":
            yield rowid, data if isinstance(data, bytes) else str(data).encode(), stated


def _lines(db: sqlite3.Connection) -> Iterator[tuple[int, bytes, str]]:
    # Of a line that was cut, or that is no UTF-8 (then it has a backslash), the bytes are not here.
    for rowid, raw, stated, cut in _rows(db, "evidence", "raw, sha256, cut"):
        if not cut and "\\" not in str(raw):
            yield rowid, str(raw).encode(), stated


def _rows(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    return (each for each in scan(db, table, columns) if not isinstance(each, Span))


def _check_checkpoint(db: sqlite3.Connection, found: _Found) -> None:
    rows = db.execute("select rowid, incarnation, number, ledger from checkpoint")
    for rowid, incarnation, number, ledger in rows:
        if readable_ledger(ledger)[1]:
            found.add("checkpoint", str(rowid), mark("its ledger cannot be read"))
        if not is_place(incarnation, number):
            found.add("checkpoint", str(rowid), mark("its journal frame is none"))
