"""The event x rule matrix of Windows events: differences are counted, and classed by how the other engine reads."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bench.conformance import run, windows, windows_correlation
from bench.conformance.readings import OTHER, Readings
from bench.conformance.windows import Difference, Score
from bench.conformance.windows_correlation import SIBLINGS, SILENT, Window
from socmon.sigma import RuleSet
from socmon.sigma.ruleset import parse_rules

DATA = run.data_folder()
needs_data = pytest.mark.skipif(
    not (DATA / windows.ARCHIVE).is_file(), reason=f"{DATA / windows.ARCHIVE} is not here; set SOCMON_DATA"
)
LOCK, SELF, DNS, SCAN = (f"{number}b0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11" for number in "1234")
RULES = f"""
title: Whole access
id: {LOCK}
logsource: {{product: windows, category: process_access}}
detection:
  selection: {{GrantedAccess: '0x1F3FFF', TargetImage|endswith: 'svchost.exe'}}
  condition: selection
---
title: Itself
id: {SELF}
logsource: {{product: windows, category: process_creation}}
detection:
  selection: {{Image|fieldref: ParentImage}}
  condition: selection
---
title: DNS
id: {DNS}
logsource: {{product: windows, service: dns-server}}
detection:
  selection: {{EventID: 150}}
  condition: selection
---
title: Scanner
id: {SCAN}
logsource: {{category: antivirus}}
detection:
  selection: {{Signature|contains: Mimikatz}}
  condition: selection
"""
PATH = f"""
title: A path
id: {LOCK}
logsource: {{product: windows, category: process_access}}
detection:
  selection: {{GrantedAccess: 'C:\\Windows'}}
  condition: selection
"""
TABLE_TEXT = """
logsources:
  a: {product: windows, service: sysmon, sources: ['WinEventLog:Microsoft-Windows-Sysmon/Operational']}
  b: {product: windows, service: security, sources: ['WinEventLog:Security']}
  c: {product: windows, service: windefend, sources: ['WinEventLog:Microsoft-Windows-Windows Defender/Operational']}
