"""How the second engine reads rules where socmon reads them otherwise: one class a difference, the first that fits.

A class is a reading, not a list of rules: it rewrites what the rule asks, or where it looks, and our own matcher
answers by that. A difference belongs to it only where that answer is the second engine's, so none is put there by name.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from socmon.sigma import RuleSet
from socmon.sigma.ir import And, Atom, FieldRef, Node, Not, Or, both, either
from socmon.sigma.matcher import Compiler, Fields
from socmon.sigma.outline import Item, Piece, items
from socmon.sigma.values import fold, texts_of

OTHER = "not classified"
TABLE = Path("logs", "sigma", "thor_logsources.yml")

_CASE = "whole values told apart by case"
_REFERENCE = "a reference to a mapped field"
_CHANNEL = "an event log that its table lacks"
_PRODUCT = "a rule that names no product"


class Class(Struct, frozen=True):
    """A reason to differ.

    Attributes:
        right: which engine reads it as the specification says.
        sentence: of the specification, with its section.
    """

    name: str
    right: str
    sentence: str


CLASSES = (
    Class(
        _CASE,
        "socmon",
        "“All values are treated as case-insensitive strings” (rules specification, Detection, General). Nothing"
        " excepts values without wildcard and backslash, which the other engine compares by SQLite's `=`.",
    ),
    Class(
        _REFERENCE,
        "socmon",
        "“For fields with existing field-mappings, use the mapped field name”; its example is `ParentImage:"
        " ParentProcessName` (rules specification, Detection, Field Usage). `fieldref` makes “a field reference” of a"
        " value (modifiers appendix, Specific Modifiers), so it names a field too.",
    ),
    Class(
        _CHANNEL,
        "socmon",
        "“product: windows, service: dns-server” is “Channel: DNS Server” (taxonomy appendix, Log Sources, Service)."
        " SigmaHQ's older table, by which the other engine was set up, has no such channel.",
    ),
    Class(
        _PRODUCT,
        "socmon",
        "“The `category`, `product` and `service` can be used alone or in any combination”, and a category “is used to"
        " select all log files written of a logical group”, such as antivirus, for the scan result (rules"
        " specification, LogSource). The other engine was given the rules that say `product: windows`.",
    ),
)


class Readings:
    """The rules as the second engine reads them, by class.

    Args:
        rules: whose differences are asked about.
        table: content of SigmaHQ's table of log sources, which the second engine was set up by.
    """

    def __init__(self, rules: RuleSet, table: str) -> None:
        self._rules = rules
        self._channels = frozenset(_channels(table))
        self._compiler = Compiler()
        self._answers: Mapping[str, Callable[[str, Fields], bool]] = {
            _CASE: lambda rule, fields: self._compiler.test_for(_cased(rules.condition(rule)))(fields),
            _REFERENCE: lambda rule, fields: self._compiler.test_for(_plain(rules.condition(rule).node))(fields),
            _CHANNEL: lambda rule, fields: not self._lacks(rule, fields),
            _PRODUCT: lambda rule, _fields: rules.by_id[rule].logsource.product is not None,
        }

    def class_of(self, rule_id: str, fields: Fields, *, expected: bool) -> str:
        """The first class whose reading answers as the second engine does, where socmon answers the opposite."""
        if rule_id not in self._rules.by_id:
            return OTHER
        for each in CLASSES:
            if self._applies(each.name, rule_id, fields) and self.answer(each.name, rule_id, fields) is expected:
                return each.name
        return OTHER

    def answer(self, name: str, rule_id: str, fields: Fields) -> bool:
        """Whether a rule matches an event that it sees, by the reading of a class."""
        return self._answers[name](rule_id, fields)

    def _applies(self, name: str, rule_id: str, fields: Fields) -> bool:
        """Whether what the class is about is there at all, in rule and event."""
        return bool(self.shown(name, rule_id, fields))

    def shown(self, name: str, rule_id: str, fields: Fields) -> str:
        """What in rule and event the class is about; "" where there is nothing of it."""
        piece = self._rules.condition(rule_id)
        if name == _CASE:
            return ", ".join(dict.fromkeys(_other_case(piece, fields)))
        if name == _REFERENCE:
            return ", ".join(dict.fromkeys(_references(piece.node, fields)))
        if name == _CHANNEL:
            return f"Channel is `{fields.get('Channel')}`" if self._lacks(rule_id, fields) else ""
        logsource = self._rules.by_id[rule_id].logsource
        return "" if logsource.product else f"the rule's log source is category {logsource.category}"

    def _lacks(self, rule_id: str, fields: Fields) -> bool:
        """Whether a rule wants an event log, and the table does not know the one that the event is of."""
        wanted = self._rules.by_id[rule_id].logsource.service
        return wanted is not None and str(fields.get("Channel")).lower() not in self._channels


def _channels(table: str) -> Iterator[str]:
    for entry in yaml.load(table, Loader=yaml.CSafeLoader)["logsources"].values():
        if entry.get("product") == "windows":
            for source in entry.get("sources", ()):
                yield source.removeprefix("WinEventLog:").lower()


def _cased(piece: Piece) -> Node:
    """What a rule asks, with whole values compared as they are spelt."""
    if isinstance(piece, Item):
        return _item_cased(piece) if "|" not in piece.key else piece.node
    parts = tuple(_cased(part) for part in piece.parts)
    if piece.kind == "not":
        return Not(parts[0])
    return both(parts) if piece.kind == "all" else either(parts)


def _item_cased(item: Item) -> Node:
    spelt = _spelt(item)

    def one(atom: Node) -> Node:
        if isinstance(atom, Atom) and atom.op == "eq" and not atom.cased and atom.arg in spelt:
            return either(tuple(Atom(atom.names, "eq", text, cased=True) for text in spelt[atom.arg]))
        return atom

    return either(tuple(map(one, item.node.nodes))) if isinstance(item.node, Or) else one(item.node)


def _spelt(item: Item) -> dict[str, list[str]]:
    """The spellings of an item's values that the other engine compares by `=`, by their folded text."""
    spelt: dict[str, list[str]] = {}
    for value in item.values:
        if "\\" not in value:  # it uses LIKE, which folds, where something may have to be escaped
            spelt.setdefault(fold(value), []).append(value)
    return spelt


