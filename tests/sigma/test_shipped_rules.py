"""The rules that ship with socmon do what their own test cases say."""

from pathlib import Path

import pytest

from socmon.errors import ConfigError
from socmon.event import LogSource
from socmon.resources import shipped
from socmon.sigma import RuleSet, load_rules
from socmon.sigma.cases import SUFFIX, Placed, load_cases
from socmon.sigma.trying import case_files, events_of, failure, untried

FOLDER = shipped("rules")
CASES = [placed for file in case_files(FOLDER) for placed in load_cases(file)]


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    return load_rules([FOLDER])


def test_every_shipped_rule_loads_and_has_cases(rules: RuleSet) -> None:
    assert rules.errors == []
    assert [rule.title for rule in untried(rules.rules, [placed.case for placed in CASES])] == []


def test_only_one_rule_is_called_ssh_brute_force(rules: RuleSet) -> None:
    (rule,) = [rule for rule in rules.rules if "ssh brute" in rule.title.lower()]

    assert (rule.title, rule.level) == ("SSH brute force", "high")
    assert "attack.t1110" in rule.tags
    assert rule.correlation is not None
    assert rule.alerts
    assert not any(rules.by_id[base].alerts for base in rule.correlation.rules)


@pytest.mark.parametrize("placed", CASES, ids=[f"{Path(one.path).stem}: {one.case.name}" for one in CASES])
def test_a_case_ends_in_the_matches_and_alerts_it_says_and_no_others_of_any_rule(
    rules: RuleSet, placed: Placed
) -> None:
    assert failure(rules, placed) is None


def test_cases_may_be_given_as_events(tmp_path: Path) -> None:
    file = tmp_path / f"a{SUFFIX}"
    file.write_text(
        "cases:\n  - name: n\n    events:\n      - {fields: {F: 1}, logsource: {product: linux}, at_s: 1.5, host: h}\n"
    )

    (placed,) = load_cases(file)

    (event,) = events_of(placed.case)
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
