"""The centre counts the members of aggregates as findings, each once, at the greatest revision that it was told."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from feed_kit import KEY, ORG, OTHER, alert, centre_and_client, message, release

from socmon.demo.centre import counted
from socmon.feed.aggregate import render_aggregate
from socmon.feed.checking import Limits, check, split
from socmon.feed.message import Sender
from socmon.ncsc.inbox import Inbox
from socmon.ncsc.reading import Reading
from socmon.outgoing import Aggregate, Member
from socmon.store.aggregating import name_of


def joined(seq: int, *members: tuple[int, int], org_id: str = ORG) -> bytes:
    """An aggregate of (alert's number, revision), released as `seq`."""
    parts = tuple(Member(alert(number), revision) for number, revision in members)
    place = release(seq, revision=1)
    return render_aggregate(Aggregate(name_of(parts), parts), place, Sender(org_id), KEY)


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    opened = Inbox(tmp_path / "centre.sqlite")
    await opened.open()
    yield opened
    await opened.close()


async def put(inbox: Inbox, *messages: bytes, org_id: str = ORG) -> list[str]:
    events = split(b"[" + b",".join(messages) + b"]", Limits())
    stored = await inbox.store(org_id, [check(raw, 64) for raw in events])
    return [result.status for result in stored.results]


async def held(inbox: Inbox) -> dict[str, int]:
    return {uid[-1]: revision for uid, revision in counted(await inbox.findings()).items()}


async def numbers(inbox: Inbox) -> tuple[int, int]:
    stats = (await inbox.stats())[ORG]
    return stats["findings"], stats["aggregates"]


async def test_members_are_findings_and_their_aggregate_is_none(inbox: Inbox) -> None:
    assert await put(inbox, joined(1, (1, 2), (2, 3)), message(2, number=4, revision=9)) == ["stored"] * 2

    assert await held(inbox) == {"1": 2, "2": 3, "4": 9}
    assert await numbers(inbox) == (3, 1)
    rows = {row["seq"]: row["members"] for row in await inbox.findings()}
    assert rows == {1: [[alert(1).id, 2], [alert(2).id, 3]], 2: []}


async def test_a_members_own_finding_may_come_before_or_after(inbox: Inbox) -> None:
    await put(inbox, message(1, number=1, revision=7), joined(2, (1, 2), (2, 3)), message(3, number=2, revision=8))

    assert await held(inbox) == {"1": 7, "2": 8}
    assert await numbers(inbox) == (2, 1)
    assert (await inbox.stats())[ORG]["rows_stored_twice"] == 0


async def test_an_aggregate_that_comes_again_changes_nothing(inbox: Inbox) -> None:
    again = joined(1, (1, 2), (2, 3))

    assert await put(inbox, again) + await put(inbox, again, joined(2, (1, 2), (2, 3))) == [
        "stored", "duplicate", "duplicate",
    ]  # fmt: skip
    assert await numbers(inbox) == (2, 1)


async def test_a_member_of_two_aggregates_is_one_finding_at_its_greatest_revision(inbox: Inbox) -> None:
    await put(inbox, joined(1, (1, 4), (2, 3)), joined(2, (1, 2), (3, 3)))

    assert await held(inbox) == {"1": 4, "2": 3, "3": 3}
    assert await numbers(inbox) == (3, 2)


async def test_levels_count_members_and_a_finding_of_its_own_has_its_own(inbox: Inbox, tmp_path: Path) -> None:
    await put(inbox, joined(1, (1, 2), (2, 3)), message(2, number=2, revision=8))

    levels = Reading(tmp_path / "centre.sqlite").levels()

    assert levels == [{"org": ORG, "level": "medium", "count": 2}]


async def test_organisations_do_not_share_members(inbox: Inbox) -> None:
    await put(inbox, joined(1, (1, 2), (2, 3)))
    await put(inbox, joined(1, (1, 2), (2, 3), org_id=OTHER), org_id=OTHER)

    assert [len(row["members"]) for row in await inbox.findings()] == [2, 2]
    assert await numbers(inbox) == (2, 1)


async def test_page_and_metrics_tell_of_both(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        await client.statuses([joined(1, (1, 2), (2, 3)), message(2, number=4)])
        async with aiohttp.ClientSession() as session:
            answers: list[Any] = []
            for path in ("/metrics", "/?lang=en", "/?lang=vi"):
                async with session.get(centre.admin_url + path) as response:
                    answers.append(await response.text())

    metrics, english, vietnamese = answers
    assert f'ncsc_findings{{organisation="{ORG}"}} 3.0' in metrics
    assert f'ncsc_aggregates{{organisation="{ORG}"}} 1.0' in metrics
    assert "3, with 1 aggregate" in english
    assert "3, gồm 1 bản gộp" in vietnamese
