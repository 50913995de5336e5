"""One rule set that sees many events says of each what a matcher says that remembers nothing."""

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma_kit import loaded, rule_text
from sigma_naive import Naive
from sigma_sequences import PLAIN_EVENTS, PLAIN_RULES, WINDOWS_EVENTS, WINDOWS_RULES
from sigma_strategies import PLACEHOLDERS

from socmon.event import LogSource
from socmon.sigma import scanner
from socmon.sigma.logsources import shipped_log_sources
from socmon.sigma.ruleset import parse_rules

MORE = int(os.environ.get("SOCMON_EXAMPLES", "1"))  # times as many examples
pytestmark = pytest.mark.timeout(120 * MORE)


@pytest.fixture(autouse=True)
def _literals_are_looked_for_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "_FEW", 2)  # then the automaton


Sequence = list[tuple[dict[str, Any], dict[str, str | None]]]


def came_of(rules: st.SearchStrategy[list[dict[str, Any]]], sequences: st.SearchStrategy[Sequence]) -> Counter[bool]:
    """How many pairs of event and rule matched, and how many did not; the rule set and the naive matcher agreed."""
    came: Counter[bool] = Counter()

    @settings(max_examples=120 * MORE)
    @given(rules, sequences)
    def check(stated: list[dict[str, Any]], events: Sequence) -> None:
        text = yaml.safe_dump_all(stated, allow_unicode=True).encode()
        ruleset = parse_rules("rules.yml", text, placeholders=PLACEHOLDERS)
        naive = Naive(ruleset, shipped_log_sources())
        before = repr(events)
        for place, (fields, source) in enumerate(events):
            matched = list(ruleset.match(fields, source if place % 2 else LogSource(**source)))
            assert matched == naive.match(fields, source), (place, fields, source)
            came[True] += len(matched)
            came[False] += len(ruleset.rules) - len(matched)
        assert repr(events) == before  # what is asked about is not changed

    check()
    return came


def test_rules_of_one_product_equal_the_naive_matcher() -> None:
    came = came_of(PLAIN_RULES, PLAIN_EVENTS)

    assert 0.05 < came[True] / came.total() < 0.95


def test_rules_for_windows_equal_the_naive_matcher() -> None:
    came = came_of(WINDOWS_RULES, WINDOWS_EVENTS)

    assert 0.05 < came[True] / came.total() < 0.95


ONE_EACH = "\n---\n".join(
    rule_text(f"sel: {{{line}}}\ncondition: {condition}").replace("5b0e5a9c", f"{number:08}")
    for number, (line, condition) in enumerate(
        (line, condition)
        for line in ("F: true", "F: 1", "F: '1'", "F: null", "F|exists: true", "F: ''", "F|gte: 1", "F|re: '^1$'")
        for condition in ("sel", "not sel")
    )
)
VALUES: list[Mapping[str, Any]] = [
    *({"F": value} for value in (True, 1, 1.0, "1", "true", False, 0, "0", None, [None], [True], [1], ["1", None], "")),
    {},
]


@pytest.mark.parametrize("first", range(len(VALUES)))
def test_what_was_seen_first_changes_nothing(first: int) -> None:
    rules = loaded(ONE_EACH)
    naive = Naive(rules, shipped_log_sources())
    product = {"product": "test"}
    rules.match(VALUES[first], product)

    assert [list(rules.match(fields, product)) for fields in VALUES] == [naive.match(one, product) for one in VALUES]


LONG = "ab" * 40_000
LONG_VALUES = [
    f"{LONG}x",
    f"{LONG}y",
    f"{LONG}X",
    f"x{LONG}",
    f"y{LONG}",
    LONG,
    f"{LONG}{LONG}x",
    f"{LONG[1:]}x",
    f"{LONG}é",
]


def test_long_values_that_begin_alike_are_told_apart() -> None:
    lines = ("F|endswith: x", "F|startswith: x", "F|contains: bx", "F|re: 'bx$'", "F: '*b?'", "F: 'a*x'", f"F: {LONG}")
    rules = loaded(
        "\n---\n".join(
            rule_text(f"sel: {{{line}}}\ncondition: sel").replace("5b0e5a9c", f"{number:08}")
            for number, line in enumerate(lines)
        )
    )
    naive, product = Naive(rules, shipped_log_sources()), {"product": "test"}

    for value in [*LONG_VALUES, *LONG_VALUES]:
        assert list(rules.match({"F": value}, product)) == naive.match({"F": value}, product)


def test_the_naive_matcher_tells_them_apart() -> None:
    """Else the tests above could not fail: each of these values is another event to some rule."""
    naive = Naive(loaded(ONE_EACH), shipped_log_sources())
    told = [tuple(naive.match({"F": value}, {"product": "test"})) for value in (True, 1, None, "", "0")]

    assert len(set(told)) == len(told)
    assert naive.match({"F": 1}, {"product": "test"}) == naive.match({"F": "1"}, {"product": "test"})
    assert naive.match({"F": 1}, {"product": "other"}) == []
