"""The groups of one rule, and what it reads of an event: its group, and what its condition looks at."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from socmon.event import Event
from socmon.sigma.joining import Limits
from socmon.sigma.measured import BEHIND, RESULT, Measured, MeasuredWindow, Member, News
from socmon.sigma.measures import Fact, Lack
from socmon.sigma.rule import Number, Rule
from socmon.sigma.windows import NEVER_US, EventCountWindow, Group

Key = tuple[str, ...]


class Keeper:
    """The groups of one rule, coldest first.

    Attributes:
        window: None for a rule without correlation.
        reach_us: how far back from its end an alert's window may hold events.
        parents: the correlations that its results are events of.
        is_chained: it is such a correlation itself.
    """

    def __init__(self, rule: Rule, rules: Mapping[str, Rule], limits: Limits) -> None:
        self.rule = rule
        correlation = rule.correlation
        self.fields = correlation.group_by if correlation else ("host",)
        self.parents: list[Keeper] = []
        self.window: EventCountWindow | MeasuredWindow | None = None
        self.reach_us = 0
        self.is_chained = False
        self._positions: dict[str, tuple[int, ...]] = {}
        if correlation:
            bases = [rules[base].correlation for base in correlation.rules if base in rules]
            behind_us = max((base.timespan_us for base in bases if base), default=0)
            self.reach_us = correlation.timespan_us + behind_us
            self.is_chained = behind_us > 0
            if correlation.type == "event_count" and not behind_us:
                self.window = EventCountWindow(correlation, limits.max_members // 100)
            else:
                self.window = MeasuredWindow(correlation, limits.max_members // 100, behind_us)
        if correlation and correlation.type in ("temporal", "temporal_ordered"):
            for position, base in enumerate(correlation.rules):
                self._positions[base] = (*self._positions.get(base, ()), position)
        self.memory_us = max(limits.suppress_us, self.reach_us)
        self.groups: dict[Key, Group] = {}
        self.members = 0
        self.evicted_us = NEVER_US  # the newest event time in any group that was evicted

    @property
    def group_type(self) -> type[Group]:
        """What its groups are decoded as."""
        return type(self.new_group())

    def new_group(self) -> Group:
        """An empty group."""
        return self.window.group() if isinstance(self.window, MeasuredWindow) else Group()

    def key_of(self, event: Event) -> Key | None:
        """Values of the group-by fields; None if one is missing."""
        if self.window is None:
            return (event.host,)
        values = list(map(event.fields.get, self.fields))
        if None in values:
            values = [_value(event, field) for field in self.fields]
        return None if None in values else tuple(map(str, values))

    def reached(self, event: Event) -> tuple[Key, Number | None] | Lack:
        """The group of `event`, and what the condition compares there, in the window that ends at its newest event.

        None where the condition counts no event; a Lack if the event is none of the correlation.
        """
        key = self.key_of(event)
        if key is None or self.window is None:
            return Lack.MISSING
        if isinstance(fact := self.fact_of(event, self._positions, event.repeat), Lack):
            return fact
        group = self.groups.get(key)
        if isinstance(group, Measured):
            return key, group.measure.reached(group.times[-1] - self.window.timespan_us)
        return key, group.total if group else None

    def fact_of(self, event: Event, matched: Iterable[str], weight: int) -> Fact | Lack:
        """What the condition of a measured window reads of an event that matches the rules `matched`.

        A result of a correlation has the fields that this one is grouped by, with the values of every event behind it:
        so any of these events can be asked.
        """
        correlation = self.rule.correlation
        if correlation is None or not isinstance(self.window, MeasuredWindow):
            return weight
        values = [_value(event, field) for field in correlation.fields]
        if None in values:
            return Lack.MISSING
        return self.window.blank.fact(values, self._positions_of(matched) if self._positions else (), weight)

    def _positions_of(self, matched: Iterable[str]) -> tuple[int, ...]:
        found = [self._positions[base] for base in matched if base in self._positions]
        return found[0] if len(found) == 1 else tuple(sorted({position for each in found for position in each}))

    def hand_on(
        self, group: Group, last: int, fresh: Iterable[int], event: Event, pending: dict["Keeper", News]
    ) -> int:
        """The condition holds at event `last`: that is an event for each parent, with those behind it.

        Args:
            fresh: of the window, the events that were not handed on yet.
            event: one of the window's.

        Returns:
            Of how many parents it is none, as its value is no number.
        """
        unusable = 0
        lost_us = max(group.lost_us, self.evicted_us)
        for parent in self.parents:
            if not isinstance(parent.window, MeasuredWindow):
                continue  # never: it stands over a correlation
            fact = parent.fact_of(event, (self.rule.id,), 1)
            if isinstance(fact, Lack):
                unusable += 1
                continue
            news, merged = pending.setdefault(parent, News()), parent.window.merged
            if lost_us >= group.times[last] - self.reach_us:
                news.lost_us = max(news.lost_us, lost_us)
            for index in fresh:
                news.add(Member(group.times[index], group.seqs[index], group.weights[index], None, BEHIND), merged)
            news.add(Member(group.times[last], group.seqs[last], group.weights[last], fact, BEHIND | RESULT), merged)
        return unusable

    def decoded(self, value: bytes) -> Group | None:
        """A group as a snapshot has it; None if it is not of the form that this version writes."""
        try:
            group = msgspec.msgpack.decode(value, type=self.group_type)
        except msgspec.DecodeError:
            return None
        return group if not isinstance(group, Measured) or group.is_whole() else None


def keepers_of(rules: Iterable[Rule], limits: Limits) -> tuple[dict[str, Keeper], dict[str, list[Keeper]]]:
    """A keeper for each rule that alerts or feeds a correlation of correlations, by id.

    And per single-event rule the keepers that its matches are events of.
    """
    by_id = {rule.id: rule for rule in rules}
    correlations = [rule.correlation for rule in by_id.values() if rule.correlation]
    chained = {base for correlation in correlations for base in correlation.rules if base in by_id}
    keepers = {
        rule.id: Keeper(rule, by_id, limits)
        for rule in by_id.values()
        if rule.alerts or (rule.correlation and rule.id in chained)
    }
    fed_by: dict[str, list[Keeper]] = {}
    for keeper in keepers.values():
        correlation = keeper.rule.correlation
        for base in dict.fromkeys(correlation.rules) if correlation else (keeper.rule.id,):
            if base in by_id and by_id[base].correlation and base != keeper.rule.id:
                keepers[base].parents.append(keeper)
            else:
                fed_by.setdefault(base, []).append(keeper)
    return keepers, fed_by


def _value(event: Event, field: str) -> Any:
    """A field's value; `host` is the event's own where no field is called so. None if it is missing."""
    value = event.fields.get(field)
    return event.host or None if value is None and field == "host" else value
