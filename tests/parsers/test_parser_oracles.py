"""Real lines with what others read from them; each difference that is allowed was looked at and is explained."""

import json
import lzma
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from parsers.records import event, record

from socmon.addresses import address
from socmon.errors import ParseError
from socmon.event import to_us
from socmon.parsers import detect, parse

DATA = Path(os.environ.get("SOCMON_DATA", Path(__file__).parents[2] / "../shared/data")) / "logs" / "logs"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not here; set SOCMON_DATA")

# Rows (from 0) that follow one library's policy: a strict host name, or a message that must not be empty.
POLICY = {76, 81, 82, 83}
# Of RFC 5424: structured data without an end taken for valid, and a version other than 1 for invalid.
POLICY_5424 = {86, 88}
# Values that the library leaves escaped (section 6.3.3 undoes `\\"`, `\\\\` and `\\]`).
STILL_ESCAPED = {53, 54, 55, 56, 61}

# What one line cannot tell: the address stands on an earlier line of the connection.
ELSEWHERE = (
    "Disconnecting: Too many authentication failures",
    "kex_exchange_identification: ",
    "Unable to negotiate a key exchange method",
    "no matching mac found: client",
    "Read from socket failed: Connection reset by peer",
)
# A kernel's clock inside sshd's own message: no OpenSSH writes that.
NOT_OF_SSHD = "]: kernel:"
# They take what follows `ssh2: ` for a detail; for a password sshd writes none, so it is still the user's name.
NO_DETAIL = "ssh2: from 10.10.1.2 port 55555 ssh2"
# `rhost=` stands twice, and either name may be the liar.
TWO_HOSTS = "ruser= rhost=192.0.2.2 user=test rhost=192.0.2.152"


def rows(name: str) -> Iterator[dict[str, Any]]:
    path = DATA / name
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


@pytest.mark.parametrize(
    ("dataset", "host", "tag", "pid"),
    [("OpenSSH", "Component", None, "Pid"), ("Linux", "Level", "Component", "PID")],
)
def test_headers_of_loghub_are_read_as_labelled(dataset: str, host: str, tag: str | None, pid: str) -> None:
    labelled = [row for row in rows("loghub.jsonl.xz") if row["dataset"] == dataset]
    assert detect([row["line"].encode() for row in labelled[:20]]) == "rfc3164"

    for row in labelled:
        found, expected = event(row["line"]), row["expected"]

        assert found.host == expected[host]
        assert found.fields["program"] == (expected[tag] if tag else "sshd")
        assert str(found.fields.get("pid", "")) == expected[pid]
        assert found.fields["message"] == expected["Content"]


def test_every_failed_login_of_loghub_is_a_failure_with_its_address() -> None:
    failed = [
        row["line"] for row in rows("loghub.jsonl.xz") if "]: Failed " in row["line"] and row["dataset"] == "OpenSSH"
    ]

    found = [event(line).fields for line in failed]

    assert len(found) > 100
    assert all(
        fields["outcome"] == "failure" and fields["src_ip"] in line for fields, line in zip(found, failed, strict=True)
    )


def test_syslog_cases_are_valid_where_two_libraries_say_so() -> None:
    for n, row in enumerate(rows("syslog_cases.jsonl")):
        if row["format"] != "rfc3164" or n in POLICY:
            continue
        if not row["valid"]:
            with pytest.raises(ParseError):
                event(row["input"])
            continue
        found, expected = event(row["input"]), row["expected"]

        assert found.host == expected["hostname"]
        assert found.fields["message"] == expected["message"]
        assert found.fields.get("program", "") == expected.get("appname", expected.get("tag", ""))
        assert str(found.fields.get("pid", "")) == expected.get("procid", expected.get("pid", ""))
        priority = found.fields["facility"] * 8 + found.fields["severity"]
        assert priority == expected.get("priority", expected.get("pri"))


