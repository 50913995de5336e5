"""Replay of log files and capture files: each is a source of its own; deterministic."""

import gzip
import heapq
import os
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, repeat
from operator import itemgetter
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, cast
from uuid import UUID

import msgspec
from msgspec import Struct

from socmon import parsers
from socmon.capture.decoding import Decoding
from socmon.enrich import Assets
from socmon.event import SECOND_US, Match, Record, Source, clock_of
from socmon.journal import Batch
from socmon.parsers.lines import Lines
from socmon.replaying.run import Found, Matching, Place, Run, inline, named
from socmon.sigma import RuleSet
from socmon.sigma.correlator import Correlator
from socmon.sigma.joining import Limits
from socmon.sigma.windows import NEVER_US

STDIN = "-"
PCAP = "pcap"  # a format of files, not of lines: their packets' events are the lines
_LIMITS = Limits(keep_events=None, ahead_us=None)
LATENESS_S = _LIMITS.lateness_us // SECOND_US
_BATCH = 1000
_BATCH_BYTES = 4 * 1024 * 1024  # as a batch of the journal has
_SAMPLES = 20
_MAX_CLOCKS = 10_000  # per file: hosts' names can be made up
_INCARNATION = UUID(int=0)  # alert ids are not shown: they belong to a journal
_LINE_BITS = 40  # a sequence is the file's rank by name and the line's number: nothing has to be remembered of either

Clock = tuple[str, str, str]


class Reading(Struct):
    """One file, and how reading it went.

    Attributes:
        lines: those that are not empty.
        unparsed: those of them that are not in the format.
        cut: those that were too long (see `socmon.parsers.lines`).
        trouble: why it could not be read to its end; "" if it could.
        anchor_us: its modification time, once it is open.
        size: its bytes on disk; None where nobody knows before its end, as of a pipe.
        read: how many of them are read.
    """

    path: str
    lines: int = 0
    unparsed: int = 0
    cut: int = 0
    trouble: str = ""
    anchor_us: int = 0
    size: int | None = None
    read: int = 0

    @property
    def name(self) -> str:
        """The path as text that can be encoded."""
        return named(self.path)


class Replay(Run):
    """One pass over `files`; each is a source of its own, and none is late against another.

    Args:
        format: a parser's name, "auto", or "pcap" for capture files.
        year: dates every stamp without a year; None infers it from the file's modification time.
        zone: IANA zone of stamps that state none.
        assets: say whose an event is.
        matching: how batches are matched; None: in this process.

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
        matching: Matching | None = None,
    ) -> None:
        matching = matching or inline(rules, assets=assets, live=False, year=year)
        super().__init__(Correlator(rules.rules, _INCARNATION, _LIMITS), matching)
        self.readings = [Reading(path, size=_size(path)) for path in files]
        self.undated = 0
        self._format = format
        self._zone = zone
        self._by_name = sorted(range(len(files)), key=lambda file: files[file])
        self._ranks = {file: rank for rank, file in enumerate(self._by_name)}

    @property
    def lines(self) -> int:
        """Lines read that are not empty."""
        return self.counts.records

    @property
    def unparsed(self) -> int:
        """Lines that are not in the format."""
        return self.counts.unparsed

    @property
    def done(self) -> float | None:
        """See Run; by bytes on disk, of a .gz the compressed ones."""
        sizes = [reading.size for reading in self.readings]
        if None in sizes:
            return None
        return sum(reading.read for reading in self.readings) / max(1, sum(size or 0 for size in sizes))

    def matches(self) -> Iterator[tuple[Place, Sequence[str]]]:
        """Read the files one after the other; yield each event that a rule matches, with the rules' ids."""
        for file, reading in enumerate(self.readings):
            for match in self._matches(file):
                yield Place(reading.name, _line(match.event.record.seq)), match.rules

    def each_alert(self) -> Iterator[Found]:
        """Read the files side by side, in the order of time; yield the alerts in the order of their first event.

        The order in which the files were named does not matter, but for the order of the events of an alert.
        """
        merged = heapq.merge(*map(self._dated, self._by_name), key=itemgetter(0))
        while chunk := [match for _, match in islice(merged, _BATCH)]:
            self._correlator.process(chunk, {clock_of(match.event): match.high_us for match in chunk})
            self._hold()
        yield from self._finished(self._places)

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
        highs: dict[Clock, int] = {}
        for matched in self._matching(self._batches(file), undated=reading.path == STDIN):
            reading.lines += sum(matched.journalled.values())
            if matched.damaged:
                reading.trouble = "some of its lines could not be handed to a worker"
            reading.unparsed += sum(matched.unparsed.values())
            for match in self._take(matched):
                match.high_us = max(match.high_us, highs.get(clock_of(match.event), match.high_us))
                yield match
            highs = _raised(highs, matched.highs)

    def _batches(self, file: int) -> Iterator[Batch]:
        reading = self.readings[file]
        packets = self._format == PCAP
        source = Source("replay", reading.name, "zeek" if packets else self._format, zone=self._zone)
        next_seq = self._ranks[file] + 1 << _LINE_BITS
        for lines in _lots(self._blocks(reading, packets=packets)):
            source = _settled(source, lines)
            yield _batch(lines, next_seq, source, reading.anchor_us)
            next_seq += len(lines)

    def _blocks(self, reading: Reading, *, packets: bool) -> Iterator[list[bytes]]:
        """The lines of a file, or its packets' events, as far as it can be read; until this is stopped."""
        lines = None
        try:
            with _opened(reading.path) as (file, stream):
                if reading.path != STDIN:
                    reading.anchor_us = os.fstat(file.fileno()).st_mtime_ns // 1000
                if packets:
                    decoding = Decoding(stream)
                    yield from self._each(_chunks(decoding), reading, file)
                    reading.trouble = decoding.trouble
                    return
                lines = Lines(stream)
                yield from self._each(lines.blocks(), reading, file)
        except (OSError, EOFError, zlib.error) as error:  # all but OSError: a .gz that is cut short or damaged
            reason = error.strerror if isinstance(error, OSError) else None
            reading.trouble = (reason or str(error)).lower()
        reading.cut = lines.cut if lines else 0

    def _each(self, blocks: Iterator[list[bytes]], reading: Reading, file: BinaryIO) -> Iterator[list[bytes]]:
        while (block := self._wait_for(blocks)) is not None:
            if reading.size is not None:
                reading.read = file.tell()
            yield block

    def _places(self, seqs: Iterable[int]) -> list[Place]:
        places = sorted((self._by_name[(seq >> _LINE_BITS) - 1], _line(seq)) for seq in seqs)
        names = {file: self.readings[file].name for file, _ in places}
        return [Place(names[file], n) for file, n in places]


