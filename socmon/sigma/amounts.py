"""Sums, averages and percentiles of a window's numbers, exact whatever order events come in.

docs/rules.md, "Types of correlation". A fact is the value and how many events this one stands for.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from functools import reduce
from typing import Any

import msgspec

from socmon.sigma.measures import Lack, Measure
from socmon.sigma.rule import Number
from socmon.sigma.values import DECIMAL

Amount = tuple[Decimal, int]

# 20 digits before the point, 30 behind it: whatever is measured fits, and no text makes a number of a million digits.
_MAX_CHARS = 64
_BELOW = Decimal(10) ** 20
_LEAST_EXPONENT = -30
# A million events of 50 digits, each with its repeats, need fewer digits than this; one that did not fit would raise.
_EXACT = Context(prec=120, traps=[Inexact])


def decimal_of(value: object) -> Decimal | None:
    """A field's value as an exact number; None if it is none, or out of range."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int) and abs(value) >= _BELOW:
        return None  # before its digits are written, of which there may be any number
    text = value if isinstance(value, str) else repr(value)
    if len(text) > _MAX_CHARS or not DECIMAL.fullmatch(text):
        return None
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    fits = isinstance(exponent, int) and exponent >= _LEAST_EXPONENT and abs(number) < _BELOW
    return number if fits else None


def _amount(value: object, weight: int) -> Amount | Lack:
    number = decimal_of(value)
    return Lack.NOT_NUMERIC if number is None else (number, weight)


class Sum(Measure):
    """value_sum.

    Attributes:
        total: of the values, each as often as its weight says.
        events: sum of the weights.
    """

    total: Decimal = Decimal(0)
    events: int = 0

    @staticmethod
    def fact(values: Sequence[Any], positions: tuple[int, ...], weight: int) -> Amount | Lack:  # noqa: ARG004
        """The number and the weight."""
        return _amount(values[0], weight)

    def enter(self, fact: Amount | None, time_us: int) -> None:  # noqa: ARG002  other measures look at it
        """Its value is added."""
        if fact is not None:
            value, weight = fact
            self.total = _EXACT.add(self.total, _EXACT.multiply(value, weight))
            self.events += weight

    def enter_all(self, facts: Iterable[Amount | None], times_us: Iterable[int]) -> None:  # noqa: ARG002  as above
        """At the speed of C: whole windows are counted anew when an event comes late."""
        if counted := [fact for fact in facts if fact is not None]:
            values, weights = zip(*counted, strict=True)
            self.total = reduce(_EXACT.add, map(_EXACT.multiply, values, weights), self.total)
            self.events += sum(weights)

    def leave(self, fact: Amount | None) -> None:
        """Its value is taken off."""
        if fact is not None:
            value, weight = fact
            self.total = _EXACT.subtract(self.total, _EXACT.multiply(value, weight))
            self.events -= weight

    def number(self, oldest_us: int) -> Number:  # noqa: ARG002  other measures look at it
        """The sum."""
        return self.total

    def reached(self, oldest_us: int) -> Number | None:
        """None where there is no event: a sum of 0 is another thing."""
        return self.number(oldest_us) if self.events else None


class Average(Sum):
    """value_avg."""

    @staticmethod
    def threshold(value: int | Decimal) -> Fraction:
        """Of a third, no decimal number says all."""
        return Fraction(value)

    def number(self, oldest_us: int) -> Fraction:  # noqa: ARG002  other measures look at it
        """The sum by the number of events."""
        return Fraction(self.total) / self.events


class Percentile(Measure):
    """value_percentile with a percentile, by nearest rank: the least value that this share of all is not greater than.

    Attributes:
        numerator, denominator: the share, as 99 and 100.
        values: different ones, in order; `weights` has how often each is there.
        at: a place among them, from which the rank is looked for; an event moves it by a step or two.
        below: sum of the weights before it.
    """

    numerator: int = 1
    denominator: int = 1
    values: list[Decimal] = msgspec.field(default_factory=list)
    weights: list[int] = msgspec.field(default_factory=list)
    total: int = 0
    at: int = 0
    below: int = 0

    @staticmethod
    def fact(values: Sequence[Any], positions: tuple[int, ...], weight: int) -> Amount | Lack:  # noqa: ARG004
        """The number and the weight."""
        return _amount(values[0], weight)

    def enter(self, fact: Amount | None, time_us: int) -> None:  # noqa: ARG002  other measures look at it
        """A value is there more often."""
        if fact is None:
            return
        value, weight = fact
        self.total += weight
        place = bisect_left(self.values, value)
        if place < self.at:
            self.below += weight
        if place < len(self.values) and self.values[place] == value:
            self.weights[place] += weight
            return
        self.values.insert(place, value)
        self.weights.insert(place, weight)
        if place < self.at:
            self.at += 1

    def enter_all(self, facts: Iterable[Amount | None], times_us: Iterable[int]) -> None:  # noqa: ARG002  as above
        """Sorted once, for the same reason."""
        weights = dict(zip(self.values, self.weights, strict=True))
        for fact in facts:
            if fact is not None:
                weights[fact[0]] = weights.get(fact[0], 0) + fact[1]
        self.values = sorted(weights)
        self.weights = [weights[value] for value in self.values]
        self.total = sum(self.weights)
        self.at = self.below = 0

    def leave(self, fact: Amount | None) -> None:
        """A value is there less often."""
        if fact is None:
            return
        value, weight = fact
        self.total -= weight
        place = bisect_left(self.values, value)
        self.weights[place] -= weight
        if place < self.at:
            self.below -= weight
        if not self.weights[place]:
            del self.values[place], self.weights[place]
            if place < self.at:
                self.at -= 1

    def number(self, oldest_us: int) -> Decimal:  # noqa: ARG002  other measures look at it
        """The value at the rank."""
        rank = -(-self.total * self.numerator // self.denominator)
        while self.below >= rank:
            self.at -= 1
            self.below -= self.weights[self.at]
        while self.below + self.weights[self.at] < rank:
            self.below += self.weights[self.at]
            self.at += 1
        return self.values[self.at]

    def reached(self, oldest_us: int) -> Decimal | None:
        """None where there is no value."""
        return self.number(oldest_us) if self.total else None
