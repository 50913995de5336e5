"""One correlation group: its events in a sliding window on event time, and the alerts that they are in.

Sigma correlation rules specification 2.1, event_count; the semantics of DESIGN.md §2: a window is inclusive
(last − first ≤ timespan), the condition is evaluated at each event over [t − timespan, t] in (event time, sequence)
order, and an event that comes late is put in its place and re-evaluates every window that holds it.
"""

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator

from msgspec import Struct

from socmon.sigma.rule import Correlation

NEVER_US = -(1 << 62)

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


class OpenAlert(Struct, array_like=True):
    """An alert that later events may still join.

    Attributes:
        clock_us: the global clock when it was last joined; it is forgotten once every source is well past that.
        first, last: sequences of the first and the last events that joined, each at most as many as are kept.
        handed: those of them that were handed out with the alert before.
    """

    id: str
    first_us: int
    last_us: int
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


class Group(Struct, array_like=True):
    """Events of one group in (event time, sequence) order, as parallel lists: a fifth of the memory of objects.

    Attributes:
        touched: order of the last touch, the same in every run over the same journal.
        clock_us: the global clock at the last touch.
        clocks: per event, the global clock when it came: what pruning goes by, so a source far behind keeps its events.
        joined: per event, `opened_seq` of the alert it is in, or 0.
        start: index of the first event in the window that ends at the last event.
        total: sum of the weights from `start`.
        lost_us: the newest event time that a full group had to drop.
    """

    touched: int = 0
    clock_us: int = NEVER_US
    times: list[int] = []
    seqs: list[int] = []
    weights: list[int] = []
    clocks: list[int] = []
    joined: list[int] = []
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
        for column in (self.times, self.seqs, self.weights, self.clocks, self.joined):
            del column[:count]

    def prune(self, horizon_us: int) -> None:
        """Forget the oldest events that came when the global clock was before `horizon_us`."""
        gone = 0
        for clock in self.clocks:
            if clock >= horizon_us:
                break
            gone += 1
        if gone:
            self.drop_first(gone)


class EventCountWindow:
    """event_count: the number of events, repeats added, compared with the rule's value."""

    def __init__(self, correlation: Correlation, max_events: int) -> None:
        self.timespan_us = correlation.timespan_us
        self._compare = _COMPARE[correlation.op]
        self._value = correlation.value
        self._max_events = max(max_events, correlation.value + 1)

    def add(self, group: Group, time_us: int, seq: int, weight: int) -> Iterator[tuple[int, int]]:
        """Put one event in; yield (first, last) index of each window with it where the condition holds, oldest first.

        `group.clock_us` is the clock that the event is filed under. The caller may set `joined` between two windows.
        """
        self._make_room(group)
        if group.times and time_us < group.times[-1]:
            yield from self._add_late(group, time_us, seq, weight)
            return
        self._insert(group, len(group), time_us, seq, weight)
        group.total += weight
        self._advance(group)
        if self._compare(group.total, self._value):
            yield group.start, len(group) - 1

    def _insert(self, group: Group, place: int, time_us: int, seq: int, weight: int) -> None:
        group.times.insert(place, time_us)
        group.seqs.insert(place, seq)
        group.weights.insert(place, weight)
        group.clocks.insert(place, group.clock_us)
        group.joined.insert(place, 0)

    def _advance(self, group: Group) -> None:
        """Move `start` up to the window of the last event."""
        oldest = group.times[-1] - self.timespan_us
        while group.times[group.start] < oldest:
            group.total -= group.weights[group.start]
            group.start += 1

    def _add_late(self, group: Group, time_us: int, seq: int, weight: int) -> Iterator[tuple[int, int]]:
        place = bisect_right(group.times, time_us)
        self._insert(group, place, time_us, seq, weight)
        group.start = bisect_left(group.times, group.times[-1] - self.timespan_us)
        group.total = sum(group.weights[group.start :])
        for last in range(place, bisect_right(group.times, time_us + self.timespan_us)):
            first = bisect_left(group.times, group.times[last] - self.timespan_us)
            if self._compare(sum(group.weights[first : last + 1]), self._value):
                yield first, last

    def _make_room(self, group: Group) -> None:
        if len(group) >= self._max_events:
            group.lost_us = max(group.lost_us, group.times[0])
            group.drop_first(1)
