"""The second stage: a journal batch → the events that rules match. A pure function of the batch."""

import hashlib
from collections.abc import MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import astuple

from socmon import parsers
from socmon.enrich import Assets
from socmon.errors import ParseError
from socmon.event import (
    NOBODY,
    OWN,
    OWN_FIELDS,
    SECOND_US,
    SOURCE_FIELDS,
    Event,
    Evidence,
    Match,
    Record,
    Source,
    clock_of,
    show_source,
)
from socmon.journal import Batch, Drop
from socmon.parsers import windows_json, windows_layouts
from socmon.seen import Clock, Sight
from socmon.sigma import RuleSet

FUTURE_US = 600 * SECOND_US  # further ahead of its receipt no event time is believed (docs/semantics.md, "Dating")
MAX_SAMPLES = 20
_count = attrgetter("count")
WINDOWS_JSON = "windows_json"  # the format whose events are read by their layouts
MAX_EVIDENCE_BYTES = 8192  # of a record: whoever writes long lines must not fill the disk


Begun = MutableSequence[int]
NO_SEQS: AbstractSet[int] = frozenset()
NOBODY_LOOKS: Begun = [0]
_HARMFUL = ParseError("it was set aside: matching hung or ended on it; look at it in the journal")


class Unparsed(Struct, frozen=True):
    """A record that no parser could read: its journal sequence, and why; `error` holds the beginning of its bytes."""

    seq: int
    error: str


class Matched(Struct):
    """What one journal batch came to.

    Attributes:
        number: of the journal frame.
        written_us: when the frame was written.
        matches: in journal order.
        sights: what each clock showed.
        evaluated, unparsed: records, by collector.
        journalled: records in the frame by collector, counted apart from the two above.
        samples: by (collector, peer), the first record that could not be parsed, of MAX_SAMPLES sources.
        own: events of socmon's own records.
        highs: per source clock with a dated event, the greatest event time in the batch.
        received_us: when the first record of each collector was received.
        damaged: records of a frame that cannot be decoded, which is all that is known of it.
    """

    number: int
    written_us: int
    tick: bool
    matches: list[Match]
    sights: dict[Clock, Sight]
    journalled: dict[str, int]
    evaluated: dict[str, int]
    unparsed: dict[str, int]
    drops: Sequence[Drop] = ()
    samples: dict[tuple[str, str], Unparsed] = {}
    own: list[Event] = []
    highs: dict[Clock, int] = {}
    received_us: dict[str, int] = {}
    damaged: int = 0


