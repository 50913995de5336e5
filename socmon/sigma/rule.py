"""What a Sigma rule is once it is loaded; its compiled condition stays inside the rule set."""

import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from graphlib import TopologicalSorter
from typing import Any, Literal

from msgspec import Struct

from socmon.event import Level, LogSource

CountOp = Literal["gt", "gte", "lt", "lte", "eq", "neq"]
COMPARE: Mapping[CountOp, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


class RuleError(Struct, frozen=True):
    """Why a file, or one rule in it, was refused; the rest of the rules load all the same.

    Attributes:
        line: from 1; the offending line where it can be known, else the rule's first.
        message: what is wrong, and the remedy where there is one.
    """

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


CorrelationType = Literal[
    "event_count", "value_count", "temporal", "temporal_ordered", "value_sum", "value_avg", "value_percentile"
]
# What a condition compares. Never a float: sums of these depend on the order in which events come.
Number = int | Decimal | Fraction


class Alias(Struct, frozen=True):
    """A field of a correlation that stands under another name in the events of some of its rules.

    Attributes:
        fields: (id of a rule, name of the field in the events that it matches); of a correlation, in its results.
    """

    name: str
    fields: tuple[tuple[str, str], ...]


class Correlation(Struct, frozen=True):
    """What matches of other rules must come to, together (Sigma correlation rules specification 2.1).

    Attributes:
        rules: ids of single-event rules, and of correlations; for temporal_ordered in the order in which they must
            match, for the other types once each.
        group_by: fields whose values make a group; empty: one group for all.
        timespan_us: length of the window, in microseconds.
        value: what the number that the window comes to is compared with, by `op`; for temporal_ordered how many of
            `rules` must match: all. Whole, but for value_sum, value_avg and value_percentile.
        aliases: field aliases, which `group_by` and `fields` may name.
        also: further comparisons of a range, which must hold as well.
        generate: the rules that it refers to alert as well.
        fields: whose values the condition reads; value_count counts the distinct combinations of several.
        percentile: of value_percentile, which one is compared; None compares the share of the event's own value.
    """

    type: CorrelationType
    rules: tuple[str, ...]
    group_by: tuple[str, ...]
    timespan_us: int
    op: CountOp
    value: int | Decimal
    aliases: tuple[Alias, ...] = ()
    generate: bool = False
    also: tuple[tuple[CountOp, int | Decimal], ...] = ()
    fields: tuple[str, ...] = ()
    percentile: int | Decimal | None = None

    def called(self, rule_id: str, names: Sequence[str]) -> tuple[str, ...]:
        """What fields and aliases of this correlation are called in the events of one of its rules."""
        if not self.aliases:
            return tuple(names)
        own = {alias.name: dict(alias.fields).get(rule_id, alias.name) for alias in self.aliases}
        return tuple(own.get(name, name) for name in names)


class Filter(Struct, frozen=True):
    """A loaded filter, which suppresses matches of rules (Sigma filters specification 2.1).

    Attributes:
        id: as it states it, else a UUIDv5 of file name and title.
        line: where it begins in `path`, from 1.
    """

    id: str
    title: str
    path: str
    line: int


class Rule(Struct, frozen=True):
    """A loaded rule.

    Attributes:
        id: as the rule states it, else a UUIDv5 of file name and title.
        level: as the rule states it, else medium: a rule without a level must not go unseen.
        tags: such as `attack.t1110`.
        line: where the rule begins in `path`, from 1.
        hash: sha256 in hex of the rule's content, comments and order of keys aside, with the values of its placeholders
            and what its filters ask for; a correlation's covers the rules that it refers to, and theirs. State kept for
            a rule is worthless once this changes.
        alerts: False for a rule that only feeds correlations.
        correlation: None for a single-event rule.
        filters: those that apply to it, in load order; a correlation has none.
    """

    id: str
    title: str
    name: str | None
    level: Level
    tags: tuple[str, ...]
    logsource: LogSource
    path: str
    line: int
    hash: str
    alerts: bool = True
    correlation: Correlation | None = None
    filters: tuple[Filter, ...] = ()


def by_depth(rules: Mapping[str, Rule]) -> dict[str, int]:
    """How many correlations stand below each rule, one upon another; in an order in which all below one come first."""
    below = {
        rule.id: [base for base in rule.correlation.rules if base in rules] if rule.correlation else []
        for rule in rules.values()
    }
    depths: dict[str, int] = {}
    for one in TopologicalSorter(below).static_order():
        depths[one] = max((depths[base] + 1 for base in below[one] if rules[base].correlation), default=0)
    return depths
