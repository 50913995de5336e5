"""The groups of one rule, and what it reads of an event: its group, and what its condition looks at."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from socmon.event import Alert, Event
from socmon.sigma.joining import Limits
from socmon.sigma.measured import BEHIND, RESULT, Measured, MeasuredWindow, Member, News
from socmon.sigma.measures import MAX_KEY_CHARS, Fact, Lack, key_text
from socmon.sigma.rule import Number, Rule, by_depth
from socmon.sigma.windows import NEVER_US, EventCountWindow, Group, OpenAlert

Key = tuple[str, ...]


class Reached(NamedTuple):
    """How far a condition is in a group: what it compares, and whether that fulfils it."""

    number: Number
    holds: bool


class Keeper:
    """The groups of one rule, coldest first.

    Attributes:
        window: None for a rule without correlation.
        reach_us: how far back from its end an alert's window may hold events.
        parents: the correlations that its results are events of.
        below: the correlations whose results, at whatever level, make its events.
        depth: how many correlations stand below it, one upon another.
    """

    def __init__(self, rule: Rule, limits: Limits, *, depth: int = 0, behind_us: int = 0) -> None:
        """Without groups.

        Args:
            behind_us: how far back from a result of a correlation below it the events behind that may stand.
        """
        self.rule = rule
        correlation = rule.correlation
        self.fields = correlation.group_by if correlation else ("host",)
        self._counted = correlation.fields if correlation else ()
        self.depth = depth
        self.parents: list[Parent] = []
        self.below: set[Keeper] = set()
        self.window: EventCountWindow | MeasuredWindow | None = None
        self.reach_us = 0
        self._positions: dict[str, tuple[int, ...]] = {}
        self._called: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}  # per rule, where there are aliases
        if correlation:
            self.reach_us = correlation.timespan_us + behind_us
            if correlation.type == "event_count" and not behind_us:
                self.window = EventCountWindow(correlation, limits.max_members // 100)
            else:
                self.window = MeasuredWindow(correlation, limits.max_members // 100, behind_us)
        if correlation and correlation.type in ("temporal", "temporal_ordered"):
            for position, base in enumerate(correlation.rules):
                self._positions[base] = (*self._positions.get(base, ()), position)
        if correlation and correlation.aliases:
            for base in correlation.rules:
                names = (correlation.called(base, correlation.group_by), correlation.called(base, correlation.fields))
                self._called[base] = names
        self.memory_us = max(limits.suppress_us, self.reach_us)
        self.groups: dict[Key, Group] = {}
        self.members = 0
        self.evicted_us = NEVER_US  # the newest event time that an evicted group may have held, or joined to its alerts

    @property
    def group_type(self) -> type[Group]:
        """What its groups are decoded as."""
        return type(self.new_group())

    def new_group(self) -> Group:
        """An empty group. One with its key may have been evicted."""
        group = self.window.group() if isinstance(self.window, MeasuredWindow) else Group()
        group.lost_us = self.evicted_us
        return group

    def lost_us(self, group: Group) -> int:
        """The newest event time that a group, or one whose results it counts, may lack."""
        return max(group.lost_us, *(base.evicted_us for base in self.below)) if self.below else group.lost_us

    def facts_of(self, event: Event, matched: Sequence[str]) -> tuple[tuple[Key, Fact], ...] | Lack:
        """The groups of an event that matches the rules `matched`, and what the condition reads of it in each.

        Just one, unless aliases lead some of these rules to other fields than others.
        """
        if self._called:
            return self._facts_by_rule(event, matched)
        if self.window is None:
            return (((event.host,), 1),)
        if (key := _texts(event, self.fields)) is None:
            return Lack.MISSING
        if isinstance(self.window, EventCountWindow):
            return ((key, event.repeat),)
        fact = self._fact_of(event, self._counted, matched)
        return fact if isinstance(fact, Lack) else ((key, fact),)

    def _facts_by_rule(self, event: Event, matched: Iterable[str]) -> tuple[tuple[Key, Fact], ...] | Lack:
        by_fields: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}  # of few kinds, however many rules
        for rule_id in matched:
            if called := self._called.get(rule_id):
                by_fields.setdefault(called, []).append(rule_id)
        found: dict[Key, Fact] = {}
        lack = Lack.MISSING
        for (fields, counted), rule_ids in by_fields.items():
            if (key := _texts(event, fields)) is None:
                continue
            fact = self._fact_of(event, counted, rule_ids)
            if not isinstance(fact, Lack):
                found[key] = self.merged(found[key], fact) if key in found else fact
            elif fact is Lack.NOT_NUMERIC:
                lack = fact
        return tuple(found.items()) or lack

    def _fact_of(self, event: Event, counted: tuple[str, ...], matched: Iterable[str]) -> Fact | Lack:
        values = [value_of(event, name) for name in counted]
        return Lack.MISSING if None in values else self.fact(values, matched, event.repeat)

    def fact(self, values: Sequence[Any], matched: Iterable[str], weight: int) -> Fact | Lack:
        """What the condition reads of an event.

        Args:
            values: of the fields whose values it reads; none is missing.
            matched: the rules that the event stands for.
            weight: how many events it stands for.
        """
        if not isinstance(self.window, MeasuredWindow):
            return weight
        return self.window.blank.fact(values, self._positions_of(matched) if self._positions else (), weight)

    def _positions_of(self, matched: Iterable[str]) -> tuple[int, ...]:
        found = [self._positions[base] for base in matched if base in self._positions]
        return found[0] if len(found) == 1 else tuple(sorted({position for each in found for position in each}))

    @property
    def merged(self) -> Callable[[Any, Any], Fact]:
        """See `Measure.merged`."""
        return self.window.merged if isinstance(self.window, MeasuredWindow) else max

    def reached(self, key: Key) -> Reached:
        """How far the condition is in a group, in the window that ends at its newest event."""
        group, number = self.groups.get(key), None
        if isinstance(group, Measured) and self.window:
            number = group.measure.reached(group.times[-1] - self.window.timespan_us)
        elif group:
            number = group.total
        return Reached(number or 0, number is not None and self.window is not None and self.window.holds(number))

    def hand_on(self, key: Key, group: Group, last: int, fresh: Sequence[int], pending: "Pending") -> int:
        """The condition holds at event `last` of a group: that is an event for each parent, with those behind it.

        Args:
            fresh: of the window, and from before it, the events that were not handed on yet.
            pending: takes what comes to the parents.

        Returns:
            Of how many parents it is none, as its value is no number.
        """
        unusable = 0
        lost_us = self.lost_us(group)
        for parent in self.parents:
            keeper = parent.keeper
            fact = keeper.fact(parent.values_of(key), (self.rule.id,), 1)
            if isinstance(fact, Lack):
                unusable += 1
                continue
            news, merged = pending.setdefault(keeper, {}).setdefault(parent.key_of(key), News()), keeper.merged
            if lost_us >= group.times[last] - self.reach_us:
                news.lost_us = max(news.lost_us, lost_us)
            for index in fresh:
                news.add(Member(group.times[index], group.seqs[index], group.weights[index], None, BEHIND), merged)
            news.add(Member(group.times[last], group.seqs[last], group.weights[last], fact, BEHIND | RESULT), merged)
        return unusable

    def finished(self, key: Key, alert: OpenAlert) -> Alert:
        """An alert of a group, as it is handed out: without evidence."""
        return Alert(
            id=alert.id,
            rule_id=self.rule.id,
            title=self.rule.title,
            level=self.rule.level,
            tags=list(self.rule.tags),
            group=dict(zip(self.fields, key, strict=True)),
            first_us=alert.first_us,
            last_us=alert.last_us,
            count=alert.count,
            revision=alert.revision,
            opened_seq=alert.opened_seq,
            approximate=alert.approximate,
            host=alert.host,
            agency=alert.agency,
            system=alert.system,
            system_level=alert.system_level,
            entities={kind: list(values) for kind, values in alert.entities.items()},
        )

    def decoded(self, value: bytes) -> Group | None:
        """A group as a snapshot has it; None if it is not of the form that this version writes."""
        try:
            group = msgspec.msgpack.decode(value, type=self.group_type)
        except msgspec.DecodeError:
            return None
        return group if not isinstance(group, Measured) or group.is_whole() else None


class Parent:
    """A correlation over another one, and which of the other's group fields it takes.

    A result has the fields that its correlation is grouped by, and no others.
    """

    def __init__(self, keeper: Keeper, base: Keeper) -> None:
        correlation = keeper.rule.correlation
        assert correlation is not None  # noqa: S101  by keepers_of
        self.keeper = keeper
        self._key = [base.fields.index(name) for name in correlation.called(base.rule.id, correlation.group_by)]
        self._values = [base.fields.index(name) for name in correlation.called(base.rule.id, correlation.fields)]

    def key_of(self, key: Key) -> Key:
        """The group of a result in group `key` of the base."""
        return tuple([key[index] for index in self._key])

    def values_of(self, key: Key) -> Key:
        """The values that are counted of it."""
        return tuple([key[index] for index in self._values])


# What an event comes to at one correlation after another: per keeper, what is new in each of its groups.
Pending = dict[Keeper, dict[Key, News]]


def lowest(pending: Mapping[Keeper, Any]) -> list[Keeper]:
    """Those to go on with: nothing that is pending can come to anything more for them."""
    depth = min(keeper.depth for keeper in pending)
    return [keeper for keeper in pending if keeper.depth == depth]


def keepers_of(rules: Iterable[Rule], limits: Limits) -> tuple[dict[str, Keeper], dict[str, list[Keeper]]]:
    """A keeper for each rule that alerts or feeds a correlation of correlations, by id.

    And per single-event rule the keepers that its matches are events of.
    """
    by_id = {rule.id: rule for rule in rules}
    correlations = [rule.correlation for rule in by_id.values() if rule.correlation]
    chained = {base for correlation in correlations for base in correlation.rules if base in by_id}
    made: dict[str, Keeper] = {}
    fed_by: dict[str, list[Keeper]] = {}
    for rule_id, depth in by_depth(by_id).items():
        rule = by_id[rule_id]
        if not rule.alerts and not (rule.correlation and rule_id in chained):
            continue
        below = [made[base] for base in _bases(rule) if base in by_id and by_id[base].correlation]
        behind_us = max((base.reach_us for base in below), default=0)
        made[rule_id] = keeper = Keeper(rule, limits, depth=depth, behind_us=behind_us)
        for base in below:
            base.parents.append(Parent(keeper, base))
            keeper.below |= {base} | base.below
    # In the order of the rules again: so alerts of one event are handed out, whatever stands over what.
    keepers = {rule_id: made[rule_id] for rule_id in by_id if rule_id in made}
    for fed in keepers.values():
        for name in _bases(fed.rule):
            if name not in by_id or not by_id[name].correlation:
                fed_by.setdefault(name, []).append(fed)
    return keepers, fed_by


def _bases(rule: Rule) -> Iterable[str]:
    return dict.fromkeys(rule.correlation.rules) if rule.correlation else (rule.id,)


def value_of(event: Event, field: str) -> Any:
    """A field's value; `host` is the event's own where no field is called so. None if it is missing."""
    value = event.fields.get(field)
    return event.host or None if value is None and field == "host" else value


def _texts(event: Event, names: tuple[str, ...]) -> Key | None:
    """Values of fields; None if one is missing."""
    if len(names) == 1:  # most groups go by one, and that is text
        value = event.fields.get(names[0])
        if type(value) is str and len(value) <= MAX_KEY_CHARS:
            return (value,)
    values = list(map(event.fields.get, names))
    if None in values:
        values = [value_of(event, name) for name in names]
    if None in values:
        return None
    texts = tuple(map(str, values))
    for text in texts:
        if len(text) > MAX_KEY_CHARS:
            return tuple(map(key_text, texts))
    return texts
