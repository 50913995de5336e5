"""Loading value_count, temporal_ordered and chains: what is kept, and what is refused with its line."""

import os
from pathlib import Path

import pytest
from sigma_kit import ONE, ONE_ID, TWO, TWO_ID, correlation, loaded, refused, together

from socmon.sigma.ruleset import load_rules, parse_rules

BURST = correlation("burst", "[one]")


def test_value_count_keeps_its_field_and_all_comparisons() -> None:
    rules = loaded(together(ONE, correlation("many", "[one]", "value_count", "{gt: 3, field: who, lt: 9}")))

    many = rules.rules[1].correlation
    assert many is not None
    assert (many.type, many.fields, (many.op, many.value), many.also) == (
        "value_count",
        ("who",),
        ("gt", 3),
        (("lt", 9),),
    )
    assert rules.fields_of(rules.rules[1].id) == ("F", "ip", "user", "who")


def test_value_count_may_count_combinations_of_fields() -> None:
    rules = loaded(together(ONE, correlation("many", "[one]", "value_count", "{gte: 3, field: [a, b, a]}")))

    assert rules.rules[1].correlation is not None
    assert rules.rules[1].correlation.fields == ("a", "b")


def test_temporal_ordered_keeps_order_and_repeats() -> None:
    rules = loaded(together(ONE, TWO, correlation("runs", "[two, one, two]", "temporal_ordered", "")))

    runs = rules.rules[2].correlation
    assert runs is not None
    assert (runs.rules, runs.op, runs.value) == ((TWO_ID, ONE_ID, TWO_ID), "gte", 3)


@pytest.mark.parametrize("condition", ["{gte: 2}", "{eq: 2}", "{gt: 1}", "{gte: 2, lte: 9}"])
def test_temporal_ordered_may_say_that_all_must_match(condition: str) -> None:
    rules = loaded(together(ONE, TWO, correlation("runs", "[one, two]", "temporal_ordered", condition)))

    runs = rules.rules[2].correlation
    assert runs is not None
    assert (runs.op, runs.value, runs.also) == ("gte", 2, ())


def test_a_chain_may_stand_before_what_it_is_over_and_its_bases_do_not_alert() -> None:
    top, burst, one, two = loaded(
        together(correlation("top", "[burst, two]", "temporal_ordered", ""), BURST, ONE, TWO)
    ).rules

    assert top.correlation is not None
    assert top.correlation.rules == (burst.id, two.id)
    assert [rule.alerts for rule in (top, burst, one, two)] == [True, False, False, False]


def test_with_generate_the_correlations_below_alert_as_well() -> None:
    rules = loaded(together(ONE, BURST, correlation("top", "[burst]", more="  generate: true\n"))).rules

    assert [rule.alerts for rule in rules] == [False, True, True]


def test_fields_of_a_chain_are_those_of_all_below_it() -> None:
    rules = loaded(together(ONE, BURST, correlation("top", "[burst]").replace("[ip, user]", "user")))

    assert rules.fields_of(rules.rules[2].id) == ("F", "ip", "user")


def test_the_hash_of_a_chain_covers_the_rules_below_its_bases() -> None:
    text = together(ONE, BURST, correlation("top", "[burst]"))

    before, after = (loaded(one).rules[2].hash for one in (text, text.replace("F: x", "F: z")))

    assert before != after


