"""Our evaluation equals an independent one, for rules, filters, placeholders and events made at random."""

import os
from collections import Counter
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma_reference import rule_matches, sees
from sigma_strategies import EVENTS, PLACEHOLDERS, rule_sets

from socmon.sigma import RuleSet
from socmon.sigma.ruleset import parse_rules

MORE = int(os.environ.get("SOCMON_EXAMPLES", "1"))  # times as many examples
pytestmark = pytest.mark.timeout(120 * MORE)
# What is rightly refused, of what is made at random.
REFUSED = {
    "nothing to look for": "true for every event",
    "nothing to suppress": "false for every event",
    "too many dashes": "windash modifier expands",
    "base64 of a wildcard": "wildcards is not allowed",
    "a filter of a refused rule": "no rule with id or name",
    "utf16 of letters beyond ASCII": "only allowed for",
}


def is_ordinary(event: dict[str, Any]) -> bool:
    """Something in it has a text, and nothing in it is an empty list or mapping."""
    values = list(event.values())
    return any(value not in ("", None) and not isinstance(value, (list, dict)) for value in values) and (
        [] not in values and {} not in values
    )


def loaded(documents: list[dict[str, Any]]) -> RuleSet:
    text = yaml.safe_dump_all(documents, allow_unicode=True).encode()
    return parse_rules("rule.yml", text, placeholders=PLACEHOLDERS)


def test_evaluation_equals_the_reference() -> None:
    came: Counter[str] = Counter()

    @settings(max_examples=150 * MORE, deadline=None)
    @given(rule_sets(), st.lists(EVENTS, min_size=6, max_size=10))
    def check(stated: tuple[list[dict[str, Any]], list[dict[str, Any]]], events: list[Any]) -> None:
        both, filtering = stated
        ruleset = loaded([*both, *filtering])
        for error in ruleset.errors:
            assert any(reason in error.message for reason in REFUSED.values()), error
        for rule in both:
            own = filtering if rule is both[0] else []
            if rule["id"] not in ruleset.by_id or (own and ruleset.errors):
                came["refused"] += 1
                continue
            for event, source in events:
                matched = rule["id"] in ruleset.match(event, source)
                fulfilled = rule_matches(rule, event, filters=own, placeholders=PLACEHOLDERS)
                assert matched == (fulfilled and sees(rule["logsource"], source)), (rule, own, event, source)
                came[f"matched {matched}"] += 1

    check()

    share = came["matched True"] / (came["matched True"] + came["matched False"])
    assert 0.05 < share < 0.95, came  # they meet, and not always
    assert came["refused"] < 100 * MORE
