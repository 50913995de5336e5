"""What several alerts look like as one message on their way to the national centre."""

from typing import Any

import msgspec
import pytest
from feed_kit import KEY, ORG, SENDER, START_US, alert, evidence, release
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import validator_for
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from socmon.errors import HeldError
from socmon.event import LEVELS, SECOND_US, Alert
from socmon.feed.aggregate import MOST_MEMBERS, most_members, render_aggregate
from socmon.feed.checking import Limits, check, split, validator
from socmon.feed.message import Sender
from socmon.feed.sharing import Share
from socmon.outgoing import Aggregate, Member
from socmon.store.aggregating import name_of


def aggregate(*alerts: Alert) -> Aggregate:
    members = tuple(Member(each, each.revision) for each in alerts)
    return Aggregate(name_of(members), members)


def event_of(*alerts: Alert, sender: Sender = SENDER) -> dict[str, Any]:
    event: dict[str, Any] = msgspec.json.decode(render_aggregate(aggregate(*alerts), release(), sender))
    return event


def block_of(*alerts: Alert, sender: Sender = SENDER) -> Any:
    return event_of(*alerts, sender=sender)["data"]["unmapped"]["vn_soc"]


def test_an_aggregate_is_valid_by_our_schemas_and_by_ocsfs() -> None:
    event = event_of(alert(1), alert(2, agency="000.01.12.H07", system="portal", system_level=4))

    assert validator("envelope.v1").is_valid(event)
    assert validator("finding.v1").is_valid(event)
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    errors = validator_for(schemas.get_class_schema("detection_finding")).iter_errors(event["data"])
    assert [error.message for error in errors] == []


def test_it_says_what_is_so_of_all_of_them() -> None:
    made = [
        alert(1, level="low", count=5, revision=2),
        alert(2, level="medium", count=7, first_us=START_US - 30 * SECOND_US),
        alert(3, level="low", count=1, last_us=START_US + 90 * SECOND_US, approximate=True),
    ]

    event = event_of(*made)
    data = event["data"]

    assert event["subject"] == data["finding_info"]["uid"] == aggregate(*made).id
    assert (data["count"], data["severity_id"], data["finding_info"]["title"]) == (13, 3, "SSH brute force")
    assert (data["start_time"], data["end_time"]) == (START_US // 1000 - 30_000, START_US // 1000 + 90_000)
    assert data["message"] == "SSH brute force: 3 findings of 13 events in 120 s"
    assert data["unmapped"]["vn_soc"]["level"] == "medium"
    assert data["unmapped"]["vn_soc"]["aggregation"] == {
        "raw_events": 13,
        "approximate": True,
        "members": [{"uid": each.id, "socrev": each.revision} for each in made],
    }


def test_no_evidence_host_or_name_leaves_in_it() -> None:
    body = render_aggregate(aggregate(alert(1, evidence=[evidence(user="bao")]), alert(2)), release(), SENDER, KEY)

    for private in (b"evidences", b"observables", b"web-01", b"bao", b"root", b"10.1.2.3", b"203.0.113.77"):
        assert private not in body


def test_the_strictest_tlp_holds_for_all() -> None:
    clear, strict = alert(1, tags=["tlp.clear"]), alert(2, tags=["TLP.AMBER-STRICT"])

    assert block_of(clear, alert(2))["tlp"] == "AMBER"
    assert block_of(clear, strict)["tlp"] == "AMBER+STRICT"
    assert block_of(clear, alert(2, tags=["tlp.clear"]))["tlp"] == "CLEAR"


@pytest.mark.parametrize(
    "other",
    [alert(2, tags=["tlp.red"]), alert(2, level="low"), alert(2, agency="000.09.99.H07")],
    ids=["red", "below the level", "of another agency"],
)
def test_one_that_is_not_to_leave_keeps_them_all(other: Alert) -> None:
    sender = Sender(ORG, share=Share("medium", frozenset({"000.01.12.H07"})))

    with pytest.raises(HeldError):
        event_of(alert(1, agency="000.01.12.H07"), other, sender=sender)


def test_systems_are_named_where_all_are_of_one_and_the_highest_level_weighs() -> None:
    portal, payroll = {"system": "portal", "system_level": 2}, {"system": "payroll", "system_level": 5}

    one = block_of(alert(1, **portal), alert(2, **portal))
    two = event_of(alert(1, **portal), alert(2, **payroll))

    assert (one["system_id"], one["system_level"]) == ("portal", 2)
    assert "system_id" not in two["data"]["unmapped"]["vn_soc"]
    assert two["data"]["unmapped"]["vn_soc"]["system_level"] == 5
    assert two["data"]["severity_id"] == 4


def test_the_same_members_in_any_order_have_the_same_id() -> None:
    one, two = Member(alert(1), 5), Member(alert(2), 5)

    assert name_of([one, two]) == name_of([two, one])
    assert name_of([one, two]) != name_of([one, Member(alert(2), 6)])


@pytest.mark.parametrize("max_bytes", [10_000, 50_000, 1_000_000])
def test_as_many_as_may_be_joined_fit_into_a_batch(max_bytes: int) -> None:
    most = most_members(max_bytes)
    body = render_aggregate(aggregate(*(alert(number) for number in range(most))), release(), SENDER, KEY)

    assert 2 <= most <= MOST_MEMBERS
    assert len(body) < max_bytes


@given(
    levels=st.lists(st.sampled_from(LEVELS), min_size=2, max_size=8),
    title=st.text(st.characters(codec="utf-8"), max_size=3000),
    count=st.integers(1, 10**12),
    tags=st.lists(st.text(max_size=30).map("attack.".__add__), max_size=80),
    system_level=st.none() | st.integers(1, 5),
)
def test_whatever_the_alerts_their_message_is_accepted(
    levels: list[Any], title: str, count: int, tags: list[str], system_level: int | None
) -> None:
    made = [alert(number, level=level, title=title, count=count, tags=tags) for number, level in enumerate(levels)]

    body = render_aggregate(aggregate(*made), release(), Sender(ORG, system_level=system_level))

    (raw,) = split(b"[" + body + b"]", Limits())
    item = check(raw, 64)
    assert item.code == ""
    assert item.finding is not None
    assert item.finding.members == tuple((each.id, each.revision) for each in made)


@pytest.mark.parametrize(
    "members",
    [[], [{"uid": "a"}], [{"socrev": 1}], [{"uid": "", "socrev": 1}], [{"uid": "a", "socrev": -1}], ["a"], "a",
     [{"uid": str(number), "socrev": 1} for number in range(501)]],
)  # fmt: skip
def test_members_that_are_none_are_refused(members: Any) -> None:
    event = event_of(alert(1), alert(2))
    event["data"]["unmapped"]["vn_soc"]["aggregation"]["members"] = members

    (raw,) = split(b"[" + msgspec.json.encode(event) + b"]", Limits())

    assert check(raw, 64).code == "schema"
