"""A small set of rules of all kinds, good and bad, loaded with and without a cache, to be compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from socmon.sigma import Rule, RuleError, load_rules
from socmon.sigma.logsources import LogSources
from socmon.sigma.outline import Piece
from socmon.sigma.rule_cache import RuleCache

RULE = r"""title: A
name: base
logsource: {product: windows, category: process_creation}
detection:
  sel:
    Image|endswith: ['\cmd.exe', '\\a*b?.exe']
    CommandLine|contains|all: [whoami, '/all']
  more:
    - ParentImage|re|i: '^c:.*x$'
      Size|gte: 5
    - At|hour: 3
      CommandLine|fieldref|startswith: Image
  gone: {User: null, Other|exists: false, Address|cidr: 10.0.0.0/8, Word|cased: Ab}
  idle: {X: 1.5}
  words: [evil, 7]
  condition: (sel or more) and not gone or words
levle: high
"""
CORRELATION = """title: C
correlation:
  type: event_count
  rules: [base]
  group-by: [Image]
  timespan: 5m
  condition: {gte: 10}
"""
FILTER = """title: F
logsource: {product: windows}
filter:
  rules: [base, missing]
  sel: {CommandLine|contains: backup, User|startswith: svc}
  condition: not sel
"""
_FILES = {
    "a.yml": RULE,
    "chain.yml": CORRELATION
    + "---\n"
    + CORRELATION.replace("title: C", "title: D\nname: d").replace("[base]", "[nobody]")
    + "---\n"
    + CORRELATION.replace("title: C", "title: E").replace("[base]", "d"),
    "filter.yml": FILTER,
    "keeps.yml": FILTER.replace("title: F", "title: G").replace("not sel", "sel").replace(", missing", ""),
    "placeholder.yml": "title: P\nlogsource: {product: linux}\n"
    "detection: {sel: {user|expand: '%name%', x: '%name%'}, condition: sel}\n",
    "taken.yml": RULE.replace("title: A", "title: B"),
    "bad.yml": "title: [\n",
    "empty.yml": "",
    "refused.yml": "title: R\nlogsource: {product: linux}\ndetection: {sel: {a|nope: b}, condition: sel}\n",
}
PLACEHOLDERS: dict[str, list[str | int | float]] = {"name": ["root", 5, 2.5], "unused": ["x"]}


class Loaded(NamedTuple):
    rules: list[Rule]
    errors: list[RuleError]
    warnings: list[RuleError]
    unused: list[str]
    conditions: dict[str, Piece]
    nodes: dict[str, Any]
    fields: dict[str, tuple[str, ...]]


def tree(folder: Path) -> Path:
    """The set of rules, in files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (folder / name).write_text(text)
    return folder


def loaded(
    paths: Sequence[Path],
    folder: Path | None,
    *,
    placeholders: Mapping[str, Sequence[str | int | float]] | None = None,
    sources: LogSources | None = None,
) -> Loaded:
    """The rules at `paths`, by the cache in `folder` if there is one."""
    cache = RuleCache(folder) if folder else None
    rules = load_rules(paths, placeholders=placeholders or {}, sources=sources, cache=cache)
    single = [rule.id for rule in rules.rules if rule.correlation is None]
    conditions = {rule_id: rules.condition(rule_id) for rule_id in single}
    nodes = {rule_id: piece.node for rule_id, piece in conditions.items()}
    fields = {rule.id: rules.fields_of(rule.id) for rule in rules.rules}
    return Loaded(rules.rules, rules.errors, rules.warnings, rules.unused, conditions, nodes, fields)


def spoil(content: bytes, by: bytes, at: int) -> bytes:
    """`content` changed in one place, cut there, or with something behind it."""
    place = at % (len(content) + 1)
    match by[0] % 4:
        case 0:
            return content[:place] + by[1:] + content[place + len(by) - 1 :]
        case 1:
            return content[:place] + by + content[place:]
        case 2:
            return content[:place]
        case _:
            return by
