"""Sigma filters: whose matches they suppress, what they never mix with, and how what is wrong with them is told."""

import textwrap
from itertools import product
from pathlib import Path

import pytest
import yaml
from sigma.collection import SigmaCollection
from sigma_kit import fires, loaded, refused

from socmon.event import LogSource
from socmon.sigma import RuleSet, load_rules
from socmon.sigma.cases import Case, CaseEvent
from socmon.sigma.explaining import Explainer
from socmon.sigma.ruleset import parse_rules
from socmon.sigma.trying import matches_of

WINDOWS = {"product": "windows", "category": "process_creation"}
RULE = """\
title: Archive made
id: 6f3e2987-db24-4c78-a860-b4f4095a7095
name: archive
logsource: {category: process_creation, product: windows}
detection:
  selection: {Image|endswith: '\\rar.exe'}
  condition: selection
"""
OTHER = RULE.replace("archive", "unpack").replace("rar.exe", "unrar.exe").replace("6f3e", "7f3e").replace("Arch", "X")
MADE = {"Image": r"C:\rar.exe", "User": "lan"}
BY_ADMIN = MADE | {"User": "adm_lan"}


def filter_text(
    rules: str = "[archive]",
    detection: str = "selection: {User|startswith: adm_}\ncondition: not selection",
    source: str = "{category: process_creation, product: windows}",
    title: str = "Administrators",
) -> str:
    body = textwrap.indent(detection, "  ")
    return f"title: {title}\nlogsource: {source}\nfilter:\n  rules: {rules}\n{body}\n"


def filtered(*filters: str, rule: str = RULE) -> RuleSet:
    return loaded("---\n".join([rule, *filters]))


def told(filter_: str, rule: str = RULE) -> list[str]:
    """What is wrong with a filter, by its own lines."""
    above = rule.count("\n") + 1
    errors = [error.split(": ", 1) for error in refused(f"{rule}---\n{filter_}")]
    return [f"{int(line) - above}: {text}" for line, text in errors]


@pytest.mark.parametrize(
    "rules", ["[archive]", "archive", "[6F3E2987-DB24-4C78-A860-B4F4095A7095]", "any", "ANY", "[archive, archive]"]
)
def test_a_filter_suppresses_what_its_condition_excludes(rules: str) -> None:
    found = filtered(filter_text(rules))

    assert [one.title for one in found.rules[0].filters] == ["Administrators"]
    assert fires(found, MADE, WINDOWS)
    assert not fires(found, BY_ADMIN, WINDOWS)


def test_a_filter_without_not_keeps_what_it_names_and_that_is_warned_of() -> None:
    """The specification's own example, whose words say the contrary; every other reader of filters does the same."""
    text = filter_text(detection="selection: {User|startswith: adm_}\ncondition: selection")

    found = filtered(text)

    assert fires(found, BY_ADMIN, WINDOWS)
    assert not fires(found, MADE, WINDOWS)
    assert [(warning.line, "write `condition: not …`" in warning.message) for warning in found.warnings] == [(14, True)]


@pytest.mark.parametrize(
    "detection",
    [
        "selection: {User: null}\ncondition: not selection",
        "selection: {User|exists: false}\ncondition: not selection",
        "selection: {User|neq: lan}\ncondition: selection",
        "a_1: {User: x}\na_2: {User: y}\ncondition: not 1 of a_*",
        "words: [backup]\ncondition: not words",
        "user: {User: x}\nhost: {Host: y}\ncondition: not (user and host)",
    ],
)
def test_a_filter_that_lets_most_pass_is_not_warned_of(detection: str) -> None:
    found = filtered(filter_text(detection=detection))

    assert found.warnings == []
    assert fires(found, MADE | {"User": "other", "Host": "other"}, WINDOWS)


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(filter_text())
    (tmp_path / "b.yml").write_text(RULE)

    found, backwards = load_rules([tmp_path]), load_rules([tmp_path / "b.yml", tmp_path / "a.yml"])

    assert [found.errors, backwards.errors] == [[], []]
    assert not fires(found, BY_ADMIN, WINDOWS)
    assert found.rules[0].hash == backwards.rules[0].hash


def test_names_of_rule_and_filter_never_meet() -> None:
    rule = RULE.replace("condition: selection", "selection_user: {User|contains: lan}\n  condition: all of them")
    detection = "selection: {Host: build}\nselection_user: {Host: test}\n_own: {Host: mine}\ncondition: not 1 of them"

    found = filtered(filter_text(detection=detection), rule=rule)

    hosts = ("build", "test", "mine", "other")
    assert [fires(found, MADE | {"Host": host}, WINDOWS) for host in hosts] == [False, False, True, True]


