"""The read side: alerts by SQL, out of the store's file, beside a daemon that writes, or without one."""

import errno
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from socmon.errors import NotFoundError, StoreError
from socmon.event import LEVELS, Alert
from socmon.i18n import Message, mark
from socmon.store.rows import ALERT_FIELDS, SELECT_ALERT, alert_of, read_evidence

T = TypeVar("T")
STATUSES = ("open", "acknowledged", "closed", "recurring")
_NEVER_US = (1 << 62, -(1 << 62))  # after and before every time
SCHEMA = 11  # the newest that is known here: len(migrations.MIGRATIONS), which would import the writer's libraries
_TRIES = 5
_MAX_RELEASES = 10

# One constant statement whatever is asked for: a part that is not, is null. It goes along the index of last_us, from
# the newest on, until it has enough.
_WANTED = """
last_us >= :since and last_us <= :until
  and (:levels is null or level in (select value from json_each(:levels)))
  and (:status is null or status = :status
       or :status = 'recurring' and status = 'closed' and revision > closed_revision)
  and (:agency is null or agency = :agency)
  and (:rule is null or rule_id = :rule or instr(lower(title), lower(:rule)) > 0
       or title in (select value from json_each(:titles)))
  and (:host is null or host = :host or instr(entities, :host_json) > 0
       and exists (select 1 from json_each(entities, '$.host') as named where named.value = :host))
  and (:entity is null or instr(entities, :entity_json) > 0
       and exists (select 1 from json_each(entities) as kind, json_each(kind.value) as named
                   where named.value = :entity))
"""
_LIST = f"""
select * from ({SELECT_ALERT} where {_WANTED} order by last_us desc, id desc limit :limit) order by last_us, id
"""  # noqa: S608  constants
_COUNT = f"select count(*) from alert where {_WANTED}"  # noqa: S608  constants
# "cross" lets SQLite go along the changes, and never look for a better way.
# All that changed, each with whether it is wanted: whoever follows goes on after the last change, wanted or not.
_CHANGES = f"""
select changed.number, {_WANTED}, {ALERT_FIELDS}
from change as changed cross join alert on alert.id = changed.alert_id
where changed.number > :after order by changed.number limit :limit
"""  # noqa: S608  constants
_LAST_CHANGES = f"""
select * from (select changed.number, {ALERT_FIELDS}
               from change as changed cross join alert on alert.id = changed.alert_id
               where {_WANTED} order by changed.number desc limit :limit)
order by number
"""  # noqa: S608  constants
_RELEASES = """
select destination, revision, state, code, stream, epoch,
       coalesce(seq, (select whole.seq from released as whole where whole.id = released.within), 0),
       released_us, settled_us from released
where alert_id = ? and destination = ? order by id desc limit ?
"""


class Filter(Struct, frozen=True):
    """Which alerts are asked for; what is None does not matter.

    Attributes:
        level: one of LEVELS; with `+` at its end that level and all above.
        status: one of STATUSES; what is recurring is closed too.
        rule: the rule's id, or a part of its title.
        titles: titles that count as containing `rule` too: those whose translation does.
        host: of the alert, or one of its entities.
        entity: a value of any kind, exactly.
        since_us: of the last event; inclusive, as `until_us`.
    """

    level: str | None = None
    status: str | None = None
    rule: str | None = None
    titles: tuple[str, ...] = ()
    agency: str | None = None
    host: str | None = None
    entity: str | None = None
    since_us: int | None = None
    until_us: int | None = None

    def parameters(self) -> dict[str, object]:
        """What the statement's names stand for."""
        never, always = _NEVER_US
        return {
            "since": always if self.since_us is None else self.since_us,
            "until": never if self.until_us is None else self.until_us,
            "levels": None if self.level is None else _json(levels(self.level)),
            "status": self.status,
            "agency": self.agency,
            "rule": self.rule,
            "titles": _json(self.titles),
            "host": self.host,
            "host_json": None if self.host is None else _json(self.host),
            "entity": self.entity,
            "entity_json": None if self.entity is None else _json(self.entity),  # as rows.py writes it
        }


ALL = Filter()


