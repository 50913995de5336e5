"""Replay: log files through the real matcher and correlator; deterministic, with no daemon, no store and no clock."""

import gzip
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast
from uuid import UUID

import msgspec

from socmon import parsers
from socmon.event import Alert, Record, Source
from socmon.journal import Batch
from socmon.matching import Matcher
from socmon.sigma import RuleSet
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits

STDIN = "-"
_BATCH = 1000
_SAMPLES = 20
_INCARNATION = UUID(int=0)  # alert ids are not shown: they belong to a journal


class Place(NamedTuple):
    """A line: its file as it was named, and its number from 0."""

    file: str
    n: int


class Found(NamedTuple):
    """An alert with every event that is in it, in the order they were read."""

    alert: Alert
    events: list[Place]


class Replay:
    """One pass over `files`, in their order; each file is a source of its own, and none is late against another.

    Args:
        format: a parser's name, or "auto".
        year: dates every stamp without a year; None infers it from the file's modification time.
        zone: IANA zone of stamps that state none.
    """

    def __init__(
        self,
        files: Sequence[str],
        rules: RuleSet,
        *,
        format: str = "auto",  # noqa: A002  the option's word
        year: int | None = None,
        zone: str = "UTC",
    ) -> None:
        self._files = files
        self._format = format
        self._zone = zone
        self._matcher = Matcher(rules, live=False, year=year)
        self._undated = Matcher(rules, live=False, year=year, undated=True)
        self._correlator = Correlator(rules.rules, _INCARNATION, Limits(keep_events=None))
        self._starts: list[int] = []  # per file, the sequence before its first line
        self._next = 0
        self.lines = 0
        self.unparsed = 0

    def matches(self) -> Iterator[tuple[Place, list[str]]]:
        """Read everything; yield each event that a rule matches, with the rules' ids."""
        for name in self._files:
            self._correlator.hold(("replay", name, ""))
        for name in self._files:
            for batch in self._batches(name):
                matched = (self._undated if name == STDIN else self._matcher).match(batch)
                self._correlator.process(matched.matches, matched.highs)
                self._correlator.release(("replay", name, ""))
                self.lines += len(batch.records)
                self.unparsed += sum(matched.unparsed.values())
                yield from ((self._place(match.event.record.seq), match.rules) for match in matched.matches)

    def alerts(self) -> list[Found]:
        """Read everything; return the alerts in the order in which they opened."""
        for _match in self.matches():
            pass
        taken = sorted(self._correlator.take_alerts(), key=lambda item: (item[0].opened_seq, item[0].rule_id))
        return [Found(alert, [self._place(seq) for seq in seqs]) for alert, seqs in taken]

    def _batches(self, name: str) -> Iterator[Batch]:
        self._starts.append(self._next)
        anchor_us = 0 if name == STDIN else Path(name).stat().st_mtime_ns // 1000
        source = Source("replay", name, self._format, zone=self._zone)
        rows: list[tuple[int, bytes]] = []
        with _opened(name) as lines:
            for line in lines:
                self._next += 1
                if data := line.rstrip(b"\r\n"):
                    rows.append((self._next, data))
                if len(rows) >= _BATCH:
                    source = _settled(source, rows)
                    yield _batch(rows, source, anchor_us)
                    rows = []
        yield _batch(rows, _settled(source, rows), anchor_us)

    def _place(self, seq: int) -> Place:
        file = bisect_left(self._starts, seq) - 1
        return Place(self._files[file], seq - 1 - self._starts[file])


def _opened(name: str) -> AbstractContextManager[BinaryIO]:
    if name == STDIN:
        return nullcontext(sys.stdin.buffer)
    return cast("BinaryIO", gzip.open(name)) if name.endswith(".gz") else Path(name).open("rb")


def _settled(source: Source, rows: Sequence[tuple[int, bytes]]) -> Source:
    """The source with its format settled from its first lines; "auto" as long as they cannot tell."""
    if source.format != "auto":
        return source
    found = parsers.detect([data for _, data in rows[:_SAMPLES]])
    return source if found is None else msgspec.structs.replace(source, format=found, chosen="detected")


def _batch(rows: Sequence[tuple[int, bytes]], source: Source, anchor_us: int) -> Batch:
    records = [Record(data, source, anchor_us, seq=seq) for seq, data in rows]
    return Batch(
        number=0, first_seq=rows[0][0] if rows else 0, written_us=anchor_us, records=records, drops=[], tick=False
    )
