"""Whether a store can be used, looked at when it is opened, and no longer than a start may take."""

import sqlite3
import time
from pathlib import Path

from socmon.errors import StoreError
from socmon.i18n import Message, mark
from socmon.store.copying import quick_check

WITHIN_S = 5.0
_EVERY = 10_000  # steps of SQLite's machine between two looks at the clock


def check(db: sqlite3.Connection, *, within_s: float = WITHIN_S) -> tuple[bool, str]:
    """Have SQLite look through the file: whether it came to its end in time, and what is damaged ("": nothing)."""
    until_s = time.monotonic() + within_s
    db.set_progress_handler(lambda: time.monotonic() > until_s, _EVERY)
    try:
        return True, quick_check(db)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return False, ""
        raise
    finally:
        db.set_progress_handler(None, 0)


def is_damage(error: Exception) -> bool:
    """Whether SQLite says that the file is damaged, and not that something else is in the way."""
    return type(error) is sqlite3.DatabaseError


def is_nonsense(error: Exception) -> bool:
    """Whether SQLite does not find in the file what socmon writes into each: its header or its tables are others'."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_ERROR


def damage(path: Path, what: object) -> StoreError:
    """What a damaged store is told by, and what to do about it."""
    text = mark(
        "{path} is damaged: {what}; stop socmon; `socmon db verify` says where, `socmon db restore FILE` puts a backup "
        "in its place; without one, move it away with its -wal and -shm: the journal makes most of it again"
    )
    return StoreError(Message(text, path=path, what=what))
