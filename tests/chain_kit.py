"""A second opinion on correlations of every type and on chains: every window from scratch, with nothing of the engine.

Slow on purpose: after each event that comes, all windows of all groups are made anew from plain lists, as
docs/semantics.md, "Correlation", and docs/rules.md, "Types of correlation", say. Times are whole seconds.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any

Key = tuple[str, ...]
Value = str | int

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
}
# What these compare is a number that the events state; of all others it is text.
NUMERIC = ("value_sum", "value_avg", "value_percentile")


@dataclass(frozen=True)
class Seen:
    """An event: when, which, what it matches and says, and who says it."""

    at: int
    seq: int
    rules: frozenset[str]
    fields: tuple[tuple[str, Value], ...]
    repeat: int = 1
    source: str = "a"

    def get(self, name: str) -> Value | None:
        """A field; `host` is the event's host where no field is called so."""
        return dict(self.fields).get(name, self.source if name == "host" else None)


@dataclass(frozen=True)
class Spec:
    """A correlation, in words of its own; or, of type `rule`, a rule that no correlation uses."""

    id: str
    type: str
    over: tuple[str, ...]
    group_by: tuple[str, ...]
    span: int = 0
    comparisons: tuple[tuple[str, int | str], ...] = ()
    fields: tuple[str, ...] = ()
    percentile: str | None = None
    aliases: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    generate: bool = False

    @property
    def is_numeric(self) -> bool:
        return self.type in NUMERIC and not self.is_share

    @property
    def is_share(self) -> bool:
        """Of value_percentile without a percentile: how much of the window has the event's own value."""
        return self.type == "value_percentile" and self.percentile is None

    def name_of(self, name: str, rule: str) -> str:
        """What `rule` calls the field or alias `name`."""
        return dict(dict(self.aliases).get(name, ())).get(rule, name)


@dataclass(frozen=True)
class Times:
    """The settings that decide what is late, and what joins what."""

    lateness: int = 300
    suppress: int = 300
    max_alert: int = 24 * 3600


@dataclass
class Alerted:
    """An alert, and what is in it."""

    opened: Seen
    events: set[Seen] = field(default_factory=set)
    revision: int = 0

    def is_near(self, at: int, suppress: int) -> bool:
        times = [event.at for event in self.events]
        return min(times) - suppress <= at <= max(times) + suppress


@dataclass
class Found:
    """What a correlation came to.

    Attributes:
        results: per group and event at which the condition held, the events behind it.
        alerts: per group, in the order in which they opened.
        within: per group and event, the alert that it joined last.
    """

    results: dict[tuple[Key, Seen], set[Seen]] = field(default_factory=dict)
    alerts: dict[Key, list[Alerted]] = field(default_factory=lambda: defaultdict(list))
    within: dict[tuple[Key, Seen], Alerted] = field(default_factory=dict)


@dataclass
class Group:
    """What is in one group.

    Attributes:
        marks: per event that counts, the rules and correlations that it stands for, each with its values.
        behind: events behind results.
    """

    marks: dict[Seen, dict[str, tuple[Value, ...]]] = field(default_factory=dict)
    behind: set[Seen] = field(default_factory=set)


