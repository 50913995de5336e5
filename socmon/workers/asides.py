"""Records that do harm: matching hung or ended on them. They are remembered beside the journal, which has their bytes.

One JSON object a line: `incarnation` (of the journal), `seq`, `component`, `source`, `why`, `at` (RFC 3339).
"""

import os
import time
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from socmon import log, metrics
from socmon.event import Record, rfc3339
from socmon.matching import NO_SEQS

FILE_NAME = "set-aside.jsonl"
MAX_REMEMBERED = 1_000  # the newest; a journal that is trimmed needs no older ones
_MAX_BYTES = 4 * 1024 * 1024

_log = log.get("workers")


class Aside(Struct, frozen=True):
    """One such record."""

    incarnation: str
    seq: int
    component: str
    source: str
    why: str
    at: str


class Asides:
    """Knows them, across restarts where it has a file.

    Args:
        path: of the file; None remembers as long as this object is kept.
        incarnation: of the journal.
    """

    def __init__(self, path: Path | None = None, incarnation: str = "") -> None:
        self._path = path
        self._incarnation = incarnation
        self._known = {each.seq: each for each in _read(path) if each.incarnation == incarnation} if path else {}

    @classmethod
    def as_written(cls, path: Path, incarnation: str) -> Self:
        """Those that the file has; what is added to them is remembered here only."""
        found = cls(path, incarnation)
        found._path = None
        return found

    def __len__(self) -> int:
        return len(self._known)

    def within(self, first_seq: int, next_seq: int) -> AbstractSet[int]:
        """Those from `first_seq` up to `next_seq`, that one left out."""
        if not self._known:
            return NO_SEQS
        return {seq for seq in self._known if first_seq <= seq < next_seq}

    def add(self, record: Record, why: str) -> None:
        """Set `record` aside for good; that it cannot be written down is told, and it goes on."""
        source = record.source
        now = rfc3339(time.time_ns() // 1000)
        self._known[record.seq] = Aside(self._incarnation, record.seq, source.collector, source.peer, why, now)
        while len(self._known) > MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        try:
            self._write()
        except OSError as error:
            _log.warning("a record that was set aside could not be written down", error=str(error))
        metrics.RECORDS_SET_ASIDE.inc()
        _log.warning(
            "record set aside, matching cannot get past it",
            component=source.collector,
            source=source.peer,
            seq=record.seq,
            why=why,
        )

    def _write(self) -> None:
        if self._path is None:
            return
        new = self._path.with_name(self._path.name + ".new")
        with new.open("wb") as file:
            file.writelines(msgspec.json.encode(each) + b"\n" for each in self._known.values())
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


def _read(path: Path) -> list[Aside]:
    """What the file says; a line that cannot be understood says nothing."""
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        _log.warning("the list of records that were set aside cannot be read", error=str(error))
        return []
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=Aside))
        except (msgspec.MsgspecError, ValueError):
            _log.warning("a line of the list of records that were set aside says nothing", path=path)
    return found
