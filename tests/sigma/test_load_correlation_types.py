"""Loading temporal, value_sum, value_avg and value_percentile: what is kept, and what is refused with its line."""

from decimal import Decimal
from typing import Any

import pytest
from sigma_kit import ONE, TWO, correlation, loaded, refused, together

from socmon.sigma import Correlation


def top_of(kind: str, condition: str, rules: str = "[one, two]") -> Correlation:
    top = loaded(together(ONE, TWO, correlation("top", rules, kind, condition))).rules[2].correlation
    assert top is not None
    return top


@pytest.mark.parametrize(
    ("condition", "comparisons"),
    [
        ("", [("gte", 2)]),
        ("{gte: 1}", [("gte", 1)]),
        ("{eq: 2}", [("eq", 2)]),
        ("{lt: 2}", [("lt", 2)]),
        ("{gt: 0, lte: 1}", [("gt", 0), ("lte", 1)]),
    ],
)
def test_temporal_means_all_rules_unless_its_condition_says_how_many(condition: str, comparisons: list[Any]) -> None:
    top = top_of("temporal", condition)

    assert (top.type, [(top.op, top.value), *top.also], top.fields) == ("temporal", comparisons, ())


def test_temporal_knows_a_rule_that_is_listed_twice_once() -> None:
    top = top_of("temporal", "", "[one, two, one]")

    assert (len(top.rules), top.value) == (2, 2)


@pytest.mark.parametrize("kind", ["value_sum", "value_avg", "value_percentile"])
def test_numbers_keep_the_decimals_that_are_written(kind: str) -> None:
    top = top_of(kind, "{field: n, gt: 0.1, lte: 12.50, neq: 2}")

    assert [(top.op, top.value), *top.also] == [("gt", Decimal("0.1")), ("lte", Decimal("12.5")), ("neq", 2)]
    assert (top.fields, top.percentile) == (("n",), None)


@pytest.mark.parametrize(("stated", "kept"), [("99", 99), ("99.9", Decimal("99.9")), ("100", 100)])
def test_a_percentile_need_not_be_whole(stated: str, kept: Any) -> None:
    top = top_of("value_percentile", f"{{field: n, gte: -3, percentile: {stated}}}")

    assert (top.percentile, top.value) == (kept, -3)


def test_a_share_may_be_of_a_combination_of_fields() -> None:
    assert top_of("value_percentile", "{field: [a, b], lt: 1}").fields == ("a", "b")


@pytest.mark.parametrize(
    ("kind", "condition", "at", "reason"),
    [
        ("temporal", "one and two", 8, "temporal takes no condition in words, such as 'one and two'; name the rules"),
        ("temporal", "\n    gte: 3", 8, "no number of rules fulfils all of the condition"),
        ("temporal", "\n    gte: 1\n    field: x", 10, "'field' is no comparison; temporal takes gt, gte"),
        ("temporal", "\n    gte: 1.5", 9, "gte needs a whole number of rules, not 1.5"),
        ("temporal", "\n    gte: 0", 9, "gte: 0 is true or false for every group; use 1 or more"),
        ("temporal", "{}", 8, "temporal needs a condition on the number of rules"),
        ("value_sum", "one", 8, "value_sum takes no condition in words"),
        ("value_sum", "", 3, "value_sum needs a condition on the sum, as in `field: user` and `gte: 5`"),
        ("value_sum", "\n    gte: 1", 8, "value_sum needs the field that holds the values"),
        ("value_sum", "\n    field: [a, b]\n    gte: 1", 9, "value_sum takes one field, not 2"),
        ("value_sum", "\n    field: a\n    gte: many", 10, "gte needs a number to compare the sum with, not 'many'"),
        ("value_sum", "\n    field: a\n    gte: .inf", 10, "gte needs a number to compare the sum with, not inf"),
        ("value_sum", "\n    field: a\n    gte: true", 10, "not True"),
        ("value_sum", "\n    field: a\n    gt: 5\n    lt: 5", 8, "no sum fulfils all of the condition"),
        ("value_sum", "\n    field: a\n    gt: 5\n    percentile: 5", 11, "'percentile' is no comparison; value_sum"),
        ("value_avg", "\n    field: a\n    gte: null", 10, "gte needs a number to compare the average with, not None"),
        ("value_avg", "\n    field: a\n    eq: 5\n    neq: 5", 8, "no average fulfils all of the condition"),
        ("value_percentile", "\n    field: a\n    gt: 100", 8, "no share in percent fulfils all of the condition"),
        ("value_percentile", "\n    field: a\n    lte: 0", 8, "no share in percent fulfils all of the condition"),
        (
            "value_percentile",
            "\n    field: a\n    gt: 1\n    percentile: 0",
            11,
            "percentile is a number above 0",
        ),
        ("value_percentile", "\n    field: a\n    gt: 1\n    percentile: 100.1", 11, "not 100.1; 50 is the med"),
        ("value_percentile", "\n    field: a\n    gt: 1\n    percentile: high", 11, "not 'high'"),
        (
            "value_percentile",
            "\n    field: [a, b]\n    gt: 1\n    percentile: 9",
            9,
            "takes one field",
        ),
        (
            "value_median",
            "\n    field: a\n    gt: 1",
            4,
            "there is no correlation type 'value_median'; there are",
        ),
        ("value_mode", "\n    field: a\n    gt: 1", 4, "there is no correlation type 'value_mode'"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_line(kind: str, condition: str, at: int, reason: str) -> None:
    (error,) = refused(together(correlation("top", "[one, two]", kind, condition), ONE, TWO))

    assert reason in error
    assert error.partition(":")[0] == str(at)


def test_a_condition_in_words_is_refused_as_that_where_it_stands_for_the_list_of_rules() -> None:
    text = correlation("top", "[one]", "temporal", "one and two").replace("  rules: [one]\n", "")

    (error,) = refused(together(text, ONE, TWO))

    assert "takes no condition in words" in error