def test_cases_of_rfc5424_are_valid_where_two_libraries_say_so() -> None:
    seen = 0
    for n, row in enumerate(rows("syslog_cases.jsonl")):
        if row["format"] != "rfc5424" or n in POLICY_5424:
            continue
        seen += 1
        case = record(row["input"], format_="rfc5424")
        if not row["valid"]:
            with pytest.raises(ParseError):
                parse(case)
            continue
        found, expected = parse(case), row["expected"]

        assert found.host == expected.get("hostname", "")
        assert found.fields["message"] == expected.get("message", "").strip()
        assert found.fields.get("program", "") == expected.get("appname", expected.get("tag", ""))
        assert str(found.fields.get("pid", found.fields.get("procid", ""))) == expected.get(
            "procid", expected.get("pid", "")
        )
        assert found.fields.get("msgid", "") == expected.get("msgid", "")
        assert found.fields["facility"] * 8 + found.fields["severity"] == expected.get("priority", expected.get("pri"))
        if n not in STILL_ESCAPED:
            data = expected.get("structured_data", {})
            flat = {f"{name}.{param}": value for name, params in data.items() for param, value in params.items()}
            assert {name: value for name, value in found.fields.items() if "." in name} == flat
        if "timestamp" in expected:
            assert found.time_us == to_us(datetime.fromisoformat(expected["timestamp"]))
    assert seen > 60


def sshd_rows() -> list[tuple[str, dict[str, Any]]]:
    """(line, expected) of fail2ban's sshd lines that its authors annotated; the journal's get a stamp."""
    stamps = {"sshd": "", "sshd-journal": "Nov 23 10:00:00 "}
    return [
        (stamps[row["file"]] + row["line"], row["expected"])
        for row in rows("fail2ban.jsonl")
        if row["file"] in stamps and row["annotated"]
    ]


def test_addresses_are_those_that_fail2ban_bans() -> None:
    agreed, explained, differing = 0, 0, []
    for line, expected in sshd_rows():
        host = expected.get("host") or expected.get("ip4") or expected.get("ip6")
        if not host:
            continue
        fields = event(line).fields
        if fields.get("src_ip", fields.get("src_host")) == (address(host) or host):
            agreed += 1
        elif any(reason in line for reason in (*ELSEWHERE, NOT_OF_SSHD, NO_DETAIL)):
            explained += 1
        else:
            differing.append((host, line))

    assert differing == []
    assert agreed >= 5 * explained


def test_users_are_those_that_fail2ban_reports() -> None:
    named = [(line, expected["user"]) for line, expected in sshd_rows() if expected.get("user") is not None]

    assert len(named) > 3
    assert [event(line).fields.get("user") for line, _ in named] == [user for _, user in named]


def test_addresses_of_mail_and_pam_are_those_that_fail2ban_bans() -> None:
    agreed, differing = 0, []
    for row in rows("fail2ban.jsonl"):
        host = row["expected"].get("host")
        if row["file"] not in {"postfix", "dovecot", "pam-generic", "vsftpd"} or not (host and row["annotated"]):
            continue
        found = parse(record(row["line"], format_="auto")).fields
        if host in {found.get("src_ip"), found.get("src_host")}:
            agreed += 1
        elif TWO_HOSTS not in row["line"]:
            differing.append((host, row["line"]))

    assert differing == []
    assert agreed >= 80


def test_what_fail2ban_bans_for_is_a_failure_or_an_action() -> None:
    banned = [
        row["line"]
        for row in rows("fail2ban.jsonl")
        if row["file"] in {"postfix", "dovecot", "pam-generic", "vsftpd"}
        and row["annotated"]
        and row["expected"]["match"]
    ]

    found = [parse(record(line, format_="auto")).fields for line in banned]

    neither = [fields["message"] for fields in found if fields.get("outcome") != "failure" and "action" not in fields]
    assert neither == []


def test_no_line_of_any_system_raises_anything_but_parse_error() -> None:
    for name in ("loghub.jsonl.xz", "fail2ban.jsonl"):
        for row in rows(name):
            try:
                parse(record(row["line"], format_="auto"))
            except ParseError:
                continue
