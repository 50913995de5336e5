"""Forwarder `ncsc` has a quota, and makes one message of several alerts."""

from pathlib import Path
from typing import Any

import pytest
from feed_kit import ORG, alert, centre_and_client, released
from harness import FakeContext
from ncsc_kit import forwarding, keys_of, said, settings_for

from forwarders.ncsc import NcscForwarder
from socmon.feed.keys import generate
from socmon.outgoing import Aggregate, Member, Quota, Released
from socmon.store.aggregating import name_of


def test_all_streams_but_urgent_have_a_quota_and_an_aggregate_fits_into_a_batch(tmp_path: Path) -> None:
    keys = generate(tmp_path, ORG)

    def quota(**changes: Any) -> Quota | None:
        return NcscForwarder(FakeContext(settings_for("https://127.0.0.1:1", keys, **changes))).quota

    assert quota() == Quota(600, frozenset({"urgent"}), 500)
    assert quota(quota_per_minute=5, max_bytes=10_000) == Quota(5, frozenset({"urgent"}), 50)
    assert quota(quota_per_minute=0) is None


async def test_an_aggregate_is_signed_and_its_members_are_counted_at_the_centre(tmp_path: Path) -> None:
    parts = tuple(Member(alert(number), 5) for number in range(1, 21))
    async with centre_and_client(tmp_path) as (centre, client), forwarding(centre.feed_url, keys_of(tmp_path)) as made:
        await made.open()
        place = released(1).release
        body = made.aggregate(Aggregate(name_of(parts), parts), place)

        outcomes = await made.send([Released(1, name_of(parts), place, body), released(2)])

        assert said(outcomes) == [(1, "accepted", ""), (2, "accepted", "")]
        stats = await client.stats()
        assert (stats["findings"], stats["aggregates"]) == (20, 1)


async def test_an_aggregate_that_is_larger_than_a_batch_has_no_message(tmp_path: Path) -> None:
    parts = tuple(Member(alert(number), 5) for number in range(1, 301))
    made = NcscForwarder(FakeContext(settings_for("https://127.0.0.1:1", generate(tmp_path, ORG), max_bytes=10_000)))
    await made.open()

    with pytest.raises(ValueError, match="the aggregate of 300 alerts has"):
        made.aggregate(Aggregate(name_of(parts), parts), released(1).release)
    await made.close()
