"""Replay: log files through the real matcher and correlator; deterministic, with no daemon, no store and no clock."""

import gzip
import heapq
import os
import sys
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast
from uuid import UUID

import msgspec
from msgspec import Struct

from socmon import parsers
from socmon.capture.decoding import Decoding
from socmon.enrich import Assets
from socmon.event import SECOND_US, Alert, Match, Record, Source, clock_of
from socmon.journal import Batch
from socmon.matching import Matcher
from socmon.parsers.lines import Lines
from socmon.sigma import RuleSet
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.windows import NEVER_US

STDIN = "-"
PCAP = "pcap"  # a format of files, not of lines: their packets' events are the lines
_LIMITS = Limits(keep_events=None, ahead_us=None)
LATENESS_S = _LIMITS.lateness_us // SECOND_US
_BATCH = 1000
_SAMPLES = 20
_MAX_CLOCKS = 10_000  # per file: hosts' names can be made up
_INCARNATION = UUID(int=0)  # alert ids are not shown: they belong to a journal

Clock = tuple[str, str, str]


class Place(NamedTuple):
    """A line: its file as it was named, and its number from 0."""

    file: str
    n: int


class Found(NamedTuple):
    """An alert with every event that is in it, by file as they were named, then by line."""

    alert: Alert
    events: list[Place]


class Reading(Struct):
    """One file, and how reading it went.

    Attributes:
        lines: those that are not empty.
        unparsed: those of them that are not in the format.
        cut: those that were too long (see `socmon.parsers.lines`).
        trouble: why it could not be read to its end; "" if it could.
        anchor_us: its modification time, once it is open.
    """

    path: str
    lines: int = 0
    unparsed: int = 0
    cut: int = 0
    trouble: str = ""
    anchor_us: int = 0

    @property
    def name(self) -> str:
        """The path as text that can be encoded."""
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")


