"""Destinations that a person has paused: nothing is released or sent to them, until the pause is over."""

import sqlite3
from collections.abc import Iterator

from msgspec import Struct

# The stream of what cannot wait, in the words of the feed (`socmon.feed.vocabulary.stream_of`).
URGENT = "urgent"
_OVER = "delete from pause where destination = ? and (until_us <= ? or since_us > ?)"
_READ = "select destination, since_us, until_us, urgent, actor from pause"


class Pause(Struct, frozen=True):
    """A pause of one destination.

    Attributes:
        until_us: its end; None: until a person resumes it.
        urgent: it is for stream `urgent` too, which goes on otherwise.
        actor: who paused it.
    """

    destination: str
    since_us: int
    until_us: int | None
    urgent: bool
    actor: str


def pause(db: sqlite3.Connection, wanted: Pause) -> None:
    """Pause a destination; a pause of before is over."""
    told = (wanted.destination, wanted.since_us, wanted.until_us, wanted.urgent, wanted.actor)
    statement = "insert or replace into pause (destination, since_us, until_us, urgent, actor) values (?, ?, ?, ?, ?)"
    db.execute(statement, told)


def resume(db: sqlite3.Connection, destination: str) -> bool:
    """End a destination's pause; whether there was one."""
    return db.execute("delete from pause where destination = ?", (destination,)).rowcount > 0


def end(db: sqlite3.Connection, destination: str, now_us: int) -> None:
    """End a pause whose time is over; at once where it begins in the future, for then the clock was set back."""
    db.execute(_OVER, (destination, now_us, now_us))


def stops(db: sqlite3.Connection, destination: str, stream: str) -> bool:
    """Whether nothing goes out in a stream now."""
    found = db.execute("select urgent from pause where destination = ?", (destination,)).fetchone()
    return found is not None and (bool(found[0]) or stream != URGENT)


def pauses(db: sqlite3.Connection) -> Iterator[Pause]:
    """Those there are; one whose time is over may still be among them."""
    for destination, since_us, until_us, urgent, actor in db.execute(_READ).fetchall():
        yield Pause(destination, since_us, until_us, bool(urgent), actor)


def is_over(pause: Pause, now_us: int) -> bool:
    """Whether the pause's time is over, as `end` sees it."""
    return pause.since_us > now_us or (pause.until_us is not None and pause.until_us <= now_us)
