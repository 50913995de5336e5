"""Entries of systemd's journal are read as what their programs say, with their own time and fields."""

import json
from typing import Any

import pytest

from socmon.errors import ParseError
from socmon.event import Event, LogSource, Record, Source
from socmon.parsers import detect, parse

CURSOR = "s=af7ad2bb81604616871055f4eab6bace;i=1;b=aaaa;m=f4240;t=64481eb097740;x=a7e315e91848dec9"
ENTRY = {
    "__CURSOR": CURSOR,
    "__REALTIME_TIMESTAMP": "1764174645000000",
    "__MONOTONIC_TIMESTAMP": "1000000",
    "_SOURCE_REALTIME_TIMESTAMP": "1764174644998123",
    "_HOSTNAME": "web1",
    "SYSLOG_IDENTIFIER": "sshd",
    "SYSLOG_FACILITY": "4",
    "PRIORITY": "6",
    "_PID": "812",
    "_UID": "0",
    "MESSAGE": "Failed password for root from 203.0.113.7 port 40022 ssh2",
}


def read(**changes: Any) -> Event:
    entry = {name: value for name, value in (ENTRY | changes).items() if value is not ...}
    return parse(Record(json.dumps(entry).encode(), Source("c", "web1", "journald"), 7))


def test_an_entry_is_what_its_program_says_at_the_time_it_was_sent() -> None:
    event = read()

    assert (event.time_us, event.time_known, event.host) == (1764174644998123, "stated", "web1")
    assert event.logsource == LogSource(product="linux", service="sshd")
    assert event.fields == {
        "_SOURCE_REALTIME_TIMESTAMP": "1764174644998123",
        "_HOSTNAME": "web1",
        "SYSLOG_IDENTIFIER": "sshd",
        "SYSLOG_FACILITY": "4",
        "PRIORITY": "6",
        "_PID": "812",
        "_UID": "0",
        "user": "root",
        "method": "password",
        "src_ip": "203.0.113.7",
        "src_port": 40022,
        "outcome": "failure",
        "message": ENTRY["MESSAGE"],
        "program": "sshd",
        "pid": 812,
        "facility": 4,
        "severity": 6,
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"_SOURCE_REALTIME_TIMESTAMP": ...}, 1764174645000000),
        ({"_SOURCE_REALTIME_TIMESTAMP": "0"}, 1764174645000000),
        ({"_SOURCE_REALTIME_TIMESTAMP": "99999999999999999999"}, 1764174645000000),
        ({"_SOURCE_REALTIME_TIMESTAMP": ["1", "2"], "__REALTIME_TIMESTAMP": None}, 7),
    ],
)
def test_without_a_time_of_sending_that_of_the_journal_counts(changes: dict[str, Any], expected: int) -> None:
    assert read(**changes).time_us == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([255, 254, 32, 120], "\\xff\\xfe x"),
        (["first", "second"], "first"),
        ([[255, 65], "b"], "\\xffA"),
        (None, ""),
        ([], ""),
        ([256, 1], "256"),
        ({"a": [[]]}, ""),
        (True, "True"),
    ],
)
def test_a_message_may_be_anything(value: Any, expected: str) -> None:
    assert read(MESSAGE=value).fields["message"] == expected


def test_fields_that_stand_several_times_are_lists_and_others_names_are_left_out() -> None:
    fields = read(UNIT=["a.service", "b.service"], src_ip="10.0.0.1", outcome="success", __X="y", MESSAGE="x").fields

    assert fields["UNIT"] == ["a.service", "b.service"]
    assert not {"src_ip", "outcome", "__X", "__CURSOR"} & fields.keys()


def test_the_program_is_the_command_where_no_identifier_is_stated() -> None:
    event = read(SYSLOG_IDENTIFIER=..., _COMM="sshd", SYSLOG_PID="5", PRIORITY="99", SYSLOG_FACILITY="x")

    assert (event.fields["program"], event.fields["pid"]) == ("sshd", 5)
    assert event.fields["src_ip"] == "203.0.113.7"
    assert not {"facility", "severity"} & event.fields.keys()


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"__CURSOR": 5}', b'{"__CURSOR":"s=', b"\xff"])
def test_what_is_no_entry_is_unparsed(data: bytes) -> None:
    with pytest.raises(ParseError):
        parse(Record(data, Source("c", "p", "journald"), 0))


def test_the_format_is_found_out_and_other_json_stays_json() -> None:
    entry = json.dumps(ENTRY, separators=(",", ":")).encode()

    assert detect([entry]) == "journald"
    assert detect([b'{"__CURSOR":1,"message":"x"}', b'{"time":"2026-11-23T10:00:02Z"}']) == "json"
