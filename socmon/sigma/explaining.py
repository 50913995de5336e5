"""Why a rule matches an event or does not, and what its match counts for: by the very conditions that are evaluated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from socmon.event import Event, LogSource
from socmon.sigma.correlator import Correlator
from socmon.sigma.keeper import value_of
from socmon.sigma.logsources import LogSourcePart
from socmon.sigma.matcher import Compiler, Fields
from socmon.sigma.measures import Lack
from socmon.sigma.outline import Item, Kind, Piece
from socmon.sigma.rule import Correlation, Rule, by_depth
from socmon.sigma.ruleset import RuleSet

MAX_NEAR_MISSES = 5


class ItemVerdict(Struct, frozen=True, tag="item", tag_field="kind"):
    """What one line of a detection came to.

    Attributes:
        key, values: as the rule has them; key is "" for keywords.
        matched: whether it holds; of a line under a `not`, that is what it should not.
        field: the name under which the event has the field; None if it has none of its names, or for keywords.
        found: the event's value.
    """

    key: str
    values: tuple[str, ...]
    matched: bool
    field: str | None
    found: Any

    @property
    def is_missing(self) -> bool:
        """The event lacks the field."""
        return bool(self.key) and self.field is None


class GroupVerdict(Struct, frozen=True, tag="group", tag_field="kind"):
    """What pieces of a condition came to, together.

    Attributes:
        name: that of the detection, "" for a word of the condition.
        filter: title of the filter that this is the condition of; "" for all else.
    """

    link: Kind
    name: str
    matched: bool
    parts: tuple["Verdict", ...]
    filter: str = ""


Verdict = ItemVerdict | GroupVerdict


class Obstacle(Struct, frozen=True):
    """A line that keeps a rule from matching: it should hold and does not, or holds and should not.

    Attributes:
        filter: title of the filter that says so; "" for the rule itself.
    """

    should: bool
    item: ItemVerdict
    filter: str = ""


class Explanation(Struct, frozen=True):
    """What a single-event rule says to an event.

    Attributes:
        matched: it matches.
        wanted, stated: the log sources of rule and event; `differing` are the parts that keep the rule from looking.
        obstacles: the fewest lines that would have to come out otherwise for the condition to hold; () if it does.
        agreeing: lines that hold, and should.
    """

    rule: Rule
    matched: bool
    wanted: LogSource
    stated: LogSource
    differing: tuple[LogSourcePart, ...]
    condition: Verdict
    obstacles: tuple[Obstacle, ...]
    agreeing: int


class Counted(Struct, frozen=True):
    """How far a correlation is that a match counts for, in one group: by its aliases an event may be in several.

    Attributes:
        group: values of its group-by fields; None if the event lacks one of them, or one whose values are counted.
        lacking: names of these in the event; of a correlation over others, of what they lack.
        not_numeric: names of those whose values must be numbers and are none.
        number: what the condition compares, in the window that ends at the newest event of the group; of
            temporal_ordered the rules that have matched in order. As a float where it is not whole.
        holds: whether that fulfils the condition.
    """

    rule: Rule
    group: dict[str, str] | None
    lacking: tuple[str, ...]
    number: int | float
    holds: bool
    not_numeric: tuple[str, ...] = ()


class Explainer:
    """Explains single-event rules of `rules`; compiles their pieces as the rule set compiled the whole."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._compiler = Compiler()

    def explain(self, rule: Rule, fields: Fields, logsource: LogSource) -> Explanation:
        """What `rule`, which is no correlation, says to an event."""
        condition = self._verdict(self._rules.condition(rule.id), fields)
        differing = self._rules.differing(rule, fields, logsource)
        return Explanation(
            rule=rule,
            matched=condition.matched and not differing,
            wanted=rule.logsource,
            stated=self._rules.stated(fields, logsource),
            differing=differing,
            condition=condition,
            obstacles=_distinct(_obstacles(condition, should=True)),
            agreeing=sum(_agreeing(condition, should=True)),
        )

    def near_misses(self, fields: Fields, logsource: LogSource) -> list[Explanation]:
        """Rules that look at this log source and do not match for one line only, while another agrees.

        Those with most lines that agree come first; MAX_NEAR_MISSES at most.
        """
        found = []
        for rule in self._rules.rules:
            if rule.correlation is None and not self._rules.differing(rule, fields, logsource):
                told = self.explain(rule, fields, logsource)
                if len(told.obstacles) == 1 and told.agreeing:
                    found.append(told)
        return sorted(found, key=lambda told: -told.agreeing)[:MAX_NEAR_MISSES]

    def _verdict(self, piece: Piece, fields: Fields) -> Verdict:
        matched = self._compiler.test_for(piece.node)(fields)
        if isinstance(piece, Item):
            name = next((name for name in piece.names if name in fields), None)
            return ItemVerdict(piece.key, piece.values, matched, name, None if name is None else fields[name])
        parts = tuple(self._verdict(part, fields) for part in piece.parts)
        return GroupVerdict(piece.kind, piece.name, matched, parts, piece.filter)


