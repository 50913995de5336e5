"""What tests of the rule loader build on: one rule around a detection section."""

import textwrap
from collections.abc import Mapping
from typing import Any

from socmon.sigma import RuleSet
from socmon.sigma.ruleset import parse_rules

ANY_SOURCE: Mapping[str, str | None] = {"product": "test"}
HEAD = "title: A rule\nid: 5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11\nlogsource:\n  product: test\ndetection:\n"
FIRST_LINE = HEAD.count("\n") + 1  # of the detection's own lines


def rule_text(detection: str, head: str = HEAD) -> str:
    return head + textwrap.indent(textwrap.dedent(detection).strip("\n"), "  ") + "\n"


def loaded(text: str) -> RuleSet:
    """The rules of `text`, all of which must load."""
    rules = parse_rules("rule.yml", text.encode())
    assert [str(error) for error in rules.errors] == []
    return rules


def refused(text: str) -> list[str]:
    """What is wrong with `text`, as `line: message`."""
    return [f"{error.line}: {error.message}" for error in parse_rules("rule.yml", text.encode()).errors]


def fires(rules: RuleSet, fields: Mapping[str, Any], logsource: Mapping[str, str | None] = ANY_SOURCE) -> bool:
    return bool(rules.match(fields, logsource))