def test_several_filters_and_several_conditions_of_a_rule() -> None:
    rule = RULE.replace("condition: selection", "other: {Image: tar}\n  condition: [selection, other]")
    second = filter_text(detection="s: {Host: build}\ncondition: not s", title="Build hosts")

    found = filtered(filter_text(), second, rule=rule)

    events = [MADE, BY_ADMIN, MADE | {"Host": "build"}, {"Image": "tar"}, {"Image": "tar", "User": "adm_x"}]
    assert [fires(found, event, WINDOWS) for event in events] == [True, False, False, True, False]
    assert [one.title for one in found.rules[0].filters] == ["Administrators", "Build hosts"]


def test_any_is_every_rule_whose_log_source_has_all_of_the_filters() -> None:
    linux = RULE.replace("windows", "linux").replace("archive", "tar").replace("6f3e", "8f3e").replace("Arch", "Y")

    found = filtered(OTHER, linux, filter_text("any", source="{product: Windows}"))

    assert [bool(rule.filters) for rule in found.rules] == [True, True, False]
    assert fires(found, BY_ADMIN, {"product": "linux", "category": "process_creation"})


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ("{product: windows}", True),
        ("{category: PROCESS_CREATION}", True),
        ("{category: process_creation, product: windows, definition: any}", True),
        ("{category: process_creation, product: linux}", False),
        ("{category: process_creation, product: windows, service: sysmon}", False),
        ("{service: sysmon}", False),
    ],
)
def test_a_filter_fits_a_rule_that_has_each_part_of_its_log_source(source: str, fits: bool) -> None:
    problems = told(filter_text(source=source))

    text = (
        "4: the log source of 'archive' is product 'windows', category 'process_creation', not the filter's; "
        "state no more than both have"
    )
    assert problems == ([] if fits else [text])


def test_a_filter_of_several_rules_serves_those_that_it_can() -> None:
    text = RULE + "---\n" + filter_text("[gone, archive]")

    found = parse_rules("rule.yml", text.encode())

    assert [str(error) for error in found.errors] == [
        "rule.yml:12: no rule with id or name 'gone' is loaded; correct it, or mend that rule"
    ]
    assert not fires(found, BY_ADMIN, WINDOWS)


PARTS = "write product, category or service, each in text"
LEVELS = "write informational, low, medium, high, critical"
BOTH_REASONS = (
    "RE2 says: missing ): (; Hyperscan: Missing close parenthesis for group started at index 0; "
    "write it with what RE2 knows"
)
CORRELATION = """\
title: Many archives
name: many
correlation:
  type: event_count
  rules: [archive]
  group-by: [User]
  timespan: 5m
  condition: {gte: 3}
"""


