"""`socmon logtest`: a line stage by stage, several lines up to the alert, why a rule did not match, exit codes."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from store_kit import valid

from socmon.cli import main

FAILED = "Nov 22 10:00:0{second} web01 sshd[7]: Failed password for {user} from 203.0.113.7 port 22 ssh2"
ACCEPTED = "<38>Nov 22 10:00:00 web01 sshd[7]: Accepted password for root from 203.0.113.7 port 22 ssh2"
BRUTE = "0f2a6c1d-5c0e-4b5b-8f0a-2d6b0f6a9e41"
OWNED = """
agencies:
  - id: 000.01.02.H07
    name: Sở Y tế
    name_en: Department of Health
    systems: [{id: his, name: Bệnh viện số, name_en: Hospital system, level: 3, hosts: [web*]}]
"""


def logtest(*args: str, stdin: str | bytes = b"", before: tuple[str, ...] = ()) -> Result:
    return CliRunner(env={"SOCMON_CONFIG": None, "NO_COLOR": None}).invoke(
        main, [*before, "logtest", *args], input=stdin
    )


def trials(*args: str, stdin: str | bytes = b"", before: tuple[str, ...] = ()) -> tuple[int, list[dict[str, Any]]]:
    done = logtest("-o", "json", *args, stdin=stdin, before=before)
    told = valid(json.loads(done.stdout), "logtest.v1")
    assert told["schema"] == "socmon.logtest/v1"
    return done.exit_code, told["lines"]


def failures(count: int) -> str:
    return "".join(FAILED.format(second=second, user="root") + "\n" for second in range(count))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "assets.yaml").write_text(OWNED)
    path = tmp_path / "config.yaml"
    path.write_text(
        "state_dir: state\nassets: {paths: [assets.yaml]}\n"
        "collectors:\n  auth: {kind: file, paths: [/x.log], format: rfc3164, timezone: Asia/Ho_Chi_Minh}\n"
    )
    return path


def test_a_line_is_told_stage_by_stage() -> None:
    code, (told,) = trials(ACCEPTED)

    assert code == 0
    assert told["frame"] == {
        "bytes": len(ACCEPTED), "octet_count": None, "format": "rfc3164", "chosen": "detected",
        "priority": 38, "facility": "auth", "severity": "info",
    }  # fmt: skip
    assert (told["event"]["time"][4:], told["event"]["time_known"]) == ("-11-22T10:00:00Z", "year_inferred")
    assert (told["event"]["host"], told["event"]["logsource"]) == ("web01", {"product": "linux", "service": "sshd"})
    assert told["event"]["fields"]["outcome"] == "success"
    assert [rule["title"] for rule in told["matches"]] == ["SSH login success"]
    assert (told["owner"], told["alerts"], told["explained"]) == (None, [], [])


def test_an_octet_count_is_taken_away_as_a_collector_does() -> None:
    _, (counted,) = trials(f"{len(ACCEPTED)} {ACCEPTED}")
    _, (plain,) = trials(ACCEPTED)

    assert counted["frame"] == plain["frame"] | {"octet_count": len(ACCEPTED)}
    assert counted["event"] == plain["event"]


def test_lines_that_belong_together_open_the_alert_that_the_daemon_would() -> None:
    code, told = trials(stdin=failures(6))

    def brute(line: dict[str, Any]) -> tuple[int, bool]:
        (each,) = [each for each in line["correlations"] if each["id"] == BRUTE]
        assert (each["group"], each["condition"], each["timespan_s"]) == (
            {"src_ip": "203.0.113.7"},
            [{"op": "gte", "value": 5}],
            60,
        )
        return each["number"], each["holds"]

    assert code == 0
    assert [brute(line) for line in told] == [(1, False), (2, False), (3, False), (4, False), (5, True), (6, True)]
    opened = [[(alert["title"], alert["count"]) for alert in line["alerts"]] for line in told]
    assert opened == [[], [], [], [], [("SSH brute force", 5)], [("SSH brute force", 6)]]


def test_a_rule_that_is_named_is_explained_and_its_miss_is_exit_code_1() -> None:
    code, (told,) = trials("--rule", "ssh login FAILURE", ACCEPTED)

    (why,) = told["explained"]
    (obstacle,) = why["obstacles"]
    assert code == 1
    assert (why["title"], why["matched"], why["logsource"]["differing"]) == ("SSH login failure", False, [])
    assert (obstacle["item"], obstacle["values"], obstacle["found"]) == ("outcome", ["failure"], "success")
    assert told["near_misses"] == []


def test_another_log_source_is_named_by_the_part_that_differs() -> None:
    code, (told,) = trials("--rule", "SSH login failure", ACCEPTED.replace("sshd[7]", "sudo[7]"))

    (why,) = told["explained"]
    assert code == 1
    assert why["logsource"]["differing"] == ["service"]


@pytest.mark.parametrize(("count", "code"), [(4, 1), (5, 0)])
def test_a_correlation_that_is_named_is_its_rules_and_whether_it_came_true(count: int, code: int) -> None:
    done, told = trials("--rule", BRUTE, stdin=failures(count))

    assert done == code
    assert [why["title"] for why in told[0]["explained"]] == ["SSH login failure"]


def test_a_title_may_be_named_in_vietnamese() -> None:
    done = logtest("--lang", "vi", "-o", "json", "--rule", "dò quét mật khẩu ssh", ACCEPTED)

    assert json.loads(done.stdout)["rule"] == {"id": BRUTE, "title": "SSH brute force"}


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--rule", "no such"], 5, "no rule has the id or title 'no such'"),
        (["--rule", "ssh"], 2, "several rules have 'ssh' in their title"),
        (["--collector", "nope"], 5, "no collector is called 'nope'; known: auth"),
        (["--format", "nope"], 2, "'nope' is not one of"),
        (["--timezone", "nope"], 2, "no time zone is called 'nope'"),
        (["--rules", "/nope"], 2, "does not exist"),
    ],
)
def test_what_is_not_there_is_told(args: list[str], code: int, said: str, config: Path) -> None:
    done = logtest(*args, ACCEPTED, before=("-c", str(config)))

    assert (done.exit_code, done.stdout) == (code, "")
    assert said in done.stderr


def test_a_line_that_cannot_be_decoded_is_told_and_is_exit_code_1() -> None:
    code, told = trials(stdin=f"nonsense\n\n{ACCEPTED}\n")

    assert code == 1
    assert [(line["n"], line["event"] is None) for line in told] == [(0, True), (2, False)]
    assert told[0]["error"].startswith("no known format fits b'nonsense'")


def test_a_collector_gives_its_format_and_zone_and_the_inventory_the_owner(config: Path) -> None:
    _, (told,) = trials("--collector", "auth", ACCEPTED, before=("-c", str(config)))
    _, (other,) = trials("--collector", "auth", "--timezone", "UTC", ACCEPTED, before=("-c", str(config)))
    human = logtest("--collector", "auth", ACCEPTED, before=("-c", str(config), "--lang", "vi"))

    assert told["frame"]["chosen"] == "setting"
    assert (told["event"]["time"][4:], other["event"]["time"][4:]) == ("-11-22T03:00:00Z", "-11-22T10:00:00Z")
    assert told["owner"] == {"agency": "000.01.02.H07", "system": "his", "system_level": 3}
    assert "Sở Y tế (000.01.02.H07), Bệnh viện số (his), cấp độ 3" in human.stdout


def test_rules_besides_are_tried_too(tmp_path: Path) -> None:
    rule = tmp_path / "mine.yml"
    rule.write_text("title: Mine\nlogsource: {product: linux}\ndetection: {s: {user: root}, condition: s}\n")

    _, (told,) = trials("--rules", str(rule), ACCEPTED)

    assert [match["title"] for match in told["matches"]] == ["SSH login success", "Mine"]
    assert [(alert["title"], alert["count"]) for alert in told["alerts"]] == [("Mine", 1)]


def test_all_forms_tell_the_same() -> None:
    text = failures(2)
    whole = json.loads(logtest("-o", "json", stdin=text).stdout)["lines"]
    lines = [json.loads(line) for line in logtest("-o", "ndjson", stdin=text).stdout.splitlines()]
    table = list(csv.DictReader(io.StringIO(logtest("-o", "csv", stdin=text).stdout, newline="")))

    assert lines == whole
    assert [valid(line, "logtest.v1", row=True)["n"] for line in lines] == [0, 1]
    assert [json.loads(row["fields"]) for row in table] == [line["event"]["fields"] for line in whole]
    assert [json.loads(row["matches"]) for row in table] == [["SSH login failure"]] * 2


@pytest.mark.parametrize("form", ["human", "json", "ndjson", "csv"])
def test_no_form_lets_a_line_steer_the_terminal(form: str) -> None:
    hostile = FAILED.format(second=1, user="\x1b]0;owned\x07\u202eroot\x9b2J").encode()

    shown = logtest("-o", form, "--rule", "SSH login failure", stdin=hostile + b"\xff\n").stdout

    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown)
    assert "owned" in shown


def test_without_a_configuration_the_shipped_rules_are_used_and_that_is_said() -> None:
    assert "only the shipped rules are used" in logtest(ACCEPTED).stderr
    assert logtest("-q", ACCEPTED).stderr == ""


def test_explain_is_another_word_for_it() -> None:
    done = CliRunner().invoke(main, ["explain", "-q", "-o", "ndjson", ACCEPTED])

    assert (done.exit_code, valid(json.loads(done.stdout), "logtest.v1", row=True)["n"]) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("event_count", "{gte: 2}"),
        ("value_count", "{gte: 2, field: ms}"),
        ("temporal", ""),
        ("temporal_ordered", ""),
        ("value_sum", "{lt: -0.5, field: ms}"),
        ("value_avg", "{gte: 2.5, field: ms}"),
        ("value_percentile", "{gte: 2.5, field: ms, percentile: 50}"),
    ],
)
def test_a_correlation_of_every_type_has_the_form_of_the_schema(tmp_path: Path, kind: str, condition: str) -> None:
    rules = tmp_path / "rules.yml"
    stated = f"  condition: {condition}\n" if condition else ""
    rules.write_text(
        "title: Timed\nname: timed\nlogsource: {category: application}\n"
        "detection: {sel: {probe: here}, condition: sel}\n"
        f"---\ntitle: Over it\ncorrelation:\n  type: {kind}\n  rules: [timed, timed]\n  timespan: 5m\n{stated}"
    )
    values = ["1.25", "none", "-4"]
    text = "\n".join(json.dumps({"time": "2026-11-22T10:00:00Z", "probe": "here", "ms": value}) for value in values)

    _, lines = trials("--format", "json", "--rules", str(rules), stdin=text)

    assert [one["type"] for line in lines for one in line["correlations"] if one["title"] == "Over it"] == [kind] * 3
