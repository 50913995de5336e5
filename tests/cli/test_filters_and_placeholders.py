"""Filters and placeholders as operators meet them: list, cases, check, logtest, replay, reload."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from store_kit import valid

from socmon.cli import main
from socmon.config import load
from socmon.detection import load_detection, tell_refused
from socmon.event import Record, Source
from socmon.parsers import parse
from socmon.resources import shipped
from socmon.sigma.loading import Loader
from socmon.sigma.logsources import shipped_log_sources
from socmon.sigma.ruleset import rule_set

RULES = """\
title: Odd word
id: 7c0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11
logsource: {product: linux, service: odd}
detection:
  word: {message|contains|expand: '%words%'}
  condition: word
---
title: Another word
id: 7c0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a12
logsource: {product: linux, service: odd}
detection:
  word: {message|contains: other}
  condition: word
"""
FILTER = """\
title: Test machines
id: 7c0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a13
logsource: {product: linux}
filter:
  rules: [7c0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11]
  machines: {message|endswith|expand: '%machines%'}
  condition: not machines
"""
CASE = """\
cases:
  - name: said twice, once on a test machine
    lines:
      - 'Nov 22 10:00:00 db1 odd: an odd word on db1'
      - 'Nov 22 10:00:01 db1 odd: an odd word on test-7'
    matches: {Odd word: 1}
    alerts: [{rule: Odd word, group: {host: db1}, count: 1}]