@pytest.mark.parametrize(
    ("documents", "at", "reason"),
    [
        ([correlation("top", "[nobody]"), ONE], 5, "no rule with id or name 'nobody'"),
        ([correlation("top", "\n    - one\n    - top"), ONE], 7, "'top' is this correlation itself; a chain must not"),
        ([correlation("top", "[burst]").replace("user]", "host]"), BURST, ONE], 6, "no field 'host'; add it to its g"),
        ([correlation("top", "[burst]", "value_count", "{gte: 2, field: F}"), BURST, ONE], 8, "no field 'F'; add it"),
        ([correlation("top", "[one]", "value_count", "{gte: 2}"), ONE], 8, "value_count needs the field"),
        ([correlation("top", "[one]", "value_count", "{field: F}"), ONE], 8, "needs a condition on the number of dist"),
        ([correlation("top", "[one]", "value_count", ""), ONE], 3, "needs a condition"),
        ([correlation("top", "[one]", "value_count", "{gte: 2, field: []}"), ONE], 8, "field takes a field's name"),
        ([correlation("top", "[one]", "value_count", "{gte: 2, field: 5}"), ONE], 8, "field takes a field's name"),
        ([correlation("top", "[one]", "value_count", "{gte: 2, field: [a, '']}"), ONE], 8, "field takes names of"),
        ([correlation("top", "[one]", "value_count", "{lt: 1, field: F}"), ONE], 8, "use 2 or more"),
        ([correlation("top", "[one]", "value_count", "{gt: 4, lt: 5, field: F}"), ONE], 8, "no number of distinct"),
        ([correlation("top", "[one]", "temporal_ordered", ""), ONE], 5, "needs 2 to 60 rules, in the order"),
        ([correlation("top", f"[{', '.join(['one'] * 61)}]", "temporal_ordered", ""), ONE], 5, "not 61"),
        ([correlation("top", "[one, one]", "temporal_ordered", "{gte: 1}"), ONE], 8, "all 2 rules must match in order"),
        ([correlation("top", "[one, one]", "temporal_ordered", "{gt: 2}"), ONE], 8, "all 2 rules must match in order"),
        ([correlation("top", "[one, one]", "temporal_ordered", "one and one"), ONE], 8, "takes no condition in words"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_line(documents: list[str], at: int, reason: str) -> None:
    (error,) = refused(together(*documents))

    assert reason in error
    assert error.partition(":")[0] == str(at)


def test_two_correlations_over_each_other_are_both_refused() -> None:
    first, second = refused(together(correlation("up", "[down]"), correlation("down", "[up]")))

    assert first.startswith("5: 'down' refers to this correlation in turn; a chain must not go round in a circle: ")
    assert first.endswith(": up → down → up")
    assert second.startswith("14: 'up' refers to this correlation in turn")


def test_a_long_circle_is_shown_shortened_and_what_stands_above_it_is_refused_for_it() -> None:
    ring = [correlation(f"c{n}", f"[one, c{(n + 1) % 9}]") for n in range(9)]

    above, *circle = refused(together(correlation("above", "[one, c4]"), ONE, *ring))

    assert above.endswith("the correlation 'c4' is refused itself; mend it first")
    assert [error.rpartition(": ")[2] for error in circle[:2]] == [
        "c0 → c1 → c2 → c3 → … → c0",
        "c1 → c2 → c3 → c4 → … → c1",
    ]
    assert len(circle) == 9


def test_a_chain_has_any_depth_and_its_documents_any_order() -> None:
    levels = [correlation(f"c{n}", f"[c{n + 1}]" if n < 1999 else "[one]") for n in range(2000)]

    rules = loaded(together(*levels, ONE))

    top = rules.rules[0].correlation
    assert top is not None
    assert top.rules == (rules.rules[1].id,)
    assert [rule.id for rule in rules.rules if rule.alerts] == [rules.rules[0].id]
    assert rules.fields_of(rules.rules[0].id) == ("F", "ip", "user")


def test_with_generate_only_the_level_below_alerts_too() -> None:
    middle = correlation("middle", "[burst]", more="  generate: true\n")

    rules = loaded(together(ONE, BURST, middle, correlation("top", "[middle]"))).rules

    assert [rule.alerts for rule in rules] == [False, True, False, True]


def test_the_hash_of_a_chain_covers_all_levels() -> None:
    text = together(correlation("top", "[middle]"), correlation("middle", "[burst]"), BURST, ONE)

    before, after = (loaded(one).rules[0].hash for one in (text, text.replace("F: x", "F: z")))

    assert before != after


def test_a_chain_over_a_refused_correlation_says_so() -> None:
    errors = refused(together(correlation("top", "[burst]"), BURST.replace("gte: 5", "gte: 0"), ONE))

    assert [error.partition(": ")[2] for error in errors] == [
        "the correlation 'burst' is refused itself; mend it first",
        "gte: 0 is true or false for every group; use 1 or more",
    ]


def test_the_examples_of_the_specification_load_or_are_refused_with_the_reason() -> None:
    """The specification's own files, where they are; what each must come to is known from what it says."""
    root = Path(os.environ.get("SOCMON_DATA", Path(__file__).parents[3] / "shared" / "data")) / "logs" / "sigma"
    if not root.is_dir():
        pytest.skip(f"no {root}; set SOCMON_DATA to the folder of real data")
    examples = root / "spec" / "tests" / "schema" / "correlation"

    refusals = {file.stem: [error.message for error in load_rules([file]).errors] for file in examples.glob("*.yml")}
    chain = load_rules([root / "correlation_spec_example.yml"])
    hayabusa = {file.stem: file.read_bytes() for file in (root / "correlation_hayabusa").glob("*_Correlation.yml")}

    assert "taxonomy 'ecs' is not supported" in refusals.pop("event_count_ecs")[0]
    assert len(refusals) == 7
    for told in refusals.values():  # they stand alone, without their rules
        assert ["no rule with id or name" in message for message in told] == [True]
    assert chain.errors == []
    assert [rule.alerts for rule in chain.rules] == [True, False, False, False]
    assert len(hayabusa) == 3
    for name, content in hayabusa.items():
        assert parse_rules(name, content).errors == []  # with their `references` as text, where the schema has a list
