"""Syslog lines without a time stamp: dated by their receipt, told from other lines by their process id."""

import pytest
from parsers.records import NOW_US, event, record

from socmon.errors import ParseError
from socmon.event import LogSource
from socmon.parsers import detect, parse

SSHD = "Failed password for root from 192.0.2.7 port 4022 ssh2"


@pytest.mark.parametrize(
    ("start", "host", "facility"),
    [("", "", None), ("web01 ", "web01", None), ("<38>web01 ", "web01", 4), ("<38>", "", 4)],
)
def test_priority_and_host_may_be_missing(start: str, host: str, facility: int | None) -> None:
    found = event(f"{start}sshd[812]: {SSHD}", "untimed_syslog")

    assert (found.host, found.fields.get("facility"), found.fields["pid"]) == (host, facility, 812)
    assert found.logsource == LogSource(product="linux", service="sshd")
    assert (found.fields["message"], found.fields["program"]) == (SSHD, "sshd")
    assert (found.fields["outcome"], found.fields["user"], found.fields["src_ip"]) == ("failure", "root", "192.0.2.7")


def test_a_line_is_dated_by_its_receipt() -> None:
    found = event("sshd[812]: x", "untimed_syslog")

    assert (found.time_us, found.time_known) == (NOW_US, "received")


def test_an_undated_line_has_no_time() -> None:
    found = parse(record("sshd[812]: x", format_="untimed_syslog"), undated=True)

    assert (found.time_us, found.time_known) == (None, "unknown")


def test_repeats_are_counted() -> None:
    assert event(f"sshd[812]: message repeated 5 times: [ {SSHD}]", "untimed_syslog").repeat == 5


@pytest.mark.parametrize(
    "line",
    [
        "sshd: no process id",
        "sshd[812] no colon",
        "sshd[12345678901]: more digits than a process id has",
        "two hosts sshd[812]: x",
        f"{'h' * 256} sshd[812]: x",
        f"{'t' * 129}[812]: x",
        '{"a":1} sshd[812]: x',
        "<192>sshd[812]: no such priority",
        "<1234>sshd[812]: x",
        "",
    ],
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ParseError):
        event(line, "untimed_syslog")


def test_it_is_detected_only_where_no_other_format_fits() -> None:
    assert detect([b"<38>web01 sshd[812]: x"]) == "untimed_syslog"
    assert detect([b"Nov 23 10:00:02 web01 sshd[812]: x"]) == "rfc3164"
    assert detect([b"<34>1 2026-11-23T10:00:02Z web01 sshd 812 - - x"]) == "rfc5424"
    assert detect([b"web01 nginx[28]: 2026/11/23 10:00:02 [notice] 28#28: start worker process 5"]) == "nginx_error"
