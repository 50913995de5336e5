"""The store: absolute upserts, one row a destination and alert until its release, checkpoints that survive."""

import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from socmon.errors import StoreError
from socmon.event import Alert, Evidence, Level
from socmon.instruments import REGISTRY
from socmon.ledger import Account, Ledger
from socmon.outgoing import Outcome, OutcomeStatus, Release, Released
from socmon.seen import Clock, Seen, Silence
from socmon.store import Checkpoint, Routing, Store, outbox, read

S = 1_000_000


def alert(*, revision: int = 1, name: str = "a1", level: Level = "high", seqs: range = range(1, 2)) -> Alert:
    return Alert(
        id=name,
        rule_id="rule",
        title="Rule",
        level=level,
        tags=["attack.t1110"],
        group={"src_ip": "10.0.0.1"},
        first_us=1,
        last_us=2,
        count=revision,
        revision=revision,
        opened_seq=1,
        entities={"ip": ["10.0.0.1"]},
        evidence=[Evidence(seq, seq, "web", "logs", "/f", f"line {seq}", "00", {"user": "root"}) for seq in seqs],
    )


def routing(destination: str = "up") -> Routing:
    def render(item: Alert, release: Release) -> bytes:
        if item.title == "unrenderable":
            raise ValueError("no words for this")
        return f"{item.id} r{release.revision} s{release.seq}".encode()

    return Routing(destination, lambda item: "urgent" if item.level == "critical" else "normal", render)


async def commit(store: Store, *alerts: Alert, now_us: int = 0) -> int:
    return await store.commit(alerts, depends_on=1, now_us=now_us)


async def release(store: Store, *, now_us: int, interval_s: int = 30, limit: int = 100) -> list[bytes]:
    await store.release(routing(), limit=limit, now_us=now_us, interval_us=interval_s * S)
    return [item.body for item in await waiting(store)]


async def waiting(store: Store) -> list[Released]:
    return [item for batch in await store.waiting("up", 100) for item in batch]


async def acknowledge_all(store: Store) -> None:
    await store.settle([Outcome(item.id, "accepted") for item in await waiting(store)], 5)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "s.db", destinations=["up"])
    yield opened
    await opened.close()


async def test_writing_an_alert_again_changes_nothing(store: Store) -> None:
    assert await commit(store, alert(revision=2)) == 1
    await release(store, now_us=1)
    await acknowledge_all(store)

    stored_again = await commit(store, alert(revision=2)), await commit(store, alert(revision=1))

    assert stored_again == (0, 0)
    assert read(store.path).alerts[0].revision == 2
    assert await release(store, now_us=100 * S) == []


async def test_a_newer_revision_overwrites_the_pending_row_and_goes_out_once(store: Store) -> None:
    await commit(store, alert(revision=1))
    await commit(store, alert(revision=4))

    assert await release(store, now_us=1) == [b"a1 r4 s1"]


async def test_a_released_row_never_changes(store: Store) -> None:
    await commit(store, alert(revision=1))
    await release(store, now_us=1)

    await commit(store, alert(revision=2))

    assert await release(store, now_us=2) == [b"a1 r1 s1"]


async def test_an_alert_is_released_again_only_after_the_interval(store: Store) -> None:
    await commit(store, alert(revision=1))
    await release(store, now_us=1 * S)
    await acknowledge_all(store)
    await commit(store, alert(revision=2))

    assert await release(store, now_us=30 * S) == []
    assert await release(store, now_us=31 * S) == [b"a1 r2 s2"]


async def test_a_changed_level_is_released_at_once(store: Store) -> None:
    await commit(store, alert(revision=1))
    await release(store, now_us=1)
    await acknowledge_all(store)

    await commit(store, alert(revision=2, level="critical"))

    assert await release(store, now_us=2) == [b"a1 r2 s1"]  # first of the urgent stream


async def test_sequences_have_no_holes_within_a_stream(store: Store) -> None:
    await commit(store, *(alert(name=f"a{n}") for n in range(5)))
    released = []
    for _ in range(3):
        await release(store, now_us=1, limit=2)
        released += await waiting(store)
        await acknowledge_all(store)

    assert [item.release.seq for item in released] == [1, 2, 3, 4, 5]
    assert len({item.release.epoch for item in released}) == 1


async def test_an_alert_that_cannot_be_rendered_holds_back_no_other(store: Store) -> None:
    bad = alert(name="bad")
    bad.title = "unrenderable"
    await commit(store, bad, alert(name="good"))

    problems = await store.release(routing(), limit=10, now_us=1, interval_us=0)

    assert problems == ["alert bad: ValueError('no words for this')"]
    assert [item.body for item in await waiting(store)] == [b"good r1 s1"]
    assert (await store.backlog("up")).pending == 1


