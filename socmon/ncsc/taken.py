"""Which sequences of a stream's epoch are taken, as ranges: by them cursors move, gaps show and voids are filled in."""

import sqlite3
from collections.abc import Iterator, Sequence

from msgspec import Struct

from socmon.feed.checking import Item, Void


class Range(Struct, frozen=True):
    """Sequences from `first` to `last`, both of them too."""

    first: int
    last: int


class Taken:
    """Reads and writes the tables `taken` and `voided` within one transaction of `db`.

    What is added is written by `flush`, in as few ranges as it makes: a batch mostly is one.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._added: dict[tuple[str, str], list[int]] = {}

    def add(self, item: Item) -> None:
        """Take the sequence of an event that has a place."""
        self._added.setdefault((item.source, item.epoch), []).append(item.seq)

    def complete_to(self, source: str, epoch: str) -> int:
        """The last sequence before which none is missing; 0 if the first one is."""
        self._flush(source, epoch)
        query = "SELECT last FROM taken WHERE source = ? AND epoch = ? AND first = 1"
        row = self._db.execute(query, (source, epoch)).fetchone()
        return int(row[0]) if row else 0

    def fill(self, item: Item, void: Void) -> int:
        """Let a void have all of its range that nothing has taken; return how many sequences those are."""
        self._flush(item.source, item.epoch)
        place, wanted = (item.source, item.epoch), Range(void.first, void.last)
        holes = list(_holes(self._touching(*place, wanted), wanted))
        rows = [(*place, hole.first, hole.last) for hole in holes]
        self._db.executemany("INSERT INTO voided VALUES (?, ?, ?, ?)", rows)
        self._merge(*place, wanted)
        return sum(hole.last - hole.first + 1 for hole in holes)

    def is_void(self, item: Item) -> bool:
        """Whether a void has the event's sequence."""
        query = "SELECT last FROM voided WHERE source = ? AND epoch = ? AND first <= ? ORDER BY first DESC LIMIT 1"
        row = self._db.execute(query, (item.source, item.epoch, item.seq)).fetchone()
        return row is not None and row[0] >= item.seq

    def _flush(self, source: str, epoch: str) -> None:
        for run in _runs(sorted(self._added.pop((source, epoch), ()))):
            self._merge(source, epoch, run)

    def _merge(self, source: str, epoch: str, new: Range) -> None:
        """Write `new` as one with what it overlaps or stands next to."""
        old = self._touching(source, epoch, Range(new.first - 1, new.last + 1))
        ends = [new, *old]
        whole = Range(min(each.first for each in ends), max(each.last for each in ends))
        if [whole] == old:
            return
        between = "DELETE FROM taken WHERE source = ? AND epoch = ? AND first BETWEEN ? AND ?"
        self._db.execute(between, (source, epoch, whole.first, whole.last))
        self._db.execute("INSERT INTO taken VALUES (?, ?, ?, ?)", (source, epoch, whole.first, whole.last))

    def _touching(self, source: str, epoch: str, wanted: Range) -> list[Range]:
        """The ranges that share a sequence with `wanted`, the first one first."""
        query = "SELECT first, last FROM taken WHERE source = ? AND epoch = ? AND first <= ? ORDER BY first DESC"
        found: list[Range] = []
        for first, last in self._db.execute(query, (source, epoch, wanted.last)):
            if last < wanted.first:
                break
            found.append(Range(first, last))
        return found[::-1]


def _runs(numbers: Sequence[int]) -> Iterator[Range]:
    """Sorted numbers as ranges."""
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = last = number
        elif number > last + 1:
            yield Range(first, last)
            first = last = number
        else:
            last = number
    if first is not None and last is not None:
        yield Range(first, last)


def _holes(taken: Sequence[Range], wanted: Range) -> Iterator[Range]:
    """What of `wanted` none of `taken` has, which are in order."""
    after = wanted.first
    for each in taken:
        if each.first > after:
            yield Range(after, each.first - 1)
        after = max(after, each.last + 1)
    if after <= wanted.last:
        yield Range(after, wanted.last)
