"""Faults on request: what the centre does wrong when it is asked to, and that all is well after it."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from feed_kit import ORG, centre_and_client, message
from ncsc_centre_kit import beat, post_beat
from ncsc_kit import keys_of

from socmon.feed.batch import CURSORS_PATH


async def test_a_cut_before_the_commit_leaves_nothing_behind(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.fault(fault="cut_before_commit")

        with pytest.raises(aiohttp.ClientError):
            await client.post([message(1)])

        assert (await client.stats())["events_received"] == 0
        assert await client.statuses([message(1)]) == ["stored"]


@pytest.mark.parametrize(("fault", "status"), [("429", 429), ("503", 503), ("disk_full", 503)])
async def test_a_refusal_on_request_stores_nothing_and_passes(tmp_path: Path, fault: str, status: int) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.fault(fault=fault, times=2)

        assert [(await client.post([message(1)]))[0] for _ in range(2)] == [status] * 2

        assert (await client.stats())["events_received"] == 0
        assert await client.statuses([message(1)]) == ["stored"]


async def test_a_batch_that_is_delayed_is_stored_later_and_the_next_is_not_delayed(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.fault(fault="latency", seconds=0.3)
        begun_s = time.monotonic()

        assert await client.statuses([message(1)]) == ["stored"]

        assert time.monotonic() - begun_s >= 0.3  # the least that it may take, whatever the machine does
        assert await client.statuses([message(2)]) == ["stored"]


async def test_a_clock_that_is_off_shows_in_replies_cursors_and_heartbeats_until_it_is_set_right(
    tmp_path: Path,
) -> None:
    def off(told: str) -> timedelta:
        return abs(datetime.fromisoformat(told) - datetime.now(UTC) - wanted)

    async with centre_and_client(tmp_path) as (centre, client):
        for seconds in (600, -600, 0):
            wanted = timedelta(seconds=seconds)
            await client.fault(fault="clock", seconds=seconds)

            _, reply = await client.post([message(1)])
            _, cursors = await client.get(CURSORS_PATH)
            _, heard = await post_beat(centre, keys_of(tmp_path), beat(time.time_ns() // 1000))

            told = (reply["server_time"], cursors["server_time"], heard["server_time"])
            assert max(map(off, told)) < timedelta(seconds=60)
            assert round((await client.stats())["skew_s"] / 600) == -seconds // 600


async def test_an_inbox_that_is_put_back_has_forgotten_what_came_since_and_takes_it_again(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        assert await client.fault(fault="restore") == 409
        await client.post([message(1)])
        await client.fault(fault="backup")
        await client.post([message(2), message(3, number=1, revision=9)])

        assert await client.fault(fault="restore") == 202

        assert (await client.get(CURSORS_PATH))[1]["cursors"][0]["seq"] == 1
        assert [finding["socrev"] for finding in await client.findings()] == [5]
        assert await client.statuses([message(1), message(2), message(3, number=1, revision=9)]) == [
            "duplicate",
            "stored",
            "stored",
        ]
        assert (await client.stats(ORG))["committed"]["normal"]["seq"] == 3


async def test_only_a_clock_may_go_back(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        assert await client.fault(fault="latency", seconds=-1) == 400
        assert await client.fault(fault="clock", seconds=-90_000) == 400
        assert await client.fault(fault="clock", seconds=-1) == 202
