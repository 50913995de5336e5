"""A void as it is made and read: the sequences that no alert will have."""

import msgspec
import pytest
from feed_kit import ORG, release
from hypothesis import given
from hypothesis import strategies as st

from socmon.feed.checking import validator
from socmon.feed.message import event_id
from socmon.feed.signing import canonical
from socmon.feed.void import LOSSES, VOID_REASONS, render_void
from socmon.outgoing import VoidReason


@given(first=st.integers(1, 2**52), more=st.integers(0, 2**52), reason=st.sampled_from(VOID_REASONS))
def test_a_void_is_valid_by_both_schemas_and_canonical(first: int, more: int, reason: VoidReason) -> None:
    body = render_void(release(first), first + more, reason, ORG, None)

    event = msgspec.json.decode(body)
    assert validator("envelope.v1").is_valid(event)
    assert validator("void.v1").is_valid(event)
    assert canonical(event) == body
    assert event["data"] == {"from": first, "to": first + more, "reason": reason}


def test_a_void_is_placed_by_its_release_and_names_its_alert() -> None:
    event = msgspec.json.decode(render_void(release(7, stream="urgent"), 9, "withdrawn", ORG, None, "an-alert"))

    assert event["source"] == f"urn:vn:soc:{ORG}/urgent"
    assert event["socseq"] == "00000000000000000007"
    assert event["subject"] == "an-alert"
    assert "socrev" not in event


def test_a_void_never_has_the_id_of_what_it_stands_for() -> None:
    bodies = [render_void(release(7), to, reason, ORG, None) for to in (7, 8) for reason in ("expired", "lost_local")]

    ids = {msgspec.json.decode(body)["id"] for body in bodies}

    assert len(ids) == 4
    assert event_id(release(7)) not in ids


@pytest.mark.parametrize(("first", "last"), [(0, 3), (5, 4)])
def test_a_void_that_covers_nothing_is_not_made(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="covers nothing"):
        render_void(release(first), last, "dropped", ORG, None)


def test_the_schema_knows_each_reason_and_no_other() -> None:
    event = msgspec.json.decode(render_void(release(7), 7, "dropped", ORG, None))
    event["data"]["reason"] = "lost"

    assert not validator("void.v1").is_valid(event)
    assert set(VOID_REASONS) > LOSSES == {"expired", "lost_local"}
