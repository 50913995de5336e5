"""Windows whose condition reads more of an event than that it is there: all types but event_count, and chains.

docs/semantics.md, "Correlation". A result of a correlation that another one refers to is the last event of the window
in which it came true, marked as matching that correlation; the events behind it come with it, once each.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from socmon.sigma.amounts import Amount, Average, Percentile, Sum
from socmon.sigma.measures import Different, Distinct, Fact, Measure, Share, Steps, Total
from socmon.sigma.rule import COMPARE, Correlation, CorrelationType, Number
from socmon.sigma.windows import NEVER_US, Group

# What an event is in its group, as bits of a byte, so that those in question are found at the speed of C.
_LOOSE, BEHIND, RESULT = 1, 2, 4  # in no alert yet; behind a result; the last one behind it
_ANY_LOOSE = re.compile(b"[\x01\x03\x05\x07]")
_LOOSE_BEHIND = re.compile(b"[\x03\x07]")
_ANY_BEHIND = re.compile(b"[\x02\x03\x06\x07]")
_RESULTS = re.compile(b"[\x04-\x07]")


class Member(NamedTuple):
    """An event for a group.

    Attributes:
        weight: what it adds to an alert's count.
        fact: what the condition reads of it (see `socmon.sigma.measures`).
        role: BEHIND, RESULT, both or neither.
    """

    time_us: int
    seq: int
    weight: int
    fact: Fact
    role: int = 0


class News(Struct):
    """What one match brings to a group.

    Attributes:
        members: by sequence.
        lost_us: the newest event time that a window of a base which came true may lack.
    """

    members: dict[int, Member] = {}
    lost_us: int = NEVER_US

    def add(self, member: Member, merged: Callable[[Any, Any], Fact]) -> None:
        """Add an event, or to the one that is there what is new about it."""
        known = self.members.get(member.seq)
        if known is not None:
            facts = [fact for fact in (known.fact, member.fact) if fact is not None]
            fact = merged(*facts) if len(facts) == 2 else facts[0] if facts else None
            member = member._replace(fact=fact, role=known.role | member.role)
        self.members[member.seq] = member


class Measured(Group, array_like=True):
    """A group whose window is measured.

    Attributes:
        facts: per event, what the condition reads of it.
        roles: per event, what it is here.
        measure: of the events from `start`.
        behind_us: how far back from a result the events behind it may stand; 0 where all bases are rules.
    """

    facts: list[Any] = msgspec.field(default_factory=list)
    roles: bytearray = msgspec.field(default_factory=bytearray)
    measure: Measure = msgspec.field(default_factory=Total)
    behind_us: int = 0

    def drop_first(self, count: int) -> None:
        """Forget the `count` oldest events."""
        for fact in self.facts[self.start : count]:
            self.measure.leave(fact)
        super().drop_first(count)
        del self.facts[:count]
        del self.roles[:count]

    def take(self, indexes: Sequence[int], opened_seq: int) -> None:
        """As for every group."""
        super().take(indexes, opened_seq)
        for index in indexes:
            self.roles[index] &= ~_LOOSE

    def place(self, time_us: int, seq: int) -> int:
        """Where the event stands, or would."""
        first = bisect_left(self.times, time_us)
        return bisect_left(self.seqs, seq, first, bisect_right(self.times, time_us, first))

    def put(self, member: Member) -> None:
        """Put an event in its place, or add to the one that is there what is new about it."""
        place = self.place(member.time_us, member.seq)
        if place < len(self) and self.seqs[place] == member.seq and self.times[place] == member.time_us:
            known, fact = self.facts[place], member.fact
            if fact is not None:
                self.facts[place] = fact if known is None else self.measure.merged(known, fact)
            self.roles[place] |= member.role
            return
        self.times.insert(place, member.time_us)
        self.seqs.insert(place, member.seq)
        self.weights.insert(place, member.weight)
        self.clocks.insert(place, self.clock_us)
        self.joined.insert(place, 0)
        self.held.insert(place, 0)
        self.facts.insert(place, member.fact)
        self.roles.insert(place, member.role | _LOOSE)

    def events(self, window: range) -> list[int]:
        """Those of `window`, and from before it those behind a result in it."""
        return self._before(window, _ANY_BEHIND) + list(window)

    def fresh(self, window: range) -> list[int]:
        """Those of them that are in no alert yet."""
        inside = [found.start() for found in _ANY_LOOSE.finditer(self.roles, window.start, window.stop)]
        return self._before(window, _LOOSE_BEHIND) + inside

    def near(self, window: range) -> set[int]:
        """As for every group; events that only stand behind results are passed over."""
        counted = (index for index in reversed(window[:-1]) if self.facts[index] is not None)
        return self._alerts_of(window[-1], next(counted, window[-1]))

    def _before(self, window: range, wanted: re.Pattern[bytes]) -> list[int]:
        """Events before `window` that stand behind results, as far as the first result in it reaches back."""
        result = _RESULTS.search(self.roles, window.start, window.stop) if self.behind_us else None
        if result is None:
            return []
        oldest = bisect_left(self.times, self.times[result.start()] - self.behind_us)
        return [found.start() for found in wanted.finditer(self.roles, oldest, window.start)]

    def is_whole(self) -> bool:
        """Whether all columns are of one length: what another version wrote may not be."""
        columns = (self.seqs, self.weights, self.clocks, self.joined, self.held, self.facts, self.roles)
        return all(len(column) == len(self) for column in columns) and 0 <= self.start <= len(self)


class Totals(Measured, array_like=True):
    """Of event_count over correlations."""

    facts: list[int | None] = msgspec.field(default_factory=list)
    measure: Total = msgspec.field(default_factory=Total)


class Values(Measured, array_like=True):
    """Of value_count."""

    facts: list[str | None] = msgspec.field(default_factory=list)
    measure: Distinct = msgspec.field(default_factory=Distinct)


class Runs(Measured, array_like=True):
    """Of temporal_ordered."""

    facts: list[int | None] = msgspec.field(default_factory=list)
    measure: Steps = msgspec.field(default_factory=Steps)


class Sets(Measured, array_like=True):
    """Of temporal."""

    facts: list[tuple[int, ...] | None] = msgspec.field(default_factory=list)
    measure: Different = msgspec.field(default_factory=Different)


class Sums(Measured, array_like=True):
    """Of value_sum."""

    facts: list[Amount | None] = msgspec.field(default_factory=list)
    measure: Sum = msgspec.field(default_factory=Sum)


class Averages(Measured, array_like=True):
    """Of value_avg."""

    facts: list[Amount | None] = msgspec.field(default_factory=list)
    measure: Average = msgspec.field(default_factory=Average)


class Percentiles(Measured, array_like=True):
    """Of value_percentile with a percentile."""

    facts: list[Amount | None] = msgspec.field(default_factory=list)
    measure: Percentile = msgspec.field(default_factory=Percentile)


class Shares(Measured, array_like=True):
    """Of value_percentile without one."""

    facts: list[tuple[str, int] | None] = msgspec.field(default_factory=list)
    measure: Share = msgspec.field(default_factory=Share)


_GROUPS: Mapping[CorrelationType, type[Measured]] = {
    "event_count": Totals,
    "value_count": Values,
    "temporal": Sets,
    "temporal_ordered": Runs,
    "value_sum": Sums,
    "value_avg": Averages,
    "value_percentile": Shares,
}
# The types whose condition says how many events there must be at least: a window has room for one more than that.
_COUNTS_EVENTS: frozenset[CorrelationType] = frozenset({"event_count", "value_count", "temporal", "temporal_ordered"})


def _measures(correlation: Correlation) -> Callable[[], Measure]:
    """Makes what measures a correlation's windows, of no event."""
    if correlation.type == "temporal_ordered":
        count = len(correlation.rules)
        return lambda: Steps([NEVER_US] * count)
    if correlation.percentile is not None:
        numerator, denominator = (Fraction(correlation.percentile) / 100).as_integer_ratio()
        return lambda: Percentile(numerator, denominator)
    made: Mapping[CorrelationType, type[Measure]] = {
        "event_count": Total,
        "value_count": Distinct,
        "temporal": Different,
        "value_sum": Sum,
        "value_avg": Average,
        "value_percentile": Share,
    }
    return made[correlation.type]


