"""`detection.logsources`: the daemon's detection and every command that loads rules take the tables that it names."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from socmon.cli import main
from socmon.config import Config, load
from socmon.detection import Detection, load_detection

RULE = """title: Odd sale
id: 7c0e5a9c-7a67-4e0a-9d5c-0f2d7c1f3a11
logsource: {product: windows, service: shop}
detection:
  sale: {amount|gt: 100}
  condition: sale
"""
CASE = """cases:
  - name: much money
    events:
      - {fields: {Channel: Shop/Audit, amount: 200}, logsource: {product: windows}, host: pc1}
    matches: {Odd sale: 1}
    alerts: [{rule: Odd sale, group: {host: pc1}, count: 1}]
"""
TABLE = "routes:\n  - product: windows\n    service_by: Channel\n    services: {shop: [Shop/Audit]}\n"
WRONG = TABLE.replace("services:", "servces:")
REFUSED = "logsources.yml:4: routes: 'servces' is unknown; did you mean 'services'?"
LINE = '{"product":"windows","Channel":"SHOP/Audit","host":"pc1","amount":200,"time":"2026-11-22T10:00:00Z"}'


def socmon(*args: str) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None}).invoke(main, args)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "odd.yml").write_text(RULE)
    (tmp_path / "rules" / "odd.test.yml").write_text(CASE)
    (tmp_path / "logsources.yml").write_text(TABLE)
    (tmp_path / "config.yaml").write_text(
        f"state_dir: {tmp_path}/state\nrules: {{shipped: false, paths: [rules]}}\n"
        "detection: {logsources: [logsources.yml]}\n"
    )
    return tmp_path


def detection(etc: Path) -> Detection:
    config: Config = load(etc / "config.yaml")
    return load_detection(config)


def test_detection_sees_events_by_the_operators_table(etc: Path) -> None:
    event = {"Channel": "Shop/Audit", "amount": 200}
    good = detection(etc)
    (etc / "logsources.yml").write_text(WRONG)
    bad = detection(etc)

    assert good.problems == ()
    assert good.rules.match(event, {"product": "windows"})
    assert bad.rules.match(event, {"product": "windows"}) == ()
    assert bad.table_problems == bad.problems == (f"{etc}/{REFUSED}",)
    assert bad.worse_than(good) == [f"{etc}/{REFUSED}"]  # so a reload refuses it


def test_the_cases_of_rules_are_run_by_it(etc: Path) -> None:
    config = str(etc / "config.yaml")

    assert socmon("rules", "test", "-c", config).exit_code == 0
    (etc / "logsources.yml").write_text(WRONG)
    result = socmon("rules", "test", "-c", config)
    assert result.exit_code == 1
    assert f"log source refused: {etc}/{REFUSED}" in result.stderr
    assert socmon("rules", "list", "-c", config).exit_code == 1


def test_check_warns_of_what_is_refused(etc: Path) -> None:
    (etc / "logsources.yml").write_text(WRONG)

    result = socmon("check", "-c", str(etc / "config.yaml"))

    assert result.exit_code == 0
    assert f"warning  log source refused: {etc}/{REFUSED}" in result.stderr


def test_logtest_takes_it(etc: Path) -> None:
    result = socmon("logtest", "-c", str(etc / "config.yaml"), "-o", "json", LINE)

    (told,) = json.loads(result.stdout)["lines"]
    assert [rule["title"] for rule in told["matches"]] == ["Odd sale"]
    assert told["event"]["logsource"] == {"product": "windows", "category": "application", "service": "shop"}


def test_logtest_shows_what_rules_see_an_event_as() -> None:
    line = '{"EventID":13,"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"pc1"}'

    result = socmon("logtest", line)

    assert "product=windows category=registry_event+registry_set service=sysmon" in result.stdout


def test_replay_takes_the_tables_of_the_configuration_and_of_an_option(etc: Path) -> None:
    log = etc / "a.jsonl"
    log.write_text(LINE + "\n")
    rules = ("--rules", str(etc / "rules"), "-o", "json")

    without = socmon("replay", *rules, str(log))
    configured = socmon("replay", *rules, "-c", str(etc / "config.yaml"), str(log))
    result = socmon("replay", *rules, "--logsources", str(etc / "logsources.yml"), str(log))
    (etc / "logsources.yml").write_text(WRONG)
    refused = socmon("replay", *rules, "--logsources", str(etc / "logsources.yml"), str(log))

    assert "Odd sale" not in without.stdout
    assert (configured.exit_code, configured.stdout.count("Odd sale")) == (0, 1)
    assert (result.exit_code, result.stdout.count("Odd sale")) == (0, 1)
    assert (refused.exit_code, REFUSED in refused.stderr) == (1, True)