async def test_an_urgent_alert_does_not_wait_behind_a_backlog(store: Store) -> None:
    await commit(store, *(alert(name=f"a{n}", level="low") for n in range(50)))
    await release(store, now_us=1, limit=10)

    await commit(store, alert(name="now", level="critical"))
    await release(store, now_us=2, limit=10)

    batches = await store.waiting("up", 100)
    assert [[item.alert_id for item in batch][:2] for batch in batches] == [["now"], ["a0", "a1"]]
    assert [len(batch) for batch in batches] == [1, 10]


async def test_a_clock_that_was_set_back_holds_up_nothing(store: Store) -> None:
    await commit(store, alert(revision=1))
    await release(store, now_us=7 * 3600 * S)
    await acknowledge_all(store)
    await commit(store, alert(revision=2))

    assert await release(store, now_us=60 * S) == [b"a1 r2 s2"]


async def test_only_the_newest_acknowledged_revision_keeps_its_bytes(store: Store) -> None:
    for revision in (1, 2, 3):
        await commit(store, alert(revision=revision))
        await release(store, now_us=revision, interval_s=0)
        await acknowledge_all(store)

    bodies = [body for (body,) in store._db.execute("select body from released order by id")]

    assert bodies == [b"", b"", b"a1 r3 s3"]


async def test_outcomes_settle_rows_and_retry_leaves_them(store: Store) -> None:
    await commit(store, *(alert(name=f"a{n}") for n in range(4)))
    await release(store, now_us=1)
    ids = [item.id for item in await waiting(store)]

    statuses: tuple[OutcomeStatus, ...] = ("accepted", "duplicate", "rejected", "retry")
    await store.settle([Outcome(number, status) for number, status in zip(ids, statuses, strict=True)], 9)

    backlog = await store.backlog("up")
    assert (backlog.acknowledged, backlog.dead, backlog.waiting) == (2, 1, 1)
    assert [item.id for item in await waiting(store)] == [ids[3]]


async def test_the_first_and_last_twenty_events_stay_as_evidence(store: Store) -> None:
    await commit(store, alert(revision=1, seqs=range(1, 31)))
    await commit(store, alert(revision=2, seqs=range(31, 61)))

    seqs = [item.seq for item in read(store.path).alerts[0].evidence]

    assert seqs == [*range(1, 21), *range(41, 61)]


async def test_an_alert_is_read_back_as_it_was_written(store: Store) -> None:
    await commit(store, alert(seqs=range(1, 3)))

    written = alert(seqs=range(1, 3))
    written.t0_us = 0  # when it was stored: nobody knows when its record was received
    assert read(store.path).alerts == [written]


async def test_a_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    ledger = Ledger({"logs": Account(journalled=3, evaluated=2, unparsed=1, dropped={"buffer_full": 4})})
    first = Store(tmp_path / "s.db")
    await first.commit([], depends_on=1, now_us=1, checkpoint=Checkpoint("i", 7, Ledger(), {b"a": b"1", b"b": b"2"}))
    await first.commit([], depends_on=1, now_us=1, checkpoint=Checkpoint("i", 9, ledger, {b"a": None, b"b": b"3"}))
    await first.close()

    second = Store(tmp_path / "s.db")
    loaded = await second.load()
    await second.close()

    assert loaded == Checkpoint("i", 9, ledger, {b"b": b"3"})
    assert ledger.account("logs").received == 7
    assert ledger.account("logs").in_flight == 0


async def test_the_journal_is_made_safe_before_anything_refers_to_it(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def durable(number: int) -> None:
        asked.append((number, len(read(tmp_path / "s.db").alerts)))

    store = Store(tmp_path / "s.db", durable=durable)
    await store.commit([alert()], depends_on=42, now_us=0)
    await store.close()

    assert asked == [(42, 0)]


async def test_a_failed_transaction_leaves_nothing_behind(store: Store) -> None:
    locker = sqlite3.connect(store.path, isolation_level=None)
    locker.execute("begin immediate")
    store._db.execute("pragma busy_timeout = 1")

    with pytest.raises(StoreError, match="locked"):
        await commit(store, alert())
    locker.execute("rollback")
    locker.close()

    assert read(store.path).alerts == []
    assert await commit(store, alert()) == 1


async def test_settled_rows_are_pruned_but_for_the_first_and_the_last_of_each_alert(store: Store) -> None:
    for revision in (1, 2, 3):
        await commit(store, alert(revision=revision))
        await release(store, now_us=revision, interval_s=0)
        await acknowledge_all(store)

    assert await store.prune(100) == 1
    assert read(store.path).acknowledged == {"up": {"a1": 3}}
    assert store._db.execute("select revision from released order by id").fetchall() == [(1,), (3,)]


async def test_a_full_disk_is_no_alerts_fault_and_undoes_the_whole_release(store: Store) -> None:
    await commit(store, *(alert(name=f"a{number}") for number in range(300)))
    (pages,) = store._db.execute("pragma page_count").fetchone()
    store._db.execute(f"pragma max_page_count = {pages + 4}")

    with pytest.raises(StoreError, match="full"):
        await release(store, now_us=1, limit=300)

    store._db.execute(f"pragma max_page_count = {pages + 1000}")
    assert store._db.execute("select count(*) from released").fetchone() == (0,)
    assert store._db.execute("select count(*), count(error) from pending").fetchone() == (300, 0)
    await release(store, now_us=1, limit=300)
    assert store._db.execute("select count(*), max(seq) from released").fetchone() == (300, 300)


async def test_a_release_that_takes_long_gives_way_and_goes_on_the_next_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_MOST_S", -1)
    await commit(store, alert(name="a1"), alert(name="a2"))

    for released in (1, 2):
        await release(store, now_us=1)
        assert store._db.execute("select count(*) from released").fetchone() == (released,)
        await store.settle([Outcome(item.id, "accepted") for item in await waiting(store)], 2)


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "s.db")
    db.execute("pragma user_version = 999")
    db.close()

    with pytest.raises(StoreError, match="newer socmon"):
        Store(tmp_path / "s.db")