class MeasuredWindow:
    """A condition on what the events of a window come to.

    Args:
        behind_us: how far back from a result the events behind it may stand; 0 where all bases are rules.

    Attributes:
        blank: the measure of no event.
    """

    def __init__(self, correlation: Correlation, max_events: int, behind_us: int) -> None:
        self.timespan_us = correlation.timespan_us
        conditions = ((correlation.op, correlation.value), *correlation.also)
        self._measure = _measures(correlation)
        self.blank = self._measure()
        self._conditions = [(COMPARE[op], self.blank.threshold(value)) for op, value in conditions]
        counts = [int(value) for _, value in conditions if correlation.type in _COUNTS_EVENTS]
        self._max_events = max(max_events, 1, *(value + 1 for value in counts))
        self._behind_us = behind_us
        self._group = _GROUPS[correlation.type] if correlation.percentile is None else Percentiles

    @property
    def merged(self) -> Callable[[Any, Any], Fact]:
        """See `Measure.merged`."""
        return self.blank.merged

    def group(self) -> Measured:
        """An empty group."""
        return self._group(measure=self._measure(), behind_us=self._behind_us)

    def holds(self, number: Number) -> bool:
        """Whether that fulfils the condition."""
        # `all` would take three times as long, and this is asked of each window.
        for compare, value in self._conditions:  # noqa: SIM110
            if not compare(number, value):
                return False
        return True

    def add(self, group: Measured, news: News) -> Iterator[range]:
        """Put in what one match brought; yield the windows (as indexes) with news that fulfil it.

        As `EventCountWindow.add`: oldest first, and the caller takes what is fresh between two windows.
        """
        members = news.members.values()
        group.lost_us = max(group.lost_us, news.lost_us)
        first = min(members, key=lambda member: (member.time_us, member.seq))
        if len(members) == 1 and self._is_next(group, first):
            self._drop_surplus(group, len(group) + 1)
            yield from self._append(group, first)
            return
        for member in members:
            group.put(member)
        group.start = len(group)  # nothing is measured: what is dropped need not leave
        self._drop_surplus(group, len(group))
        group.start = bisect_left(group.times, group.times[-1] - self.timespan_us)
        group.measure = self._measured(group, group.start, len(group))
        yield from self._again(group, first, max(member.time_us for member in members), plain=len(members) == 1)

    def _drop_surplus(self, group: Measured, length: int) -> None:
        if (surplus := length - self._max_events) > 0:
            group.lost_us = max(group.lost_us, group.times[surplus - 1])
            group.drop_first(surplus)

    def _is_next(self, group: Measured, member: Member) -> bool:
        return not group.times or (group.times[-1], group.seqs[-1]) < (member.time_us, member.seq)

    def _measured(self, group: Measured, start: int, stop: int) -> Measure:
        measure = self._measure()
        measure.enter_all(group.facts[start:stop], group.times[start:stop])
        return measure

    def _append(self, group: Measured, member: Member) -> Iterator[range]:
        """An event after all others: what it costs does not depend on how many these are."""
        group.put(member)
        measure = group.measure
        measure.enter(member.fact, member.time_us)
        oldest_us = member.time_us - self.timespan_us
        while group.times[group.start] < oldest_us:
            measure.leave(group.facts[group.start])
            group.start += 1
        if self.holds(measure.number(oldest_us)):  # alone, it does not only stand behind a result
            yield range(group.start, len(group))
            group.held[-1] = 1

    def _again(self, group: Measured, first: Member, last_us: int, *, plain: bool) -> Iterator[range]:
        """Evaluate every window that an event from `first` to `last_us` is in, or may stand behind a result of.

        Args:
            plain: `first` is all that is new.
        """
        place = last = stop = group.place(first.time_us, first.seq)
        end = bisect_right(group.times, last_us + self.timespan_us + self._behind_us)
        if place >= end:
            return  # a full group dropped it at once
        start = bisect_left(group.times, group.times[place] - self.timespan_us)
        measure = self._measured(group, start, place)  # slides over `group`
        facts, times = group.facts, group.times
        while last < end:
            for at in range(stop, last + 1):
                measure.enter(facts[at], times[at])
            stop = last + 1
            oldest_us = times[last] - self.timespan_us
            while times[start] < oldest_us:
                measure.leave(facts[start])
                start += 1
            holds = facts[last] is not None and self.holds(measure.number(oldest_us))
            if holds:
                yield range(start, last + 1)
            group.held[last] = holds
            last += 1
            if holds and plain and not group.roles[place] & _LOOSE:
                # The late event has joined, so a window that held before has nothing new in it.
                found = group.held.find(0, last, end)
                last = end if found < 0 else found
