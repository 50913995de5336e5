"""What a window's events come to: a number that events add to as they enter, and take from as they leave.

Sigma correlation rules specification 2.1. What a condition reads of an event is its fact; each measure says what that
is. None: the condition does not count the event (it only stands behind a result of another correlation).
"""

import enum
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
from msgspec import Struct

from socmon.sigma.rule import Number

Fact = str | int | tuple[int, ...] | tuple[Decimal, int] | tuple[str, int] | None

# Longer values are kept as their SHA-256 in hex, which is longer than this: no value can pass for another's.
_MAX_VALUE_CHARS = 63
# What groups go by is read by people too. A longer value keeps its beginning, and its SHA-256 tells it from others.
MAX_KEY_CHARS = 256
_KEPT_CHARS = MAX_KEY_CHARS - 65


class Lack(enum.Enum):
    """Why an event is no event of a correlation."""

    MISSING = "it lacks a field"
    NOT_NUMERIC = "the value is no number"


def key_text(text: str) -> str:
    """A value as groups go by it: bounded, and done twice it is the same."""
    return text if len(text) <= MAX_KEY_CHARS else f"{text[:_KEPT_CHARS]}…{_digest(text)}"


def one_text(values: Sequence[Any]) -> str:
    """Values of fields as one text that only they have; the same whether a group has gone by them or not."""
    texts = [key_text(str(value)) for value in values]
    text = texts[0] if len(texts) == 1 else msgspec.json.encode(texts).decode()
    return text if len(text) <= _MAX_VALUE_CHARS else _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Measure(Struct, array_like=True):
    """Of the events of one window. They enter in (event time, sequence) order, and the first one leaves first."""

    @staticmethod
    def fact(values: Sequence[Any], positions: tuple[int, ...], weight: int) -> Fact | Lack:
        """What it reads of an event.

        Args:
            values: of the condition's fields; none is missing.
            positions: of the rules that the event matches, in the correlation's list; only where it tells them apart.
            weight: how many events this one stands for.
        """
        raise NotImplementedError

    @staticmethod
    def threshold(value: int | Decimal) -> Number:
        """A condition's value as `number` can be compared with it."""
        return value

    def enter(self, fact: Any, time_us: int) -> None:
        """The next event comes in."""
        raise NotImplementedError

    def leave(self, fact: Any) -> None:
        """The oldest event goes."""
        raise NotImplementedError

    def number(self, oldest_us: int) -> Number:
        """What the condition compares; no event in the window is older than `oldest_us`. It counts one at least."""
        raise NotImplementedError

    def reached(self, oldest_us: int) -> Number | None:
        """As `number`; how far a condition is that is all or nothing. None: the condition counts no event."""
        return self.number(oldest_us) or None

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

    @staticmethod
    def fact(values: Sequence[Any], positions: tuple[int, ...], weight: int) -> int:  # noqa: ARG004  others do
        """The weight."""
        return weight

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

    @staticmethod
    def fact(values: Sequence[Any], positions: tuple[int, ...], weight: int) -> str:  # noqa: ARG004  others do
        """The values as one text."""
        return one_text(values)

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


class Different(Measure):
    """temporal. A fact is the positions, in the list, of the rules that the event matches.

    An event costs as much as it matches, however long the list is.

    Attributes:
        counts: per position that has events, how many.
    """

    counts: dict[int, int] = {}

    @staticmethod
    def fact(values: Sequence[Any], positions: tuple[int, ...], weight: int) -> tuple[int, ...]:  # noqa: ARG004
        """The positions."""
        return positions

    def enter(self, fact: tuple[int, ...] | None, time_us: int) -> None:  # noqa: ARG002  other measures look at it
        """Its rules have one event more."""
        for position in fact or ():
            self.counts[position] = self.counts.get(position, 0) + 1

    def leave(self, fact: tuple[int, ...] | None) -> None:
        """Its rules have one event less."""
        for position in fact or ():
            if left := self.counts[position] - 1:
                self.counts[position] = left
            else:
                del self.counts[position]

    def number(self, oldest_us: int) -> int:  # noqa: ARG002  other measures look at it
        """How many of the rules have an event."""
        return len(self.counts)

    @staticmethod
    def merged(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
        """The rules of both."""
        return tuple(sorted({*one, *other}))


class Share(Measure):
    """value_percentile without a percentile. A fact is the value as text, and how many events this one stands for.

    Attributes:
        total: sum of the weights.
        last: the value of the newest event.
    """

    counts: dict[str, int] = {}
    total: int = 0
    last: str = ""

    @staticmethod
    def fact(values: Sequence[Any], positions: tuple[int, ...], weight: int) -> tuple[str, int]:  # noqa: ARG004
        """The values as one text, and the weight."""
        return one_text(values), weight

    @staticmethod
    def threshold(value: int | Decimal) -> Fraction:
        """Of a third, no decimal number says all."""
        return Fraction(value)

    def enter(self, fact: tuple[str, int] | None, time_us: int) -> None:  # noqa: ARG002  other measures look at it
        """A value is there more often."""
        if fact is not None:
            self.last, weight = fact
            self.counts[self.last] = self.counts.get(self.last, 0) + weight
            self.total += weight

    def leave(self, fact: tuple[str, int] | None) -> None:
        """A value is there less often."""
        if fact is None:
            return
        value, weight = fact
        self.total -= weight
        if left := self.counts[value] - weight:
            self.counts[value] = left
        else:
            del self.counts[value]

    def number(self, oldest_us: int) -> Fraction:  # noqa: ARG002  other measures look at it
        """The share of the newest event's value among all, in percent."""
        return Fraction(100 * self.counts[self.last], self.total)

    def reached(self, oldest_us: int) -> Fraction | None:
        """None where there is no event, which has no share."""
        return self.number(oldest_us) if self.last in self.counts else None


class Steps(Measure):
    """temporal_ordered. A fact has bit n set where the event matches the rule at position n of the list.

    Attributes:
        starts: per position, the latest time at which a run of events through all positions up to it began. An event
            stands for one position of a run only. The latest start is the one that stays in a window longest, so it is
            all that need be known: a step for each position and event, however many runs there are.
    """

    starts: list[int] = []

    @staticmethod
    def fact(values: Sequence[Any], positions: tuple[int, ...], weight: int) -> int:  # noqa: ARG004  others do
        """A bit for each position."""
        return sum(1 << position for position in positions)

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

    def reached(self, oldest_us: int) -> int | None:
        """The positions that are passed in order."""
        return sum(start >= oldest_us for start in self.starts) or None

    @staticmethod
    def merged(one: int, other: int) -> int:
        """The positions of both."""
        return one | other