@pytest.mark.parametrize(
    ("filter_", "errors"),
    [
        (filter_text("[many]"), [
            "4: 'many' is a correlation; name the rules that it refers to, a filter is for these",
        ]),
        (filter_text("[1]"), ["4: no rule with id or name '1' is loaded; correct it, or mend that rule"]),
        (filter_text("[]"), ["4: a filter has rules, a list of ids or names, or any; not []"]),
        (filter_text("{a: b}"), ["4: a filter has rules, a list of ids or names, or any; not {'a': 'b'}"]),
        (filter_text("any", source="{product: plan9}"), [
            "2: no rule is loaded whose log source has all of this; state less, or remove the filter",
        ]),
        (filter_text(detection="s: {f: 1}"), ["3: a filter has one condition, in text, not None"]),
        (filter_text(detection="s: {f: 1}\ncondition: [not s]"), [
            "6: a filter has one condition, in text, not ['not s']",
        ]),
        (filter_text(detection="s: {f: 1}\ncondition: not t"), [
            "6: no detection is called 't'; the rule has 's'",
        ]),
        (filter_text(detection="s: {f|re: '('}\ncondition: not s"), [
            f"5: Regular expression '(' is invalid: {BOTH_REASONS}",
        ]),
        (filter_text(detection="s:\n  f: 1\n  g|nope: 1\ncondition: not s"), [
            "7: Unknown modifier 'nope'; correct it; the modifiers are those of the specification's appendix",
        ]),
        (filter_text(detection="s: {f: []}\ncondition: not s"), [
            "5: an empty list says nothing; remove it, or write null for a missing field",
        ]),
        (filter_text(detection="s: {f: '*'}\nt: {f: null}\ncondition: s or t"), [
            "7: the condition is true for every event, so it suppresses nothing",
        ]),
        (filter_text(detection="s: {f: '*'}\nt: {f: null}\ncondition: not (s or t)"), [
            "7: the condition is false for every event, so its rules would never match",
        ]),
        (filter_text(source="{}"), [f"2: Sigma log source can't be empty; {PARTS}"]),
        (filter_text() + "level: broken\n", [f"7: 'broken' is not a valid Sigma rule level; {LEVELS}"]),
        (filter_text() + "correlation: {}\n", ["3: a document has a filter or a correlation; make it two"]),
        (filter_text() + "name: archive\n", ["7: name 'archive' is taken by the rule at rule.yml:1; choose another"]),
        ("title: x\nlogsource: {product: windows}\nfilter: all\n", [
            "3: a filter has rules, detections and a condition, not 'all'",
        ]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_filter_is_told_at_its_line(filter_: str, errors: list[str]) -> None:
    assert told(filter_, f"{RULE}---\n{CORRELATION}") == errors


def test_a_correlation_counts_what_the_filter_leaves_of_its_rule_and_changes_with_it() -> None:
    plain, with_filter = (filtered(CORRELATION, *more) for more in ([], [filter_text()]))

    assert not fires(with_filter, BY_ADMIN, WINDOWS)
    before, after = plain.rules[1], with_filter.rules[1]
    assert before.correlation == after.correlation
    assert before.hash != after.hash
    assert after.filters == ()


def test_the_hash_of_a_rule_covers_what_its_filters_ask_for_and_no_more() -> None:
    def hashes(*filters: str) -> list[str]:
        return [rule.hash for rule in filtered(OTHER, *filters).rules]

    unfiltered, once = hashes(), hashes(filter_text())

    assert once[0] != unfiltered[0]
    assert once[1] == unfiltered[1]
    assert hashes(filter_text("[archive, unpack]"))[0] == once[0]
    assert hashes(filter_text(title="Renamed")) == once
    assert hashes(filter_text(detection="s: {User: x}\ncondition: not s"))[0] not in (once[0], unfiltered[0])
    both = [filter_text(), filter_text(detection="s: {User: x}\ncondition: not s", title="B")]
    assert hashes(*both) == hashes(*reversed(both))


def test_fields_of_a_filter_have_the_names_of_the_rules_log_source() -> None:
    """The filter is for a product, the rule for a category of it, whose events have a field under another name."""
    found = filtered(filter_text(detection="s: {Image|contains: temp}\ncondition: not s", source="{product: windows}"))

    events = [{"NewProcessName": rf"C:\{folder}\rar.exe"} for folder in ("temp", "other")]
    assert [fires(found, event, WINDOWS) for event in events] == [False, True]


def test_an_explanation_names_the_filter_that_keeps_an_event_from_matching() -> None:
    found = filtered(filter_text())
    source = LogSource("windows", "process_creation")

    explained = Explainer(found).explain(found.rules[0], BY_ADMIN, source)
    elsewhere = Explainer(found).explain(found.rules[0], BY_ADMIN | {"Image": "tar"}, source)

    (obstacle,) = explained.obstacles
    assert (explained.matched, obstacle.filter, obstacle.should) == (False, "Administrators", False)
    assert (obstacle.item.key, obstacle.item.found) == ("User|startswith", "adm_lan")
    assert [each.filter for each in elsewhere.obstacles] == ["", "Administrators"]


def test_cases_run_with_filters() -> None:
    case = Case("both", events=[CaseEvent(each, LogSource(**WINDOWS)) for each in (MADE, BY_ADMIN)])

    assert matches_of(filtered(), case) == {"Archive made": 2}
    assert matches_of(filtered(filter_text()), case) == {"Archive made": 1}


@pytest.mark.parametrize(
    "detection",
    [
        "selection: {User|startswith: adm_}\ncondition: not selection",
        "selection: {User|startswith: adm_}\ncondition: selection",
        "selection: [{User: lan}, {Host: build}]\ncondition: not selection",
        "selection_a: {User: lan}\nselection_b: {Host: build}\ncondition: not 1 of selection_*",
        "a: {User: lan}\nb: {Host: build}\ncondition: not all of them",
        "a: {User: lan}\nb: {Host: build}\ncondition: not a or b",
    ],
)
def test_a_filter_means_what_pysigma_makes_of_it(detection: str) -> None:
    """pySigma writes the filter into the rule; that rule, read without the filter, matches the same events."""
    text = f"{RULE.replace('condition: selection', 'condition: 1 of sel*')}---\n{filter_text(detection=detection)}"
    (theirs,) = SigmaCollection.from_yaml(text).rules

    ours, merged = loaded(text), loaded(yaml.safe_dump(theirs.to_dict()))

    users, hosts, images = (None, "lan", "adm_x"), (None, "build"), (r"C:\rar.exe", "tar")
    for user, host, image in product(users, hosts, images):
        event = {"User": user, "Host": host, "Image": image}
        assert fires(ours, event, WINDOWS) is fires(merged, event, WINDOWS), event