def _obstacles(verdict: Verdict, *, should: bool, within: str = "") -> Sequence[Obstacle]:
    """The fewest lines that keep a piece, of the filter `within`, from coming out as it should."""
    if isinstance(verdict, ItemVerdict):
        return () if verdict.matched is should else (Obstacle(should, verdict, within),)
    within = verdict.filter or within
    if verdict.link == "not":
        return _obstacles(verdict.parts[0], should=not should, within=within)
    each = [_obstacles(part, should=should, within=within) for part in verdict.parts]
    if (verdict.link == "all") is should:
        return [obstacle for obstacles in each for obstacle in obstacles]
    return min(each, key=len)


def _distinct(obstacles: Sequence[Obstacle]) -> tuple[Obstacle, ...]:
    """Each once: a condition may name a detection several times."""
    return tuple(one for number, one in enumerate(obstacles) if one not in obstacles[:number])


def _agreeing(verdict: Verdict, *, should: bool) -> Iterator[bool]:
    if isinstance(verdict, ItemVerdict):
        yield should and verdict.matched
    else:
        for part in verdict.parts:
            yield from _agreeing(part, should=should is not (verdict.link == "not"))


def counted(rules: RuleSet, correlator: Correlator, event: Event, matched: Sequence[str]) -> list[Counted]:
    """The correlations that the matches of `event` count for, then those over these, once `correlator` has had it."""
    reached = correlator.reached(event, matched)
    lacking: dict[str, tuple[str, ...]] = {}
    found = []
    for rule, correlation in _over(rules, matched):
        lacking[rule.id] = _lacking(correlation, event, matched, lacking)
        groups = reached.get(rule.id)
        if groups is Lack.NOT_NUMERIC:
            found.append(Counted(rule, None, (), 0, holds=False, not_numeric=correlation.fields))
        elif not isinstance(groups, dict):
            found.append(Counted(rule, None, lacking[rule.id], 0, holds=False))
        else:
            for key, (number, holds) in groups.items():
                shown = int(number) if number == int(number) else float(number)
                found.append(Counted(rule, dict(zip(correlation.group_by, key, strict=True)), (), shown, holds))
    return found


def _over(rules: RuleSet, matched: Iterable[str]) -> Iterator[tuple[Rule, Correlation]]:
    """The correlations over these rules, those over them, and so on; each after all that is below it."""
    below = set(matched)
    depths = by_depth(rules.by_id)
    for rule in sorted(rules.rules, key=lambda rule: depths[rule.id]):
        if rule.correlation and not below.isdisjoint(rule.correlation.rules):
            below.add(rule.id)
            yield rule, rule.correlation


def _lacking(
    correlation: Correlation, event: Event, matched: Sequence[str], below: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """What keeps an event out of a correlation."""
    names: dict[str, None] = {}
    for base in correlation.rules:
        read = correlation.called(base, (*correlation.group_by, *correlation.fields)) if base in matched else ()
        names |= dict.fromkeys(name for name in read if value_of(event, name) is None)
        names |= dict.fromkeys(below.get(base, ()))
    return tuple(names)


def find_rules(rules: RuleSet, wanted: str, titles: Iterable[str] = ()) -> list[Rule]:
    """The rules that `wanted` names: by id or title; if none, by a part of the title, in upper or lower case.

    Args:
        titles: further titles that are meant by it, such as those of which it is the translation.
    """
    name = wanted.strip().casefold()
    also = {title.casefold() for title in titles}
    exact = [rule for rule in rules.rules if name in {rule.id.casefold(), rule.title.casefold()}]
    return exact or [
        rule for rule in rules.rules if name and (name in rule.title.casefold() or rule.title.casefold() in also)
    ]
