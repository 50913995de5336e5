"""Loading: what can be used is, and every refusal names its file and line."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from sigma_kit import FIRST_LINE, HEAD, loaded, refused, rule_text

from socmon.sigma import Correlation, RuleError, load_rules

DETECTION = "sel:\n  F: x\ncondition: sel"
GOOD = rule_text(DETECTION)
OTHER_ID = "9e0c2a77-0c57-4f5e-8f0e-3f0a5f9b7d22"
COUNTED = """
---
title: Counted
id: 1d3f7f0e-4f0e-4a57-9a5e-5e7a3f2b1c44
correlation:
  type: event_count
  rules: [base]
  group-by: [G, F]
  timespan: 5m
  condition:
    gte: 5
"""
PAIR = GOOD.replace("title: A rule", "title: A rule\nname: base") + COUNTED


def test_a_directory_is_read_in_order_without_cases_and_the_routing_table(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.yaml").write_text(GOOD)
    (tmp_path / "a.yml").write_text(GOOD.replace("5b0e5a9c", "6b0e5a9c"))
    for passed_over in ("a.test.yml", "logsources.yml", "notes.txt"):
        (tmp_path / passed_over).write_text("not: a rule")

    rules = load_rules([tmp_path])

    assert rules.errors == []
    assert [rule.path for rule in rules.rules] == [str(tmp_path / "a.yml"), str(tmp_path / "deep" / "b.yaml")]


def test_a_file_given_twice_is_loaded_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text(GOOD)

    rules = load_rules([file, str(tmp_path)])

    assert (len(rules.rules), rules.errors) == (1, [])


def test_paths_that_cannot_be_read_are_errors_and_the_rest_loads(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(GOOD)
    (tmp_path / "dangling.yml").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.yml")

    rules = load_rules([tmp_path / "missing.yml", tmp_path])

    assert [str(error) for error in rules.errors] == [
        f"{tmp_path}/dangling.yml:1: cannot read it: no such file or directory",
        f"{tmp_path}/missing.yml:1: cannot read it: no such file or directory",
        f"{tmp_path}/pipe.yml:1: neither a file nor a directory",
    ]
    assert len(rules.rules) == 1


def test_a_bad_rule_does_not_keep_its_neighbours_from_loading() -> None:
    bad = GOOD.replace("condition: sel", "condition: sel2").replace("5b0e5a9c", "6b0e5a9c")
    text = f"{bad}---\n{GOOD}---\n{GOOD.replace('title: A rule', 'title: [').replace('5b0e5a9c', '7b0e5a9c')}"

    first, second = refused(text)

    assert first == "8: no detection is called 'sel2'; the rule has 'sel'"
    assert "not valid YAML" in second


def test_what_a_rule_states_is_kept() -> None:
    text = GOOD.replace("title: A rule", "title: A rule\nname: base\nlevel: critical\ntags: [attack.t1110, cve.2021-1]")

    (rule,) = loaded(f"# comment\n{text}").rules

    assert (rule.title, rule.name, rule.level, rule.line) == ("A rule", "base", "critical", 2)
    assert rule.tags == ("attack.t1110", "cve.2021-1")
    assert (rule.logsource.product, rule.logsource.service, rule.alerts, rule.correlation) == ("test", None, True, None)


def test_a_rule_without_a_level_is_medium() -> None:
    assert loaded(GOOD).rules[0].level == "medium"


def test_a_rule_without_an_id_gets_the_same_one_on_every_start(tmp_path: Path) -> None:
    text = GOOD.replace("id: 5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11\n", "")
    files = [tmp_path / "here" / "a.yml", tmp_path / "there" / "a.yml", tmp_path / "here" / "b.yml"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    here, there, other = (load_rules([file]).rules[0].id for file in files)

    assert here == there != other
    assert uuid.UUID(here).version == 5


def test_an_id_is_written_in_one_way() -> None:
    assert loaded(GOOD.replace("5b0e5a9c-7a67", "5B0E5A9C-7A67")).rules[0].id == "5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11"


def test_the_second_of_two_equal_ids_is_refused() -> None:
    (error,) = refused(f"{GOOD}---\n{GOOD}")

    assert error.startswith("11: id '5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11' is taken by the rule at rule.yml:1;")


def test_the_second_of_two_equal_names_is_refused() -> None:
    named = GOOD.replace("title: A rule", "title: A rule\nname: base")

    (error,) = refused(f"{named}---\n{named.replace('5b0e5a9c', '6b0e5a9c')}")

    assert error.startswith("12: name 'base' is taken")


def test_the_hash_changes_with_the_content_only() -> None:
    reordered = GOOD.replace("  sel:\n    F: x\n  condition: sel\n", "  condition: 'sel' # why\n  sel:\n    F: x\n")

    first, same, other = (loaded(text).rules[0].hash for text in (GOOD, reordered, GOOD.replace("F: x", "F: y")))

    assert first == same != other
    assert len(first) == 64


def test_a_correlations_hash_covers_the_rules_it_refers_to() -> None:
    _, before = loaded(PAIR).rules
    _, after = loaded(PAIR.replace("F: x", "F: y")).rules

    assert before.hash != after.hash


def test_a_correlation_is_read_and_its_base_rule_no_longer_alerts() -> None:
    base, counted = loaded(PAIR).rules

    assert counted.correlation == Correlation(
        type="event_count", rules=(base.id,), group_by=("G", "F"), timespan_us=300_000_000, op="gte", value=5
    )
    assert (base.alerts, counted.alerts) == (False, True)


@pytest.mark.parametrize("text", [PAIR + "  generate: true\n", PAIR + "generate: true\n"])
def test_with_generate_in_the_section_or_beside_it_the_base_rule_alerts_as_well(text: str) -> None:
    base, counted = loaded(text).rules

    assert base.alerts
    assert counted.correlation is not None
    assert counted.correlation.generate


@pytest.mark.parametrize(
    ("condition", "first", "also"),
    [
        ("{gt: 100, lte: 200}", ("gt", 100), (("lte", 200),)),
        ("{lt: 9, gte: 2, neq: 5}", ("lt", 9), (("gte", 2), ("neq", 5))),
        ("{gte: 1}", ("gte", 1), ()),
        ("{gt: 0}", ("gt", 0), ()),
        ("{gte: 9007199254740993}", ("gte", 9007199254740993), ()),
    ],
)
def test_all_comparisons_of_a_range_are_kept_in_order(
    condition: str, first: tuple[str, int], also: tuple[tuple[str, int], ...]
) -> None:
    correlation = loaded(PAIR.replace("condition:\n    gte: 5", f"condition: {condition}")).rules[1].correlation

    assert correlation is not None
    assert ((correlation.op, correlation.value), correlation.also) == (first, also)


def test_a_correlation_without_group_by_has_one_group() -> None:
    correlation = loaded(PAIR.replace("  group-by: [G, F]\n", "")).rules[1].correlation

    assert correlation is not None
    assert correlation.group_by == ()


def test_a_correlation_may_stand_before_its_rules_and_name_them_by_id() -> None:
    base = GOOD.replace("title: A rule", "title: A rule\nname: base")
    counted = COUNTED.removeprefix("\n---\n").replace("[base]", "5B0E5A9C-7A67-4E0A-9D5C-0F2D7C1F3A11")

    first, second = loaded(f"{counted}---\n{base}").rules

    assert first.correlation is not None
    assert first.correlation.rules == (second.id,)


def test_fields_of_a_rule_stand_once_in_its_order() -> None:
    rules = loaded(rule_text("b: {B: 1, 'Two Words': 2}\na:\n  - B|contains: x\n  - A|fieldref: C\ncondition: b and a"))

    assert rules.fields_of(rules.rules[0].id) == ("B", "Two Words", "TwoWords", "A", "C")


def test_fields_of_a_correlation_are_its_rules_and_its_groups() -> None:
    rules = loaded(PAIR)

    assert rules.fields_of(rules.rules[1].id) == ("F", "G")
    with pytest.raises(KeyError):
        rules.fields_of("unknown")


def test_a_correlation_never_matches_an_event_itself() -> None:
    rules = loaded(PAIR)

    assert rules.match({"F": "x"}, {"product": "test"}) == (rules.rules[0].id,)


@pytest.mark.parametrize(
    ("change", "at", "reason"),
    [
        (
            ("rules: [base]", "rules: [base, nobody]"),
            "rules:",
            "no rule with id or name 'nobody' is loaded; correct it, or mend that rule",
        ),
        (("rules: [base]", "rules: [Counted]"), "rules:", "no rule with id or name"),
        (("rules: [base]", "rules: []"), "rules:", "empty"),
        (("rules: [base]", "rules: [1d3f7f0e-4f0e-4a57-9a5e-5e7a3f2b1c44]"), "rules:", "must not go round in a circle"),
        (
            ("type: event_count", "type: value_median"),
            "type:",
            "no correlation type 'value_median'; there are event_count, value_count",
        ),
        (("type: event_count", "type: value_count"), "condition:", "value_count needs the field that holds the values"),
        (("type: event_count", "type: temporal_ordered"), "rules:", "needs 2 to 60 rules"),
        (("type: event_count", "type: counting"), "type:", "counting"),
        (("timespan: 5m", "timespan: 5x"), "timespan:", "5x"),
        (("timespan: 5m", "timespan: 300"), "timespan:", "300"),
        (("timespan: 5m", "timespan: 9999999999d"), "timespan:", "longer than 100 years"),
        (("type: event_count", "type: 5"), "type:", "the correlation type must be text, not 5"),
        (("gte: 5", "gte: 0"), "gte:", "use 1 or more"),
        (("gte: 5", "lt: 1"), "lt:", "use 2 or more"),
        (("gte: 5", "gte: 2.5"), "gte:", "whole number"),
        (("gte: 5", "gte: true"), "gte:", "whole number"),
        (("gte: 5", "gte: '5'"), "gte:", "whole number"),
        (("gte: 5", "gte: 5\n    lt: 1"), "lt:", "use 2 or more"),
        (("gte: 5", "gt: 5\n    lt: 3"), "condition:", "no number of events fulfils all of the condition"),
        (("gte: 5", "gt: 5\n    lt: 6"), "condition:", "no number of events fulfils all of the condition"),
        (("gte: 5", "eq: 5\n    neq: 5"), "condition:", "no number of events fulfils all of the condition"),
        (("gte: 5", "gte: 5\n    field: F"), "field:", "nothing else"),
        (("gte: 5", "foo: 1"), "foo:", "'foo' is no comparison; event_count takes gt, gte, lt, lte, eq, neq"),
        (("condition:\n    gte: 5", "condition: 5"), "condition:", "needs a condition on the number of events"),
        (("condition:\n    gte: 5", "condition: null"), "condition:", "needs a condition on the number of events"),
        (("condition:\n    gte: 5", "condition: {}"), "condition:", "needs a condition on the number of events"),
        (("condition:\n    gte: 5", "condition: a or b"), "condition:", "takes no condition in words"),
        (("[G, F]", "[u, [v]]"), "group-by:", "group-by takes names of fields, not ['v']"),
        (("[G, F]", "[null]"), "group-by:", "group-by takes names of fields, not None"),
        (("[G, F]", "['']"), "group-by:", "group-by takes names of fields, not ''"),
        (("[G, F]", "\n    - u\n    - 5"), "- 5", "group-by takes names of fields, not 5"),
        (("[G, F]", "' '"), "group-by:", "group-by takes names of fields, not ' '"),
        (("[G, F]", "{G: F}"), "group-by:", "a field's name or a list of them"),
        (("  timespan:", "  generate: 1\n  timespan:"), "generate:", "generate is true or false, not 1"),
        (("correlation:", "generate: 'true'\ncorrelation:"), "generate:", "generate is true or false, not 'true'"),
        (
            ("correlation:", "generate: true\ncorrelation:\n  generate: false"),
            "generate: true",
            "true in one place and false in the other",
        ),
        (("group-by:", "group_by:"), "group_by:", "'group_by' is not part of a correlation"),
        (("group-by: [G, F]", "aliases: {a: {base: F}}"), "aliases:", "alias 'a' is used nowhere"),
        (("correlation:", "detection: {}\ncorrelation:"), "correlation:", "make it two"),
    ],
)
def test_a_correlation_that_cannot_be_meant_is_refused(change: tuple[str, str], at: str, reason: str) -> None:
    text = PAIR.replace(*change)

    (error,) = refused(text)

    assert reason in error
    assert error.startswith(f"{text[: text.rindex(at)].count(chr(10)) + 1}: ")


@pytest.mark.parametrize(
    ("timespan", "seconds"),
    [("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86_400), ("1w", 604_800), ("1M", 2_629_746)],
)
def test_timespans(timespan: str, seconds: int) -> None:
    correlation = loaded(PAIR.replace("5m", timespan)).rules[1].correlation

    assert correlation is not None
    assert correlation.timespan_us == seconds * 1_000_000


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("a: 1\na: 2\n", ["2: key 'a' stands here a second time, first on line 1; remove one"]),
        ("a:\n  1: x\n", ["2: key '1' is not text; put it in quotes"]),
        ("on: x\n", ["1: key 'on' is not text; put it in quotes"]),
        ("a: no\n", ["1: no may be text or a truth value; write 'no' in quotes, or true or false"]),
        ("a: 12:30:00\n", ["1: 12:30:00 is a number in base 60 to YAML; put it in quotes"]),
        ("a: [1\n", ["2: not valid YAML: did not find expected ',' or ']'; correct it there, or just before"]),
        ("", ["1: holds no rule; remove it, or write one"]),
        ("# only a comment\n---\n", ["1: holds no rule; remove it, or write one"]),
        ("- a\n", ["1: not a Sigma rule, which is a mapping with title and detection"]),
        (
            "a: &x [*x]\n",
            ["1: Recursive YAML structure is not supported; write values out instead of using aliases"],
        ),
        (
            "a: !!timestamp x\n",
            ["1: not valid YAML: 'NoneType' object has no attribute 'groupdict'; correct it there, or just before"],
        ),
        ("filter: {}\n", ["1: a filter has rules, a list of ids or names, or any; not None"]),
        ("title: x\naction: global\n", ["2: rule collections (action: …) are not supported yet"]),
    ],
)
def test_yaml_that_hides_a_mistake_is_refused(text: str, errors: list[str]) -> None:
    assert refused(text) == errors


def test_yaml_that_is_nested_without_end_is_refused() -> None:
    (error,) = refused("a: " + "[" * 200_000)

    assert "nested deeper than 100 levels on line 1" in error


@pytest.mark.parametrize("text", ["[" * 19_000, "a: " * 1500, "- " * 9000, "{a: " * 4000])
def test_a_small_file_that_is_nested_deep_does_not_overflow_a_small_stack(text: str) -> None:
    code = """
