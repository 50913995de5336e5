"""What an alert looks like on its way to the national centre."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from feed_kit import ORG, SENDER, START_US, alert, evidence, message, release
from hypothesis import given
from hypothesis import strategies as st

from socmon.event import LEVELS, Level, ReportDuty, rfc3339
from socmon.feed.checking import Limits, check, split, validator
from socmon.feed.message import Sender, event_id, render
from socmon.feed.privacy import external_ip
from socmon.feed.vocabulary import rsit, severity, stream_of


def test_a_rendered_alert_is_valid_by_both_schemas() -> None:
    event = msgspec.json.decode(render(alert(), release(), SENDER))

    assert validator("envelope.v1").is_valid(event)
    assert validator("finding.v1").is_valid(event)


@given(
    level=st.sampled_from(LEVELS),
    title=st.text(st.characters(codec="utf-8"), max_size=3000),
    count=st.integers(1, 10**12),
    tags=st.lists(st.text(max_size=30).map("attack.".__add__), max_size=80),
    fields=st.dictionaries(st.sampled_from(["src_ip", "src_port", "dst_ip", "dst_port"]), st.text(max_size=20)),
    system_level=st.none() | st.integers(1, 5),
)
def test_whatever_the_alert_its_message_is_accepted(
    level: Level, title: str, count: int, tags: list[str], fields: dict[str, str], system_level: int | None
) -> None:
    made = alert(level=level, title=title, count=count, tags=tags, evidence=[evidence(1, **fields)])

    body = render(made, release(), Sender(ORG, system_level=system_level))

    (raw,) = split(b"[" + body + b"]", Limits())
    item = check(raw, 64)
    assert (item.code, item.unknown) == ("", ())


def test_the_message_is_placed_by_its_release() -> None:
    event = msgspec.json.decode(render(alert(), release(48217, revision=9, stream="urgent"), SENDER))

    assert event["source"] == f"urn:vn:soc:{ORG}/urgent"
    assert event["socseq"] == "00000000000000048217"
    assert event["socrev"] == 9
    assert event["subject"] == alert().id
    assert event["time"] == "2026-11-22T16:59:02Z"


def test_no_raw_line_user_host_or_internal_address_is_sent() -> None:
    body = render(alert(evidence=[evidence(dst_ip="192.168.7.7")]), release(), SENDER)

    for private in (b"Failed password", b"root", b"web-01", b"10.1.2.3", b"192.168.7.7", b"/var/log"):
        assert private not in body
    assert b"203.0.113.77" in body
    block = msgspec.json.decode(body)["data"]["unmapped"]["vn_soc"]
    assert block["pii"]["removed"] == ["device.hostname", "internal_ip", "raw_data", "user.name"]


def test_equal_endpoints_are_listed_once() -> None:
    data = msgspec.json.decode(render(alert(evidence=[evidence(1), evidence(2)]), release(), SENDER))["data"]

    assert data["evidences"] == [{"src_endpoint": {"ip": "203.0.113.77", "port": 51514}}]
    assert [seen["value"] for seen in data["observables"]] == ["203.0.113.77"]


def test_attack_tags_become_tactics_and_techniques() -> None:
    info = msgspec.json.decode(render(alert(), release(), SENDER))["data"]["finding_info"]

    assert info["attacks"] == [
        {
            "tactics": [{"uid": "TA0006", "name": "Credential Access"}],
            "technique": {"uid": "T1110"},
            "sub_technique": {"uid": "T1110.001"},
        }
    ]
    assert info["types"] == ["intrusion-attempts", "brute-force"]


def test_a_technique_without_class_is_left_undetermined() -> None:
    assert rsit(["attack.t9999", "cve.2024.1234"]) == "other/undetermined"


def test_an_agency_stands_below_its_province() -> None:
    made = alert(agency="000.12.34.H07")

    block = msgspec.json.decode(render(made, release(), SENDER))["data"]["unmapped"]["vn_soc"]

    assert block["org_id"] == "000.12.34.H07"
    assert block["org_path"] == [ORG, "000.12.34.H07"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, ("province", 3, 3)),
        ({"system": "dvc", "system_level": 4}, ("dvc", 4, 4)),
        ({"system": "web"}, ("web", None, 3)),
    ],
)
def test_an_alerts_own_system_is_told_and_weighs_the_senders_where_it_names_none(
    named: dict[str, Any], expected: tuple[str, int | None, int]
) -> None:
    sender = Sender(ORG, system_id="province", system_level=3)

    data = msgspec.json.decode(render(alert(**named), release(), sender))["data"]

    block = data["unmapped"]["vn_soc"]
    assert (block["system_id"], block.get("system_level"), data["severity_id"]) == expected


def test_a_closed_alert_is_a_resolved_finding() -> None:
    data = msgspec.json.decode(render(alert(status="closed"), release(), SENDER))["data"]

    assert (data["activity_id"], data["type_uid"], data["status_id"]) == (3, 200403, 4)


@pytest.mark.parametrize(
    ("level", "system_level", "expected"),
    [("medium", None, 3), ("medium", 3, 3), ("medium", 4, 4), ("critical", None, 5), ("critical", 5, 6)],
)
def test_severity_is_the_rules_level_and_one_more_on_important_systems(
    level: Level, system_level: int | None, expected: int
) -> None:
    assert severity(level, system_level) == expected


def test_only_high_and_critical_alerts_are_urgent() -> None:
    assert [level for level in LEVELS if stream_of(level) == "urgent"] == ["high", "critical"]


def test_an_event_id_is_a_uuid7_of_the_release_time() -> None:
    made = UUID(event_id(release()))

    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == (START_US + 60_000_000) // 1000


def test_an_event_id_depends_on_the_place_and_on_nothing_else() -> None:
    assert event_id(release(1)) == event_id(release(1, revision=6))
    places = [
        release(1),
        release(2),
        release(1, stream="urgent"),
        release(1, epoch="019ab4c0d1e3"),
        release(1, destination="b"),
    ]
    assert len({event_id(place) for place in places}) == len(places)


def test_data_of_one_revision_are_equal_in_every_release() -> None:
    first, second = (msgspec.json.decode(message(seq, number=1)) for seq in (1, 2))

    assert first["id"] != second["id"]
    assert first["data"] == second["data"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("203.0.113.77", "203.0.113.77"),
        ("2001:db8:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", None),
        ("::ffff:10.0.0.1", None),
        ("100.64.0.1", None),
        ("::1", None),
        ("fe80::1", None),
        ("fd00::1", None),
        ("not an address", None),
        (None, None),
    ],
)
def test_only_addresses_from_outside_leave(text: str | None, shown: str | None) -> None:
    assert external_ip(text) == shown


def test_a_test_alert_says_that_it_is_none() -> None:
    event = msgspec.json.decode(render(alert(tags=["socmon.test"]), release(), SENDER))

    block = event["data"]["unmapped"]["vn_soc"]
    assert (block["test"], block["rsit"], event["data"]["finding_info"]["types"]) == (
        True,
        "test/test",
        ["test", "test"],
    )
    assert validator("finding.v1").is_valid(event)


def test_no_other_alert_is_marked_as_a_test() -> None:
    assert "test" not in msgspec.json.decode(render(alert(), release(), SENDER))["data"]["unmapped"]["vn_soc"]


def test_it_says_when_the_clocks_started_and_what_is_due_where_that_is_known() -> None:
    due = ReportDuty("first", "level critical", START_US + 1_500_000)
    known = (alert(t0_us=START_US, duty=due), alert(t0_us=START_US, duty=ReportDuty("none", "level")), alert())
    datas = [msgspec.json.decode(render(each, release(), SENDER))["data"] for each in known]
    blocks = [data["unmapped"]["vn_soc"] for data in datas]

    assert [block.get("t0") for block in blocks] == [rfc3339(START_US), rfc3339(START_US), None]
    assert [block.get("report_duty") for block in blocks] == [
        {"kind": "first", "reason": "level critical", "due": rfc3339(START_US + 1_500_000)},
        {"kind": "none", "reason": "level"},
        None,
    ]
