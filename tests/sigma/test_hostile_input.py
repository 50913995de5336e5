"""What a rule's author or an attacker may make large stays small work."""

import pytest
from sigma_kit import FIRST_LINE, fires, loaded, refused, rule_text

from socmon.sigma.regex import searcher

MANY = 100_000  # as lists of each with each, hours of work


def test_a_list_that_refers_to_a_list_is_compared_by_value() -> None:
    rules = loaded(rule_text("sel:\n  A|fieldref: B\ncondition: sel"))
    ours, theirs = [f"a{n}" for n in range(MANY)], [f"b{n}" for n in range(MANY)]

    assert not fires(rules, {"A": ours, "B": theirs})
    assert fires(rules, {"A": [*ours, "X"], "B": [*theirs, "x"]})


@pytest.mark.parametrize("modifier", ["startswith", "endswith", "contains"])
def test_of_two_long_lists_the_first_256_values_are_looked_for_in_each_other(modifier: str) -> None:
    rules = loaded(rule_text(f"sel:\n  A|fieldref|{modifier}: B\ncondition: sel"))
    ours, theirs = [f"a{n}" for n in range(MANY)], [f"b{n}" for n in range(MANY)]

    assert not fires(rules, {"A": ours, "B": theirs})
    assert fires(rules, {"A": [*ours[:255], "X", *ours], "B": [*theirs[:255], "x", *theirs]})
    assert not fires(rules, {"A": [*ours, "x"], "B": ["x"]})


def test_a_condition_that_names_long_detections_again_and_again_is_refused() -> None:
    values = "".join(f"  - v{n}\n" for n in range(1000))
    text = f"sel:\n  A:\n{values}condition: {{}}"

    (error,) = refused(rule_text(text.format(" or ".join(["sel"] * 101))))

    assert error == f"{FIRST_LINE + 1002}: the condition comes to over 100000 comparisons; name each detection once"
    assert fires(loaded(rule_text(text.format(" or ".join(["sel"] * 100)))), {"A": "V999"})


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (r"\h" + "a?" * 250, "takes 500 characters at most here"),
        ("x.{1,3000}y.{1,3000}z", "takes counts that come to 5000 at most here"),
        ("x.{2000}y.{2000,}z{1001}", "takes counts that come to 5000 at most here"),
    ],
)
def test_an_expression_that_takes_seconds_to_compile_is_refused(pattern: str, told: str) -> None:
    with pytest.raises(ValueError, match="invalid: RE2 says: ") as refusal:
        searcher(pattern)

    assert f"; Hyperscan: {told}; " in str(refusal.value)