class Released(Struct, frozen=True):
    """One release of an alert; `state` is waiting, acknowledged or dead, `code` what the destination said."""

    revision: int
    state: str
    code: str | None
    stream: str
    epoch: str
    seq: int
    released_us: int
    settled_us: int | None


class Delivery(Struct, frozen=True):
    """Where an alert stands with one destination.

    Attributes:
        pending_us: since when a newer revision waits to be released; None if none does.
        error: why it could not be rendered.
        releases: the last ones, oldest first.
    """

    destination: str
    pending_us: int | None
    error: str | None
    releases: list[Released]


def levels(text: str) -> tuple[str, ...]:
    """`high` → (high,); `high+` → (high, critical)."""
    name = text.removesuffix("+")
    names: list[str] = [*LEVELS]
    return tuple(names[names.index(name) :]) if text.endswith("+") else (name,)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class Reader:
    """An open store, for reading only.

    Attributes:
        identity: which file it is, whatever its name.
        immutable: what is written to the file from now on is not seen.
    """

    def __init__(self, path: Path) -> None:
        """Open the store.

        Raises:
            NotFoundError: there is none yet.
            PermissionError: this user may not read it.
            StoreError: it cannot be read, or is from another version.
        """
        self.path = path
        stat = readable(path)
        self.identity = _identity(stat)
        self._state = _state(stat)
        self.db, self.immutable = connect(path)
        self.db.text_factory = _text
        (schema,) = self.db.execute("pragma user_version").fetchone()
        if schema < SCHEMA:
            self.close()
            if schema == 0:
                raise _no_store(path)
            text = mark("{path} was written by an older socmon; start the daemon once, it brings the store up to date")
            raise StoreError(Message(text, path=path))

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def replaced(self) -> bool:
        """Whether another file has taken the store's place; False while there is none."""
        try:
            return _identity(readable(self.path)) != self.identity
        except NotFoundError:
            return False

    def stood_still(self) -> bool:
        """Whether what was read is of one moment: always, but where the file alone is read it may have been written."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        return not self.immutable or (_state(readable(self.path)) == self._state and not wal.exists())

    def find(self, wanted: Filter, limit: int) -> list[Alert]:
        """The newest `limit` alerts by their last event, oldest first, without evidence."""
        return [alert_of(row) for row in self.db.execute(_LIST, {**wanted.parameters(), "limit": limit})]

    def count(self, wanted: Filter) -> int:
        """How many alerts there are."""
        (found,) = self.db.execute(_COUNT, wanted.parameters()).fetchone()
        return int(found)

    def beginning_with(self, prefix: str, limit: int) -> list[Alert]:
        """Alerts whose id begins with `prefix`, without evidence."""
        rows = self.db.execute(
            SELECT_ALERT + "where id >= ? and id < ? order by id limit ?", (prefix, f"{prefix}\x7f", limit)
        )
        return [alert_of(row) for row in rows]

    def with_evidence(self, alert: Alert) -> Alert:
        """The same alert, its evidence read."""
        alert.evidence = read_evidence(self.db, alert.id)
        return alert

    def revision(self, alert_id: str) -> int:
        """The sum of the alert's revisions; -1 if there is no such alert."""
        row = self.db.execute("select revision + analyst_revision from alert where id = ?", (alert_id,)).fetchone()
        return -1 if row is None else int(row[0])

    def changes(self, after: int, limit: int, wanted: Filter = ALL) -> tuple[list[Alert], int, bool]:
        """Alerts that are new or changed since change `after`, by their last change, of the next `limit` changes.

        Returns:
            Those that are wanted; the number of the last change that was looked at; whether there may be more.

        Raises:
            StoreError: the store cannot be read.
        """
        rows = self._read(_CHANGES, {**wanted.parameters(), "after": after, "limit": limit})
        alerts = [alert_of(row) for _, is_wanted, *row in rows if is_wanted]
        return alerts, rows[-1][0] if rows else after, len(rows) == limit

    def last_changes(self, limit: int, wanted: Filter = ALL) -> tuple[list[Alert], int]:
        """The `limit` wanted ones that changed last, oldest first; and the number of the last change of all.

        Raises:
            StoreError: the store cannot be read.
        """
        self.db.execute("savepoint looking")
        try:
            rows = self._read(_LAST_CHANGES, {**wanted.parameters(), "limit": limit})
            ((last,),) = self._read("select coalesce(max(number), 0) from change", {})
        finally:
            self.db.execute("release looking")
        return [alert_of(row) for _, *row in rows], last

    def _read(self, statement: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        try:
            return self.db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(self.path, error) from error

    def deliveries(self, alert_id: str) -> list[Delivery]:
        """Where the alert stands, by destination."""
        pending = {
            name: (since_us, error)
            for name, since_us, error in self.db.execute(
                "select destination, since_us, error from pending where alert_id = ?", (alert_id,)
            )
        }
        names = {*pending, *_column(self.db, "select distinct destination from released")}
        found = []
        for name in sorted(names):
            rows = self.db.execute(_RELEASES, (alert_id, name, _MAX_RELEASES)).fetchall()
            if rows or name in pending:
                releases = [Released(*row) for _, *row in reversed(rows)]
                found.append(Delivery(name, *pending.get(name, (None, None)), releases))
        return found


def consult(path: Path, work: Callable[[Reader], T]) -> T:
    """What `work` makes of the store as it is at one moment.

    Raises:
        NotFoundError: there is none yet.
        PermissionError: this user may not read it.
        StoreError: it cannot be read.
    """
    for _ in range(_TRIES):
        reader = Reader(path)
        try:
            reader.db.execute("begin")
            result = work(reader)
            if reader.stood_still():
                return result
        except sqlite3.Error as error:
            if reader.stood_still():
                raise _unreadable(path, error) from error
        finally:
            reader.close()
    raise StoreError(Message("{path} changes while it is read; try again", path=path))


def connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection, and whether it takes the file to be immutable.

    A reader beside a writer needs the files -wal and -shm. The daemon removes them at its stop, and who may not write
    in the folder cannot make them anew: then the file alone is all there is, and is read as it stands
    (docs/adr/0023).
    """
    uri = path.absolute().as_uri()
    try:
        return _tried(f"{uri}?mode=ro"), False
    except sqlite3.OperationalError as error:
        for companion in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            if companion.exists() and (companion.stat().st_size or not os.access(companion, os.R_OK)):
                denied = os.strerror(errno.EACCES)
                raise PermissionError(errno.EACCES, denied, str(companion)) from error
        if os.access(path.parent, os.W_OK):
            raise _unreadable(path, error) from error
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    try:
        return _tried(f"{uri}?mode=ro&immutable=1"), True
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _tried(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)
    try:
        db.execute("select count(*) from sqlite_master").fetchone()
        (version,) = db.execute("pragma user_version").fetchone()
    except sqlite3.Error:
        db.close()
        raise
    if version > SCHEMA:
        db.close()
        text = mark("the store was written by a newer socmon (schema {version}); upgrade this one")
        raise StoreError(Message(text, version=version))
    return db


def readable(path: Path) -> os.stat_result:
    """The `stat` of a store that this user may read.

    Raises:
        NotFoundError: there is none.
        PermissionError: this user may not look, or not read it.
    """
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise _no_store(path) from error
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return stat


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return (stat.st_dev, stat.st_ino)


def _state(stat: os.stat_result) -> tuple[int, ...]:
    return (*_identity(stat), stat.st_size, stat.st_mtime_ns)


def _no_store(path: Path) -> NotFoundError:
    text = mark("there is no store at {path} yet; start the daemon, or name another configuration by -c")
    return NotFoundError(Message(text, path=path))


def _unreadable(path: Path, error: sqlite3.Error) -> StoreError:
    if type(error) is sqlite3.DatabaseError:
        text = mark("{path} is damaged: {error}; `socmon db restore FILE` puts a backup that is whole in its place")
        return StoreError(Message(text, path=path, error=error))
    return StoreError(Message("cannot read {path}: {error}", path=path, error=error))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _column(db: sqlite3.Connection, statement: str) -> list[str]:
    return [value for (value,) in db.execute(statement)]
