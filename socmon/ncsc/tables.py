"""The inbox's tables and their versions: a file of an older version is brought up to date where it is."""

import sqlite3
from pathlib import Path

from socmon.errors import StoreError

VERSION = 2

_FIRST = """
CREATE TABLE events (
    n INTEGER PRIMARY KEY, org TEXT NOT NULL, source TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    id TEXT NOT NULL, uid TEXT NOT NULL, revision INTEGER NOT NULL, status TEXT NOT NULL, digest BLOB NOT NULL,
    body BLOB NOT NULL, received_us INTEGER NOT NULL, UNIQUE (source, id), UNIQUE (source, epoch, seq)
) STRICT;
CREATE TABLE findings (
    org TEXT NOT NULL, uid TEXT NOT NULL, revision INTEGER NOT NULL, digest BLOB NOT NULL, rule TEXT NOT NULL,
    level TEXT NOT NULL, count INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
    source TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (org, uid)
) STRICT, WITHOUT ROWID;
CREATE TABLE quarantine (
    n INTEGER PRIMARY KEY, org TEXT NOT NULL, source TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    id TEXT NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL,
    received_us INTEGER NOT NULL, UNIQUE (org, digest)
) STRICT;
CREATE INDEX quarantined_place ON quarantine (source, epoch, seq);
CREATE TABLE streams (
    source TEXT NOT NULL, epoch TEXT NOT NULL, org TEXT NOT NULL, committed INTEGER NOT NULL,
    PRIMARY KEY (source, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE answers (
    org TEXT NOT NULL, status TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (org, status)
) STRICT, WITHOUT ROWID;
"""

# taken   ranges of sequences that something has taken: apart from each other, none next to another
# voids   each void as it came; `taken` is how many sequences it took
# voided  the ranges that a void took, so that what comes later for them is told from a sequence used twice
# unknown members that no schema of ours names, in findings that are stored; '' counts the findings that have any
_VOIDS = """
CREATE TABLE taken (
    source TEXT NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (source, epoch, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE voids (
    n INTEGER PRIMARY KEY, org TEXT NOT NULL, source TEXT NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, reason TEXT NOT NULL, subject TEXT NOT NULL, taken INTEGER NOT NULL, id TEXT NOT NULL,
    digest BLOB NOT NULL, body BLOB NOT NULL, received_us INTEGER NOT NULL, UNIQUE (source, id)
) STRICT;
CREATE TABLE voided (
    source TEXT NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (source, epoch, first)
) STRICT, WITHOUT ROWID;
CREATE TABLE unknown (
    org TEXT NOT NULL, member TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (org, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX stored_revision ON events (org, uid, revision) WHERE status = 'stored';
ALTER TABLE findings ADD COLUMN members TEXT NOT NULL DEFAULT '';
INSERT INTO taken
SELECT source, epoch, min(seq), max(seq) FROM (
    SELECT source, epoch, seq, seq - row_number() OVER (PARTITION BY source, epoch ORDER BY seq) AS island FROM (
        SELECT source, epoch, seq FROM events
        UNION SELECT source, epoch, seq FROM quarantine WHERE source <> ''
    )
) GROUP BY source, epoch, island;
"""

_STEPS = (_FIRST, _VOIDS)


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables of `path`, or bring them to `VERSION`; all of it or nothing.

    Raises:
        StoreError: a newer program wrote the file.
    """
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        text = f"{path} is of version {version}, this program's is {VERSION}; choose another --state"
        raise StoreError(text)
    if version < VERSION:
        steps = " ".join(_STEPS[version:])
        try:
            db.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")
        except BaseException:
            db.rollback()
            raise
