"""Refusals by reason: what is a rule's own does not make a reason of its own."""

from socmon.sigma import RuleError
from socmon.sigma.refusals import reasons


def test_refusals_that_differ_in_the_rules_own_words_have_one_reason_and_the_most_frequent_is_first() -> None:
    messages = [
        "no date has hour 24; write a number from 0 to 23",
        "no date has hour 99; write a number from 0 to 23",
        "no date has minute 99; write a number from 0 to 59",
        "no detection is called 'it\\'s'; the rule has 'a', 'b'",
        "no detection is called 'y'; the rule has 'c'",
        "no detection is called 'z'; the rule has 'c', 'd', 'e'",
        "name 'x' is taken by the rule at a/b.yml:17; choose another",
    ]

    found = reasons([RuleError(f"{line}.yml", line, message) for line, message in enumerate(messages, start=1)])

    assert found == [
        ("no detection is called …; the rule has …", 3),
        ("no date has hour …; write a number from 0 to 23", 2),
        ("name … is taken …; choose another", 1),
        ("no date has minute …; write a number from 0 to 59", 1),
    ]


def test_missing_placeholders_are_one_reason_however_many_a_rule_has() -> None:
    one, two = "placeholder %a% has no values; list", "placeholders %a%, %b% have no values; list"

    assert reasons([RuleError("r.yml", 1, one), RuleError("s.yml", 1, two)]) == [
        ("placeholder … has no values; list", 2)
    ]


def test_without_refusals_there_is_no_reason() -> None:
    assert reasons([]) == []
