"""Delivering: each destination for itself, in order, until it has answered; nothing is forgotten and nothing hangs."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from harness import FakeContext
from harness import until as until_true

from socmon import metrics
from socmon.component import Forwarder, ForwarderSettings, Outcome, OutcomeStatus, Place, Release, Released, Settings
from socmon.config import Wiring
from socmon.delivering import Delivering
from socmon.errors import BlockedError, ComponentError, HeldError
from socmon.event import Alert, Level
from socmon.sections import DeliverySettings
from socmon.store import Store


class Scripted(Forwarder[ForwarderSettings]):
    """Answers as `answers` says, one word a send; afterwards it accepts."""

    settings_type: ClassVar[type[Settings]] = ForwarderSettings
    answers: ClassVar[list[str]] = []
    sent: ClassVar[list[list[str]]] = []
    hang: ClassVar[asyncio.Event | None] = None
    shares_red: ClassVar[bool] = False
    closed_doors: ClassVar[int] = 0  # times that `open` fails
    places_asked: ClassVar[list[Mapping[str, Place] | None]] = []  # answers to `places`, None once there are no more
    gap: ClassVar[bool] = False

    async def places(self) -> Mapping[str, Place] | None:
        return Scripted.places_asked.pop(0) if Scripted.places_asked else None

    @property
    def has_gap(self) -> bool:
        return Scripted.gap

    async def open(self) -> None:
        if Scripted.closed_doors:
            Scripted.closed_doors -= 1
            raise ComponentError("no key")

    def stream(self, alert: Alert) -> str:
        return "urgent" if alert.level == "critical" else "normal"

    def render(self, alert: Alert, release: Release) -> bytes:
        if "tlp.red" in alert.tags and not Scripted.shares_red:
            raise HeldError("TLP:RED never leaves")
        return f"{alert.id}/{release.revision}".encode()

    async def send(self, released: Sequence[Released]) -> list[Outcome]:
        self.sent.append([item.body.decode() for item in released])
        if self.hang is not None:
            await self.hang.wait()
        answer = self.answers.pop(0) if self.answers else "accepted"
        if answer == "lost":
            raise ComponentError("the key is of nobody", retry=False, refused=True)
        if answer == "down":
            raise ComponentError("connection refused")
        if answer == "blocked":
            raise BlockedError("the key is of nobody", reason="not_enrolled", remedy="ask the centre")
        if answer == "silent":
            return []
        if answer == "key":
            blocked = BlockedError("the key is not known", reason="key_unknown", remedy="give it to the centre")
            return [Outcome(item.id, "retry", "key_unknown", blocked=blocked) for item in released]
        statuses: dict[str, OutcomeStatus] = {
            "retry": "retry",
            "rejected": "rejected",
            "accepted": "accepted",
            "held": "held",
        }
        return [Outcome(item.id, statuses[answer]) for item in released]


def alert(name: str, revision: int = 1, level: Level = "high") -> Alert:
    return Alert(name, "rule", "Rule", level, [], {}, 1, 2, revision, revision, opened_seq=1)


@asynccontextmanager
async def delivering(root: Path, *answers: str, timeout_s: float = 30) -> AsyncIterator[tuple[Delivering, Store]]:
    Scripted.answers, Scripted.sent, Scripted.hang = list(answers), [], None
    store = Store(root / "s.db", destinations=["up"])
    wiring = Wiring("up", "scripted", Scripted, ForwarderSettings(timeout_s=timeout_s))
    settings = DeliverySettings(release_interval_s=0, backoff_first_s=0.001, backoff_limit_s=0.01)
    one = Delivering(wiring, FakeContext(wiring.settings, name="up"), store, settings)
    task = asyncio.create_task(one.run())
    try:
        yield one, store
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 30)
        await store.close()


def logged(one: Delivering) -> Sequence[Mapping[str, Any]]:
    return cast("FakeContext[Settings]", one._context).logged


async def put(one: Delivering, store: Store, *alerts: Alert) -> None:
    await store.commit(alerts, depends_on=0, now_us=1)
    one.wake()


async def test_what_fails_is_sent_again_until_it_is_answered_for(tmp_path: Path) -> None:
    async with delivering(tmp_path, "down", "silent", "retry") as (one, store):
        await put(one, store, alert("a"), alert("b"))
        await asyncio.wait_for(one.drain(), 30)

        assert Scripted.sent == [["a/1", "b/1"]] * 4
        assert (await store.backlog("up")).acknowledged == 2


async def test_a_destination_that_cannot_be_used_fails_before_an_alert_comes(tmp_path: Path) -> None:
    Scripted.closed_doors = 3
    async with delivering(tmp_path) as (one, store):
        await until_true(lambda: not Scripted.closed_doors)

        await put(one, store, alert("a"))
        await asyncio.wait_for(one.drain(), 30)

        assert Scripted.sent == [["a/1"]]


async def test_a_refused_alert_is_kept_and_the_next_goes_on(tmp_path: Path) -> None:
    async with delivering(tmp_path, "rejected") as (one, store):
        await put(one, store, alert("a"))
        await asyncio.wait_for(one.drain(), 30)
        await put(one, store, alert("b"))
        await asyncio.wait_for(one.drain(), 30)

        backlog = await store.backlog("up")
        assert (backlog.dead, backlog.acknowledged) == (1, 1)


async def test_one_stream_that_fails_does_not_keep_the_other_from_being_tried(tmp_path: Path) -> None:
    async with delivering(tmp_path, "down") as (one, store):
        await put(one, store, alert("low", level="low"), alert("now", level="critical"))
        await asyncio.wait_for(one.drain(), 30)

        assert Scripted.sent == [["now/1"], ["low/1"], ["now/1"]]


async def test_a_send_that_hangs_is_given_up_and_tried_again(tmp_path: Path) -> None:
    async with delivering(tmp_path, timeout_s=0.01) as (one, store):
        Scripted.hang = asyncio.Event()
        await put(one, store, alert("a"))
        await until_true(lambda: len(Scripted.sent) >= 2)

        Scripted.hang.set()
        await asyncio.wait_for(one.drain(), 30)

        assert (await store.backlog("up")).acknowledged == 1


async def test_it_ends_whenever_it_is_cancelled(tmp_path: Path) -> None:
    for turns in range(6):
        folder = tmp_path / str(turns)
        folder.mkdir()
        async with delivering(folder) as (one, store):
            await put(one, store, alert("a"))
            for _ in range(turns):
                await asyncio.sleep(0)
            one.wake()


async def test_drain_waits_for_what_is_due_and_not_for_what_is_not(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (one, store):
        one._interval_us = 3600 * 1_000_000
        await put(one, store, alert("a", revision=1))
        await asyncio.wait_for(one.drain(), 30)
        await put(one, store, alert("a", revision=2))

        await asyncio.wait_for(one.drain(), 30)

        assert (await store.backlog("up")).pending == 1


async def test_one_that_gave_up_begins_again_when_a_person_hurries(tmp_path: Path) -> None:
    async with delivering(tmp_path, "lost") as (one, store):
        await put(one, store, alert("a"))
        await until_true(lambda: one.gave_up)
        assert one.trouble is not None
        assert (one.trouble.error, one.trouble.refused) == ("the key is of nobody", True)

        one.hurry()
        await asyncio.wait_for(one.drain(), 30)

        assert (await store.backlog("up")).acknowledged == 1
        assert not one.gave_up
        assert str(one.trouble) == "None"


async def test_a_trouble_is_told_until_the_destination_answers(tmp_path: Path) -> None:
    async with delivering(tmp_path, *["down"] * 20) as (one, store):
        await put(one, store, alert("a"))
        await until_true(lambda: one.trouble)
        trouble = one.trouble
        await asyncio.wait_for(one.drain(), 30)

        assert trouble is not None
        assert (trouble.error, trouble.refused) == ("connection refused", False)
        assert one.trouble is None


async def test_what_a_person_must_mend_is_told_once_though_another_stream_is_answered(tmp_path: Path) -> None:
    async with delivering(tmp_path, *["blocked", "retry"] * 5) as (one, store):
        await put(one, store, alert("low", level="low"), alert("now", level="critical"))
        await asyncio.wait_for(one.drain(), 30)

        told = [entry["event"] for entry in logged(one)]
        assert told.count("destination cannot be used until a person acts, alerts wait") == 1
        assert told.count("destination can be used again") == 1


async def test_a_dead_letter_is_released_again_at_the_alert_of_today(tmp_path: Path) -> None:
    async with delivering(tmp_path, "rejected", "rejected") as (one, store):
        one._interval_us = 3600 * 1_000_000
        await put(one, store, alert("a"))
        await asyncio.wait_for(one.drain(), 30)
        await put(one, store, alert("a", revision=4))

        await store.release_again(await store.dead(None), by="lan", now_us=2)
        one.hurry()
        await asyncio.wait_for(one.drain(), 30)
        await store.release_again(await store.dead("up"), by="lan", now_us=3)
        one.hurry()
        await asyncio.wait_for(one.drain(), 30)

        assert Scripted.sent == [["a/1"], ["a/4"], ["a/4"]]
        rows = await store.deliveries("up", "a")
        assert [(row.seq, row.revision, row.state) for row in rows] == [
            (1, 1, "retried"),
            (2, 4, "retried"),
            (3, 4, "acknowledged"),
        ]


def red(name: str) -> Alert:
    return Alert(name, "rule", "Rule", "critical", ["tlp.red"], {}, 1, 2, 1, 1, opened_seq=1)


async def test_what_is_held_is_not_sent_keeps_nobody_waiting_and_is_shown_with_its_reason(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (one, store):
        await put(one, store, red("secret"), alert("a"))
        await asyncio.wait_for(one.drain(), 30)

        assert Scripted.sent == [["a/1"]]
        backlog = await store.backlog("up")
        assert (backlog.held, backlog.pending, backlog.oldest_us) == (1, 0, None)
        (row,) = await store.deliveries("up", "secret")
        assert (row.state, row.code) == ("held", "TLP:RED never leaves")
        assert metrics.OUTBOX_HELD["up"]._value.get() == 1


async def test_what_was_held_is_looked_at_again_when_the_destination_is_started(tmp_path: Path) -> None:
    async with delivering(tmp_path) as (one, store):
        await put(one, store, red("secret"))
        await asyncio.wait_for(one.drain(), 30)
    Scripted.shares_red = True
    try:
        async with delivering(tmp_path) as (one, _):
            await asyncio.wait_for(one.drain(), 30)
            assert Scripted.sent == [["secret/1"]]
    finally:
        Scripted.shares_red = False


async def test_what_the_destination_has_lost_is_sent_again_on_connect_and_told(tmp_path: Path) -> None:
    Scripted.places_asked = [{}, {"normal": Place("", 0)}]
    async with delivering(tmp_path, "accepted", "down") as (one, store):
        await put(one, store, alert("a"))
        await asyncio.wait_for(one.drain(), 30)
        await put(one, store, alert("b"))  # fails once, so that we connect anew
        await asyncio.wait_for(one.drain(), 30)

        assert Scripted.sent == [["a/1"], ["b/1"], ["a/1", "b/1"]]
        (told,) = [entry for entry in logged(one) if "differ" in entry["event"]]
        assert (told["again"], told["epochs"]) == (1, 0)


async def test_a_gap_is_looked_at_again_and_not_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "gap", True)
    async with delivering(tmp_path) as (one, store):
        await put(one, store, alert("a"))
        await asyncio.wait_for(one.drain(), 30)
        Scripted.places_asked = [{"normal": Place("", 0)}]
        await put(one, store, alert("b"))
        await asyncio.wait_for(one.drain(), 30)
        assert Scripted.sent == [["a/1"], ["b/1"]]

        monkeypatch.setattr("socmon.delivering._GAP_S", 0.0)
        await put(one, store, alert("c"))
        await asyncio.wait_for(one.drain(), 30)

        assert sorted(body for batch in Scripted.sent[2:] for body in batch) == ["a/1", "b/1", "c/1"]


async def test_a_key_that_is_not_taken_blocks_and_loses_nothing(tmp_path: Path) -> None:
    async with delivering(tmp_path, "key", "key") as (one, store):
        await put(one, store, alert("a"))
        await asyncio.wait_for(one.drain(), 30)

        assert Scripted.sent == [["a/1"]] * 3
        (told,) = [entry for entry in logged(one) if "until a person acts" in entry["event"]]
        assert told["reason"] == "key_unknown"


async def test_what_is_not_understood_is_told_and_holds_up_nothing(tmp_path: Path) -> None:
    async with delivering(tmp_path, "held") as (one, store):
        await put(one, store, alert("a"))
        await asyncio.wait_for(one.drain(), 30)
        await put(one, store, alert("b"))
        await asyncio.wait_for(one.drain(), 30)

        assert Scripted.sent == [["a/1"], ["b/1"]]
        assert (await store.backlog("up")).held == 1
        assert [entry for entry in logged(one) if "not understood" in entry["event"]]
