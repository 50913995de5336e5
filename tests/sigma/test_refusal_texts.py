"""What a refusal says where pySigma finds the mistake: what stands there, and what to write."""

import pytest
from sigma_kit import HEAD, ONE, correlation, refused, rule_text

RULE = rule_text("sel:\n  F: x\ncondition: sel")
COUNTED = ONE + "---\n" + correlation("counted", "[one]")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            RULE.replace("id: 5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11", "id: abc"),
            "2: Sigma rule identifier must be an UUID (it is 'abc'); write one as uuidgen prints it",
        ),
        (
            RULE + "level: hoch\n",
            "9: 'hoch' is not a valid Sigma rule level; write informational, low, medium, high, critical",
        ),
        (
            RULE + "status: good\n",
            "9: 'good' is not a valid Sigma rule status; write stable, test, experimental, deprecated or unsupported",
        ),
        (
            RULE + "tags: attack.t1110\n",
            "9: Sigma tags fields must be a list (it is 'attack.t1110'); write a list of them, such as [attack.t1110]",
        ),
        (
            HEAD + "  sel: {F: x}\n",
            "5: Sigma rule must contain at least one condition; write `condition:` and which detections must match",
        ),
    ],
)
def test_a_refusal_of_pysigma_has_value_and_remedy(text: str, told: str) -> None:
    assert refused(text) == [told]


@pytest.mark.parametrize("span", ["5x", "0m", "5", "m"])
def test_a_timespan_that_is_none_is_refused_with_what_to_write(span: str) -> None:
    (told,) = refused(COUNTED.replace("timespan: 5m", f"timespan: {span}"))

    assert f"Timespan '{span}' " in told
    assert told.endswith("; write a number and s, m, h, d, w, M (months) or y, as in 5m")


def test_a_correlation_that_is_no_mapping_is_told_once() -> None:
    (told,) = refused("title: A\ncorrelation: x\n")

    assert told == "2: a correlation has type, rules, timespan and condition, not 'x'"


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ("product: test\n  servce: sysmon", "5: 'servce' is not part of a log source; did you mean 'service'?"),
        ("produkt: test", "4: 'produkt' is not part of a log source; did you mean 'product'?"),
        ("host: a", "4: 'host' is not part of a log source; it has product, category, service, definition"),
    ],
)
def test_what_is_no_part_of_a_log_source_is_refused_instead_of_looking_at_more_events(parts: str, told: str) -> None:
    assert refused(RULE.replace("product: test", parts)) == [told]
    assert refused(RULE.replace("product: test", "product: test\n  definition: audit it")) == []
