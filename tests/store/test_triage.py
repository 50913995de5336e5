"""Triage in the store: what each verb makes of each status, its history, and what goes upward of it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import START_US, S, alert

from socmon.cli.shown import REASON_WORDS
from socmon.component import Outcome, Release
from socmon.event import Alert
from socmon.store import Routing, Store, read
from socmon.store.reading import Filter, Reader, consult
from socmon.store.triage import MAX_TEXT_CHARS, REASONS, Change, Entry, Triaged, Verb, history

ACK, REOPEN = Change("ack"), Change("reopen")
CLOSE = Change("close", reason="fp")
COMMENT = Change("comment", text="seen before")
ONE = alert(1).id
_ROUTING = Routing("up", lambda _: "normal", lambda item, release: f"{item.status} r{release.revision}".encode())


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(tmp_path / "s.db", destinations=["up"])
    await commit(opened, alert(1))
    yield opened
    await opened.close()


async def commit(store: Store, *alerts: Alert, now_us: int = START_US) -> None:
    await store.commit(alerts, depends_on=1, now_us=now_us)


async def change(store: Store, *changes: Change, ids: Sequence[str] = (ONE,), actor: str = "an") -> list[Triaged]:
    """One after the other, a second apart; what became of the last."""
    done: list[Triaged] = []
    for number, each in enumerate(changes, start=1):
        done = await store.triage(ids, each, actor=actor, now_us=START_US + number * S)
    return done


async def sent(store: Store, now_us: int) -> list[str]:
    """Bodies that are released at `now_us`; the destination accepts them all."""
    await store.release(_ROUTING, limit=100, now_us=now_us, interval_us=30 * S)
    released = [item for batch in await store.waiting("up", 100) for item in batch]
    await store.settle([Outcome(item.id, "accepted") for item in released], now_us)
    return [item.body.decode() for item in released]


def stored(store: Store, alert_id: str = ONE) -> Alert:
    return next(each for each in read(store.path).alerts if each.id == alert_id)


def told(store: Store, alert_id: str = ONE) -> list[Entry]:
    return consult(store.path, lambda reader: history(reader.db, alert_id))


# ── verbs and statuses ───────────────────────────────────────────────────────────────────────────────────────────────

TO: dict[str, list[Change]] = {"open": [], "acknowledged": [ACK], "closed": [CLOSE]}


@pytest.mark.parametrize(
    ("before", "asked", "outcome", "after"),
    [
        ("open", ACK, "changed", "acknowledged"),
        ("acknowledged", ACK, "unchanged", "acknowledged"),
        ("closed", ACK, "refused", "closed"),
        ("open", CLOSE, "changed", "closed"),
        ("acknowledged", CLOSE, "changed", "closed"),
        ("closed", CLOSE, "unchanged", "closed"),
        ("closed", Change("close", reason="tp"), "changed", "closed"),
        ("closed", Change("close", reason="fp", text="and this is why"), "changed", "closed"),
        ("open", REOPEN, "unchanged", "open"),
        ("acknowledged", REOPEN, "changed", "open"),
        ("closed", REOPEN, "changed", "open"),
        ("open", COMMENT, "changed", "open"),
        ("acknowledged", COMMENT, "changed", "acknowledged"),
        ("closed", COMMENT, "changed", "closed"),
    ],
)
async def test_what_each_verb_makes_of_each_status(
    store: Store, before: str, asked: Change, outcome: str, after: str
) -> None:
    await change(store, *TO[before], actor="binh")
    was, entries = stored(store), len(told(store))

    [triaged] = await change(store, asked)

    now = stored(store)
    assert (triaged.outcome, triaged.status_before, triaged.status) == (outcome, before, after)
    assert (now.status, triaged.revision) == (after, now.revision + now.analyst_revision)
    counted = outcome == "changed" and asked is not COMMENT
    assert now.analyst_revision == was.analyst_revision + counted
    assert now.status_by == ("an" if counted else was.status_by)
    assert now.reason == triaged.reason == ("" if after != "closed" else (asked.reason or "fp"))
    assert len(told(store)) == entries + (outcome == "changed")


async def test_an_alert_that_is_not_there_is_said_to_be_and_the_others_are_changed(store: Store) -> None:
    await commit(store, alert(2))

    done = await change(store, CLOSE, ids=[ONE, "no such", alert(2).id, ONE])

    assert [(each.id, each.outcome) for each in done] == [
        (ONE, "changed"), ("no such", "not_found"), (alert(2).id, "changed"),
    ]  # fmt: skip


async def test_the_history_tells_who_did_what_when_and_why(store: Store) -> None:
    await change(store, ACK, actor="an")
    await change(store, COMMENT, Change("close", reason="benign", text="\x1b[2Jmáy quét của ta"), actor="bình")

    assert told(store) == [
        Entry(START_US + 1 * S, "an", "ack", "open", "acknowledged", "", "", 1),
        Entry(START_US + 1 * S, "bình", "comment", "acknowledged", "acknowledged", "", "seen before", 1),
        Entry(START_US + 2 * S, "bình", "close", "acknowledged", "closed", "benign", "\x1b[2Jmáy quét của ta", 2),
    ]


async def test_a_dry_run_says_the_same_and_changes_nothing(store: Store) -> None:
    await sent(store, START_US)
    dry = await store.triage([ONE], CLOSE, actor="an", now_us=START_US + S, dry_run=True)

    assert (stored(store).status, told(store)) == ("open", [])
    assert await sent(store, START_US + S) == []
    assert dry == await store.triage([ONE], CLOSE, actor="an", now_us=START_US + S)


async def test_all_are_changed_or_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await commit(store, alert(2))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
        db.execute(
            f"create trigger full before insert on history when new.alert_id = '{alert(2).id}'"
            " begin select raise(abort, 'disk full'); end"
        )

    with pytest.raises(Exception, match="disk full"):
        await change(store, CLOSE, ids=[ONE, alert(2).id])

    assert (stored(store).status, stored(store).analyst_revision, told(store)) == ("open", 0, [])


@pytest.mark.parametrize(
    ("verb", "reason", "text", "said"),
    [
        ("close", "", "", "'' is no reason to close; one of: tp, fp, benign, duplicate"),
        ("close", "boring", "", "'boring' is no reason to close"),
        ("ack", "fp", "", "ack takes no reason"),
        ("comment", "", " \n", "a comment needs a text"),
        ("reopen", "", "why", "reopen takes no text"),
    ],
)
def test_what_does_not_fit_a_verb_is_refused_before_anything_is_done(
    verb: Verb, reason: str, text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Change(verb, reason, text)
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert({"verb": verb, "reason": reason, "text": text}, Change)


def test_a_text_from_outside_is_bounded() -> None:
    longest = {"verb": "comment", "text": "x" * MAX_TEXT_CHARS}

    assert msgspec.convert(longest, Change).text == longest["text"]
    with pytest.raises(msgspec.ValidationError, match=r"length <= 4000.*\$\.text"):
        msgspec.convert(longest | {"text": longest["text"] + "x"}, Change)


# ── detection and analysts ───────────────────────────────────────────────────────────────────────────────────────────


async def test_matches_that_join_a_closed_alert_leave_it_closed_and_recurring(store: Store) -> None:
    await change(store, CLOSE)
    assert not stored(store).recurring

    await commit(store, alert(1, revision=1))  # the journal read anew
    assert not stored(store).recurring
    await commit(store, alert(1, revision=2, count=9), now_us=0)  # a clock that was set back

    joined = stored(store)
    assert (joined.status, joined.reason, joined.status_by, joined.analyst_revision) == ("closed", "fp", "an", 1)
    assert (joined.count, joined.recurring) == (9, True)
    assert [each.recurring for each in consult(store.path, lambda reader: reader.find(Filter(), 9))] == [True]


async def test_a_recurring_alert_that_is_closed_again_or_opened_is_recurring_no_more(store: Store) -> None:
    await change(store, CLOSE)
    await commit(store, alert(1, revision=2))
    [again] = await change(store, CLOSE)
    assert (again.outcome, stored(store).recurring) == ("changed", False)

    await commit(store, alert(1, revision=3))
    await change(store, REOPEN)
    assert not stored(store).recurring


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.one_of(st.sampled_from([ACK, CLOSE, REOPEN, COMMENT]), st.just(None)), max_size=12))
def test_counters_only_grow_and_the_history_is_one_chain(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Change | None]
) -> None:
    async def work() -> tuple[list[int], list[Entry], Alert]:
        store = Store(tmp_path_factory.mktemp("chain") / "s.db", destinations=["up"])
        await commit(store, alert(1))
        revisions, detected = [1], 1
        for step in steps:
            if step is None:
                detected += 1
                await commit(store, alert(1, revision=detected))
            else:
                await change(store, step)
            now = stored(store)
            assert now.revision == detected
            revisions.append(now.revision + now.analyst_revision)
        found = (revisions, told(store), stored(store))
        await store.close()
        return found

    revisions, entries, last = asyncio.run(work())

    assert revisions == sorted(revisions)
    statuses = ["open", *(entry.status_after for entry in entries)]
    assert [entry.status_before for entry in entries] == statuses[:-1]
    assert last.status == statuses[-1]
    assert last.analyst_revision == sum(entry.verb != "comment" for entry in entries)
    assert [entry.analyst_revision for entry in entries] == sorted(entry.analyst_revision for entry in entries)


# ── upward ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_change_of_status_goes_up_at_once_and_a_comment_never(store: Store) -> None:
    bodies = [await sent(store, START_US)]
    for number, each in enumerate((ACK, COMMENT, CLOSE, CLOSE, REOPEN), start=1):
        await change(store, each)
        bodies.append(await sent(store, START_US + number))

    assert bodies == [["open r1"], ["acknowledged r2"], [], ["closed r3"], [], ["open r4"]]
    assert await sent(store, START_US + 100 * S) == []


async def test_another_reason_alone_waits_for_the_interval(store: Store) -> None:
    await change(store, CLOSE)
    assert await sent(store, START_US) == ["closed r2"]

    await change(store, Change("close", reason="tp"))

    assert await sent(store, START_US + 29 * S) == []
    assert await sent(store, START_US + 30 * S) == ["closed r3"]


async def test_a_change_while_an_older_revision_waits_for_its_answer_goes_up_after_it(store: Store) -> None:
    await store.release(_ROUTING, limit=100, now_us=START_US, interval_us=0)
    await change(store, CLOSE)
    [[first]] = await store.waiting("up", 100)

    assert await sent(store, START_US + 1) == ["open r1"]
    assert await sent(store, START_US + 2) == ["closed r2"]
    assert first.release == Release("up", "normal", first.release.epoch, 1, 1, START_US)


async def test_who_follows_alerts_sees_each_change_and_each_comment(store: Store) -> None:
    with closing(Reader(store.path)) as reader:
        seen = []
        _, last = reader.last_changes(1)
        for each in (ACK, COMMENT, ACK, CLOSE):
            await change(store, each, actor="bình")
            changes, last, _ = reader.changes(last, 10)
            seen.append([(found.status, found.status_by, found.reason) for found in changes])

    acknowledged = ("acknowledged", "bình", "")
    assert seen == [[acknowledged], [acknowledged], [], [("closed", "bình", "fp")]]


# ── how long it took ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_wait_is_told_of_the_first_acknowledgement_and_the_first_closing_only(store: Store) -> None:
    await commit(store, alert(1, revision=2), now_us=START_US + 5 * S)  # opened it not

    waited = [(await change(store, each))[0].waited_us for each in (ACK, CLOSE, REOPEN, ACK, CLOSE, COMMENT)]

    assert waited == [S, S, S, None, None, None]


async def test_a_clock_that_was_set_back_makes_no_negative_wait(store: Store) -> None:
    [done] = await store.triage([ONE], ACK, actor="an", now_us=0)

    assert done.waited_us == 0


def test_every_reason_is_known_to_the_feed_and_to_the_command() -> None:
    schema = msgspec.json.decode(
        (Path(__file__).parents[2] / "socmon" / "feed" / "schemas" / "finding.v1.json").read_bytes()
    )

    assert tuple(schema["$defs"]["vn_soc"]["properties"]["disposition"]["enum"]) == (*REASONS, "withdrawn")
    assert tuple(REASON_WORDS) == REASONS