def _line(seq: int) -> int:
    return seq & (1 << _LINE_BITS) - 1


def _size(path: str) -> int | None:
    if path == STDIN:
        return None
    try:
        found = Path(path).stat()
    except (OSError, ValueError):  # it is read all the same, and then told of
        return None
    return found.st_size if S_ISREG(found.st_mode) else None


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """A file, and what its lines are read from: itself, or what it unpacks to."""
    if path == STDIN:
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with Path(path).open("rb") as file:
        if not path.endswith(".gz"):
            yield file, file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield file, cast("BinaryIO", unpacked)


def _chunks(events: Iterable[bytes]) -> Iterator[list[bytes]]:
    each = iter(events)
    while taken := list(islice(each, _BATCH)):
        yield taken


def _lots(blocks: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
    """The same lines in lots of _BATCH, or less where they are long: what is in one depends on the lines alone."""
    held: list[bytes] = []
    for lines in blocks:
        held += lines
        at = 0
        while len(held) - at >= _BATCH:
            lot = _lot(held, at)
            yield lot
            at += len(lot)
        del held[:at]
    at = 0
    while at < len(held):
        lot = _lot(held, at)
        yield lot
        at += len(lot)


def _lot(held: list[bytes], at: int) -> list[bytes]:
    lot = held[at : at + _BATCH]
    while len(lot) > 1 and sum(map(len, lot)) > _BATCH_BYTES:
        lot = lot[: len(lot) // 2]
    return lot


def _raised(highs: dict[Clock, int], by: Mapping[Clock, int]) -> dict[Clock, int]:
    """The greatest event times of both; of too many, those furthest behind go, as in the correlator."""
    highs |= {clock: max(high_us, highs.get(clock, high_us)) for clock, high_us in by.items()}
    if len(highs) <= _MAX_CLOCKS:
        return highs
    return dict(sorted(highs.items(), key=itemgetter(1, 0))[_MAX_CLOCKS // 16 :])


def _settled(source: Source, lines: Sequence[bytes]) -> Source:
    """The source with its format settled from its first lines; "auto" as long as they cannot tell."""
    if source.format != "auto":
        return source
    found = parsers.detect(list(islice(filter(None, lines), _SAMPLES)))
    return source if found is None else msgspec.structs.replace(source, format=found, chosen="detected")


def _batch(lines: Sequence[bytes], first_seq: int, source: Source, anchor_us: int) -> Batch:
    """One batch of the lines that are not empty; each line has its sequence."""
    seqs: Iterable[int] = range(first_seq, first_seq + len(lines))
    if b"" in lines:
        seqs = [seq for seq, line in zip(seqs, lines, strict=True) if line]
        lines = [line for line in lines if line]
    # Column by column, as the journal does it: a third of the time of one call after the other.
    records = list(map(Record, lines, repeat(source), repeat(anchor_us), repeat(None), repeat(None), repeat(1), seqs))
    written_us = max(0, anchor_us)  # a file may be older than 1970, a frame may not
    return Batch(number=0, first_seq=first_seq, written_us=written_us, records=records, drops=[], tick=False)