def test_a_missing_store_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.db"):
        read(tmp_path / "none.db")


async def test_the_system_that_an_alert_is_about_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "socmon.db"
    store = Store(path, destinations=["up"])
    await store.load()
    await commit(store, alert())
    await commit(store, named(alert(name="a2")))
    await store.close()

    assert {(a.id, a.agency, a.system, a.system_level) for a in read(path).alerts} == {
        ("a1", "", "", None),
        ("a2", "000.00.11.H07", "dvc", 4),
    }


def named(item: Alert) -> Alert:
    item.agency, item.system, item.system_level = "000.00.11.H07", "dvc", 4
    return item


def delays() -> dict[str, float | None]:
    """How many delays were counted, and their sum in seconds."""
    sample = REGISTRY.get_sample_value
    stored, delivered = "socmon_alert_store_delay_seconds", "socmon_alert_delivery_delay_seconds"
    return {
        "stored": sample(f"{stored}_count"),
        "stored_s": sample(f"{stored}_sum"),
        "delivered": sample(f"{delivered}_count", {"forwarder": "up"}),
    }


async def test_an_alert_is_timed_once_when_it_is_opened_and_not_with_its_revisions(store: Store) -> None:
    before = delays()
    hour_ago_us = time.time_ns() // 1000 - 3600 * S

    for revision in (1, 2, 2):
        one = alert(revision=revision)
        one.received_us = hour_ago_us
        await commit(store, one)
    await commit(store, alert(name="a2"))  # nobody knows when its event came in

    after = delays()
    assert after["stored"] == (before["stored"] or 0) + 1
    waited_s = (after["stored_s"] or 0) - (before["stored_s"] or 0)
    assert 3600 <= round(waited_s, 3) < 2 * 3600, "it counts once, whatever the test itself took"


async def test_the_first_acceptance_of_an_alert_says_when_its_event_came_in(store: Store) -> None:
    one, two = alert(name="a1"), alert(name="a2")
    one.received_us = 77
    await commit(store, one, two)
    await release(store, now_us=0)
    first = [item.id for item in await waiting(store)]

    retried = await store.settle([Outcome(number, "retry") for number in first], 5)
    accepted = await store.settle([Outcome(number, "accepted") for number in first], 6)
    again = await store.settle([Outcome(number, "accepted") for number in first], 7)
    await commit(store, alert(name="a1", revision=2))
    await release(store, now_us=60 * S)
    revised = await store.settle([Outcome(item.id, "accepted") for item in await waiting(store)], 8)

    assert (retried, accepted, again, revised) == ([], [77], [], [])


async def test_sources_and_silences_come_back_and_those_that_are_gone_do_not(store: Store) -> None:
    row = Seen("syslog", "192.0.2.1", "web\x00\u202e", "rfc3164", False, 3, 1, 2, None, 4, 5, -6, 7)
    other = Seen("syslog", "192.0.2.1", "", "auto", True, 1, 1, 1, 1, 1)
    silence = Silence("mail", "silent", 10, 20, 30)
    rows: dict[Clock, Seen | None] = {row.clock: row, other.clock: other}

    await store.commit([], depends_on=0, now_us=0, checkpoint=Checkpoint("i", 1, Ledger(), {}, rows, {"mail": silence}))
    first = await store.load()
    gone: dict[Clock, Seen | None] = {row.clock: None}
    await store.commit([], depends_on=0, now_us=0, checkpoint=Checkpoint("i", 2, Ledger(), {}, gone, {"mail": None}))
    second = await store.load()

    assert first is not None
    assert (first.sources, first.silences) == (rows, {"mail": silence})
    assert second is not None
    assert (second.sources, second.silences) == ({other.clock: other}, {})


async def test_open_alerts_are_those_of_the_rule_that_nobody_closed(store: Store) -> None:
    await commit(store, alert(), alert(name="a2"))
    with sqlite3.connect(store.path) as db:
        db.execute("update alert set status = 'closed' where id = 'a2'")
    db.close()

    assert await store.open_alerts("rule") == [("a1", {"src_ip": "10.0.0.1"})]
    assert await store.open_alerts("another") == []
