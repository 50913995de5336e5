"""Whatever is answered to aggregates, in whatever order: in the end the destination has all, at its last revision."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from aggregating_kit import MINUTE_US, NOW_US, routing
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import S, alert

from socmon.outgoing import Outcome, OutcomeStatus, Released
from socmon.store import Store, read
from socmon.store.verifying import verify

_QUOTA = 3
_ROUNDS = 60

_ANSWERS = st.sampled_from(["accepted", "accepted", "duplicate", "rejected", "replaced", "held", "retry", "stale"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("opened"), st.integers(4, 12)),
        st.tuples(st.just("grown"), st.integers(0, 30)),
        st.tuples(st.just("answered"), _ANSWERS),
        st.tuples(st.just("later"), st.integers(1, 90)),
        st.tuples(st.just("retried"), st.just(0)),
        st.tuples(st.just("resumed"), st.just(0)),
    ),
    min_size=6,
    max_size=25,
)


class Run:
    """A store, a destination that takes what it accepts, and a clock."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_us = NOW_US
        self.revisions: list[int] = []
        self.held: dict[str, int] = {}  # at the destination

    async def opened(self, count: int) -> None:
        for _ in range(count):
            self.revisions.append(1)
            await self._commit(len(self.revisions))

    async def grown(self, number: int) -> None:
        if number < len(self.revisions):
            self.revisions[number] += 1
            await self._commit(number + 1)

    async def later(self, seconds: int) -> None:
        self.now_us += seconds * S

    async def answered(self, status: OutcomeStatus) -> None:
        await self.store.release(routing(_QUOTA), limit=5, now_us=self.now_us, interval_us=0)
        for batch in await self.store.waiting("up", 5):
            await self._answer(batch, status)

    async def retried(self, _: int) -> None:
        await self.store.release_again(await self.store.dead("up"), by="an", now_us=self.now_us)

    async def resumed(self, _: int) -> None:
        """The destination has lost everything."""
        self.held.clear()
        await self.store.resume("up", {}, self.now_us)

    async def end(self) -> None:
        for _ in range(_ROUNDS):
            await self.retried(0)
            await self.store.try_held("up", self.now_us + 3601 * S)
            await self.answered("accepted")
            self.now_us += MINUTE_US
            backlog = await self.store.backlog("up")
            if (backlog.pending, backlog.waiting, backlog.dead, backlog.held) == (0, 0, 0, 0):
                return
        raise AssertionError(f"after {_ROUNDS} minutes there is still {backlog}")

    async def _commit(self, number: int) -> None:
        revision = self.revisions[number - 1]
        changed = alert(number, revision=revision, level="low", rule_id=f"rule {number % 3}")
        await self.store.commit([changed], depends_on=1, now_us=self.now_us)

    async def _answer(self, batch: Sequence[Released], status: OutcomeStatus) -> None:
        """One that calls a message stale has it already, or something newer."""
        if status in {"accepted", "duplicate", "stale"}:
            for item in batch:
                if item.void is None:
                    self._take(item.body)
        await self.store.settle([Outcome(item.id, status) for item in batch], self.now_us)

    def _take(self, body: bytes) -> None:
        members = msgspec.json.decode(body)["members"] if body[:1] == b"{" else [_alone(body)]
        for uid, revision in members:
            self.held[uid] = max(revision, self.held.get(uid, 0))


def _alone(body: bytes) -> tuple[str, int]:
    uid, _, revision = body.decode().partition(" r")
    return uid, int(revision)


async def _run(path: Path, steps: Sequence[tuple[str, object]]) -> None:
    store = Store(path, destinations=["up"])
    run = Run(store)
    for name, value in steps:
        await getattr(run, name)(value)
    await run.end()
    await store.close()

    expected = {alert(number).id: revision for number, revision in enumerate(run.revisions, 1)}
    assert run.held == expected == read(path).acknowledged.get("up", {})
    assert verify(path).damages == []


@given(_STEPS)
@settings(max_examples=40, deadline=None)
def test_nothing_is_lost_by_any_answer(steps: list[tuple[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(Path(folder) / "s.db", steps))
