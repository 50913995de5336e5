"""What is seen of each source: how much, when last, how far its clock is off, and who was silent.

A pure function of the journal, like the ledger, and saved with the checkpoint.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from msgspec import Struct, convert

from socmon.event import OWN, SECOND_US, Event, Source, rfc3339, to_us

Clock = tuple[str, str, str]  # collector, peer, host; see event.clock_of
MAX_SOURCES = 10_000
MAX_HOST_CHARS = 255  # of a longer name only the beginning is kept (RFC 1035 allows 253)
PERIOD_US = 150 * SECOND_US  # the clock skew is that of the last two: of 2.5 to 5 minutes
SERVICE = "source"  # of socmon's own records about silence

SilenceState = Literal["silent", "heard", "removed"]


class Sight(Struct):
    """One clock's records in one journal batch.

    Attributes:
        source: of its first record.
        records: collected ones, those that cannot be parsed too.
        received_us: of the last record.
        high_us: the greatest event time; None where no record has one.
        delay_us: the least time from the stated event time to the receipt, negative where the clock is ahead; None
            where no record states one, or only what a file held when it was first opened.
    """

    source: Source
    records: int = 0
    received_us: int = 0
    high_us: int | None = None
    delay_us: int | None = None


class Seen(Struct, frozen=True):
    """All that was seen of one clock.

    Attributes:
        host: as its messages state it; "" for those that state none, or cannot be parsed.
        authenticated: False where anyone could have written the peer's address.
        records: since the journal began, as far as this source was not forgotten meanwhile.
        first_us, last_us: receipt of the first and of the last record.
        last_event_us: the greatest event time of the last batch that has one.
        frame: the last journal frame that holds a record of it.
        period: number of the PERIOD_US in which `least_us` was measured.
        least_us, before_us: the least delay of that period, and of the one just before.
    """

    collector: str
    peer: str
    host: str
    format: str
    authenticated: bool
    records: int
    first_us: int
    last_us: int
    last_event_us: int | None
    frame: int
    period: int = 0
    least_us: int | None = None
    before_us: int | None = None

    @property
    def clock(self) -> Clock:
        """What it is known by."""
        return (self.collector, self.peer, self.host)

    @property
    def skew_us(self) -> int | None:
        """Receipt less event time, at least: negative where its clock is ahead; None before any time was stated.

        Transport only ever adds to it, so the least of some minutes is nearest to the clock's own error.
        """
        return least(self.least_us, self.before_us)


class Silence(Struct, frozen=True):
    """The last silence of a source that is expected, as socmon's own records tell it.

    Attributes:
        name: the source's, in the configuration.
        state: silent, heard again, or removed from the configuration meanwhile.
        since_us: its last record before, or the daemon's start.
        silent_s: for how long it had been silent when that was written.
        frame: all of the journal up to here had been looked at; a record behind it ends the silence.
    """

    name: str
    state: SilenceState
    since_us: int
    silent_s: int
    frame: int


class Expected(Struct, frozen=True):
    """A source that must not fall silent; `peer` and `host` narrow it where they are not None."""

    name: str
    collector: str
    peer: str | None = None
    host: str | None = None
    silent_after_s: float = 900.0

    def means(self, clock: Clock) -> bool:
        """Whether records of `clock` are records of this source."""
        collector, peer, host = clock
        return self.collector == collector and self.peer in {None, peer} and self.host in {None, host}


def least(*values: int | None) -> int | None:
    """The least of those that are known."""
    return min((value for value in values if value is not None), default=None)


class Sources:
    """Every source, bounded: of more than `limit` the least recently heard go.

    Attributes:
        last: of each expected source, the clock that was heard last.
        silences: by name.
    """

    def __init__(self, expected: Iterable[Expected] = (), *, limit: int = MAX_SOURCES) -> None:
        self._limit = limit
        self._rows: dict[Clock, Seen] = {}  # in the order of (frame, clock)
        self._changed: dict[Clock, Seen | None] = {}
        self._changed_silences: dict[str, Silence | None] = {}
        self._meant: dict[tuple[str, str | None, str | None], list[str]] = {}
        self.last: dict[str, Seen] = {}
        self.silences: dict[str, Silence] = {}
        for each in expected:
            self._meant.setdefault((each.collector, each.peer, each.host), []).append(each.name)

    @property
    def rows(self) -> Collection[Seen]:
        """All of them."""
        return self._rows.values()

    def restore(self, rows: Iterable[Seen], silences: Iterable[Silence]) -> None:
        """Continue from what was saved."""
        self._rows = {row.clock: row for row in sorted(rows, key=lambda row: (row.frame, row.clock))}
        self.silences = {each.name: each for each in silences}
        for row in self._rows.values():
            self._hear(row)

    def take(self, number: int, written_us: int, sights: Mapping[Clock, Sight], own: Sequence[Event] = ()) -> None:
        """Take in what one journal batch holds.

        Args:
            own: the events of socmon's own records.
        """
        period = written_us // PERIOD_US
        for whole in sorted(sights):
            collector, peer, host = whole
            if collector != OWN:
                clock = (collector, peer, host[:MAX_HOST_CHARS])
                row = _added(self._rows.pop(clock, None), clock, sights[whole], number, period)
                self._rows[clock] = self._changed[clock] = row
                self._hear(row)
        if len(self._rows) > self._limit:
            self._forget()
        for event in own:
            if event.logsource.service == SERVICE:
                self._note(event)

    def take_changes(self) -> tuple[dict[Clock, Seen | None], dict[str, Silence | None]]:
        """What changed since the last call, None where it is gone; for the next checkpoint."""
        changed = self._changed, self._changed_silences
        self._changed, self._changed_silences = {}, {}
        return changed

    def _hear(self, row: Seen) -> None:
        collector, peer, host = row.clock
        if self._meant:
            for key in ((collector, None, None), (collector, peer, None), (collector, None, host), row.clock):
                for name in self._meant.get(key, ()):
                    self.last[name] = row

    def _forget(self) -> None:
        """Many at once: whoever makes up hosts must not make each of them expensive."""
        surplus = len(self._rows) - self._limit + self._limit // 16
        for clock in [*islice(self._rows, surplus)]:
            del self._rows[clock]
            self._changed[clock] = None

    def _note(self, event: Event) -> None:
        silence = silence_of(event.fields)
        if silence is None:
            return
        self.silences.pop(silence.name, None)
        self.silences[silence.name] = self._changed_silences[silence.name] = silence
        while len(self.silences) > self._limit:
            name = next(iter(self.silences))
            del self.silences[name]
            self._changed_silences[name] = None


def _added(row: Seen | None, clock: Clock, sight: Sight, number: int, period: int) -> Seen:
    least_us, before_us, measured = (row.least_us, row.before_us, row.period) if row else (None, None, 0)
    if sight.delay_us is not None:
        if period != measured:
            before_us = least_us if period == measured + 1 else None
            least_us, measured = None, period
        least_us = least(least_us, sight.delay_us)
    event_us = row.last_event_us if row and sight.high_us is None else sight.high_us
    return Seen(
        *clock,
        sight.source.format,
        sight.source.authenticated,
        (row.records if row else 0) + sight.records,
        row.first_us if row else sight.received_us,
        sight.received_us,
        event_us,
        number,
        measured,
        least_us,
        before_us,
    )


def silence_fields(silence: Silence, expected: Expected | None) -> dict[str, str]:
    """What socmon's own record of a silence says; `silence_of` reads it back."""
    named = {} if expected is None else {name: getattr(expected, name) for name in ("collector", "peer", "host")}
    return {
        "source": silence.name,
        "state": silence.state,
        "since": rfc3339(silence.since_us),
        "silent_s": str(silence.silent_s),
        "frame": str(silence.frame),
    } | {name: value for name, value in named.items() if value}


def silence_of(fields: Mapping[str, Any]) -> Silence | None:
    """The silence that a record tells of; None where another version wrote it, and it cannot be understood."""
    try:
        since_us = to_us(datetime.fromisoformat(fields["since"]))
        numbers = {name: int(fields[name]) for name in ("silent_s", "frame")}
        told = {"name": fields["source"], "state": fields["state"], "since_us": since_us, **numbers}
        return convert(told, Silence)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
