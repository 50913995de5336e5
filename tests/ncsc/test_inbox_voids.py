"""Voids at the centre: which sequences they take, what comes later for those, and what is shown as lost."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from feed_kit import EPOCH, KEY, ORG, OTHER, START_US, alert, altered, centre_and_client, message, void
from hypothesis import given, settings
from hypothesis import strategies as st
from ncsc_centre_kit import inbox_in, put, statuses

from socmon.event import SECOND_US
from socmon.feed.batch import CURSORS_PATH, Committed, Cursor, Cursors
from socmon.feed.signing import sign_event
from socmon.ncsc.inbox import Inbox
from socmon.ncsc.reading import Reading
from socmon.ncsc.tables import _FIRST, VERSION


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    async with inbox_in(tmp_path) as opened:
        yield opened


async def test_a_void_takes_its_sequences_and_the_cursor_passes_over_them(inbox: Inbox) -> None:
    await put(inbox, message(1), message(5))

    stored = await put(inbox, void(2, 4))

    assert [(result.status, result.code) for result in stored.results] == [("stored", "")]
    assert stored.committed == Committed(EPOCH, 5)
    assert Reading(inbox.path).gaps() == []


async def test_a_void_leaves_to_others_what_they_have(inbox: Inbox) -> None:
    await put(inbox, message(2), altered(message(4), data={}))

    assert await statuses(inbox, void(1, 5)) == ["stored"]

    (row,) = Reading(inbox.path).voids(10)
    assert (row["first"], row["last"], row["taken"]) == (1, 5, 3)
    assert [finding["seq"] for finding in await inbox.findings()] == [2]


async def test_a_void_over_what_is_stored_or_quarantined_is_stale_and_stays_so(inbox: Inbox) -> None:
    await put(inbox, message(1), altered(message(2), data={}))

    assert await statuses(inbox, void(1, 1), void(2, 2), void(1, 2)) == ["stale seq_taken"] * 3
    assert await statuses(inbox, void(1, 1)) == ["stale seq_taken"]
    assert Reading(inbox.path).voids(10) == []


async def test_the_same_void_again_is_a_duplicate(inbox: Inbox) -> None:
    assert await statuses(inbox, void(1, 3), void(1, 3)) == ["stored", "duplicate"]
    assert await statuses(inbox, void(1, 3)) == ["duplicate"]
    assert await statuses(inbox, void(1, 3, "expired")) == ["stale seq_taken"]
    assert (await inbox.stats())[ORG]["voided"] == {"dropped": 3}


async def test_what_comes_later_for_a_void_sequence_is_quarantined(inbox: Inbox) -> None:
    await put(inbox, void(1, 3))

    assert await statuses(inbox, message(2), message(4)) == ["quarantined seq_void", "stored"]
    assert await statuses(inbox, message(2)) == ["quarantined seq_void"]
    assert [finding["seq"] for finding in await inbox.findings()] == [4]


async def test_a_void_in_the_batch_of_what_it_covers_takes_the_rest(inbox: Inbox) -> None:
    stored = await put(inbox, message(1), message(3), void(1, 4), message(2), message(5))

    assert [f"{each.status} {each.code}".strip() for each in stored.results] == [
        "stored",
        "stored",
        "stored",
        "quarantined seq_void",
        "stored",
    ]
    assert stored.committed == Committed(EPOCH, 5)


async def test_voids_of_another_stream_or_epoch_do_not_matter(inbox: Inbox) -> None:
    await put(inbox, void(1, 9, stream="urgent"))
    await put(inbox, void(1, 9, epoch="019ab4c0aaaa"))

    assert await statuses(inbox, message(2)) == ["stored"]


async def test_a_void_id_with_another_content_is_quarantined(inbox: Inbox) -> None:
    changed = altered(void(1, 1), subject="another")

    assert await statuses(inbox, void(1, 1), changed) == ["stored", "quarantined id_reuse"]


async def test_losses_are_counted_in_sequences_apart_from_other_voids(inbox: Inbox) -> None:
    await put(inbox, void(1, 10, "expired"), void(11, 11, "lost_local"), void(12, 14, "superseded"))

    stats = (await inbox.stats())[ORG]

    assert stats["voided"] == {"expired": 10, "lost_local": 1, "superseded": 3}
    assert stats["lost"] == 11


async def test_voids_of_any_width_can_be_counted(inbox: Inbox) -> None:
    widest = 2**53 - 1
    for batch in range(3):  # more than any integer of SQLite's or of JSON's in all
        await put(inbox, *(void(1, widest, "expired", epoch=f"019ab4c{batch}{number:04}") for number in range(700)))

    assert (await inbox.stats())[ORG]["lost"] == widest


@pytest.mark.parametrize("data", [{"from": 2, "to": 3}, {"from": 1, "to": 0}, {"from": 1, "to": 2, "reason": "mood"}])
async def test_a_void_with_a_bad_range_or_reason_takes_one_sequence_as_a_bad_event(
    inbox: Inbox, data: dict[str, object]
) -> None:
    bad = altered(void(1, 1), data={"reason": "dropped"} | data)

    stored = await put(inbox, bad, message(2))

    assert [each.code for each in stored.results] == ["schema", ""]
    assert stored.committed == Committed(EPOCH, 2)


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(1, 12), st.integers(0, 5)).map(
            lambda step: (step[0], step[1], min(12, step[1] + step[2]))
        ),
        min_size=1,
        max_size=12,
    ),
    together=st.booleans(),
)
async def test_whatever_comes_in_whatever_order_each_sequence_is_taken_once_by_the_first(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int, int]], *, together: bool
) -> None:
    events = [void(first, last) if is_void else message(first) for is_void, first, last in steps]
    async with inbox_in(tmp_path_factory.mktemp("inbox")) as inbox:
        for batch in [events] if together else [[event] for event in events]:
            committed = (await put(inbox, *batch)).committed
        stats, gaps = (await inbox.stats())[ORG], Reading(inbox.path).gaps()
        findings = {row["seq"] for row in await inbox.findings()}

    owners: dict[int, str] = {}
    for is_void, first, last in steps:
        for seq in range(first, last + 1) if is_void else [first]:
            owners.setdefault(seq, "void" if is_void else "finding")
    assert findings == {seq for seq, owner in owners.items() if owner == "finding"}
    assert stats["voided"].get("dropped", 0) == [*owners.values()].count("void")
    missing = {seq for gap in gaps for seq in range(gap["first"], gap["last"] + 1)}
    assert missing == set(range(1, max(owners))) - owners.keys()
    assert committed == Committed(EPOCH, min({*range(1, 14)} - owners.keys()) - 1)


async def test_an_inbox_of_version_1_goes_on_where_it_was(tmp_path: Path) -> None:
    async with inbox_in(tmp_path) as inbox:
        await put(inbox, message(1), message(2), altered(message(4), data={}), message(7), b"{}")
        await put(inbox, message(3, stream="urgent", number=9))
        path, gaps, findings = inbox.path, Reading(inbox.path).gaps(), await inbox.findings()
    db = sqlite3.connect(path)
    version_1 = tmp_path / "of" / "centre.sqlite"
    version_1.parent.mkdir()
    old = sqlite3.connect(version_1)
    old.executescript(_FIRST)
    for table in ("events", "findings", "quarantine", "streams", "answers"):
        names = [row[1] for row in old.execute(f"PRAGMA table_info({table})")]
        rows = db.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()
        old.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", rows)
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    db.close()

    async with inbox_in(version_1.parent) as inbox:
        assert Reading(inbox.path).gaps() == gaps
        assert await inbox.findings() == findings
        assert (await put(inbox, void(3, 6))).committed == Committed(EPOCH, 7)
        assert await statuses(inbox, message(1), message(5)) == ["duplicate", "quarantined seq_void"]
    db = sqlite3.connect(version_1)
    assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    db.close()


async def test_a_void_without_a_good_signature_takes_nothing(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (_, client):
        forged = void(1, 3).replace(b'"dropped"', b'"expired"')

        _, reply = await client.post([forged])

        assert reply["results"][0]["code"] == "bad_sig"
        assert (await client.stats())["lost"] == 0
        assert await client.statuses([message(2), void(1, 3)]) == ["stored", "stored"]


async def test_the_cursors_are_those_of_the_newest_epochs_of_who_asks(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path, quota_per_minute=1) as (_, client):
        assert (await client.get(CURSORS_PATH))[1]["cursors"] == []
        await client.post([message(1), message(2), message(4), void(5, 5)])

        for _ in range(3):  # the quota is used up, and asking costs none
            status, answer = await client.get(CURSORS_PATH)

        told = msgspec.convert(answer, Cursors)
        assert (status, told.cursors) == (200, [Cursor("normal", EPOCH, 2, last=5, beyond=2)])
        assert told.server_time.endswith("Z")


async def test_the_cursors_of_several_streams_stand_side_by_side(inbox: Inbox) -> None:
    await put(inbox, message(1), message(2))
    await put(inbox, message(1, stream="urgent", number=7))
    await put(inbox, message(1, epoch="019ab4c0ffff", number=8))
    await put(inbox, message(1, org_id=OTHER), org_id=OTHER)

    cursors = await inbox.cursors(ORG)

    assert [(each.stream, each.epoch, each.seq) for each in cursors] == [
        ("normal", "019ab4c0ffff", 1),
        ("urgent", EPOCH, 1),
    ]


async def test_page_and_metrics_show_losses_apart(tmp_path: Path) -> None:
    async with centre_and_client(tmp_path) as (centre, client):
        await client.post([void(1, 4, "expired"), void(5, 6, "dropped", subject="an-alert")])

        page = await client.text(centre.admin_url + "/?lang=vi")
        metrics = (await client.text(centre.admin_url + "/metrics")).splitlines()

    assert "Số thứ tự bỏ trống" in page
    assert "an-alert" in page
    label = f'{{organisation="{ORG}"}}'
    assert f"ncsc_lost_events{label} 4.0" in metrics
    assert f"ncsc_void_events{label} 2.0" in metrics


async def test_an_aggregate_is_shown_with_its_members(inbox: Inbox) -> None:
    event = msgspec.json.decode(message(1))
    members = [{"uid": alert(7).id, "socrev": 3}, {"uid": alert(8).id, "socrev": 1}]
    event["data"]["unmapped"]["vn_soc"]["aggregation"] = {"members": members}

    await put(inbox, sign_event(event, KEY, START_US // SECOND_US))
    await put(inbox, message(2))

    first, second = await inbox.findings()
    assert first["members"] == members
    assert "members" not in second
