"""The rules that ship with socmon do what their own test cases say."""

import uuid
from collections import Counter
from pathlib import Path

import pytest

from socmon.errors import ConfigError
from socmon.event import SECOND_US, Event, LogSource, Match, Record, Source, clock_of
from socmon.parsers import parse
from socmon.resources import shipped
from socmon.sigma import RuleSet, load_rules
from socmon.sigma.cases import SUFFIX, Case, ExpectedAlert, load_cases
from socmon.sigma.correlator import Correlator

FOLDER = shipped("rules")
CASES = [(file, case) for file in sorted(FOLDER.rglob(f"*{SUFFIX}")) for case in load_cases(file)]
SOURCE = Source(collector="cases", peer="auth.log")


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_rules([FOLDER])


def events_of(case: Case) -> list[Event]:
    records = [Record(line.encode(), SOURCE, received_us=0, seq=n + 1) for n, line in enumerate(case.lines)]
    events = [parse(record, year=case.year) for record in records]
    for number, given in enumerate(case.events, len(events) + 1):
        record = Record(repr(given.fields).encode(), SOURCE, received_us=0, seq=number)
        events.append(Event(record, int(given.at_s * SECOND_US), "stated", given.host, given.logsource, given.fields))
    return events


def test_every_shipped_rule_loads_and_has_cases(rules: RuleSet) -> None:
    titles = {title for _, case in CASES for title in (*case.matches, *(alert.rule for alert in case.alerts))}

    assert rules.errors == []
    assert {rule.title for rule in rules.rules} == titles


def test_only_one_rule_is_called_ssh_brute_force(rules: RuleSet) -> None:
    (rule,) = [rule for rule in rules.rules if "ssh brute" in rule.title.lower()]

    assert (rule.title, rule.level) == ("SSH brute force", "high")
    assert "attack.t1110" in rule.tags
    assert rule.correlation is not None
    assert rule.alerts
    assert not any(rules.by_id[base].alerts for base in rule.correlation.rules)


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[f"{file.stem}: {case.name}" for file, case in CASES])
def test_the_lines_of_a_case_match_what_it_says(rules: RuleSet, case: Case) -> None:
    matched = [rule_id for event in events_of(case) for rule_id in rules.match(event.fields, event.logsource)]

    assert Counter(rules.by_id[rule_id].title for rule_id in matched) == case.matches


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[f"{file.stem}: {case.name}" for file, case in CASES])
def test_the_lines_of_a_case_end_in_the_alerts_it_says(rules: RuleSet, case: Case) -> None:
    correlator = Correlator(rules.rules, uuid.UUID(int=1))

    for event in events_of(case):
        assert event.time_us is not None
        match = Match(event, rules.match(event.fields, event.logsource), event.time_us)
        correlator.process([match], {clock_of(event): event.time_us})

    alerts = [ExpectedAlert(alert.title, alert.group, alert.count) for alert, _ in correlator.take_alerts()]
    assert sorted(alerts, key=repr) == sorted(case.alerts, key=repr)


def test_cases_may_be_given_as_events(tmp_path: Path) -> None:
    file = tmp_path / f"a{SUFFIX}"
    file.write_text(
        "cases:\n  - name: n\n    events:\n      - {fields: {F: 1}, logsource: {product: linux}, at_s: 1.5, host: h}\n"
    )

    (case,) = load_cases(file)

    (event,) = events_of(case)
    assert (event.fields, event.logsource, event.time_us, event.host) == (
        {"F": 1},
        LogSource(product="linux"),
        1_500_000,
        "h",
    )


def test_all_that_is_wrong_with_a_file_of_cases_is_told(tmp_path: Path) -> None:
    file = tmp_path / f"a{SUFFIX}"
    file.write_text("cases:\n  - name: n\n    lines: 5\n  - name: both\n  - name: x\n    line: [a]\n---\nrules: []\n")

    with pytest.raises(ConfigError) as caught:
        load_cases(file)

    starts = [problem.removeprefix(f"{file}:")[:9] for problem in caught.value.problems]
    assert starts == ["2: case 1", "4: case '", "5: case 3", "8: a file"]