class Reference:
    """All that came so far, and what each correlation made of it.

    Args:
        specs: what is referred to stands before what refers to it.

    Attributes:
        late, missing, not_numbers: how many matches were not used, and why.
    """

    def __init__(self, specs: Sequence[Spec], times: Times | None = None) -> None:
        self.specs = {spec.id: spec for spec in specs}
        self.times = times or Times()
        self.found = {spec.id: Found() for spec in specs}
        self.late = self.missing = self.not_numbers = 0
        self._events: list[Seen] = []
        self._marks: dict[str, int] = {}  # per source, its greatest event time

    def see(self, event: Seen) -> None:
        """The next event of the journal. One that matches nothing still tells its source's time."""
        mark = self._marks[event.source] = max(event.at, self._marks.get(event.source, event.at))
        if not event.rules:
            return
        if event.at < mark - self.times.lateness:
            self.late += 1
            return
        self._events.append(event)
        for spec in self.specs.values():
            self._count_unused(spec, event)
            for key, group in self._groups(spec).items():
                self._windows(spec, key, group)

    def alerts(self) -> dict[tuple[str, Key], list[Alerted]]:
        """Per correlation that alerts, and group."""
        used = {base for spec in self.specs.values() for base in spec.over if base != spec.id}
        wanted = {base for spec in self.specs.values() if spec.generate for base in spec.over}
        return {
            (name, key): alerts
            for name, found in self.found.items()
            if name not in used - wanted
            for key, alerts in found.alerts.items()
        }

    # ── what is in a group ───────────────────────────────────────────────────────────────────────────────────────

    def _groups(self, spec: Spec) -> dict[Key, Group]:
        groups: dict[Key, Group] = defaultdict(Group)
        for event in self._events:
            for rule in self._rules_of(spec, event):
                key = stated(event, spec, rule, spec.group_by)
                values = stated(event, spec, rule, spec.fields)
                if key is not None and values is not None and usable(spec, values):
                    groups[texts(key)].marks.setdefault(event, {})[rule] = values
        for base in self._bases_of(spec):
            for (base_key, event), behind in self.found[base.id].results.items():
                result = Seen(event.at, event.seq, frozenset(), tuple(zip(base.group_by, base_key, strict=True)))
                key, values = stated(result, spec, base.id, spec.group_by), stated(result, spec, base.id, spec.fields)
                assert key is not None  # a chain without this is refused
                assert values is not None
                if usable(spec, values):  # else it is no event of this one, nor is what is behind it
                    groups[texts(key)].behind |= behind | {event}
                    groups[texts(key)].marks.setdefault(event, {})[base.id] = values
        return groups

    def _rules_of(self, spec: Spec, event: Seen) -> list[str]:
        return [rule for rule in dict.fromkeys(spec.over) if rule in event.rules and not self._is_base(spec, rule)]

    def _bases_of(self, spec: Spec) -> list[Spec]:
        return [self.specs[base] for base in dict.fromkeys(spec.over) if self._is_base(spec, base)]

    def _is_base(self, spec: Spec, name: str) -> bool:
        return name in self.specs and spec.type != "rule" and self.specs[name].type != "rule"

    def _reach(self, spec: Spec) -> int:
        """How far back what is behind a result of `spec` may stand."""
        return spec.span + max(map(self._reach, self._bases_of(spec)), default=0)

    def _count_unused(self, spec: Spec, event: Seen) -> None:
        if not (rules := self._rules_of(spec, event)):
            return
        read = [(stated(event, spec, rule, spec.group_by), stated(event, spec, rule, spec.fields)) for rule in rules]
        whole = [values for key, values in read if key is not None and values is not None]
        self.missing += not whole
        self.not_numbers += bool(whole) and not any(usable(spec, values) for values in whole)

    # ── windows ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _windows(self, spec: Spec, key: Key, group: Group) -> None:
        members = sorted(group.marks.keys() | group.behind, key=lambda event: (event.at, event.seq))
        bases = self._bases_of(spec)
        back = max(map(self._reach, bases), default=0)
        for place, last in enumerate(members):
            if last not in group.marks:
                continue
            window = [event for event in members[: place + 1] if event.at >= last.at - spec.span]
            if spec.type == "rule":
                window = [last]
            counted = [event for event in window if event in group.marks]
            if not self._holds(spec, group, counted):
                continue
            results = [event for event in counted if any(base.id in group.marks[event] for base in bases)]
            before = [event for event in members[:place] if event not in window and event in group.behind]
            taken = [event for event in before if results and event.at >= results[0].at - back] + window
            self.found[spec.id].results.setdefault((key, last), set()).update(taken)
            self._alert(spec, key, taken, counted)

    def _holds(self, spec: Spec, group: Group, counted: list[Seen]) -> bool:
        marks = [group.marks[event] for event in counted]
        if spec.type == "rule":
            return True
        if spec.type == "temporal_ordered":
            left = iter(marks)
            return all(any(rule in mark for mark in left) for rule in spec.over)
        rules = {base.id for base in self._bases_of(spec)}
        weights = [e.repeat if mark.keys() - rules else 1 for e, mark in zip(counted, marks, strict=True)]
        # Under aliases an event may have several values for one group; the greatest is its value.
        values = [max(mark.values(), key=decimals if spec.is_numeric else texts) for mark in marks]
        number = number_of(spec, marks, weights, values)
        comparisons = spec.comparisons or (("eq", len(set(spec.over))),)  # temporal: all of them
        return all(COMPARE[op](number, Fraction(value)) for op, value in comparisons)

    # ── alerts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _alert(self, spec: Spec, key: Key, taken: list[Seen], counted: list[Seen]) -> None:
        found, last = self.found[spec.id], counted[-1]
        fresh = [event for event in taken if (key, event) not in found.within]
        if not fresh:
            return
        near = [found.within[key, event] for event in counted[-2:] if (key, event) in found.within]
        fitting = [one for one in found.alerts[key] if abs(last.at - one.opened.at) <= self.times.max_alert]
        joined = [one for one in fitting if any(one is alert for alert in near)]
        joined += [one for one in fitting if one.is_near(last.at, self.times.suppress)]
        if not joined:
            found.alerts[key].append(Alerted(last))
            joined = found.alerts[key][-1:]
            fresh = fresh if near else taken
        joined[0].events.update(fresh)
        joined[0].revision += 1
        found.within |= {(key, event): joined[0] for event in fresh}


