"""Filters of a rule set: what matches of their rules must fulfil besides (Sigma filters specification 2.1).

A filter's condition is ANDed to the rule's as it is written, so `not selection` suppresses; docs/adr/0064. It is read
apart from the rule's detections, so that names of the two never meet.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from msgspec import structs

from socmon.event import LogSource
from socmon.sigma.ir import And, Atom, Node, Not
from socmon.sigma.logsources import PARTS, LogSources
from socmon.sigma.outline import Piece, all_of, filter_of, with_names
from socmon.sigma.rule import Rule
from socmon.sigma.stated import Origin, RefusedError, StatedCorrelation, StatedFilter, content_hash, content_text

_Find = Callable[[str], Rule | StatedCorrelation | None]


def keeps_only(node: Node) -> bool:
    """Whether a filter lets pass only what its detections match: the contrary of suppressing that."""
    return not any(_holds(node, exists=exists) for exists in (False, True))


def _holds(node: Node, *, exists: bool) -> bool:
    """Whether `node` holds for an event in which no value is found."""
    if isinstance(node, Atom):
        return exists and node.op == "exists"
    if isinstance(node, Not):
        return not _holds(node.node, exists=exists)
    return (all if isinstance(node, And) else any)(_holds(part, exists=exists) for part in node.nodes)


class Filters:
    """The filters of a rule set.

    Attributes:
        refused: where those stand in which something is wrong, and what: what a filter does for other rules it does.
    """

    def __init__(self, sources: LogSources) -> None:
        self.refused: list[tuple[Origin, RefusedError]] = []
        self._sources = sources
        self._all: list[StatedFilter] = []

    def add(self, one: StatedFilter) -> None:
        """Have it applied; in the order of loading."""
        self._all.append(one)

    def inverted(self) -> Iterator[Origin]:
        """Where the filters stand that keep what they seem to suppress."""
        return (one.origin for one in self._all if keeps_only(one.condition.node))

    def applied(self, rules: Iterable[Rule], conditions: dict[str, Piece], find: _Find) -> dict[str, Rule]:
        """The single-event rules that filters apply to, by id, as they are with these; `conditions` becomes so too.

        Args:
            find: gives the loaded rule, or the stated correlation, with an id or name.
        """
        rules = list(rules)
        over: dict[str, list[StatedFilter]] = {}
        for one in self._all:
            for rule in self._targets(one, rules, find):
                over.setdefault(rule.id, []).append(one)
        filtered = {rule.id: rule for rule in rules if rule.id in over}
        for rule_id_, rule in filtered.items():
            each = over[rule_id_]
            names_of = partial(self._sources.names, rule.logsource)
            asked = [filter_of(with_names(one.condition, names_of), one.filter.title) for one in each]
            conditions[rule_id_] = all_of((conditions[rule_id_], *asked))
            hashed = content_hash(content_text(rule.hash), *sorted(one.hash for one in each))
            filtered[rule_id_] = structs.replace(rule, hash=hashed, filters=tuple(one.filter for one in each))
        return filtered

    def _targets(self, one: StatedFilter, rules: Iterable[Rule], find: _Find) -> list[Rule]:
        """The rules that a filter applies to, once each."""
        if one.references is None:
            found = [rule for rule in rules if _fits(one, rule)]
            if not found:
                text = "no rule is loaded whose log source has all of this; state less, or remove the filter"
                self.refused.append((one.origin, RefusedError(text, ("logsource",))))
            return found
        targets: dict[str, Rule] = {}
        for reference, place in one.references:
            try:
                rule = _target(one, reference, find)
                targets[rule.id] = rule
            except RefusedError as error:
                error.place = place
                self.refused.append((one.origin, error))
        return list(targets.values())


def _target(one: StatedFilter, reference: object, find: _Find) -> Rule:
    """The rule that a filter names.

    Raises:
        RefusedError: it does not apply to such a rule; without a place.
    """
    told = repr(str(reference)[:60])
    rule = find(reference) if isinstance(reference, str) else None
    if rule is None:
        raise RefusedError(f"no rule with id or name {told} is loaded; correct it, or mend that rule", ())
    if isinstance(rule, StatedCorrelation):
        raise RefusedError(f"{told} is a correlation; name the rules that it refers to, a filter is for these", ())
    if not _fits(one, rule):
        text = f"the log source of {told} is {_shown(rule.logsource)}, not the filter's; state no more than both have"
        raise RefusedError(text, ())
    return rule


def _fits(one: StatedFilter, rule: Rule) -> bool:
    """Whether the rule has each part of a log source that the filter states."""
    stated = [(getattr(one.logsource, part), getattr(rule.logsource, part)) for part in PARTS]
    return all(wanted in (None, has) for wanted, has in stated)


def _shown(logsource: LogSource) -> str:
    return ", ".join(f"{part} {value[:60]!r}" for part in PARTS if (value := getattr(logsource, part)))
