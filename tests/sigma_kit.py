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


ONE_ID, TWO_ID = (f"{n}1111111-1111-4111-8111-111111111111" for n in (1, 2))


def single(name: str, rule_id: str, value: str = "x") -> str:
    head = HEAD.replace("title: A rule", f"title: {name}\nname: {name}").replace(
        "5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11", rule_id
    )
    return rule_text(f"sel: {{F: {value}}}\ncondition: sel", head)


def correlation(name: str, rules: str, kind: str = "event_count", condition: str = "{gte: 5}", more: str = "") -> str:
    stated = f"  condition: {condition}\n" if condition else ""
    return (
        f"title: {name}\nname: {name}\ncorrelation:\n  type: {kind}\n  rules: {rules}\n  group-by: [ip, user]\n"
        f"  timespan: 5m\n{stated}{more}"
    )


ONE, TWO = single("one", ONE_ID), single("two", TWO_ID, "y")


def together(*documents: str) -> str:
    return "---\n".join(documents)
