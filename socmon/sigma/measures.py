"""What a window's events come to: a number that events add to as they enter, and take from as they leave.

Sigma correlation rules specification 2.1. What a condition reads of an event is its fact; each measure says what that
is. None: the condition does not count the event (it only stands behind a result of another correlation).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

Fact = str | int | None


class Measure(Struct, array_like=True):
    """Of the events of one window. They enter in (event time, sequence) order, and the first one leaves first."""

    def enter(self, fact: Any, time_us: int) -> None:
        """The next event comes in."""
        raise NotImplementedError

    def leave(self, fact: Any) -> None:
        """The oldest event goes."""
        raise NotImplementedError

    def number(self, oldest_us: int) -> int:
        """What the condition compares; no event in the window is older than `oldest_us`."""
        raise NotImplementedError

    def reached(self, oldest_us: int) -> int:
        """As `number`; how far a condition is that is all or nothing."""
        return self.number(oldest_us)

    def enter_all(self, facts: Iterable[Any], times_us: Iterable[int]) -> None:
        """Several come in."""
        for fact, time_us in zip(facts, times_us, strict=True):
            self.enter(fact, time_us)

    @staticmethod
    def merged(one: Any, other: Any) -> Fact:
        """The fact of an event that is found twice: as a match, and as the last one behind a result."""
        fact: Fact = max(one, other)
        return fact


class Total(Measure):
    """event_count. A fact is how many events this one stands for; a result of another correlation is one."""

    total: int = 0

    def enter(self, fact: int | None, time_us: int) -> None:  # noqa: ARG002  other measures look at it
        """Its weight is added."""
        self.total += fact or 0

    def leave(self, fact: int | None) -> None:
        """Its weight is taken off."""
        self.total -= fact or 0

    def number(self, oldest_us: int) -> int:  # noqa: ARG002  other measures look at it
        """The sum of the weights."""
        return self.total


class Distinct(Measure):
    """value_count. A fact is the value as text."""

    counts: dict[str, int] = {}

    def enter(self, fact: str | None, time_us: int) -> None:  # noqa: ARG002  other measures look at it
        """A value is there once more."""
        if fact is not None:
            self.counts[fact] = self.counts.get(fact, 0) + 1

    def enter_all(self, facts: Iterable[str | None], times_us: Iterable[int]) -> None:  # noqa: ARG002  as above
        """At the speed of C: whole windows are counted anew when an event comes late."""
        counts: dict[str | None, int] = Counter(facts)
        counts.pop(None, None)
        for fact, count in counts.items():
            if fact is not None:
                self.counts[fact] = self.counts.get(fact, 0) + count

    def leave(self, fact: str | None) -> None:
        """A value is there once less."""
        if fact is None:
            return
        if left := self.counts[fact] - 1:
            self.counts[fact] = left
        else:
            del self.counts[fact]

    def number(self, oldest_us: int) -> int:  # noqa: ARG002  other measures look at it
        """How many different values there are."""
        return len(self.counts)


class Steps(Measure):
    """temporal_ordered. A fact has bit n set where the event matches the rule at position n of the list.

    Attributes:
        starts: per position, the latest time at which a run of events through all positions up to it began. An event
            stands for one position of a run only. The latest start is the one that stays in a window longest, so it is
            all that need be known: a step for each position and event, however many runs there are.
    """

    starts: list[int] = []

    def enter(self, fact: int | None, time_us: int) -> None:
        """Every run that this event takes a step further is known by its start."""
        if not fact:
            return
        starts = self.starts
        if fact == 1:
            starts[0] = time_us
            return
        for position in range(min(len(starts), fact.bit_length()) - 1, 0, -1):  # downwards: one step for an event
            if fact >> position & 1 and starts[position - 1] > starts[position]:
                starts[position] = starts[position - 1]
        if fact & 1:
            starts[0] = time_us

    def enter_all(self, facts: Iterable[int | None], times_us: Iterable[int]) -> None:
        """First steps one after another, of which an attack has hundreds, come to the last of them."""
        first_us = None
        for fact, time_us in zip(facts, times_us, strict=True):
            if fact == 1:
                first_us = time_us
            elif fact:
                if first_us is not None:
                    self.starts[0] = first_us
                    first_us = None
                self.enter(fact, time_us)
        if first_us is not None:
            self.starts[0] = first_us

    def leave(self, fact: int | None) -> None:
        """Nothing: a run that began before the window is told by its start."""

    def number(self, oldest_us: int) -> int:
        """The number of positions if all are passed in order, else 0."""
        return len(self.starts) if self.starts[-1] >= oldest_us else 0

    def reached(self, oldest_us: int) -> int:
        """The positions that are passed in order."""
        return sum(start >= oldest_us for start in self.starts)

    @staticmethod
    def merged(one: int, other: int) -> int:
        """The positions of both."""
        return one | other
