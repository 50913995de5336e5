"""The scores of `make conformance`: computed as the page says, on a sample of ours and on the oracle where it is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.conformance import classes, logs, run, web
from socmon.resources import shipped
from socmon.sigma import load_rules

ROOT = Path(__file__).parents[2]
ORACLE = run.data_folder() / logs.ORACLE
needs_oracle = pytest.mark.skipif(not ORACLE.is_file(), reason=f"{ORACLE} is not here; set SOCMON_DATA")


def judgement(number: int, line: str, host: str | None, *, match: bool = True, **changes: Any) -> dict[str, Any]:
    expected = {"match": match} | ({"host": host} if host else {})
    return {"file": "sshd", "lineno": number, "line": line, "expected": expected, "annotated": True} | changes


def scored(folder: Path, told: list[dict[str, Any]]) -> list[logs.Row]:
    file = folder / logs.ORACLE
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")
    return list(logs.rows(folder, load_rules([shipped("rules")])))


FAILED = "Nov 22 10:00:00 web1 sshd[7]: Failed password for root from 203.0.113.7 port 40001 ssh2"
ACCESS = '203.0.113.7 - - [22/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 404 1 "-" "x"'
SAMPLE = [
    judgement(1, FAILED, "203.0.113.7"),
    judgement(2, FAILED, "203.0.113.8"),  # the oracle names another host, which the line does not state
    judgement(3, FAILED.replace("203.0.113.7", "::ffff:203.0.113.7"), "::ffff:203.0.113.7"),
    judgement(4, FAILED.replace("Failed", "Accepted"), None, match=False),
    judgement(5, FAILED, None, match=False),
    judgement(6, "what no format fits", "203.0.113.9"),
    judgement(7, FAILED, None, match=False, annotated=False),
    judgement(8, FAILED, None, match=False, file="exim"),
    judgement(9, ACCESS, "203.0.113.7", file="apache-x"),
]


def test_host_agreement_recall_and_specificity_are_counted_apart(tmp_path: Path) -> None:
    scores = logs.scores(scored(tmp_path, SAMPLE))

    sshd = scores["sshd"]
    assert (sshd.rows, sshd.hosts, sshd.hosts_agree) == (6, 2, 2)
    assert (sshd.positive, sshd.recalled, sshd.negative, sshd.passed) == (4, 3, 2, 1)
    assert (scores["apache"].rows, scores["apache"].hosts_agree, scores["apache"].recalled) == (1, 1, 1)
    assert scores["all"].rows == 7


def test_a_difference_that_no_class_explains_is_said_to_be_so(tmp_path: Path) -> None:
    judged = scored(tmp_path, [judgement(5, FAILED, None, match=False)])

    assert [row.place for row in classes.classified(judged)[classes.OTHER]] == ["sshd:5"]


def test_another_folder_of_the_same_layout_is_scored(tmp_path: Path) -> None:
    scored(tmp_path, SAMPLE)

    done = subprocess.run(
        [sys.executable, "-m", "bench.conformance.run"],
        env={"SOCMON_DATA": str(tmp_path), "PATH": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "| sshd | 6 | 2/2 100.0 % | 3/4 75.0 % | 1/2 50.0 % |" in done.stdout
    assert "| always match | 7 | 0/3 0.0 % | 5/5 100.0 % | 0/2 0.0 % |" in done.stdout


def test_a_folder_without_the_oracle_is_an_error_that_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.conformance.run"],
        env={"SOCMON_DATA": str(tmp_path), "PATH": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "fail2ban.jsonl is not here; set SOCMON_DATA" in done.stderr


def page_part(number: int) -> str:
    """The `number`-th generated part of the page."""
    return run.PAGE.read_text("utf-8").split(run.BEGIN)[number].partition(run.END)[0].strip()


@pytest.mark.skipif(
    not (run.data_folder() / web.FOLDER).is_dir(), reason="the raw web logs are not here; set SOCMON_DATA"
)
def test_the_three_scans_alert_and_the_ordinary_days_do_not() -> None:
    found = list(web.told(run.data_folder(), load_rules([shipped("rules")])))

    alerts = {each.name: each.alerts for each in found}
    assert {
        name: "Web scan" in alerts[name] or "Web SQL injection" in alerts[name] for name in web.SCANS
    } == dict.fromkeys(web.SCANS, True)
    assert [alerts[name] for name in web.ORDINARY] == [{}, {}]
    assert all(each.unparsed == 0 for each in found)
    assert page_part(2) == run.web_report(found)


@needs_oracle
def test_the_page_says_what_is_scored_today_and_every_difference_has_its_class() -> None:
    judged = list(logs.rows(run.data_folder(), load_rules([shipped("rules")])))
    if len(judged) != 356:
        pytest.skip("SOCMON_DATA names other data than the page was written from")

    assert page_part(1) == run.report(judged)
    assert classes.OTHER not in classes.classified(judged)
    total = logs.scores(judged)["all"]
    assert total.hosts_agree / total.hosts >= 0.97
    assert total.recalled / total.positive >= 0.9
    assert total.passed / total.negative >= 0.75
