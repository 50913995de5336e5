"""`socmon rules`: what is loaded, and cases that hold or fail, without a daemon and with or without a configuration."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from socmon.cli import main
from socmon.resources import shipped

RULE = """title: Odd word
id: 7c0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11
logsource: {product: linux, service: odd}
detection:
  word:
    message|contains: odd
  condition: word
"""
CASE = """cases:
  - name: it is said
    lines: ['Nov 22 10:00:00 db1 odd: an odd word']
    matches: {Odd word: COUNT}
    alerts: [{rule: Odd word, group: {host: db1}, count: 1}]
"""


def socmon(*args: str) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None}).invoke(main, args)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "odd.yml").write_text(RULE)
    (tmp_path / "odd.test.yml").write_text(CASE.replace("COUNT", "1"))
    return tmp_path


@pytest.fixture
def config(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("etc") / "config.yaml"
    file.write_text(f"state_dir: {file.parent}\nrules: {{shipped: false, paths: [{folder}]}}\n")
    return file


def test_without_a_configuration_the_shipped_rules_are_listed_and_that_is_said() -> None:
    result = socmon("rules", "list", "-o", "json")

    told = json.loads(result.stdout)
    burst = next(row for row in told["rules"] if row["title"] == "SSH brute force")
    base = next(row for row in told["rules"] if burst["id"] in row["feeds"])
    assert (result.exit_code, told["schema"]) == (0, "socmon.rules.list/v1")
    assert "only the shipped rules are used" in result.stderr
    assert (burst["type"], burst["level"], burst["alerts"], burst["logsource"]) == ("event_count", "high", True, {})
    assert (base["type"], base["alerts"], base["logsource"]) == (
        "event",
        False,
        {"product": "linux", "service": "sshd"},
    )
    assert base["path"].startswith(str(shipped("rules")))


def test_all_forms_of_the_list_have_a_row_for_each_rule() -> None:
    human, lines, table = (socmon("rules", "list", "-o", form).stdout for form in ("human", "ndjson", "csv"))

    rows = [json.loads(line) for line in lines.splitlines()]
    assert [row["id"] for row in csv.DictReader(io.StringIO(table))] == [row["id"] for row in rows]
    assert [line.split()[0] for line in human.splitlines()] == [row["id"] for row in rows]


def test_a_rule_that_is_refused_is_told_with_its_line(folder: Path, config: Path) -> None:
    (folder / "bad.yml").write_text(RULE.replace("condition: word", "condition: wrod").replace("7c0e", "8c0e"))

    result = socmon("-c", str(config), "rules", "list")

    assert result.exit_code == 1
    assert f"rule refused: {folder}/bad.yml:7: no detection is called 'wrod'" in result.stderr
    assert result.stdout.splitlines()[0].endswith(f"{folder}/odd.yml:1  alerts")


def test_refusals_are_counted_by_reason_after_the_list(folder: Path, config: Path) -> None:
    for number, detection in enumerate(("wrod", "wrd", "1 of x*")):
        text = RULE.replace("condition: word", f"condition: {detection}").replace("7c0e", f"8c0{number}")
        (folder / f"bad{number}.yml").write_text(text)

    human = socmon("-c", str(config), "rules", "list")
    told = json.loads(socmon("-c", str(config), "rules", "list", "-o", "json").stdout)

    same, other = "no detection is called …; the rule has …", "no detection is called like …"
    loaded = len(human.stdout.splitlines())
    assert human.stderr.splitlines()[-3:] == [
        f"{loaded} rules, 3 refusals, by reason:",
        f"     2  {same}",
        f"     1  {other}",
    ]
    assert told["reasons"] == [{"reason": same, "count": 2}, {"reason": other, "count": 1}]
    assert [(one["path"], one["line"]) for one in told["refused"]] == [(f"{folder}/bad{n}.yml", 7) for n in range(3)]
    assert len(told["rules"]) == loaded


def test_nothing_is_counted_where_nothing_is_refused(config: Path) -> None:
    result = socmon("-c", str(config), "rules", "list", "-o", "json")

    assert (json.loads(result.stdout)["refused"], json.loads(result.stdout)["reasons"]) == ([], [])
    assert "by reason" not in socmon("-c", str(config), "rules", "list").stderr


def test_a_configuration_that_was_named_and_is_missing_is_an_error(tmp_path: Path) -> None:
    assert socmon("-c", str(tmp_path / "none.yaml"), "rules", "list").exit_code == 78


def test_the_shipped_rules_pass_their_cases() -> None:
    result = socmon("rules", "test")

    assert (result.exit_code, result.stdout) == (0, "")
    assert " 0 failed, " in result.stderr


def test_a_failing_case_is_one_line_with_its_place_what_was_expected_and_what_was_found(folder: Path) -> None:
    (folder / "odd.test.yml").write_text(CASE.replace("COUNT", "2"))

    human, told = socmon("rules", "test", str(folder)), socmon("rules", "test", str(folder), "-o", "json")

    assert (human.exit_code, told.exit_code) == (1, 1)
    expected, found = '{"matches":{"Odd word":2}}', '{"matches":{"Odd word":1}}'
    assert human.stdout == f"{folder}/odd.test.yml:2: it is said: expected {expected}, found {found}\n"
    assert "1 cases, 1 failed" in human.stderr
    report = json.loads(told.stdout)
    assert (report["schema"], report["cases"], report["untried"]) == ("socmon.rules.test/v1", 1, [])
    assert [failed["line"] for failed in report["failures"]] == [2]


def test_shipped_rules_see_the_lines_of_other_cases(folder: Path) -> None:
    line = "Nov 22 10:00:00 db1 sudo:      lan : TTY=pts/0 ; PWD=/home/lan ; USER=root ; COMMAND=/usr/sbin/visudo"
    (folder / "odd.test.yml").write_text(f"cases:\n  - name: quiet\n    lines: ['{line}']\n")

    (failed,) = json.loads(socmon("rules", "test", str(folder), "-o", "json").stdout)["failures"]

    assert failed["found"]["matches"] == {"Sudo rights edited": 1}


def test_a_line_that_cannot_be_read_fails_its_case(folder: Path) -> None:
    (folder / "odd.test.yml").write_text(CASE.replace("COUNT", "1").replace("Nov 22", "Feb 30"))

    (failed,) = json.loads(socmon("rules", "test", str(folder), "-o", "json").stdout)["failures"]

    assert failed["found"].keys() == {"unparsed"}


def test_a_case_may_state_the_format_of_its_lines(folder: Path) -> None:
    stated = CASE.replace("COUNT", "1").replace("    matches", "    format: FORMAT\n    matches")
    codes = []
    for name in ("rfc3164", "nothing"):
        (folder / "odd.test.yml").write_text(stated.replace("FORMAT", name))
        codes.append(socmon("rules", "test", str(folder / "odd.yml")).exit_code)

    assert codes == [0, 1]


def test_a_rule_without_cases_is_a_warning(folder: Path, config: Path) -> None:
    (folder / "odd.test.yml").unlink()

    result = socmon("-c", str(config), "rules", "test")

    assert result.exit_code == 0
    assert f"{folder}/odd.yml:1: warning: no case tries 'Odd word'" in result.stderr


def test_a_file_of_cases_that_is_wrong_is_told_with_its_line(folder: Path) -> None:
    (folder / "odd.test.yml").write_text("cases:\n  - name: n\n    lines: 5\n")

    result = socmon("rules", "test", str(folder / "odd.test.yml"))

    assert result.exit_code == 1
    assert f"{folder}/odd.test.yml:2: case 1" in result.stderr