def _other_case(piece: Piece, fields: Fields) -> Iterator[str]:
    """Where an event has a whole value of the rule in another case."""
    for item in items(piece):
        if "|" in item.key or not item.names:
            continue
        spelt = _spelt(item)
        for text in texts_of(_value(item.names, fields)):
            stated = spelt.get(fold(text), [text])
            if text not in stated:
                yield f"{item.key} is `{text[:60]}`, the rule has `{stated[0][:60]}`"


def _plain(node: Node) -> Node:
    """What a rule asks, where the names of referred fields are not mapped."""
    if isinstance(node, Atom):
        ref = node.arg
        return Atom(node.names, node.op, _unmapped(ref), node.cased) if isinstance(ref, FieldRef) else node
    if isinstance(node, Not):
        return Not(_plain(node.node))
    parts = tuple(map(_plain, node.nodes))
    return And(parts) if isinstance(node, And) else Or(parts)


def _unmapped(ref: FieldRef) -> FieldRef:
    return FieldRef(ref.names[:1], ref.starts, ref.ends)


def _references(node: Node, fields: Fields) -> Iterator[str]:
    """The references that an event answers under a mapped name only."""
    if isinstance(node, Atom):
        if isinstance(node.arg, FieldRef) and node.arg.names[0] not in fields:
            used = [name for name in node.arg.names if name in fields]
            if used:
                yield f"{node.names[0]} refers to {node.arg.names[0]}, which is `{used[0]}` in the event"
    elif isinstance(node, Not):
        yield from _references(node.node, fields)
    else:
        for part in node.nodes:
            yield from _references(part, fields)


def _value(names: tuple[str, ...], fields: Fields) -> Any:
    return next((fields[name] for name in names if name in fields), None)
