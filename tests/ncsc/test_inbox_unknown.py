"""Members of findings that no schema names: kept, counted by place, and bounded."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from feed_kit import KEY, ORG, START_US, centre_and_client, message, void
from hypothesis import given
from hypothesis import strategies as st
from ncsc_centre_kit import inbox_in, put, statuses

from socmon.event import SECOND_US
from socmon.feed.signing import sign_event
from socmon.feed.unknown import MAX_NAMED, unknown_members
from socmon.ncsc.counts import MAX_UNKNOWN


def with_members(seq: int, **members: object) -> bytes:
    """Finding `seq` with more members; two underscores in a name stand for a slash."""
    event = msgspec.json.decode(message(seq))
    for path, value in members.items():
        *above, name = path.split("__")
        place = event
        for part in above:
            place = place[part]
        place[name] = value
    return sign_event(event, KEY, START_US // SECOND_US)


async def test_an_unknown_member_is_kept_in_its_place_and_counted_once_an_event(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        newer = [with_members(seq, data__colour="red", data__finding_info__smell=1, future=[1]) for seq in (1, 2)]

        assert await client.statuses([*newer, message(3)]) == ["stored"] * 3
        assert await client.statuses(newer) == ["duplicate"] * 2

        stats = await client.stats()
        assert stats["unknown"] == 2
        assert stats["unknown_members"] == {"data/colour": 2, "data/finding_info/smell": 2, "future": 2}
        metrics = (await client.text(centre.admin_url + "/metrics")).splitlines()
        assert f'ncsc_unknown_member_events{{organisation="{ORG}"}} 2.0' in metrics
        assert "data/finding_info/smell" in await client.text(centre.admin_url)


async def test_no_sender_can_make_more_names_than_are_told_apart(tmp_path: Path) -> None:
    async with inbox_in(tmp_path) as inbox:
        for seq in range(1, 11):
            members: dict[str, Any] = {f"data__x{seq}y{number}": 1 for number in range(100)}
            assert await statuses(inbox, with_members(seq, **members)) == ["stored"]
        await put(inbox, with_members(11, data__x1y0=1))

        stats = (await inbox.stats())[ORG]

    assert stats["unknown"] == 11
    assert len(stats["unknown_members"]) == MAX_UNKNOWN
    assert stats["unknown_members"]["data/x1y0"] == 2


def test_a_void_of_ours_has_no_unknown_member() -> None:
    assert unknown_members(msgspec.json.decode(void(1, 2, subject="an-alert")), "void.v1") == ()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("schema", ["finding.v1", "void.v1"])
@given(event=st.dictionaries(st.sampled_from(["data", "id", "other"]) | st.text(max_size=200), _JSON, max_size=30))
def test_whatever_the_event_a_bounded_list_of_places_comes_out(schema: str, event: dict[str, Any]) -> None:
    found = unknown_members(event, schema)

    assert len(found) == len(set(found)) <= MAX_NAMED
    assert "id" not in found
