"""A rule set as plain values, for a process that only matches: it reads no file, and so has the same rules."""

import pickle

from socmon.sigma.ir import Node
from socmon.sigma.logsources import LogSources, Table
from socmon.sigma.outline import Item
from socmon.sigma.rule import Rule
from socmon.sigma.ruleset import RuleSet

_PART = 50  # rules that are packed in one go: other threads wait for it


def packed(rules: RuleSet) -> list[bytes]:
    """What matching needs of a rule set: not the words of its conditions, nor what was refused."""
    loaded, conditions, sources = rules.parts
    pairs = [(rule, conditions[rule.id].node if rule.id in conditions else None) for rule in loaded]
    parts = [pairs[first : first + _PART] for first in range(0, len(pairs), _PART)]
    return [pickle.dumps(part, pickle.HIGHEST_PROTOCOL) for part in (sources.tables, *parts)]


def unpacked(parts: list[bytes]) -> RuleSet:
    """A rule set that matches as the one that was packed; it cannot explain why.

    Args:
        parts: from `packed`; never what anybody else may have written.
    """
    tables: tuple[Table, ...]
    tables, *rest = (pickle.loads(part) for part in parts)  # noqa: S301  as above
    pairs: list[tuple[Rule, Node | None]] = [pair for part in rest for pair in part]
    conditions = {rule.id: Item("", (), (), node) for rule, node in pairs if node is not None}
    return RuleSet([rule for rule, _ in pairs], [], conditions, LogSources(tables))