class Matcher:
    """Parses records and asks the rules.

    Args:
        live: records were received when they say (the daemon); False for replay, where only the file's date is known
            and a stamp ahead of it is believed.
        year: dates every stamp without a year.
        undated: there is nothing to date a stamp without a year by.
        assets: say whose an event is; None where there is no inventory.
    """

    def __init__(
        self,
        rules: RuleSet,
        *,
        live: bool = True,
        year: int | None = None,
        undated: bool = False,
        assets: Assets | None = None,
    ) -> None:
        self._rules = rules
        self._assets = assets
        self._shows_owner = rules.reads(OWN_FIELDS)
        self._shows_source = rules.reads(SOURCE_FIELDS)
        self._live = live
        self._year = year
        self._undated = undated
        self._windows = windows_layouts.Events()

    def parse(self, record: Record) -> Event:
        """The record's event, dated; with whose it is, and where it came from, where a rule asks for that.

        Raises:
            ParseError: the record is not in its source's format.
        """
        event = self._dated(parsers.parse(record, year=self._year, undated=self._undated))
        if self._shows_source:
            show_source(event)
        if self._shows_owner:
            event.owner = self._assets.owner(event) if self._assets else NOBODY
            _show_owner(event)
        return event

    def _dated(self, event: Event) -> Event:
        """The event with another time, where there is none, or one that is not believed."""
        record = event.record
        if event.time_us is None:
            if self._live:
                event.time_us, event.time_known = record.dated_by_us, "received"
        elif self._live and event.time_us > record.received_us + FUTURE_US:
            event.ahead_us = event.time_us - record.received_us
            event.time_us, event.time_known = record.received_us, "future_replaced"
        return event

    def _unmatched(self, record: Record) -> Event | None:
        """The event of a record that matches no rule, dated, without `message`; None if it takes more to tell."""
        found = self._windows.read(record.data)
        if found is None:
            return None
        layout, values = found
        if self._rules.match_by_layout(layout, values, record.data) != ():
            return None
        fields = dict(zip(layout.names, values, strict=True))
        return self._dated(windows_json.event(record, fields, undated=self._undated))

    def evidence(self, record: Record, names: Sequence[str]) -> Evidence:
        """What is kept of a record behind an alert; `names` are the fields that its rule reads."""
        event = self.parse(record)
        return Evidence(
            seq=record.seq,
            time_us=event.time_us or record.received_us,
            host=event.host,
            collector=record.source.collector,
            peer=record.source.peer,
            raw=record.data[:MAX_EVIDENCE_BYTES].decode("utf-8", "backslashreplace"),
            cut=len(record.data) > MAX_EVIDENCE_BYTES,
            sha256=hashlib.sha256(record.data).hexdigest(),
            fields={name: event.fields[name] for name in names if name in event.fields},
        )

    def match(self, batch: Batch, *, aside: AbstractSet[int] = NO_SEQS, begun: Begun = NOBODY_LOOKS) -> Matched:
        """Evaluate every record of `batch` against every rule; one that cannot be parsed is counted, never raised.

        Args:
            aside: sequences that are not looked at, as if they could not be parsed: they are known to do harm.
            begun: its first item is set to the sequence of each record before anything is done with it.
        """
        matched = Matched(batch.number, batch.written_us, batch.tick, [], {}, {}, {}, {}, batch.drops)
        for source, run in groupby(batch.records, attrgetter("source")):
            records = list(run)
            collector = source.collector
            matched.received_us.setdefault(collector, records[0].received_us)
            matched.journalled[collector] = matched.journalled.get(collector, 0) + sum(map(_count, records))
            self._match_run(source, records, matched, aside, begun)
        matched.highs = {clock: sight.high_us for clock, sight in matched.sights.items() if sight.high_us is not None}
        if self._assets:
            self._assets.look_at(matched.highs)
        return matched

    def _match_run(
        self, source: Source, records: Sequence[Record], matched: Matched, aside: AbstractSet[int], begun: Begun
    ) -> None:
        """Evaluate records of one source, which stand one after another."""
        parse, ask, assets = self.parse, self._rules.match, self._assets
        look = self._unmatched if source.format == WINDOWS_JSON else _not_looked_at
        by_host: dict[str, Sight] = {}
        evaluated = 0
        for record in records:
            begun[0] = record.seq
            if record.seq in aside:
                self._set_aside(record, _HARMFUL, matched)
                continue
            unmatched = look(record)
            try:
                event = unmatched or parse(record)
            except ParseError as error:
                self._set_aside(record, error, matched)
                continue
            evaluated += record.count
            if source.collector == OWN:
                matched.own.append(event)
            sight = by_host.get(event.host)
            if sight is None:
                sight = by_host[event.host] = matched.sights.setdefault(clock_of(event), Sight(source))
            high_us = _see(event, record, sight)
            if unmatched:
                continue
            if rules := ask(event.fields, event.logsource, record.data if event.verbatim else None):
                if assets is not None:  # most events match nothing, and need no owner then
                    event.owner = assets.owner(event)
                matched.matches.append(Match(event, rules, high_us))
        if evaluated:
            matched.evaluated[source.collector] = matched.evaluated.get(source.collector, 0) + evaluated

    def _set_aside(self, record: Record, error: ParseError, matched: Matched) -> None:
        source = record.source
        matched.unparsed[source.collector] = matched.unparsed.get(source.collector, 0) + record.count
        if len(matched.samples) < MAX_SAMPLES:
            matched.samples.setdefault((source.collector, source.peer), Unparsed(record.seq, str(error)))
        sight = matched.sights.setdefault((source.collector, source.peer, ""), Sight(source))
        sight.records += record.count
        sight.received_us = record.received_us

    def event(self, record: Record) -> Event:
        """The event of a record that a rule matches, with whose it is. Raises ParseError as `parse` does."""
        event = self.parse(record)
        if self._assets is not None:
            event.owner = self._assets.owner(event)
        return event


def _not_looked_at(_record: Record) -> None:
    """What is known of a record before it is parsed."""


def _see(event: Event, record: Record, sight: Sight) -> int:
    """Add an event to what its clock showed; return the clock's greatest event time so far, 0 for one undated."""
    time_us = event.time_us
    sight.records += record.count
    sight.received_us = record.received_us
    if time_us is None:
        return 0
    if record.anchor_us is None and event.time_known != "received":
        delay_us = record.received_us - time_us - event.ahead_us
        if sight.delay_us is None or delay_us < sight.delay_us:
            sight.delay_us = delay_us
    high_us = sight.high_us
    if high_us is None or time_us > high_us:
        sight.high_us = high_us = time_us
    return high_us


def _show_owner(event: Event) -> None:
    """Give rules the fields that tell whose the event is; a message that has such fields made them up."""
    fields = event.fields
    for name, value in zip(OWN_FIELDS, astuple(event.owner), strict=True):
        if value:
            fields[name] = value
        else:
            fields.pop(name, None)
