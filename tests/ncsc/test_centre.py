"""The simulated national centre: its pages, its faults, its restart."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from feed_kit import ORG, Client, centre_and_client, centre_running, client_of, message

from socmon.errors import ConfigError, SocmonError
from socmon.feed import server
from socmon.feed.keys import generate
from socmon.ncsc.centre import Centre


async def test_an_event_is_shown_by_every_page(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        assert await client.statuses([message(1)]) == ["stored"]

        stats = await client.stats()
        assert (stats["name"], stats["findings"], stats["events_received"]) == ("Province", 1, 1)
        assert [finding["uid"][-1] for finding in await client.findings()] == ["1"]
        async with aiohttp.ClientSession() as session, session.get(f"{centre.admin_url}/healthz") as response:
            assert await response.json() == {"status": "ok"}


async def test_a_refusal_on_request_says_when_to_come_again(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        assert await client.fault(fault="503", times=1) == 202

        assert (await client.post([message(1)]))[0] == 503
        assert (await client.stats())["events_received"] == 0
        assert await client.statuses([message(1)]) == ["stored"]


async def test_after_a_cut_the_resent_batch_is_a_duplicate(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.fault(fault="cut_after_commit", times=1)

        with pytest.raises(aiohttp.ClientError):
            await client.post([message(1)])

        assert await client.statuses([message(1)]) == ["duplicate"]
        assert (await client.stats())["rows_stored"] == 1


async def test_a_dropped_row_is_missing_from_the_findings(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.fault(fault="drop_row", times=1)

        assert await client.statuses([message(1), message(2)]) == ["stored", "stored"]

        assert [finding["seq"] for finding in await client.findings()] == [1]


async def test_what_was_dropped_is_lost_for_good_sent_again_or_at_a_newer_revision(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.fault(fault="drop_row")
        await client.fault(fault="cut_after_commit")

        with pytest.raises(aiohttp.ClientError):
            await client.post([message(1)])

        assert await client.statuses([message(1), message(2), message(3, number=1, revision=7)]) == ["stored"] * 3
        assert [finding["seq"] for finding in await client.findings()] == [2]


async def test_a_dropped_row_alone_in_its_batch_is_answered_too(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.fault(fault="drop_row")

        assert await client.statuses([message(1)]) == ["stored"]
        assert await client.findings() == []


async def test_a_quarantined_event_is_kept_apart_and_its_neighbours_are_stored(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        await client.fault(fault="quarantine", times=1)

        assert await client.statuses([message(1), message(2)]) == ["stored", "quarantined"]

        assert [finding["seq"] for finding in await client.findings()] == [1]
        assert (await client.stats())["quarantined"] == 1


async def test_a_stopped_listener_opens_again_on_its_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused, opens = asyncio.Event(), Centre._open_feed

    async def open_late(centre: Centre) -> None:
        await refused.wait()  # or the listener might be back before this test has looked
        await opens(centre)

    async with centre_and_client(tmp_path) as (_, client):
        await client.post([message(1)])

        monkeypatch.setattr(Centre, "_open_feed", open_late)
        await client.fault(fault="stop", seconds=0.05)

        with pytest.raises((aiohttp.ClientError, OSError)):
            await client.post([message(2)])
        refused.set()
        assert await _until_stored(client, message(2)) == ["stored"]


async def _until_stored(client: Client, body: bytes) -> list[str]:
    """Tries until the listener is back; the test's own timeout bounds it."""
    while True:
        try:
            return await client.statuses([body])
        except (aiohttp.ClientError, OSError):
            continue


async def test_a_centre_can_be_stopped_while_its_listener_is(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        assert await client.fault(fault="stop", seconds=3600) == 202


@pytest.mark.parametrize(
    "request_body",
    [
        {"fault": "fire"},
        {"fault": "503", "times": 0},
        {"fault": "503", "more": 1},
        {},
        {"fault": "stop", "seconds": -1},
    ],
)
async def test_a_fault_that_does_not_exist_is_refused(tmp_path: Path, request_body: dict[str, object]) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        assert await client.fault(**request_body) == 400
        assert await client.statuses([message(1)]) == ["stored"]


async def test_a_page_in_a_browser_cannot_ask_for_faults(tmp_path: Path) -> None:
    async with (
        centre_running(tmp_path) as centre,
        aiohttp.ClientSession() as session,
        session.post(f"{centre.admin_url}/faults", data='{"fault": "503"}') as response,
    ):
        assert response.status == 415


async def test_a_restarted_centre_knows_what_it_has(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    for expected in ("stored", "duplicate"):
        async with (
            centre_running(tmp_path, keys) as centre,
            client_of(centre, keys.ca, keys.client, keys.client_key) as client,
        ):
            assert await client.statuses([message(1)]) == [expected]


async def test_two_centres_cannot_share_a_state(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    async with centre_running(tmp_path, keys):
        with pytest.raises(SocmonError, match="in use by another centre"):
            async with centre_running(tmp_path, keys):
                pass


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    keys = generate(tmp_path / "keys", ORG)
    async with centre_running(tmp_path, keys) as first:
        port = int(first.feed_url.rpartition(":")[2])
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with centre_running(tmp_path, keys, state=tmp_path / "second", listen=("127.0.0.1", port)):
                pass


async def test_a_certificate_that_ends_during_its_connection_lets_nothing_more_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        assert await client.statuses([message(1)]) == ["stored"]
        later_s = time.time() + 91 * 86_400
        monkeypatch.setattr(server, "time", SimpleNamespace(time=lambda: later_s))

        status, answer = await client.post([message(2)])

        assert (status, answer["error"]) == (403, "certificate_expired")
        assert (await client.stats())["events_received"] == 1
