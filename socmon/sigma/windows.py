"""One correlation group: its events in a sliding window on event time, and the alerts that they are in.

Sigma correlation rules specification 2.1; docs/semantics.md, "Correlation": a window is inclusive
(last − first ≤ timespan), the condition is evaluated at each event over [t − timespan, t] in (event time, sequence)
order, and an event that comes late is put in its place and re-evaluates every window that holds it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from socmon.sigma.rule import COMPARE, Correlation, Number

NEVER_US = -(1 << 62)


class OpenAlert(Struct, array_like=True):
    """An alert that later events may still join.

    Attributes:
        opened_us: event time of the match that opened it; what its greatest length is measured from.
        clock_us: the global clock when it was last joined; it is forgotten once every source is well past that.
        first, last: the lowest and the highest sequences in it, each at most as many as are kept.
        handed: those of them that were handed out with the alert before.
    """

    id: str
    first_us: int
    last_us: int
    opened_us: int
    opened_seq: int
    host: str
    agency: str
    clock_us: int = NEVER_US
    entities: dict[str, list[str]] = {}
    count: int = 0
    revision: int = 0
    approximate: bool = False
    first: list[int] = []
    last: list[int] = []
    handed: list[int] = []
    system: str = ""
    system_level: int | None = None


class Group(Struct, array_like=True):
    """Events of one group in (event time, sequence) order, as parallel columns: a fifth of the memory of objects.

    Attributes:
        touched: order of the last touch, the same in every run over the same journal.
        clock_us: the global clock at the last touch.
        clocks: per event, the global clock when it came: what pruning goes by, so a source far behind keeps its events.
        joined: per event, `opened_seq` of the alert it is in, or 0.
        held: per event, 1 where the condition was true when last looked at: every event of its window is in an alert.
        start: index of the first event in the window that ends at the last event.
        total: sum of the weights from `start`.
        lost_us: the newest event time that a full group had to drop, or that a group before it may have held.
    """

    touched: int = 0
    clock_us: int = NEVER_US
    times: list[int] = []
    seqs: list[int] = []
    weights: list[int] = []
    clocks: list[int] = []
    joined: list[int] = []
    held: bytearray = msgspec.field(default_factory=bytearray)
    start: int = 0
    total: int = 0
    lost_us: int = NEVER_US
    alerts: list[OpenAlert] = []

    def __len__(self) -> int:
        return len(self.times)

    def drop_first(self, count: int) -> None:
        """Forget the `count` oldest events."""
        self.total -= sum(self.weights[self.start : count])
        self.start = max(0, self.start - count)
        for column in (self.times, self.seqs, self.weights, self.clocks, self.joined, self.held):
            del column[:count]

    def prune(self, horizon_us: int) -> None:
        """Forget the oldest events that came when the global clock was before `horizon_us`, once they are the half.

        Taking from the front of a list costs its length, so it is done seldom; none of them is in any window any more.
        """
        clocks = self.clocks
        if not clocks or clocks[len(clocks) // 2] >= horizon_us:
            return
        kept = (index for index, clock in enumerate(self.clocks) if clock >= horizon_us)
        self.drop_first(next(kept, len(self)))

    def take(self, indexes: Sequence[int], opened_seq: int) -> None:
        """Note that these events are in an alert now, or, of a rule that only feeds others, handed on."""
        for index in indexes:
            self.joined[index] = opened_seq

    def events(self, window: range) -> Sequence[int]:
        """Indexes of the events that an alert takes in when it opens at the end of `window`."""
        return window

    def near(self, window: range) -> set[int]:
        """`opened_seq` of the alerts that the last event of `window`, or the one evaluated before it, is in."""
        return self._alerts_of(window[-1], window[-2] if len(window) > 1 else window[-1])

    def _alerts_of(self, *indexes: int) -> set[int]:
        joined = self.joined
        return {joined[index] for index in indexes if joined[index]}

    def fresh(self, window: range) -> list[int]:
        """Indexes in `window` of events that are in no alert yet, in order.

        Looks back only to the last event before the end at which the condition held: all before that one have joined.
        """
        first, stop, joined = window.start, window.stop, self.joined
        held = self.held.rfind(1, first, stop - 1)
        return [index for index in range(max(held, first), stop) if not joined[index]]


class EventCountWindow:
    """event_count over rules: the number of events, repeats added, compared with the rule's values.

    The commonest correlation by far; what else there is, is slower, and in `socmon.sigma.measured`.
    """

    def __init__(self, correlation: Correlation, max_events: int) -> None:
        self.timespan_us = correlation.timespan_us
        conditions = [(op, int(value)) for op, value in ((correlation.op, correlation.value), *correlation.also)]
        self._conditions = [(COMPARE[op], value) for op, value in conditions]
        self._max_events = max(max_events, *(value + 1 for _, value in conditions))

    def add(self, group: Group, time_us: int, seq: int, weight: int) -> Iterable[range]:
        """Put one event in; each window with it (as indexes) in which the condition holds, oldest first.

        `group.clock_us` is the clock that the event is filed under. A window in which nothing can be new to its alert
        may be left out. The caller takes all of them, and sets `joined` between two.
        """
        times = group.times
        if len(times) >= self._max_events:
            group.lost_us = max(group.lost_us, times[0])
            group.drop_first(1)
        if times and time_us < times[-1]:
            return self._add_late(group, time_us, seq, weight)
        times.append(time_us)
        group.seqs.append(seq)
        group.weights.append(weight)
        group.clocks.append(group.clock_us)
        group.joined.append(0)
        start, total = group.start, group.total + weight
        oldest_us = time_us - self.timespan_us
        while times[start] < oldest_us:
            total -= group.weights[start]
            start += 1
        group.start, group.total = start, total
        holds = self.holds(total)
        group.held.append(holds)
        return (range(start, len(times)),) if holds else ()

    def holds(self, total: Number) -> bool:
        """Whether that fulfils the condition."""
        for compare, value in self._conditions:  # noqa: SIM110  a generator would double the cost
            if not compare(total, value):
                return False
        return True

    def _insert(self, group: Group, place: int, time_us: int, seq: int, weight: int) -> None:
        group.times.insert(place, time_us)
        group.seqs.insert(place, seq)
        group.weights.insert(place, weight)
        group.clocks.insert(place, group.clock_us)
        group.joined.insert(place, 0)
        group.held.insert(place, 0)

    def _add_late(self, group: Group, time_us: int, seq: int, weight: int) -> Iterator[range]:
        """Put an event between others, and evaluate every window that holds it."""
        place = bisect_right(group.times, time_us)
        self._insert(group, place, time_us, seq, weight)
        if time_us < group.times[-1] - self.timespan_us:
            group.start += 1  # before the last window: its events moved up by one
        else:
            group.total += weight
        end = bisect_right(group.times, time_us + self.timespan_us)
        first, stop, total = place, place, 0  # a window that slides over `group`, and the sum of its weights
        last = place
        while last < end:
            oldest_us = group.times[last] - self.timespan_us
            total += sum(group.weights[stop : last + 1])
            if last == place:
                first = bisect_left(group.times, oldest_us)
                total += sum(group.weights[first:place])
            while group.times[first] < oldest_us:
                total -= group.weights[first]
                first += 1
            stop = last + 1
            holds = self.holds(total)
            if holds:
                yield range(first, last + 1)
            group.held[last] = holds
            last = self._next(group, place, last + 1, end)

    def _next(self, group: Group, place: int, last: int, end: int) -> int:
        """The next window to look at: once the late event has joined, one that held before has nothing new in it."""
        if not group.joined[place]:
            return last
        found = group.held.find(0, last, end)
        return end if found < 0 else found
