"""What the centre stores: each event once, each finding at its last revision, cursors that wait at gaps."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from feed_kit import EPOCH, ORG, OTHER, alert, altered, message
from hypothesis import given, settings
from hypothesis import strategies as st
from ncsc_centre_kit import inbox_in, put, statuses

from socmon.errors import StoreError
from socmon.feed.batch import Committed
from socmon.ncsc.inbox import Inbox


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    async with inbox_in(tmp_path) as opened:
        yield opened


async def test_an_event_that_comes_again_is_a_duplicate_and_one_row(inbox: Inbox) -> None:
    assert await statuses(inbox, message(1)) == ["stored"]
    assert await statuses(inbox, message(1)) == ["duplicate"]

    stats = (await inbox.stats())[ORG]
    assert (stats["events_received"], stats["rows_stored"], stats["duplicates_answered"]) == (2, 1, 1)
    assert stats["rows_stored_twice"] == 0


async def test_an_event_twice_in_one_batch_is_one_row(inbox: Inbox) -> None:
    assert await statuses(inbox, message(1), message(1)) == ["stored", "duplicate"]


async def test_a_greater_revision_replaces_a_finding(inbox: Inbox) -> None:
    await put(inbox, message(1, revision=5), message(2, number=1, revision=8))

    (finding,) = await inbox.findings()
    assert finding == {
        "org": ORG,
        "uid": alert(1).id,
        "socrev": 8,
        "rule": alert(1).rule_id,
        "level": "medium",
        "count": 8,
        "start_ms": 1_795_366_682_000,
        "end_ms": 1_795_366_724_000,
        "stream": "normal",
        "epoch": EPOCH,
        "seq": 2,
    }


async def test_a_late_revision_is_stale_and_told_the_one_that_is_held(inbox: Inbox) -> None:
    await put(inbox, message(2, number=1, revision=8))

    (result,) = (await put(inbox, message(1, revision=5))).results

    assert (result.status, result.socrev) == ("stale", 8)
    assert (await inbox.findings())[0]["socrev"] == 8


async def test_a_stale_event_that_comes_again_is_stale_again(inbox: Inbox) -> None:
    await put(inbox, message(2, number=1, revision=8), message(1, revision=5))

    (result,) = (await put(inbox, message(1, revision=5))).results

    assert (result.status, result.socrev) == ("stale", 8)


async def test_the_same_revision_under_another_id_is_a_duplicate(inbox: Inbox) -> None:
    assert await statuses(inbox, message(1), message(1, epoch="019ab4c0ffff")) == ["stored", "duplicate"]


async def test_the_same_revision_with_other_data_is_stale(inbox: Inbox) -> None:
    changed = message(2, number=1).replace(b'"count":5', b'"count":6')

    assert await statuses(inbox, message(1), changed) == ["stored", "stale"]


async def test_an_id_with_another_content_is_quarantined(inbox: Inbox) -> None:
    changed = altered(message(1), time="2026-11-22T17:05:11Z")

    assert await statuses(inbox, message(1), changed) == ["stored", "quarantined id_reuse"]
    assert (await inbox.findings())[0]["socrev"] == 5


async def test_a_sequence_with_another_event_is_quarantined(inbox: Inbox) -> None:
    changed = altered(message(2), socseq=f"{1:020}")

    assert await statuses(inbox, message(1), changed) == ["stored", "quarantined seq_reuse"]


async def test_a_bad_event_is_kept_once_with_its_reason(inbox: Inbox) -> None:
    bad = altered(message(2), data={})

    assert await statuses(inbox, message(1), bad, message(3)) == ["stored", "quarantined schema", "stored"]
    assert await statuses(inbox, bad) == ["quarantined schema"]

    assert (await inbox.stats())[ORG]["quarantined"] == 1
    db = sqlite3.connect(inbox.path)
    (reason,) = db.execute("SELECT reason FROM quarantine").fetchone()
    db.close()
    assert "required" in reason


async def test_a_quarantined_event_does_not_hold_up_the_cursor(inbox: Inbox) -> None:
    stored = await put(inbox, message(1), altered(message(2), data={}), message(3))

    assert stored.committed == Committed(EPOCH, 3)


async def test_the_cursor_waits_at_a_gap_and_then_passes_over_what_came_early(inbox: Inbox) -> None:
    assert (await put(inbox, message(1), message(4), message(5))).committed == Committed(EPOCH, 1)
    assert (await put(inbox, message(3))).committed == Committed(EPOCH, 1)
    assert (await put(inbox, message(2))).committed == Committed(EPOCH, 5)


async def test_streams_have_cursors_of_their_own(inbox: Inbox) -> None:
    await put(inbox, message(1), message(2))
    await put(inbox, message(1, stream="urgent", number=9))

    committed = (await inbox.stats())[ORG]["committed"]
    assert {stream: place["seq"] for stream, place in committed.items()} == {"normal": 2, "urgent": 1}


async def test_the_newest_epoch_is_the_one_that_counts(inbox: Inbox) -> None:
    await put(inbox, message(1), message(2))
    await put(inbox, message(1, epoch="019ab4c0ffff", number=7))

    assert (await inbox.stats())[ORG]["committed"] == {"normal": {"epoch": "019ab4c0ffff", "seq": 1}}
    assert (await put(inbox, message(3))).committed == Committed("019ab4c0ffff", 1)


async def test_only_unplaced_events_have_no_cursor(inbox: Inbox) -> None:
    assert (await put(inbox, b"{}")).committed is None


async def test_organisations_do_not_share_findings(inbox: Inbox) -> None:
    await put(inbox, message(1))
    await put(inbox, message(1, org_id=OTHER), org_id=OTHER)

    assert [finding["org"] for finding in await inbox.findings()] == [ORG, OTHER]


async def test_what_is_stored_is_there_after_opening_again(tmp_path: Path) -> None:
    first = Inbox(tmp_path / "centre.sqlite")
    await first.open()
    await put(first, message(1))
    await first.close()

    second = Inbox(tmp_path / "centre.sqlite")
    await second.open()

    assert await statuses(second, message(1), message(2)) == ["duplicate", "stored"]
    await second.close()


async def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "centre.sqlite"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()

    with pytest.raises(StoreError, match="version 99"):
        await Inbox(path).open()


async def test_a_batch_that_fails_leaves_nothing_behind(inbox: Inbox) -> None:
    db = sqlite3.connect(inbox.path)
    db.execute("CREATE TRIGGER full BEFORE INSERT ON events WHEN NEW.seq = 2 BEGIN SELECT RAISE(ABORT, 'full'); END")
    db.commit()

    with pytest.raises(StoreError, match="full"):
        await put(inbox, message(1), message(2))

    db.execute("DROP TRIGGER full")
    db.commit()
    db.close()
    assert await statuses(inbox, message(1), message(2)) == ["stored", "stored"]


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(6)), cut=st.integers(1, 6), resend=st.booleans())
async def test_in_whatever_order_events_come_the_last_revisions_and_the_cursor_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cut: int, *, resend: bool
) -> None:
    # Three findings of two revisions each.
    events = [message(n + 1, number=n % 3 + 1, revision=n // 3 + 1) for n in range(6)]
    shuffled = [events[n] for n in order]
    inbox = Inbox(tmp_path_factory.mktemp("inbox") / "centre.sqlite")
    await inbox.open()

    await put(inbox, *shuffled[:cut])
    if shuffled[cut:]:
        await put(inbox, *shuffled[cut:])
    stored = await put(inbox, *(shuffled if resend else shuffled[:1]))

    assert stored.committed == Committed(EPOCH, 6)
    assert [finding["socrev"] for finding in await inbox.findings()] == [2, 2, 2]
    assert (await inbox.stats())[ORG]["rows_stored_twice"] == 0
    await inbox.close()