"""
SYSMON = {"Channel": "Microsoft-Windows-Sysmon/Operational", "Computer": "pc1", "Provider_Name": "x"}
ACCESS = SYSMON | {"EventID": 10, "GrantedAccess": "0x1f3fff", "TargetImage": "C:\\svchost.exe"}
CREATED = SYSMON | {"Channel": "Security", "EventID": 4688, "NewProcessName": "a", "ParentProcessName": "A"}
SERVER = SYSMON | {"Channel": "DNS Server", "EventID": 150}
FOUND = SYSMON | {
    "Channel": "Microsoft-Windows-Windows Defender/Operational", "EventID": 1116, "ThreatName": "Mimikatz",
}  # fmt: skip


def rules() -> RuleSet:
    loaded = parse_rules("rules.yml", RULES.encode())
    assert loaded.errors == []
    return loaded


def scored(events: Sequence[dict[str, Any]], told: dict[int, list[str]]) -> Score:
    loaded = rules()
    lines = [json.dumps(event).encode() for event in events]
    return windows.score_of("one.jsonl", lines, told, loaded, Readings(loaded, TABLE_TEXT))


def classes(score: Score) -> list[tuple[int, str, str]]:
    return [(each.line, each.rule_id, each.name) for each in score.differences]


def test_pairs_of_both_engines_are_no_difference() -> None:
    same = ACCESS | {"GrantedAccess": "0x1F3FFF"}

    score = scored([same, SYSMON | {"EventID": 1}], {0: [LOCK]})

    assert (score.events, score.expected, score.ours, score.differences, score.denied) == (2, 1, 1, [], {})


def test_each_reading_of_the_other_engine_is_a_class_of_its_own() -> None:
    score = scored([ACCESS, CREATED, SERVER, FOUND], {})

    assert (score.missing, score.extra) == (0, 4)
    assert [name for _, _, name in classes(score)] == [
        "whole values told apart by case",
        "a reference to a mapped field",
        "an event log that its table lacks",
        "a rule that names no product",
    ]
    assert score.differences[0].shown == "GrantedAccess is `0x1f3fff`, the rule has `0x1F3FFF`"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (ACCESS | {"GrantedAccess": "0x1F3FFF"}, []),  # spelt as the rule spells it: case explains nothing
        (ACCESS | {"GrantedAccess": "0x1F3FFF", "TargetImage": "C:\\SVCHOST.EXE"}, []),  # the other engine folds it too
        (ACCESS | {"GrantedAccess": "0x1f"}, [LOCK]),  # missing
        (CREATED | {"Image": "a", "ParentImage": "a"}, []),  # the reference has its own name in the event
        (SYSMON | {"EventID": 1}, [LOCK]),
        (SYSMON | {"EventID": 1}, ["00000000-0000-4000-8000-000000000000"]),  # a rule that did not load
    ],
)
def test_a_difference_that_no_reading_makes_is_not_classified(event: dict[str, Any], told: list[str]) -> None:
    score = scored([event], {0: told})

    assert [name for _, _, name in classes(score)] == [OTHER]


def test_a_reading_that_denies_what_both_match_is_caught() -> None:
    score = scored([ACCESS, SERVER], {0: [LOCK], 1: [DNS]})

    assert score.differences == []
    assert score.denied == {"whole values told apart by case": 1, "an event log that its table lacks": 1}


def test_case_does_not_explain_a_value_that_the_other_engine_folds_for_its_backslash() -> None:
    loaded = parse_rules("path.yml", PATH.encode())
    line = json.dumps(ACCESS | {"GrantedAccess": "c:\\WINDOWS"}).encode()

    both = windows.score_of("x", [line], {0: [LOCK]}, loaded, Readings(loaded, TABLE_TEXT))
    ours = windows.score_of("x", [line], {}, loaded, Readings(loaded, TABLE_TEXT))

    assert (both.differences, both.denied) == ([], {})
    assert [each.name for each in ours.differences] == [OTHER]


def test_a_value_in_another_case_explains_nothing_where_the_rule_matches_without_it() -> None:
    either = PATH.replace(
        "{GrantedAccess: 'C:\\Windows'}", "[{GrantedAccess: '0x1F3FFF'}, {TargetImage|contains: svchost}]"
    )
    loaded = parse_rules("either.yml", either.encode())

    score = windows.score_of("x", [json.dumps(ACCESS).encode()], {}, loaded, Readings(loaded, TABLE_TEXT))

    assert classes(score) == [(1, LOCK, OTHER)]


def test_what_no_parser_reads_is_counted_and_its_pairs_are_missing() -> None:
    loaded = rules()

    score = windows.score_of("x", [b"{}"], {0: [LOCK]}, loaded, Readings(loaded, TABLE_TEXT))

    assert (score.unparsed, score.missing) == (1, 1)
    assert classes(score) == [(1, LOCK, OTHER)]


def test_the_page_gives_counts_before_it_explains_and_a_worked_event() -> None:
    score = scored([ACCESS, ACCESS | {"GrantedAccess": "0x1F3FFF"}], {1: [LOCK]})

    table = run.windows_report({"mine": score}, rules(), (3, ["Silent one"]))

    assert "| mine | 2 | 0 | 1 | 2 | 0 (0.00 %) | 1 (100.00 %) | 0 |" in table
    assert "| mine (1) | 0 | socmon |" in table
    assert "one.jsonl:1: Whole access: GrantedAccess is `0x1f3fff`" in table
    assert table.endswith("2/3 66.7 %: Silent one")


def test_the_limits_are_asked_before_and_after_the_classes_and_any_unexplained_difference_fails() -> None:
    case, other = (Difference("f", 1, LOCK, False, name, "") for name in ("whole values told apart by case", OTHER))
    fine = {"a": Score(expected=100, differences=[case, case])}
    beyond = {"a": Score(expected=100, differences=[case, case, case])}
    missing = {"a": Score(expected=100, differences=[Difference("f", 1, LOCK, True, OTHER, "")])}

    assert "missing ≤ 0.5 %, extra ≤ 2.0 %; beyond it before any explanation: none; " in windows.limits(fine)
    assert "before any explanation: a; without what a class explains: none." in windows.limits(beyond)
    assert "before any explanation: a; without what a class explains: a." in windows.limits(missing)
    assert windows.is_explained(beyond)
    assert not windows.is_explained({"a": Score(expected=100, differences=[other])})
    assert not windows.is_explained({"a": Score(expected=100, denied={"x": 1})})


def test_a_missing_window_or_one_without_a_class_is_not_explained() -> None:
    counts = {"files": 1, "rules": 1, "expected": 1, "ours": 1}

    assert windows_correlation.Score(**counts, missing=[], extra={SILENT: [window()]}).is_explained
    assert not windows_correlation.Score(**counts, missing=[window()], extra={}).is_explained
    assert not windows_correlation.Score(**counts, missing=[], extra={OTHER: [window()]}).is_explained


def window(**changes: Any) -> Window:
    return structs.replace(Window("f", "r", 5, (("u", "a"),), 2, (1, 2)), **changes)


def test_a_window_of_ours_is_explained_only_by_its_own_millisecond_or_by_a_silent_file_that_was_recounted() -> None:
    more = [window(events=(1, 2, 3), metric=3)]

    assert windows_correlation.class_of(window(), more) == SIBLINGS
    for change in ({"end_ms": 6}, {"group": (("u", "b"),)}, {"rule_file": "s"}, {"events": (4, 5)}):
        assert windows_correlation.class_of(window(**change, recounted=True), more) == OTHER
    assert windows_correlation.class_of(window(file="g", recounted=True), more) == SILENT
    assert windows_correlation.class_of(window(file="g"), more) == OTHER


@needs_data
def test_correlation_windows_are_those_of_the_second_engine() -> None:
    told = windows_correlation.expected(DATA)
    names = {each.file for each in told}
    rule_sets = windows_correlation.rule_files(DATA)
    files = [file for file in windows_correlation.files(DATA) if windows.name_of(file) in names]

    ours = [found for file in files for found in windows_correlation.of_file(file, rule_sets, names)]

    assert all(each.errors == [] for each in rule_sets.values())
    assert {each.told for each in told} <= {each.told for each in ours}
    more = [each for each in ours if each.told not in {other.told for other in told}]
    assert {windows_correlation.class_of(each, told) for each in more} <= {SIBLINGS}


def test_scores_of_files_add_up() -> None:
    one = Difference("f", 1, "r", True, OTHER, "")
    total = Score(differences=[], denied={})

    total.add(Score(2, 1, 3, 2, [one], {"a": 1}))
    total.add(Score(1, 0, 1, 2, [Difference("g", 1, "r", False, OTHER, "")], {"a": 2, "b": 1}))

    assert (total.events, total.unparsed, total.expected, total.ours) == (3, 1, 4, 4)
    assert (total.missing, total.extra, total.denied) == (1, 1, {"a": 3, "b": 1})


def test_folders_without_windows_events_are_passed_over(tmp_path: Path) -> None:
    assert run.windows_reports(tmp_path) == ("", "", True)