"""
MACHINES = "machines: [test-?]"
LINE = "Nov 22 10:00:01 db1 odd: an odd word on test-7"


def socmon(config: Path, *args: str) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None}).invoke(main, ["-c", str(config), *args])


def configure(folder: Path, placeholders: str = f"{{words: [odd], {MACHINES}}}") -> Path:
    config = folder / "config.yaml"
    config.write_text(
        f"state_dir: {folder}/state\nrules: {{shipped: false, paths: [rules]}}\n"
        f"detection: {{placeholders: {placeholders}}}\n"
    )
    return config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "odd.yml").write_text(RULES)
    (tmp_path / "rules" / "odd.test.yml").write_text(CASE)
    (tmp_path / "rules" / "a_filter.yml").write_text(FILTER)
    (tmp_path / "odd.log").write_text(CASE.splitlines()[3].strip(" -'") + f"\n{LINE}\n")
    return configure(tmp_path)


def test_the_list_shows_which_filters_apply_to_a_rule(config: Path) -> None:
    told = json.loads(socmon(config, "rules", "list", "-o", "json").stdout)["rules"]
    human = socmon(config, "rules", "list").stdout.splitlines()
    vietnamese = socmon(config, "rules", "list", "--lang", "vi").stdout
    table = list(csv.DictReader(io.StringIO(socmon(config, "rules", "list", "-o", "csv").stdout)))

    place = {"path": str(config.parent / "rules" / "a_filter.yml"), "line": 1}
    one = {"id": "7c0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a13", "title": "Test machines", **place}
    assert [row["filters"] for row in told] == [[one], []]
    assert [line.endswith("alerts filtered by Test machines") for line in human] == [True, False]
    assert "lọc bởi Test machines" in vietnamese
    assert [json.loads(row["filters"]) for row in table] == [[one], []]


def test_cases_run_with_filters_and_placeholders(config: Path) -> None:
    assert socmon(config, "rules", "test").exit_code == 0

    (config.parent / "rules" / "a_filter.yml").unlink()

    unfiltered = json.loads(socmon(config, "rules", "test", "-o", "json").stdout)
    assert [failed["found"]["matches"] for failed in unfiltered["failures"]] == [{"Odd word": 2}]


def test_a_rule_whose_placeholder_has_no_values_is_refused_and_the_option_named(config: Path) -> None:
    configure(config.parent, f"{{{MACHINES}}}")

    result = socmon(config, "rules", "list")

    file = config.parent / "rules" / "odd.yml"
    refused = "placeholder %words% has no values; list them in the configuration, under detection.placeholders"
    assert f"rule refused: {file}:5: {refused}\n" in result.stderr
    assert result.exit_code == 1


def test_check_tells_of_placeholders_that_nothing_uses_and_of_filters_that_keep(config: Path) -> None:
    configure(config.parent, f"{{words: [odd], {MACHINES}, wrods: [even], port: [22]}}")
    (config.parent / "rules" / "a_filter.yml").write_text(FILTER.replace("not machines", "machines"))

    found = json.loads(socmon(config, "check", "-o", "json").stdout)

    unused = "no rule or filter has this placeholder; correct the name, or remove it"
    warnings = [warning for warning in found["warnings"] if "none is configured" not in warning]
    assert found["problems"] == []
    keeps = "this filter keeps what it names and suppresses all else; to suppress that, write `condition: not …`"
    assert warnings == [
        f"{config.parent}/rules/a_filter.yml:7: {keeps}",
        f"detection.placeholders.wrods: {unused}",
        f"detection.placeholders.port: {unused}",
    ]


@pytest.mark.parametrize(
    ("placeholders", "problem"),
    [
        ("{words: []}", "detection.placeholders.words: list should have at least 1 item"),
        ("{words: odd}", "detection.placeholders.words: input should be a list"),
        ("{words: [true]}", "detection.placeholders.words.0: must be a number, or a text that is not empty"),
        ("{words: [odd, '']}", "detection.placeholders.words.1: must be a number, or a text that is not empty"),
        ("{words: [null]}", "detection.placeholders.words.0: must be a number, or a text that is not empty"),
        ("{'50%': [odd]}", "detection.placeholders: '50%' is no name of a placeholder; write it without"),
        ("[odd]", "detection.placeholders: input should be"),
    ],
)
def test_what_cannot_be_a_placeholder_is_a_mistake_of_the_configuration(
    placeholders: str, problem: str, config: Path
) -> None:
    configure(config.parent, placeholders)

    result = socmon(config, "check")

    assert result.exit_code == 78
    assert f"{config}:3: {problem}" in result.stderr
    assert result.stderr.count("problem ") == 1


def explained(config: Path, *args: str) -> Any:
    result = socmon(config, "logtest", LINE, "--rule", "Odd word", "-o", "json", *args)
    (line,) = valid(json.loads(result.stdout), "logtest.v1")["lines"]
    return line["explained"][0]


def test_logtest_names_the_filter_that_was_in_the_way(config: Path) -> None:
    why = explained(config)
    human = socmon(config, "logtest", LINE, "--rule", "Odd word").stdout
    near = socmon(config, "logtest", LINE).stdout

    (obstacle,) = why["obstacles"]
    assert (obstacle["filter"], obstacle["should_match"], obstacle["values"]) == ("Test machines", False, ["test-?"])
    assert [part.get("filter") for part in why["condition"]["parts"]] == [None, "Test machines"]
    said = "filter Test machines: it must not have message|endswith|expand: test-?; the event has an odd word on test-7"
    assert said in " ".join(human.split())
    assert said in " ".join(near.split())
    vietnamese = socmon(config, "logtest", LINE, "--rule", "Odd word", "--lang", "vi").stdout
    assert "bộ lọc Test machines: không được có" in " ".join(vietnamese.split())


def test_replay_takes_the_placeholders_of_the_configuration(config: Path) -> None:
    args = ["replay", str(config.parent / "odd.log"), "--rules", str(config.parent / "rules"), "-o", "json"]

    (alert,) = json.loads(socmon(config, *args).stdout)["alerts"]
    configure(config.parent, f"{{words: [even], {MACHINES}}}")
    changed = json.loads(socmon(config, *args).stdout)["alerts"]

    assert (alert["title"], alert["count"]) == ("Odd word", 1)
    assert changed == []


def test_a_reload_with_other_values_changes_only_the_rules_that_use_them(config: Path) -> None:
    before = {rule.title: rule.hash for rule in load_detection(load(config)).rules.rules}

    configure(config.parent, "{words: [odd], machines: [test-*]}")
    with_filter = {rule.title: rule.hash for rule in load_detection(load(config)).rules.rules}
    configure(config.parent, f"{{words: [odd, even], {MACHINES}, unused: [1]}}")
    with_words = {rule.title: rule.hash for rule in load_detection(load(config)).rules.rules}

    assert with_filter["Odd word"] != before["Odd word"] != with_words["Odd word"]
    assert with_filter["Another word"] == before["Another word"] == with_words["Another word"]


def test_a_reload_that_takes_a_value_away_is_refused(config: Path) -> None:
    running = load_detection(load(config))

    configure(config.parent, f"{{{MACHINES}}}")
    read = load_detection(load(config))

    assert ["%words%" in problem or "is loaded" in problem for problem in read.worse_than(running)] == [True, True]


def test_the_daemon_logs_a_filter_that_keeps_what_it_names(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "rules" / "a_filter.yml").write_text(FILTER.replace("not machines", "machines"))

    tell_refused(load_detection(load(config)))

    assert "rule may not mean what it says" in "".join(capsys.readouterr())


def test_the_example_of_the_operations_page_suppresses_what_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "\nfilter:" in block)
    folder = shipped("rules") / "linux"

    loader = Loader(shipped_log_sources(), {"BackupAccounts": ["bak-*"]})
    loader.add_path(folder / "ssh_brute_force.yml")
    loader.add("example.yml", example.encode())
    rules = rule_set(loader, shipped_log_sources())

    line = b"Nov 22 10:00:00 web01 sshd[7]: Failed password for USER from 203.0.113.7 port 22 ssh2"
    events = [
        parse(Record(line.replace(b"USER", user), Source("c", "p", "rfc3164"), received_us=0, seq=1), year=2026)
        for user in (b"bak-7", b"root")
    ]
    assert (rules.errors, rules.warnings, rules.unused) == ([], [], [])
    assert [bool(rules.match(event.fields, event.logsource)) for event in events] == [False, True]