def stated(event: Seen, spec: Spec, rule: str, names: tuple[str, ...]) -> tuple[Value, ...] | None:
    """The values of fields or aliases, of an event that `rule` matches; None if one is missing."""
    values = [event.get(spec.name_of(name, rule)) for name in names]
    present = tuple(value for value in values if value is not None)
    return present if len(present) == len(names) else None


def texts(values: tuple[Value, ...]) -> Key:
    return tuple(map(str, values))


def usable(spec: Spec, values: tuple[Value, ...]) -> bool:
    """Whether the condition can read these: a number has 20 digits before the point at most, and 30 behind it."""
    return not spec.is_numeric or decimal_of(values[0]) is not None


def decimal_of(value: Value) -> Fraction | None:
    text = str(value)
    if not re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?", text):
        return None
    number = Fraction(text)
    return number if abs(number) < 10**20 and (number * 10**30).denominator == 1 else None


def decimals(values: tuple[Value, ...]) -> Fraction:
    number = decimal_of(values[0])
    assert number is not None
    return number


def number_of(  # noqa: PLR0911  one for each type
    spec: Spec, marks: list[dict[str, tuple[Value, ...]]], weights: list[int], values: list[tuple[Value, ...]]
) -> Fraction:
    """What the condition compares: of a window's events the rules that each stands for, its weight and its values."""
    if spec.type == "temporal":
        return Fraction(len({rule for mark in marks for rule in mark}))
    if spec.type == "value_count":
        return Fraction(len({texts(value) for value in values}))
    if spec.type == "event_count":
        return Fraction(sum(weights))
    if spec.is_share:
        own = [weight for weight, value in zip(weights, values, strict=True) if texts(value) == texts(values[-1])]
        return Fraction(100 * sum(own), sum(weights))
    numbers = list(repeated(weights, values))
    if spec.type == "value_sum":
        return sum(numbers, Fraction(0))
    if spec.type == "value_avg":
        return sum(numbers, Fraction(0)) / len(numbers)
    rank = ceil(Fraction(spec.percentile or 0) * len(numbers) / 100)  # nearest rank
    return sorted(numbers)[rank - 1]


def repeated(weights: list[int], values: list[tuple[Value, ...]]) -> Iterator[Fraction]:
    for weight, value in zip(weights, values, strict=True):
        yield from [decimals(value)] * weight
