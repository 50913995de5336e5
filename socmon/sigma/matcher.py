"""Conditions → functions that test an event's fields."""

import operator
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from itertools import islice
from typing import Any

from socmon.event import OWN_FIELDS, SOURCE_FIELDS
from socmon.sigma.ir import TEXT_OPS, And, Atom, FieldRef, Node, Not, TimePart
from socmon.sigma.regex import searcher
from socmon.sigma.times import part_of
from socmon.sigma.values import address_of, fold, number_of, texts_of

Fields = Mapping[str, Any]
Test = Callable[[Fields], bool]
_TextTest = Callable[[str], bool]
_Names = tuple[str, ...]

BESIDES = frozenset((*OWN_FIELDS, *SOURCE_FIELDS))  # known of an event, and not logged
_MOST_COMPARED = 256  # values of a list that are looked for within those of another: each is compared with each

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class Compiler:
    """Compiles conditions; equal parts of different rules become one function."""

    def __init__(self) -> None:
        self._known: dict[Node, Test] = {}

    def test_for(self, node: Node) -> Test:
        """A function that says whether an event's fields fulfil `node`; it never raises."""
        test = self._known.get(node)
        if test is None:
            test = self._known[node] = self._compile(node)
        return test

    def _compile(self, node: Node) -> Test:
        if isinstance(node, Atom):
            return _one_of([node]) if node.op in TEXT_OPS else _atom_test(node)
        if isinstance(node, Not):
            inner = self.test_for(node.node)
            return lambda fields: not inner(fields)
        if isinstance(node, And):
            return _all_true([self.test_for(part) for part in node.nodes])
        return _any_true(self._alternatives(node.nodes))

    def _alternatives(self, nodes: Sequence[Node]) -> list[Test]:
        """Tests for the parts of an Or: text atoms of one field share one test, so its value is folded once."""
        groups: dict[tuple[_Names, bool], list[Atom]] = {}
        others: list[Test] = []
        for node in nodes:
            if isinstance(node, Atom) and node.op in TEXT_OPS:
                groups.setdefault((node.names, node.cased), []).append(node)
            else:
                others.append(self.test_for(node))
        return [_one_of(atoms) for atoms in groups.values()] + others


def _all_true(tests: list[Test]) -> Test:
    def test(fields: Fields) -> bool:
        for one in tests:  # noqa: SIM110  a generator would double the cost
            if not one(fields):
                return False
        return True

    return test


def _any_true(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def test(fields: Fields) -> bool:
        for one in tests:  # noqa: SIM110  a generator would double the cost
            if one(fields):
                return True
        return False

    return test


def reader(names: _Names) -> Callable[[Fields], Any]:
    """What reads a field under the first of its names that the event has, or all values for a keyword.

    A keyword is looked for in what was logged, not in what is known besides.
    """
    if not names:
        return lambda fields: [value for name, value in fields.items() if name not in BESIDES]
    if len(names) == 1:
        only = names[0]
        return lambda fields: fields.get(only)

    def first(fields: Fields) -> Any:
        for name in names:
            if name in fields:
                return fields[name]
        return None

    return first


def _one_of(atoms: Sequence[Atom]) -> Test:
    """Test for any of some text atoms of one field."""
    read = reader(atoms[0].names)
    normal = str if atoms[0].cased else fold
    matches = _text_test(atoms)

    def test(fields: Fields) -> bool:
        value = read(fields)
        if value is None:
            return False
        if type(value) is str:
            return matches(normal(value))
        return any(matches(normal(text)) for text in texts_of(value))

    return test


def _text_test(atoms: Sequence[Atom]) -> _TextTest:
    literals = {op: tuple(atom.arg for atom in atoms if atom.op == op) for op in ("eq", "starts", "ends", "has")}
    equals, starts, ends = frozenset(literals["eq"]), literals["starts"], literals["ends"]
    has = literals["has"]
    globs = [searcher(atom.arg) for atom in atoms if atom.op == "glob"]
    if len(equals) == len(atoms):
        return equals.__contains__
    if any(atom.op == "any" for atom in atoms):
        return lambda _text: True

    def test(text: str) -> bool:
        if text in equals or text.startswith(starts) or text.endswith(ends):
            return True
        for part in has:
            if part in text:
                return True
        for glob in globs:  # noqa: SIM110  a generator costs more than all else here, and most have no globs
            if glob(text):
                return True
        return False

    return test


def _atom_test(atom: Atom) -> Test:
    """Test for an atom that looks at more than folded text."""
    if atom.op == "exists":
        return lambda fields: any(name in fields for name in atom.names)
    read = reader(atom.names)
    if atom.op == "null":
        return lambda fields: _holds_null(read(fields))
    if isinstance(atom.arg, FieldRef):
        return _reference_test(read, atom)
    matches = value_test(atom)
    return lambda fields: any(matches(text) for text in texts_of(read(fields)))


def _holds_null(value: Any) -> bool:
    return value is None or (isinstance(value, (list, tuple)) and None in value)


def value_test(atom: Atom) -> _TextTest:
    """Test of one text for an atom that looks at no more than that; text atoms but for `cased` want it folded."""
    if atom.op in TEXT_OPS:
        return _text_test([atom])
    if atom.op == "re":
        return searcher(atom.arg)
    if atom.op == "cidr":
        network = ip_network(atom.arg)
        return lambda text: (address := address_of(text)) is not None and address in network
    if isinstance(atom.arg, TimePart):
        unit, wanted, holds = atom.arg.unit, atom.arg.number, _COMPARE[atom.arg.op]
        return lambda text: (part := part_of(text, unit)) is not None and holds(part, wanted)
    compare, limit = _COMPARE[atom.op], atom.arg
    return lambda text: (number := number_of(text)) is not None and compare(number, limit)


def _reference_test(read: Callable[[Fields], Any], atom: Atom) -> Test:
    ref = atom.arg
    read_other = reader(ref.names)
    normal = str if atom.cased else fold

    def distinct(value: Any) -> dict[str, None]:
        return dict.fromkeys(map(normal, texts_of(value)))

    if not (ref.starts or ref.ends):
        return lambda fields: not distinct(read(fields)).keys().isdisjoint(distinct(read_other(fields)))
    compare: Callable[[str, str], bool] = str.endswith
    if ref.starts:
        compare = operator.contains if ref.ends else str.startswith

    def test(fields: Fields) -> bool:
        others = list(islice(distinct(read_other(fields)), _MOST_COMPARED))
        each = islice(distinct(read(fields)), _MOST_COMPARED) if others else ()
        return any(compare(text, other) for text in each for other in others)

    return test
