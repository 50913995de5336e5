"""A slow matcher over the same conditions: every rule in turn, its tree walked, nothing remembered between events.

What a first version would be, and so what the engine is compared with, for its answers and for its speed. It shares
with the engine how single values compare (`values`, `times`, `regex`) and the table of log sources, and nothing else.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from socmon.event import OWN_FIELDS, SOURCE_FIELDS, LogSource
from socmon.sigma.ir import And, Atom, FieldRef, Node, Not, TimePart, atoms
from socmon.sigma.logsources import LogSources, Table
from socmon.sigma.regex import searcher
from socmon.sigma.ruleset import RuleSet
from socmon.sigma.times import part_of
from socmon.sigma.values import address_of, fold, number_of, text_of, texts_of

Fields = Mapping[str, Any]
Parts = Mapping[str, str | None]
_Test = Callable[[str], bool]
_Standing = tuple[set[str], set[str], set[str]]  # products, categories, services

_NOT_LOGGED = frozenset((*OWN_FIELDS, *SOURCE_FIELDS))
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_FOLDED: Mapping[str, Callable[[str, str], bool]] = {
    "eq": operator.eq,
    "starts": str.startswith,
    "ends": str.endswith,
    "has": operator.contains,
    "any": lambda _text, _arg: True,
}


class Naive:
    """The single-event rules of `rules`, matched one by one.

    Args:
        sources: the table of log sources that the rules were loaded with.
    """

    def __init__(self, rules: RuleSet, sources: LogSources) -> None:
        single = [(rule.id, rule.logsource) for rule in rules.rules if rule.correlation is None]
        self._rules = [
            (rule_id, source.product, source.category, source.service, rules.condition(rule_id).node)
            for rule_id, source in single
        ]
        self._tests = {id(atom): test for *_, node in self._rules for atom in atoms(node) if (test := _text_test(atom))}
        self._where = _Where(sources.tables)

    def match(self, fields: Fields, logsource: LogSource | Parts) -> list[str]:
        """As `RuleSet.match`."""
        products, categories, services = self._where.standing(logsource, fields)
        return [
            rule_id
            for rule_id, product, category, service, node in self._rules
            if (product is None or product in products)
            and (category is None or category in categories)
            and (service is None or service in services)
            and self._holds(node, fields)
        ]

    def _holds(self, node: Node, fields: Fields) -> bool:
        if isinstance(node, Atom):
            return self._atom(node, fields)
        if isinstance(node, Not):
            return not self._holds(node.node, fields)
        if isinstance(node, And):
            for part in node.nodes:  # noqa: SIM110  a generator costs more than all else here
                if not self._holds(part, fields):
                    return False
            return True
        for part in node.nodes:  # noqa: SIM110  as above
            if self._holds(part, fields):
                return True
        return False

    def _atom(self, atom: Atom, fields: Fields) -> bool:
        test = self._tests.get(id(atom))
        if test is None:
            return _field_holds(atom, fields)
        value = _value(atom.names, fields)
        if isinstance(value, str):
            return test(value)
        return value is not None and any(test(text) for text in texts_of(value))


def _field_holds(atom: Atom, fields: Fields) -> bool:
    """An atom that asks for more than one text at a time."""
    if atom.op == "exists":
        return any(name in fields for name in atom.names)
    value = _value(atom.names, fields)
    if atom.op == "null":
        return value is None or (isinstance(value, (list, tuple)) and None in value)
    ref: FieldRef = atom.arg
    normal = str if atom.cased else fold
    compare = _FOLDED[{(0, 0): "eq", (1, 0): "starts", (0, 1): "ends", (1, 1): "has"}[ref.starts, ref.ends]]
    others = [normal(text) for text in texts_of(_value(ref.names, fields))]
    return any(compare(normal(text), other) for text in texts_of(value) for other in others)


def _value(names: Sequence[str], fields: Fields) -> Any:
    """The field under the first of its names that is there; for a keyword, which has no names, all that was logged."""
    if not names:
        return [value for name, value in fields.items() if name not in _NOT_LOGGED]
    for name in names:
        if name in fields:
            return fields[name]
    return None


def _text_test(atom: Atom) -> _Test | None:
    """What an atom asks of one text, compiled; None if that is not all it asks for."""
    op, arg = atom.op, atom.arg
    if op in {"re", "glob"}:
        found = searcher(arg)
        return found if op == "re" or atom.cased else (lambda text: found(fold(text)))
    if op in _FOLDED:
        compare = _FOLDED[op]
        return (lambda text: compare(text, arg)) if atom.cased else (lambda text: compare(fold(text), arg))
    if op == "cidr":
        network = ip_network(arg)
        return lambda text: (address := address_of(text)) is not None and address in network
    if isinstance(arg, TimePart):
        holds = _ORDER[arg.op]
        return lambda text: (part := part_of(text, arg.unit)) is not None and holds(part, arg.number)
    if op in _ORDER:
        holds = _ORDER[op]
        return lambda text: (number := number_of(text)) is not None and holds(number, arg)
    return None


class _Where:
    """What an event is, by rules/logsources.yml: what it states, and what routes and covers add to that."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._covers = [cover.lower() for table in tables for cover in table.covers]
        # By product: (field, {value: services}), and (field, {(service, value): categories}).
        self._services: dict[str, list[tuple[str, dict[str, set[str]]]]] = {}
        self._categories: dict[str, list[tuple[str, dict[tuple[str, str], set[str]]]]] = {}
        for route in (route for table in tables for route in table.routes):
            services: dict[str, set[str]] = {}
            for service, values in route.services.items():
                for value in values:
                    services.setdefault(fold(text_of(value)), set()).add(fold(service))
            categories: dict[tuple[str, str], set[str]] = {}
            for service, told in route.categories.items():
                for category, values in told.items():
                    for value in values:
                        categories.setdefault((fold(service), fold(text_of(value))), set()).add(fold(category))
            self._services.setdefault(route.product.lower(), []).append((route.service_by or "", services))
            self._categories.setdefault(route.product.lower(), []).append((route.category_by or "", categories))

    def standing(self, stated: LogSource | Parts, fields: Fields) -> _Standing:
        product, category, service = (text.lower() if text else "" for text in _parts(stated))
        services, categories = set(filter(None, [service])), set(filter(None, [category]))
        for field, by_value in self._services.get(product, ()):
            services |= by_value.get(_single(fields.get(field)), set())
        for field, by_both in self._categories.get(product, ()):
            value = _single(fields.get(field))
            for one in services:
                categories |= by_both.get((one, value), set())
        covering = {each.service for each in self._covers for one in services or {""} if each.holds(product, one)}
        return set(filter(None, [product])), categories, services | covering


def _parts(stated: LogSource | Parts) -> Iterator[str | None]:
    for part in ("product", "category", "service"):
        yield getattr(stated, part) if isinstance(stated, LogSource) else stated.get(part)


def _single(value: Any) -> str:
    """A single value as the table has it; no value of the table is the text of null, of a list, or of a mapping."""
    return fold(text_of(value)) if isinstance(value, (str, int, float)) else ""
