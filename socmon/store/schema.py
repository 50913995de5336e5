"""A store's file is made ready when it is opened: one of any earlier version is brought up to date."""

import sqlite3

from socmon.errors import StoreError
from socmon.store.reading import SCHEMA


def prepare(connection: sqlite3.Connection, name: str) -> None:
    """Set the durability of `connection` and bring its tables up to date.

    Raises:
        StoreError: the file was written by a newer socmon.
    """
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")
    connection.execute("pragma busy_timeout = 5000")
    (version,) = connection.execute("pragma user_version").fetchone()
    if version > SCHEMA:
        raise StoreError(
            f"{name}: written by a newer socmon (schema {version}, this one knows {SCHEMA}); upgrade socmon"
        )
    if version == SCHEMA:
        return
    import sqlite_utils  # noqa: PLC0415  a tenth of a daemon's start, needed only for a store that is new or old

    from socmon.store.migrations import MIGRATIONS  # noqa: PLC0415

    db = sqlite_utils.Database(connection, use_counts_table=False)
    # All or none, so that nobody who reads meanwhile meets a store of a version in between.
    with connection:
        connection.execute("begin immediate")
        for migrate in MIGRATIONS[version:]:
            migrate(db)
        # A pragma takes no parameters; the number is ours.
        connection.execute(f"pragma user_version = {SCHEMA}")
