"""A document's filter section → what matches of its rules must fulfil besides (Sigma filters specification 2.1).

A filter's condition is ANDed to the rule's as it is written, so `not selection` suppresses; docs/adr/0064. It is read
apart from the rule's detections, so that names of the two never meet.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from msgspec import Struct, structs
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from socmon.event import LogSource
from socmon.sigma.always import always_true
from socmon.sigma.detection import ConditionReader, refusal
from socmon.sigma.documents import Document, Place, RefusedError, content_hash
from socmon.sigma.ir import And, Atom, Node, Not
from socmon.sigma.logsources import PARTS, LogSources, log_source
from socmon.sigma.metadata import parse, rule_id
from socmon.sigma.outline import Piece, all_of, filter_of
from socmon.sigma.rule import Filter, Rule

ANY = "any"  # Sigma 2.2, and pySigma, have it: all rules whose log source fits
_SECTION = "filter"
_Find = Callable[[str], Rule | SigmaCorrelationRule | None]


class Filtering(Struct, frozen=True):
    """A filter that was read.

    Attributes:
        references: what its `rules` states, each with its place; None for any rule.
        hash: of what it asks for, so that a rule is the same when only other rules are added to the filter.
    """

    filter: Filter
    document: Document
    logsource: LogSource
    references: tuple[tuple[object, Place], ...] | None
    parsed: SigmaRule
    hash: str

    def condition(self, sources: LogSources, logsource: LogSource) -> Piece:
        """What it asks of an event that rules for `logsource` look at.

        Raises:
            RefusedError: something in it is not supported.
        """
        section = _as_rule(self.document)["detection"]
        names_of = partial(sources.names, logsource)
        try:
            return ConditionReader(self.parsed.detection, section, names_of).any_condition()
        except RecursionError as error:
            raise refusal(error, (_SECTION,)) from error
        except RefusedError as error:
            raise _moved(error) from error

    def fits(self, rule: Rule) -> bool:
        """Whether the rule has each part of a log source that the filter states."""
        stated = [(getattr(self.logsource, part), getattr(rule.logsource, part)) for part in PARTS]
        return all(wanted in (None, has) for wanted, has in stated)


def read_filter(document: Document, sources: LogSources) -> Filtering | list[RefusedError]:
    """The filter of a document whose placeholders are filled in, or all that is wrong with it.

    Raises:
        RefusedError: something in it is not supported, or cannot be meant.
    """
    _refuse_form(document)
    as_rule = _as_rule(document)
    parsed = parse(structs.replace(document, data=as_rule), as_rule, SigmaRule)
    if isinstance(parsed, list):
        return [_moved(error) for error in parsed]
    section, stated = document.data[_SECTION], parsed.logsource
    made = Filtering(
        Filter(rule_id(document, parsed), parsed.title, document.path, document.line_of()),
        document,
        log_source(LogSource(stated.product, stated.category, stated.service)),
        _references(section["rules"]),
        parsed,
        content_hash({key: value for key, value in section.items() if key != "rules"}),
    )
    node = made.condition(sources, made.logsource).node
    if always_true(node):
        raise RefusedError("the condition is true for every event, so it suppresses nothing", (_SECTION, "condition"))
    if always_true(Not(node)):
        text = "the condition is false for every event, so its rules would never match"
        raise RefusedError(text, (_SECTION, "condition"))
    return made


def _refuse_form(document: Document) -> None:
    section = document.data[_SECTION]
    for other in ("detection", "correlation"):
        if other in document.data:
            raise RefusedError(f"a document has a filter or a {other}; make it two", (_SECTION,))
    if not isinstance(section, Mapping):
        raise RefusedError(f"a filter has rules, detections and a condition, not {section!r:.60}", (_SECTION,))
    rules = section.get("rules")
    if not rules or not isinstance(rules, str | list):
        text = f"a filter has rules, a list of ids or names, or {ANY}; not {rules!r:.60}"
        raise RefusedError(text, (_SECTION, "rules"))
    condition = section.get("condition")
    if not isinstance(condition, str):
        raise RefusedError(f"a filter has one condition, in text, not {condition!r:.60}", (_SECTION, "condition"))


def _as_rule(document: Document) -> dict[str, Any]:
    """What a rule with the filter's detections would state: all that is said of these holds for a filter's."""
    detections = {key: value for key, value in document.data[_SECTION].items() if key != "rules"}
    return {key: value for key, value in document.data.items() if key != _SECTION} | {"detection": detections}


def _moved(error: RefusedError) -> RefusedError:
    if error.place[:1] == ("detection",):
        error.place = (_SECTION, *error.place[1:])
    return error


def _references(stated: str | list[object]) -> tuple[tuple[object, Place], ...] | None:
    if isinstance(stated, list):
        return tuple((one, (_SECTION, "rules", index)) for index, one in enumerate(stated))
    return None if stated.lower() == ANY else ((stated, (_SECTION, "rules")),)


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
        refused: documents with what is wrong in them: what a filter does for other rules it does.
    """

    def __init__(self, sources: LogSources) -> None:
        self.refused: list[tuple[Document, RefusedError]] = []
        self._sources = sources
        self._all: list[Filtering] = []

    def add(self, one: Filtering) -> None:
        """Have it applied; in the order of loading."""
        self._all.append(one)

    def inverted(self) -> Iterator[Document]:
        """The filters that keep what they seem to suppress."""
        for one in self._all:
            if keeps_only(one.condition(self._sources, one.logsource).node):
                yield one.document

    def applied(self, rules: Iterable[Rule], conditions: dict[str, Piece], find: _Find) -> dict[str, Rule]:
        """The single-event rules that filters apply to, by id, as they are with these; `conditions` becomes so too.

        Args:
            find: gives the loaded rule, or the parsed correlation, with an id or name.
        """
        rules = list(rules)
        over: dict[str, list[Filtering]] = {}
        for one in self._all:
            for rule in self._targets(one, rules, find):
                over.setdefault(rule.id, []).append(one)
        filtered = {rule.id: rule for rule in rules if rule.id in over}
        for rule_id_, rule in filtered.items():
            each = over[rule_id_]
            asked = [filter_of(one.condition(self._sources, rule.logsource), one.filter.title) for one in each]
            conditions[rule_id_] = all_of((conditions[rule_id_], *asked))
            hashed = content_hash(rule.hash, *sorted(one.hash for one in each))
            filtered[rule_id_] = structs.replace(rule, hash=hashed, filters=tuple(one.filter for one in each))
        return filtered

    def _targets(self, one: Filtering, rules: Iterable[Rule], find: _Find) -> list[Rule]:
        """The rules that a filter applies to, once each."""
        if one.references is None:
            found = [rule for rule in rules if one.fits(rule)]
            if not found:
                text = "no rule is loaded whose log source has all of this; state less, or remove the filter"
                self.refused.append((one.document, RefusedError(text, ("logsource",))))
            return found
        targets: dict[str, Rule] = {}
        for reference, place in one.references:
            try:
                rule = _target(one, reference, find)
                targets[rule.id] = rule
            except RefusedError as error:
                error.place = place
                self.refused.append((one.document, error))
        return list(targets.values())


def _target(one: Filtering, reference: object, find: _Find) -> Rule:
    """The rule that a filter names.

    Raises:
        RefusedError: it does not apply to such a rule; without a place.
    """
    told = repr(str(reference)[:60])
    rule = find(reference) if isinstance(reference, str) else None
    if rule is None:
        raise RefusedError(f"no rule with id or name {told} is loaded; correct it, or mend that rule", ())
    if isinstance(rule, SigmaCorrelationRule):
        raise RefusedError(f"{told} is a correlation; name the rules that it refers to, a filter is for these", ())
    if not one.fits(rule):
        text = f"the log source of {told} is {_shown(rule.logsource)}, not the filter's; state no more than both have"
        raise RefusedError(text, ())
    return rule


def _shown(logsource: LogSource) -> str:
    return ", ".join(f"{part} {value[:60]!r}" for part in PARTS if (value := getattr(logsource, part)))
