"""Who is let in: the revoked not from their next request on, and of each organisation only its share."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from feed_kit import ORG, OTHER, Client, centre_running, client_of, message, other_client, write
from harness import until
from hypothesis import given
from hypothesis import strategies as st
from ncsc_centre_kit import Clock, beat, post_beat, register_in

from socmon.feed.batch import BATCHES_PATH, pack
from socmon.feed.checking import Item
from socmon.feed.keys import KeyFiles
from socmon.feed.server import Stored
from socmon.ncsc.centre import Centre
from socmon.ncsc.gate import AT_WORK_EACH, Quota
from socmon.ncsc.inbox import Inbox
from socmon.tls import client_context


@asynccontextmanager
async def two_senders(folder: Path, **changes: object) -> AsyncIterator[tuple[Centre, Client, Client, KeyFiles]]:
    """A centre, and clients of ORG and OTHER."""
    authority, keys = other_client(folder)
    cert, key = write(folder, "other", authority.client(OTHER))
    async with (
        centre_running(folder, keys, **changes) as centre,
        client_of(centre, keys.ca, keys.client, keys.client_key) as one,
        client_of(centre, keys.ca, cert, key) as other,
    ):
        yield centre, one, other, keys


async def test_a_revoked_organisation_is_refused_from_its_next_request_on_and_the_others_are_not(
    tmp_path: Path,
) -> None:
    async with two_senders(tmp_path) as (centre, one, other, keys):
        assert await one.statuses([message(1)]) == ["stored"]
        register = register_in(tmp_path / "centre")
        register.revoke(ORG, actor="lan")

        status, answer = await one.post([message(2)])

        assert (status, answer["error"]) == (403, "revoked")
        assert (await post_beat(centre, keys, beat()))[0] == 403
        assert await other.statuses([message(1, org_id=OTHER)]) == ["stored"]
        assert [(row["actor"], row["action"], row["detail"]) for row in register.audit(2, ORG)] == [
            ("centre", "refuse", "revoked"),
            ("lan", "revoke", ""),
        ]
        register.close()


async def test_who_is_enrolled_while_the_centre_runs_is_let_in(tmp_path: Path) -> None:
    async with two_senders(tmp_path, organisations={ORG: "Province"}) as (_, _one, other, _keys):
        assert (await other.post([message(1, org_id=OTHER)]))[0] == 403
        register = register_in(tmp_path / "centre")
        register.enrol(OTHER, "Another", parent=ORG, actor="lan")
        register.close()

        assert await other.statuses([message(1, org_id=OTHER)]) == ["stored"]
        stats = await other.stats(OTHER)
        assert (stats["name"], stats["org_path"], stats["enrolled"]) == ("Another", [ORG, OTHER], True)


async def test_a_revoked_certificate_is_refused_and_another_of_its_organisation_is_not(tmp_path: Path) -> None:
    authority, keys = other_client(tmp_path)
    cert, key = write(tmp_path, "renewed", authority.client(ORG))
    number = x509.load_pem_x509_certificate(keys.client.read_bytes()).serial_number
    async with (
        centre_running(tmp_path, keys) as centre,
        client_of(centre, keys.ca, keys.client, keys.client_key) as old,
        client_of(centre, keys.ca, cert, key) as renewed,
    ):
        assert await old.statuses([message(1)]) == ["stored"]
        register = register_in(tmp_path / "centre")
        register.revoke_certificate(f"{number:X}", actor="lan")
        register.close()

        assert (await old.post([message(2)]))[1]["error"] == "revoked"
        assert await renewed.statuses([message(2)]) == ["stored"]


async def test_a_restart_with_the_same_options_brings_no_revoked_one_back(tmp_path: Path) -> None:
    async with two_senders(tmp_path):
        register = register_in(tmp_path / "centre")
        register.revoke(ORG, actor="lan")
        register.close()

    (tmp_path / "again").mkdir()
    async with two_senders(tmp_path / "again", state=tmp_path / "centre") as (_, one, _other, _keys):
        assert (await one.post([message(1)]))[1]["error"] == "revoked"


async def test_over_its_quota_a_sender_is_told_when_to_come_again_and_the_others_are_not_held_up(
    tmp_path: Path,
) -> None:
    async with two_senders(tmp_path, quota_per_minute=3) as (centre, one, other, keys):
        assert await one.statuses([message(number) for number in range(1, 6)]) == ["stored"] * 5
        _, body = pack([message(6)], "batch-1")
        connector = aiohttp.TCPConnector(ssl=client_context(keys.ca, keys.client, keys.client_key))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(centre.feed_url + BATCHES_PATH, data=BytesIO(body)) as response,
        ):
            assert (response.status, (await response.json())["error"]) == (429, "quota")
            # Three a minute: two of debt and one to begin with are a minute, less what the test has taken.
            assert 50 <= int(response.headers["Retry-After"]) <= 60

        assert await other.statuses([message(1, org_id=OTHER)]) == ["stored"]
        assert (await post_beat(centre, keys, beat()))[0] == 200


async def test_one_sender_s_flood_takes_two_places_and_leaves_the_others_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, at_work = asyncio.Event(), 0
    stores = Inbox.store

    async def slow(inbox: Inbox, organisation: str, items: Sequence[Item]) -> Stored:
        nonlocal at_work
        if organisation == ORG:
            at_work += 1
            await go_on.wait()
        return await stores(inbox, organisation, items)

    monkeypatch.setattr(Inbox, "store", slow)
    async with two_senders(tmp_path) as (_, one, other, _keys):
        flood = [asyncio.create_task(one.post([message(number)])) for number in range(1, 21)]
        await until(lambda: sum(task.done() for task in flood) == len(flood) - AT_WORK_EACH)

        assert at_work == AT_WORK_EACH
        assert {task.result()[1]["error"] for task in flood if task.done()} == {"busy"}
        assert await other.statuses([message(1, org_id=OTHER)]) == ["stored"]

        go_on.set()
        assert sorted(status for status, _ in await asyncio.gather(*flood)) == [200] * 2 + [429] * 18
        assert await one.statuses([message(30)]) == ["stored"]


def test_no_quota_never_waits() -> None:
    quota = Quota(0)
    quota.charge(ORG, 10**9)

    assert quota.wait_s(ORG) == 0


@given(
    per_minute=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 120)), min_size=1, max_size=40),
)
def test_what_is_taken_is_never_more_than_the_quota_allows_and_the_wait_that_is_told_suffices(
    per_minute: int, steps: list[tuple[int, float]]
) -> None:
    steady = Clock(0.0)
    quota = Quota(per_minute, steady)
    taken = 0
    for events, pause_s in steps:
        steady.now_s += pause_s
        if wait_s := quota.wait_s(ORG):
            assert wait_s >= 1
            steady.now_s += wait_s
            assert quota.wait_s(ORG) == 0
        quota.charge(ORG, events)
        taken += events
        # A full bucket, what flowed in meanwhile, and the last batch, which is taken whole.
        assert taken <= per_minute * (1 + steady.now_s / 60) + events + 1e-6