import sys, threading
from socmon.sigma.ruleset import parse_rules
threading.stack_size(256 << 10)
told = []
thread = threading.Thread(target=lambda: told.extend(parse_rules("rule.yml", sys.stdin.buffer.read()).errors))
thread.start()
thread.join(30)
print(*told)
"""

    done = subprocess.run(
        [sys.executable, "-c", code], input=text.encode(), capture_output=True, check=True, timeout=60
    )

    assert done.stdout.decode().startswith("rule.yml:1: not valid YAML: ")


def test_bytes_that_are_not_text_are_refused_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_bytes(b"title: x\n# caf\xe9\n")

    assert load_rules([file]).errors == [RuleError(str(file), 2, "not UTF-8; save the file as UTF-8")]


def test_all_that_is_wrong_with_a_rule_is_told() -> None:
    text = GOOD.replace("id: 5b0e", "level: huge\ntags: [nodot]\nid: zz").replace("F: x", "F|nope: x")

    assert [error.partition(":")[0] for error in refused(text)] == ["2", "3", "4", "9"]


@pytest.mark.parametrize("value", ["5", "true", "[a]"])
def test_an_id_that_is_not_text_is_refused(value: str) -> None:
    (error,) = refused(GOOD.replace("id: 5b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11", f"id: {value}"))

    assert error.startswith("2: the id must be a UUID in text, not ")


def test_another_taxonomy_is_refused() -> None:
    assert refused(GOOD.replace("title", "taxonomy: ecs\ntitle")) == ["1: taxonomy 'ecs' is not supported; use sigma"]


def test_a_rule_without_a_log_source_is_refused() -> None:
    text = HEAD.replace("logsource:\n  product: test\n", "")

    assert refused(rule_text(DETECTION, text)) == [
        "1: Sigma rule must have a log source; write product, category or service, each in text"
    ]


def test_an_error_prints_as_path_line_message() -> None:
    assert str(RuleError("a.yml", 3, "why")) == "a.yml:3: why"
    assert FIRST_LINE == 6
