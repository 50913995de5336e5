"""What loads and may not be meant so is a warning, with path and line."""

from sigma_kit import FIRST_LINE, loaded, rule_text

GOOD = rule_text("sel: {F: x}\ncondition: sel")


def test_a_detection_that_no_condition_names_is_a_warning_at_its_line_and_the_rule_loads() -> None:
    detections = "sel: {F: x}\nfilter_a: {G: y}\n_part: {H: z}\n"

    rules = loaded(rule_text(f"{detections}condition: [sel, sel and 1 of _p*]"))

    assert [(warning.line, warning.message) for warning in rules.warnings] == [
        (
            FIRST_LINE + 1,
            "the condition does not name the detection 'filter_a', which so does nothing; add it, or remove it",
        )
    ]
    assert loaded(rule_text(f"{detections}condition: sel and not (filter_a or _part)")).warnings == []


def test_a_key_that_seems_misspelt_is_a_warning_at_its_line_and_one_of_the_author_s_own_is_none() -> None:
    rules = loaded(GOOD.replace("title", "leval: critical\nreference: [a]\ncrime: theft\nseverity: 5\ntitle"))

    assert [(warning.line, warning.message) for warning in rules.warnings] == [
        (1, "'leval' is no key of a Sigma rule, and does nothing; did you mean 'level'?"),
        (2, "'reference' is no key of a Sigma rule, and does nothing; did you mean 'references'?"),
    ]
    assert loaded(GOOD.replace("title", "level: low\nlevels: 3\ntitle")).warnings == []
