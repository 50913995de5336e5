"""A rule set as plain values, for a process that only matches: it reads no file, and so has the same rules."""

from socmon.sigma.ir import Node
from socmon.sigma.logsources import LogSources, Table
from socmon.sigma.outline import Item
from socmon.sigma.rule import Rule
from socmon.sigma.ruleset import RuleSet

Packed = tuple[list[Rule], dict[str, Node], tuple[Table, ...]]


def packed(rules: RuleSet) -> Packed:
    """What matching needs of a rule set: not the words of its conditions, nor what was refused."""
    loaded, conditions, sources = rules.parts
    return loaded, {rule_id: piece.node for rule_id, piece in conditions.items()}, sources.tables


def unpacked(parts: Packed) -> RuleSet:
    """A rule set that matches as the one that was packed; it cannot explain why."""
    rules, nodes, tables = parts
    return RuleSet(rules, [], {rule_id: Item("", (), (), node) for rule_id, node in nodes.items()}, LogSources(tables))
