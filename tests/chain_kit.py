"""A second opinion on correlations of every type and on chains: every window from scratch, with nothing of the engine.

Slow on purpose: after each event that comes, all windows of all groups are made anew from plain lists.
"""

from dataclasses import dataclass, field
from itertools import combinations

COMPARE = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
}


@dataclass(frozen=True)
class Seen:
    """An event: when, which, what it matches and says."""

    at: int
    seq: int
    rules: frozenset[str]
    fields: tuple[tuple[str, str], ...]
    repeat: int = 1

    def get(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        stated = dict(self.fields)
        return None if any(name not in stated for name in names) else tuple(stated[name] for name in names)


@dataclass(frozen=True)
class Spec:
    """A correlation, in words of its own."""

    id: str
    type: str
    over: tuple[str, ...]
    group_by: tuple[str, ...]
    span: int
    comparisons: tuple[tuple[str, int], ...] = ()
    fields: tuple[str, ...] = ()


@dataclass
class Expected:
    """What a correlation came to.

    Attributes:
        alerted: per group, the sequences of all events in an alert.
        results: per group, the last event of each window that fulfilled the condition.
        behind: per such event, the events of its window.
    """

    alerted: dict[tuple[str, ...], set[int]] = field(default_factory=dict)
    results: dict[tuple[str, ...], set[Seen]] = field(default_factory=dict)
    behind: dict[tuple[str, int], set[Seen]] = field(default_factory=dict)


@dataclass
class Members:
    """A group: its events, which rules and bases each matches, which results' bases it is behind, and how far back."""

    members: set[Seen]
    marks: dict[Seen, set[str]]
    behind: dict[Seen, set[str]]
    reach: int
    chained: set[str]


def expected(events: list[Seen], specs: list[Spec]) -> dict[str, Expected]:
    """By correlation. Bases stand before what is over them."""
    found = {spec.id: Expected() for spec in specs}
    for count in range(1, len(events) + 1):
        for spec in specs:
            _evaluate(spec, events[:count], specs, found)
    return found


def _evaluate(spec: Spec, events: list[Seen], specs: list[Spec], found: dict[str, Expected]) -> None:
    chained = {other.id: other for other in specs if other.id in spec.over}
    groups: dict[tuple[str, ...], set[Seen]] = {}
    for event in events:
        key = event.get(spec.group_by)
        lacks = spec.fields and event.get(spec.fields) is None
        if key is not None and event.rules & set(spec.over) and not lacks:
            groups.setdefault(key, set()).add(event)
    marks = {event: set(event.rules & set(spec.over)) for members in groups.values() for event in members}
    behind: dict[Seen, set[str]] = {}
    for base in chained:
        for results in found[base].results.values():
            for last in results:
                key = last.get(spec.group_by)
                assert key is not None
                for event in found[base].behind[base, last.seq] | {last}:
                    groups.setdefault(key, set()).add(event)
                    behind.setdefault(event, set()).add(base)
                marks.setdefault(last, set()).add(base)
    reach = max((base.span for base in chained.values()), default=0)
    for key, members in groups.items():
        group = Members(members, marks, behind, reach, set(chained))
        _windows(spec, key, group, found[spec.id])


def _windows(spec: Spec, key: tuple[str, ...], group: Members, found: Expected) -> None:
    members, marks, behind, chained = group.members, group.marks, group.behind, group.chained
    for last in members:
        if not marks.get(last):
            continue
        window = sorted(
            (e for e in members if last.at - spec.span <= e.at and (e.at, e.seq) <= (last.at, last.seq)),
            key=lambda e: (e.at, e.seq),
        )
        if not _holds(spec, window, marks, chained):
            continue
        taken = set(window)
        if firsts := [e.at for e in window if marks.get(e, set()) & chained]:
            taken |= {e for e in members if e in behind and firsts[0] - group.reach <= e.at < last.at - spec.span}
        found.alerted.setdefault(key, set()).update(e.seq for e in taken)
        found.results.setdefault(key, set()).add(last)
        found.behind.setdefault((spec.id, last.seq), set()).update(window)


def _holds(spec: Spec, window: list[Seen], marks: dict[Seen, set[str]], chained: set[str]) -> bool:
    counted = [event for event in window if marks.get(event)]
    if spec.type == "temporal_ordered":
        return any(
            all(rule in marks[event] for rule, event in zip(spec.over, run, strict=True))
            for run in combinations(counted, len(spec.over))
        )
    if spec.type == "value_count":
        number = len({event.get(spec.fields) for event in counted})
    else:
        number = sum(event.repeat if marks[event] - chained else 1 for event in counted)
    return all(COMPARE[op](number, value) for op, value in spec.comparisons)
