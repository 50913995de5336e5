"""Windows events as JSON: every shape that shippers give them, and what hostile ones come to."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from socmon.errors import ParseError
from socmon.event import Event, LogSource, Record, Source, rfc3339
from socmon.parsers import detect, parse, windows_json

LOGON = {
    "EventID": 4625,
    "Channel": "Security",
    "Provider_Name": "Microsoft-Windows-Security-Auditing",
    "Computer": "dc1.tinh.example",
    "TimeCreated": "2026-11-23T03:00:02.1234567Z",
    "TargetUserName": "hoa.nt",
    "IpAddress": "::ffff:192.0.2.7",
    "WorkstationName": "-",
}
RECEIVED_US = 1_795_402_800_000_000


def read(event: Mapping[str, Any] | bytes, *, zone: str = "UTC", chosen: str = "windows_json") -> Event:
    data = event if isinstance(event, bytes) else json.dumps(event).encode()
    return parse(Record(data, Source("c", "p", chosen, zone=zone), RECEIVED_US))


def test_a_flat_event_keeps_its_fields_as_they_stand() -> None:
    event = read(LOGON)

    assert {name: event.fields[name] for name in LOGON} == LOGON
    assert event.fields["message"] == "Security 4625"
    assert (event.host, event.logsource) == ("dc1.tinh.example", LogSource("windows"))
    assert (rfc3339(event.time_us or 0), event.time_known) == ("2026-11-23T03:00:02.123456Z", "stated")
    assert event.entities == {"host": ["dc1.tinh.example"], "user": ["hoa.nt"], "ip": ["192.0.2.7"]}


def test_winlogbeat_says_the_same_under_names_of_its_own() -> None:
    shipped = {
        "@timestamp": "2026-11-23T03:00:02.123Z",
        "host": {"name": "shipper"},
        "message": "An account failed to log on.",
        "winlog": {
            "channel": "Security",
            "event_id": "4625",
            "computer_name": "dc1.tinh.example",
            "provider_name": "Microsoft-Windows-Security-Auditing",
            "task": "Logon",
            "process": {"pid": 4},
            "event_data": {
                "TargetUserName": "hoa.nt",
                "IpAddress": "192.0.2.7",
                "channel": "System",
                "TimeCreated": "2020-01-01T00:00:00Z",
                "Hostname": "pc9",
                "@timestamp": 1,
                "UtcTime": "-",
            },
        },
    }

    event = read(shipped)

    wanted = {"Channel": "Security", "EventID": "4625", "TargetUserName": "hoa.nt", "IpAddress": "192.0.2.7"}
    wanted |= {"winlog.task": "Logon", "message": "An account failed to log on.", "host.name": "shipper"}
    assert {name: event.fields[name] for name in wanted} == wanted
    assert event.fields["Provider_Name"] == LOGON["Provider_Name"]
    assert event.fields["winlog.process.pid"] == 4
    assert (event.host, rfc3339(event.time_us or 0)) == ("dc1.tinh.example", "2026-11-23T03:00:02.123Z")


def test_the_events_xml_as_json_has_attributes_joined_to_their_element() -> None:
    dumped = {
        "Event": {
            "EventData": {"Channel": "Application", "EventID": 1, "Threat Name": "EICAR", "Threat": {"A": {"B": 1}}},
            "System": {
                "Provider": {"#attributes": {"Name": "Service Control Manager", "Guid": "x"}},
                "EventID": {"#attributes": {"Qualifiers": 16384}, "#text": 7045},
                "TimeCreated": {"#attributes": {"SystemTime": "2026-11-23T03:00:02Z"}},
                "Execution": {"#attributes": {"ProcessID": 4}},
                "Channel": "System",
                "Computer": "pc1",
            },
        }
    }

    fields = read(dumped).fields

    assert (fields["Channel"], fields["EventID"]) == ("System", 7045)  # what was logged does not pass for them
    assert (fields["Provider_Name"], fields["EventID_Qualifiers"]) == ("Service Control Manager", 16384)
    assert (fields["TimeCreated"], fields["Execution_ProcessID"]) == ("2026-11-23T03:00:02Z", 4)
    assert (fields["ThreatName"], fields["Threat.A.B"]) == ("EICAR", 1)


def test_what_was_logged_cannot_stand_for_what_the_system_left_out() -> None:
    said = {"Hostname": "pc9", "Computer": "pc9", "SourceName": "x", "TimeCreated": "2020-01-01T00:00:00Z"}

    event = read({"Event": {"EventData": said, "System": {"EventID": 1, "Channel": "Application"}}})

    assert (event.host, event.time_known) == ("", "received")
    assert "Provider_Name" not in event.fields
    assert event.fields["Hostname"] == "pc9"


def test_what_was_logged_without_names_is_the_field_data() -> None:
    system = {"EventID": 400, "Channel": "Windows PowerShell"}

    for data in ({"Data": {"#text": ["a", "b"]}}, {"Data": ["a", "b"]}):
        assert read({"Event": {"System": system, "EventData": data}}).fields["Data"] == ["a", "b"]


def test_user_data_stands_in_an_element_of_its_own() -> None:
    cleared = {"LogFileCleared": {"#attributes": {"xmlns": "x"}, "SubjectUserName": "hoa.nt"}}
    system = {"EventID": 1102, "Channel": "Security", "Provider": {"Name": "Microsoft-Windows-Eventlog"}}

    fields = read({"Event": {"System": system, "UserData": cleared}}).fields

    assert (fields["SubjectUserName"], fields["Provider_Name"]) == ("hoa.nt", "Microsoft-Windows-Eventlog")


def test_nxlog_names_host_and_provider_otherwise_and_states_local_time() -> None:
    event = read(
        {
            "EventTime": "2026-11-23 10:00:02",
            "Hostname": "pc1",
            "EventID": "4688",
            "SourceName": "Microsoft-Windows-Security-Auditing",
            "Channel": "security",
        },
        zone="Asia/Ho_Chi_Minh",
    )

    assert (event.host, event.fields["Computer"]) == ("pc1", "pc1")
    assert event.fields["Provider_Name"] == event.fields["SourceName"]
    assert rfc3339(event.time_us or 0) == "2026-11-23T03:00:02Z"


@pytest.mark.parametrize(
    ("stated", "time"),
    [
        ({"TimeCreated": "2026-11-23T10:00:02+07:00", "@timestamp": "2026-01-01T00:00:00Z"}, "2026-11-23T03:00:02Z"),
        ({"TimeCreated": "nonsense", "UtcTime": "2026-11-23 03:00:02.5"}, "2026-11-23T03:00:02.5Z"),
        ({"@timestamp": 1795402802.25}, "2026-11-23T03:00:02.25Z"),
        ({"@timestamp": "1795402802000"}, "2026-11-23T03:00:02Z"),
        ({"TimeGenerated": "2026-11-23T03:00:02Z", "EventTime": "2026-11-23 04:00:00"}, "2026-11-23T03:00:02Z"),
    ],
)
def test_the_time_is_the_first_that_is_stated(stated: dict[str, Any], time: str) -> None:
    rest = {name: value for name, value in LOGON.items() if name != "TimeCreated"}

    event = read(rest | stated, zone="Asia/Ho_Chi_Minh" if "UtcTime" in stated else "UTC")

    assert (rfc3339(event.time_us or 0), event.time_known) == (time, "stated")


def test_an_event_without_a_time_gets_that_of_its_receipt() -> None:
    event = read({"EventID": 1, "Channel": "System", "TimeCreated": None})

    assert (event.time_us, event.time_known) == (RECEIVED_US, "received")


def test_entities_are_what_is_named_and_nothing_is_made_up() -> None:
    sysmon = {
        "User": "TINH\\hoa.nt",
        "ParentUser": "-",
        "TargetUserName": "PC1$",
        "IpAddress": "LOCAL",
        "SourceIp": "::1",
        "DestinationIp": "0.0.0.0",
        "ClientAddress": 7,
        "WorkstationName": "",
        "DestinationHostname": "mail.example",
        "QueryName": "www.example",
        "Hashes": f"MD5={'AB' * 16},SHA256={'0f' * 32},IMPHASH={'0' * 32},SHA1=short, {'1' * 32}",
    }

    event = read(LOGON | sysmon)

    assert event.entities == {
        "host": ["dc1.tinh.example", "mail.example"],
        "user": ["TINH\\hoa.nt", "PC1$"],
        "ip": ["::1"],
        "hash": ["ab" * 16, "0f" * 32, "1" * 32],
        "domain": ["www.example"],
    }


def test_sysmon_for_linux_is_of_linux() -> None:
    event = read(LOGON | {"Provider_Name": "Linux-Sysmon", "Channel": "Linux-Sysmon/Operational"})

    assert event.logsource == LogSource("linux", None, "sysmon")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"EventID": 1}',
        b'{"EventID": true, "Channel": "Security"}',
        b'{"EventID": -1, "Channel": "Security"}',
        b'{"EventID": 99999999999, "Channel": "Security"}',
        b'{"EventID": [1], "Channel": "Security"}',
        b'{"EventID": "1 or 2", "Channel": "Security"}',
        b'{"EventID": 1, "Channel": ["Security"]}',
        b'{"EventID": 1, "Channel": "Security", "a": NaN}',
        b'{"EventID": 1, "Channel": "Security"',
        b'{"EventID": 1, "Channel": "Security", "a": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"EventID": 1, "Channel": "Security", "a": ' + b'{"a":' * 2000 + b"1" + b"}" * 2001,
    ],
)
def test_what_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        read(data)
    assert not windows_json.fits(data)


def test_hostile_values_are_kept_safely() -> None:
    data = b'{"EventID":1,"EventID":2,"Channel":"Security","a":"\\ud800","b":"\xff","c":%s,"d":{"e":null}}' % (
        b"9" * 40
    )

    fields = read(data).fields

    assert (fields["EventID"], fields["a"], fields["b"]) == (2, "\\ud800", "\\xff")
    assert (fields["c"], fields["d.e"]) in {("9" * 40, None), (1e40, None)}
    json.dumps(fields).encode()


def test_fields_are_bounded_in_number_and_name() -> None:
    wide = {"Event": {"System": LOGON, "EventData": {f"{number}{'x' * 500}": number for number in range(5_000)}}}

    fields = read(wide).fields

    assert len(fields) <= 1024 + 4
    assert max(map(len, fields)) == 256
    assert fields["EventID"] == 4625


def test_only_what_surely_is_an_event_is_detected() -> None:
    assert detect([json.dumps(LOGON).encode()]) == "windows_json"
    assert detect([b'{"EventID":7,"message":"x","Channel":"chat"}']) == "json"
    assert detect([b'{"text":"\\"EventID\\" of Channel and Computer"}']) == "json"
    assert detect([b'{"winlog":{"event_id":1,"channel":"System","computer_name":"pc1"}}']) == "windows_json"


def test_an_event_that_a_shipper_wrapped_in_syslog_is_one() -> None:
    line = b"<14>Nov 23 10:00:02 dc1 Microsoft-Windows-Security-Auditing[4]: " + json.dumps(LOGON).encode()

    event = parse(Record(line, Source("c", "p", "rfc3164"), RECEIVED_US))

    assert event.logsource == LogSource("windows")
    assert (event.fields["EventID"], event.fields["TargetUserName"], event.host) == (4625, "hoa.nt", "dc1")
    assert event.entities["ip"] == ["192.0.2.7"]


def test_a_program_of_linux_cannot_pass_for_windows() -> None:
    for tag in ("sshd[7]", "sudo", "app"):
        text = LOGON if tag != "app" else {"EventID": 7, "Channel": "chat"}
        line = f"<14>Nov 23 10:00:02 web1 {tag}: {json.dumps(text)}".encode()
        assert parse(Record(line, Source("c", "p", "rfc3164"), RECEIVED_US)).logsource.product == "linux"
