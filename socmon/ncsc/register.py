"""The centre's register, in SQLite beside the inbox: who may send from when to when, the audit, the last heartbeats.

A file of its own: an inbox that is restored from a backup lets nobody in who was revoked since (docs/adr/0086).
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from socmon.errors import NotFoundError, SocmonError, StoreError
from socmon.feed.message import ORG_ID
from socmon.i18n import Message, mark
from socmon.ncsc.liveness import Heard
from socmon.ncsc.roll import MAX_DEPTH, Period, Roll

FILE_NAME = "register.sqlite"
MAX_NAME_CHARS = 200
_VERSION = 1
_WAIT_S = 10.0
_AUDIT_KEPT = 10_000
_NEVER_US = 2**62

_SCHEMA = """
CREATE TABLE organisations (
    org TEXT NOT NULL, name TEXT NOT NULL, parent TEXT NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER,
    PRIMARY KEY (org, from_us)
) STRICT, WITHOUT ROWID;
CREATE TABLE revoked (serial TEXT PRIMARY KEY, at_us INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    n INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, org TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE TABLE heartbeats (org TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""
_INSERT = "REPLACE INTO organisations VALUES (?, ?, ?, ?, ?)"
_END = """
UPDATE organisations SET to_us = max(from_us, ?2) WHERE org = ?1 AND coalesce(to_us, ?3) > ?2 AND to_us IS NOT from_us
"""
_AUDIT = "INSERT INTO audit (at_us, actor, action, org, detail) VALUES (?, ?, ?, ?, ?)"

_T = TypeVar("_T")


class RefusedChangeError(SocmonError):
    """What was asked for contradicts the register; nothing of it is done."""


class Register:
    """Blocks on the disk, so it has its place in a thread; one call at a time.

    Raises:
        StoreError: the file cannot be used; so by every method.
    """

    def __init__(self, path: Path, *, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self.path = path
        self._now_us = now_us
        self._seen = -1
        self._roll = Roll()
        with self._telling():
            self._db = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def roll(self) -> Roll:
        """As the register is now; the same object while nobody has changed it."""
        with self._telling():
            seen = self._db.execute("PRAGMA data_version").fetchone()[0]
            if seen != self._seen:
                self._roll = self._read()
                self._seen = seen
            return self._roll

    def begin_with(self, organisations: Mapping[str, str]) -> None:
        """Enrol those of {org_id: name} that never had an entry, whoever was revoked stays so.

        They are in force from the beginning of time: by a clock that is ahead at the first start, and set right later,
        "now" would shut all of them out until then.
        """
        for org_id, name in organisations.items():
            if org_id not in self.roll().known:
                with self._changing():
                    self._enrol(Period(org_id, name or org_id, "", 0, None), self._now_us(), 0, actor="start")

    def enrol(self, org_id: str, name: str, *, parent: str = "", from_us: int | None = None, actor: str) -> Period:
        """Let an organisation in from `from_us` on, now by default; an entry in force then ends there.

        Raises:
            RefusedChangeError: the name is too long, it begins in the past or before one that is to begin, or it would
                stand below itself.
        """
        now_us = self._now_us()
        period = Period(org_id, name or org_id, parent, now_us if from_us is None else from_us, None)
        with self._changing():
            self._enrol(period, now_us, now_us, actor=actor)
        return period

    def _enrol(self, period: Period, now_us: int, earliest_us: int, *, actor: str) -> None:
        _check(period, self._read(), earliest_us)
        place = (period.from_us, period.org_id)
        cut = "UPDATE organisations SET to_us = ?1 WHERE org = ?2 AND from_us < ?1 AND (to_us IS NULL OR to_us > ?1)"
        self._db.execute(cut, place)
        self._db.execute(_INSERT, (period.org_id, period.name, period.parent, period.from_us, None))
        detail = f"{period.name}, below {period.parent}" if period.parent else period.name
        self._audit(now_us, actor, "enrol", period.org_id, detail)

    def revoke(self, org_id: str, *, actor: str) -> None:
        """Refuse an organisation from now on, also from what is to begin for it.

        Raises:
            NotFoundError: it has no entry in force, and none to begin.
        """
        now_us = self._now_us()
        with self._changing():
            # What is to begin stays as an empty entry: it says that the organisation is known, and no start enrols it.
            if not self._db.execute(_END, (org_id, now_us, _NEVER_US)).rowcount:
                text = mark("{org_id} is not enrolled; see `socmon ncsc inspect` for those who are")
                raise NotFoundError(Message(text, org_id=org_id[:64]))
            self._audit(now_us, actor, "revoke", org_id, "")

    def revoke_certificate(self, number: str, *, actor: str) -> None:
        """Refuse a certificate, by its serial number as `roll.serial` writes it; again is no error."""
        now_us = self._now_us()
        with self._changing():
            new = self._db.execute("INSERT INTO revoked VALUES (?, ?) ON CONFLICT DO NOTHING", (number, now_us))
            if new.rowcount:
                self._audit(now_us, actor, "revoke_certificate", "", number)

    def refused(self, org_id: str, code: str) -> None:
        """Write into the audit that a request of an organisation was refused."""
        with self._changing():
            self._audit(self._now_us(), "centre", "refuse", org_id, code)

    def keep(self, org_id: str, heard: Heard) -> None:
        """Keep the last heartbeat of an organisation over a restart."""
        with self._changing():
            self._db.execute("REPLACE INTO heartbeats VALUES (?, ?)", (org_id, msgspec.json.encode(heard)))

    def heartbeats(self) -> dict[str, Heard]:
        """The last one of each organisation; one that another version wrote is passed over."""
        found = {}
        with self._telling():
            for org_id, body in self._db.execute("SELECT org, body FROM heartbeats"):
                try:
                    found[org_id] = msgspec.json.decode(body, type=Heard)
                except msgspec.MsgspecError:
                    continue
        return found

    def audit(self, limit: int, org_id: str = "") -> list[dict[str, Any]]:
        """The last entries of the audit, of one organisation where it is named; the newest first."""
        query = "SELECT at_us, actor, action, org, detail FROM audit WHERE ?1 IN ('', org) ORDER BY n DESC LIMIT ?2"
        names = ("at_us", "actor", "action", "org", "detail")
        with self._telling():
            return [dict(zip(names, row, strict=True)) for row in self._db.execute(query, (org_id, limit))]

    def _audit(self, at_us: int, actor: str, action: str, org_id: str, detail: str) -> None:
        self._db.execute(_AUDIT, (at_us, actor[:64], action, org_id, detail[:300]))
        # Of requests that were refused only the last are kept; what a person did stays.
        old = "DELETE FROM audit WHERE action = 'refuse' AND n <= (SELECT max(n) FROM audit) - ?"
        self._db.execute(old, (_AUDIT_KEPT,))

    def _read(self) -> Roll:
        query = "SELECT org, name, parent, from_us, to_us FROM organisations"
        periods = [Period(*row) for row in self._db.execute(query)]
        return Roll(periods, (row[0] for row in self._db.execute("SELECT serial FROM revoked")))

    def _prepare(self) -> None:
        # Not WAL: the change to it waits for nobody, so of two commands that begin at once one would be refused.
        self._db.execute("PRAGMA synchronous = FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            # Two commands may begin at once: the one that comes second finds it done.
            self._db.execute("BEGIN IMMEDIATE")
            if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _SCHEMA.strip().removesuffix(";").split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
            self._db.execute("COMMIT")
        elif version != _VERSION:
            raise StoreError(
                f"{self.path} is of version {version}, this program's is {_VERSION}; choose another --state"
            )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """All of it is done, or nothing."""
        with self._telling():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.rollback()
                raise
            self._seen = -1  # data_version does not tell of our own changes

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            remedy = "check that the disk is not full and that the file is the user's own"
            raise StoreError(f"cannot use {self.path}: {error}; {remedy}") from error


def at(state: Path, work: Callable[[Register], _T]) -> _T:
    """What `work` does with the register of a centre's state, whether or not the centre runs.

    Raises:
        NotFoundError: there is no such directory.
    """
    if not state.is_dir():
        text = mark("no centre has its state in {state}; name the directory that `socmon ncsc --state` has")
        raise NotFoundError(Message(text, state=state))
    with closing(Register(state / FILE_NAME)) as register:
        return work(register)


def _check(period: Period, roll: Roll, earliest_us: int) -> None:
    if not ORG_ID.fullmatch(period.org_id) or (period.parent and not ORG_ID.fullmatch(period.parent)):
        raise RefusedChangeError(Message("an organisation is letters, digits, dots and dashes: 000.00.00.H07"))
    if len(period.name) > MAX_NAME_CHARS:
        text = mark("the name is {count} characters long; write at most {limit}")
        raise RefusedChangeError(Message(text, count=len(period.name), limit=MAX_NAME_CHARS))
    if period.from_us < earliest_us:
        raise RefusedChangeError(Message("what begins in the past would change what was; name a time to come, or none"))
    if any(each.from_us >= period.from_us and each.to_us != each.from_us for each in roll.known.get(period.org_id, ())):
        text = mark("{org_id} has an entry that begins later; revoke it first")
        raise RefusedChangeError(Message(text, org_id=period.org_id))
    above = roll.path(period.parent, period.from_us) if period.parent else []
    if period.org_id in above:
        text = mark("{parent} stands below {org_id} itself; name another parent")
        raise RefusedChangeError(Message(text, parent=period.parent, org_id=period.org_id))
    if len(above) >= MAX_DEPTH:
        raise RefusedChangeError(Message("the tree is {limit} deep at most; name a parent higher up", limit=MAX_DEPTH))