class Replay:
    """One pass over `files`; each is a source of its own, and none is late against another.

    Args:
        format: a parser's name, "auto", or "pcap" for capture files.
        year: dates every stamp without a year; None infers it from the file's modification time.
        zone: IANA zone of stamps that state none.
        assets: say whose an event is.

    Attributes:
        readings: the files, in the order in which they were named.
        undated: matches that `alerts` could not use, because nothing tells their time.
    """

    def __init__(
        self,
        files: Sequence[str],
        rules: RuleSet,
        *,
        format: str = "auto",  # noqa: A002  the option's word
        year: int | None = None,
        zone: str = "UTC",
        assets: Assets | None = None,
    ) -> None:
        self.readings = [Reading(path) for path in files]
        self.undated = 0
        self._format = format
        self._zone = zone
        self._matcher = Matcher(rules, live=False, year=year, assets=assets)
        self._undated = Matcher(rules, live=False, year=year, undated=True, assets=assets)
        self._correlator = Correlator(rules.rules, _INCARNATION, _LIMITS)
        self._starts: list[int] = []  # per batch of lines, the sequence of its first
        self._firsts: list[
            tuple[int, int]
        ] = []  # per batch, its file's place in `readings` and its first line's number
        self._next = 1

    @property
    def lines(self) -> int:
        """Lines read that are not empty."""
        return sum(reading.lines for reading in self.readings)

    @property
    def unparsed(self) -> int:
        """Lines that are not in the format."""
        return sum(reading.unparsed for reading in self.readings)

    @property
    def late(self) -> int:
        """Matches that `alerts` could not use: more than LATENESS_S behind earlier lines of their file and host."""
        return self._correlator.tally.late

    @property
    def evicted(self) -> int:
        """Groups that had to be dropped because of a bound of the correlator."""
        return self._correlator.tally.evicted

    def matches(self) -> Iterator[tuple[Place, Sequence[str]]]:
        """Read the files one after the other; yield each event that a rule matches, with the rules' ids."""
        for file, reading in enumerate(self.readings):
            for match in self._matches(file):
                yield Place(reading.name, self._place(match.event.record.seq)[1]), match.rules

    def alerts(self) -> list[Found]:
        """Read the files side by side, in the order of time; return the alerts in the order of their first event.

        The order in which the files were named does not matter, but for the order of the events of an alert.
        """
        by_name = sorted(range(len(self.readings)), key=lambda file: self.readings[file].path)
        merged = heapq.merge(*map(self._dated, by_name), key=itemgetter(0))
        while chunk := [match for _, match in islice(merged, _BATCH)]:
            self._correlator.process(chunk, {clock_of(match.event): match.high_us for match in chunk})
        taken = self._correlator.take_alerts()
        return sorted((Found(alert, self._places(seqs)) for alert, seqs in taken), key=_order)

    def _dated(self, file: int) -> Iterator[tuple[int, Match]]:
        """The matches of a file that have a time, each with the greatest so far: what the files are merged by.

        What is further on in the file, matching or not, moves no clock before its turn, so nothing is forgotten that an
        event of another file may still join.
        """
        reached_us = NEVER_US
        for match in self._matches(file):
            if match.event.time_us is None:
                self.undated += 1
                continue
            reached_us = max(reached_us, match.high_us)
            yield reached_us, match

    def _matches(self, file: int) -> Iterator[Match]:
        """The matches of a file; `high_us` is that of the whole file up to each."""
        reading = self.readings[file]
        matcher = self._undated if reading.path == STDIN else self._matcher
        highs: dict[Clock, int] = {}
        for batch in self._batches(file):
            matched = matcher.match(batch)
            reading.lines += len(batch.records)
            reading.unparsed += sum(matched.unparsed.values())
            for match in matched.matches:
                match.high_us = max(match.high_us, highs.get(clock_of(match.event), match.high_us))
                yield match
            highs = _raised(highs, matched.highs)

    def _batches(self, file: int) -> Iterator[Batch]:
        reading = self.readings[file]
        packets = self._format == PCAP
        source = Source("replay", reading.path, "zeek" if packets else self._format, zone=self._zone)
        lines = _lines(reading, packets=packets)
        n = 0
        while taken := list(islice(lines, _BATCH)):
            rows = [(seq, line) for seq, line in enumerate(taken, self._next) if line]
            self._starts.append(self._next)
            self._firsts.append((file, n))
            self._next += len(taken)
            n += len(taken)
            source = _settled(source, rows)
            yield _batch(rows, source, reading.anchor_us)

    def _place(self, seq: int) -> tuple[int, int]:
        """Which file, and which of its lines."""
        batch = bisect_right(self._starts, seq) - 1
        file, first = self._firsts[batch]
        return file, first + seq - self._starts[batch]

    def _places(self, seqs: Sequence[int]) -> list[Place]:
        return [Place(self.readings[file].name, n) for file, n in sorted(map(self._place, seqs))]


def _order(found: Found) -> tuple[int, str, list[str], int]:
    alert = found.alert
    return alert.first_us, alert.rule_id, list(alert.group.values()), alert.last_us


def _lines(reading: Reading, *, packets: bool) -> Iterator[bytes]:
    """The lines of a file, or its packets' events, as far as it can be read."""
    lines = None
    try:
        with _opened(reading.path) as stream:
            if reading.path != STDIN:
                reading.anchor_us = os.fstat(stream.fileno()).st_mtime_ns // 1000
            if packets:
                decoding = Decoding(stream)
                yield from decoding
                reading.trouble = decoding.trouble
                return
            lines = Lines(stream)
            yield from lines
    except (OSError, EOFError, zlib.error) as error:  # all but OSError: a .gz that is cut short or damaged
        reason = error.strerror if isinstance(error, OSError) else None
        reading.trouble = (reason or str(error)).lower()
    reading.cut = lines.cut if lines else 0


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    if path == STDIN:
        return nullcontext(sys.stdin.buffer)
    return cast("BinaryIO", gzip.open(path)) if path.endswith(".gz") else Path(path).open("rb")


def _raised(highs: dict[Clock, int], by: Mapping[Clock, int]) -> dict[Clock, int]:
    """The greatest event times of both; of too many, those furthest behind go, as in the correlator."""
    highs |= {clock: max(high_us, highs.get(clock, high_us)) for clock, high_us in by.items()}
    if len(highs) <= _MAX_CLOCKS:
        return highs
    return dict(sorted(highs.items(), key=itemgetter(1, 0))[_MAX_CLOCKS // 16 :])


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
