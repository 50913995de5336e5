"""What every replay has in common: batches → matches → alerts, what they came to, and being stopped in between."""

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct, field

from socmon.enrich import Assets
from socmon.event import LEVELS, Alert, Match
from socmon.journal import Batch
from socmon.matching import Matched, Matcher
from socmon.replaying.timeline import Timeline
from socmon.sigma import RuleSet
from socmon.sigma.correlator import Correlator
from socmon.workers import Asides

T = TypeVar("T")


class Matching(Protocol):
    """The seam between reading and matching: here, one batch after the other, or in other processes."""

    def __call__(self, batches: Iterable[Batch], *, undated: bool = False) -> Iterator[Matched]:
        """What each batch comes to, in their order; as many may be under way as it likes.

        Args:
            undated: see Matcher.
        """


def inline(
    rules: RuleSet,
    *,
    assets: Assets | None = None,
    live: bool = True,
    year: int | None = None,
    asides: Asides | None = None,
) -> Matching:
    """Matching in this process; the arguments are those of Matcher, and records that are not looked at."""
    known = Asides() if asides is None else asides

    def matching(batches: Iterable[Batch], *, undated: bool = False) -> Iterator[Matched]:
        match = Matcher(rules, live=live, year=year, undated=undated, assets=assets).match
        return (match(batch, aside=known.within(batch.first_seq, batch.next_seq)) for batch in batches)

    return matching


class Place(NamedTuple):
    """An event: its file as it was named and its line's number from 0, or the journal's folder and its sequence."""

    file: str
    n: int


class Found(NamedTuple):
    """An alert with every event that is in it, by file as they were named, then by line."""

    alert: Alert
    events: list[Place]


class Counts(Struct):
    """What was read so far, and what it came to.

    Attributes:
        records: lines that are not empty, or records of the journal.
        dropped: records that were lost before the journal, as it says.
        by_rule: events that each rule matched, by id.
        matches: events that any rule matched.
        matched: when those were.
    """

    records: int = 0
    evaluated: int = 0
    unparsed: int = 0
    dropped: int = 0
    matches: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    matched: Timeline = field(default_factory=Timeline)

    def take(self, matched: Matched) -> None:
        """Add one batch."""
        self.records += sum(matched.journalled.values())
        self.evaluated += sum(matched.evaluated.values())
        self.unparsed += sum(matched.unparsed.values())
        self.dropped += sum(drop.count for drop in matched.drops)
        if not matched.matches:
            return
        self.matches += len(matched.matches)
        self.by_rule.update(rule for match in matched.matches for rule in match.rules)
        times_us = (match.event.time_us for match in matched.matches)
        self.matched.add(time_us for time_us in times_us if time_us is not None)


class StoppedReadingError(Exception):
    """Reading was waiting when the replay was told to stop."""


class Run:
    """One pass over old records, of whatever source; each kind says how it reads them.

    Attributes:
        counts: what was read so far.
        stopped: it was told to stop, so what it gives out is of the beginning only.
        on_batch: called after each batch.
    """

    def __init__(self, correlator: Correlator, matching: Matching) -> None:
        self.counts = Counts()
        self.stopped = False
        self.on_batch: Callable[[], object] = _nothing
        self._correlator = correlator
        self._matching = matching
        self._waiting = False
        self._held: dict[str, tuple[Alert, array[int]]] = {}

    def matches(self) -> Iterator[tuple[Place, Sequence[str]]]:
        """Yield each event that a rule matches, with the rules' ids, in the order in which they are read."""
        raise NotImplementedError

    def alerts(self) -> list[Found]:
        """Read all, and return the alerts in the order of their first event."""
        return list(self.each_alert())

    def each_alert(self) -> Iterator[Found]:
        """The same one by one: the places of their events take much more memory than the alerts."""
        raise NotImplementedError

    @property
    def done(self) -> float | None:
        """How much of all is read, from 0 to 1; None where nobody knows how much there is."""
        return None

    @property
    def late(self) -> int:
        """Matches that `alerts` could not use, as they are too far behind others of their source."""
        return self._correlator.tally.late

    @property
    def evicted(self) -> int:
        """Groups that had to be dropped because of a bound of the correlator."""
        return self._correlator.tally.evicted

    @property
    def levels(self) -> dict[str, int]:
        """Alerts so far by level, the gravest first."""
        opened = self._correlator.tally.opened
        return {level: opened[level] for level in reversed(LEVELS) if opened.get(level)}

    def match_by(self, matching: Matching) -> None:
        """Match by `matching`; before anything is read."""
        self._matching = matching

    def stop(self) -> None:
        """End reading before the next batch; for a handler of signals, as a wait for input is broken off.

        What was read until then is what all results are made of.
        """
        self.stopped = True
        if self._waiting:
            raise StoppedReadingError

    def _wait_for(self, blocks: Iterator[T]) -> T | None:
        """The next of what is read; None at its end, or when this is stopped, also in the middle of the wait."""
        try:
            self._waiting = True
            return None if self.stopped else next(blocks, None)
        except StoppedReadingError:
            return None
        finally:
            self._waiting = False

    def _take(self, matched: Matched) -> list[Match]:
        self.counts.take(matched)
        self.on_batch()
        return matched.matches

    def _hold(self) -> None:
        """Take the alerts that changed out of the correlator, with their new events: 8 bytes each."""
        for alert, seqs in self._correlator.hand_over():
            before = self._held.get(alert.id)
            if before is None:
                self._held[alert.id] = (alert, array("q", seqs))
            else:
                before[1].extend(seqs)
                self._held[alert.id] = (alert, before[1])

    def _finished(self, places: Callable[[Iterable[int]], list[Place]]) -> Iterator[Found]:
        """All alerts that are held, in order; of each, the places of its events are asked for when it is its turn."""
        for alert, seqs in sorted(self._held.values(), key=_order):
            yield Found(alert, places(seqs))


def named(path: str) -> str:
    """A path as text that can be encoded."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _order(held: tuple[Alert, object]) -> tuple[int, str, list[str], int]:
    alert = held[0]
    return alert.first_us, alert.rule_id, list(alert.group.values()), alert.last_us


def _nothing() -> None:
    pass
