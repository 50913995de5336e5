"""A store with one destination whose answers and whose policy a test gives, for tests of what people decide."""

from collections.abc import Sequence

from socmon.errors import HeldError
from socmon.event import Alert, Level
from socmon.outgoing import AUTOMATIC, Approval, Outcome, OutcomeStatus, Release, Released, Void
from socmon.store import Routing, Store
from socmon.store.decisions import Decided, Saying, Standing, decide
from socmon.store.queue import opened, rows

S = 1_000_000


def alert(name: str = "a", *, revision: int = 1, level: Level = "medium", tags: Sequence[str] = ()) -> Alert:
    return Alert(name, "rule", "Rule", level, list(tags), {}, 1, 2, revision, revision, opened_seq=1)


class Destination:
    """A store with one destination `up`, whose answers and whose policy a test gives."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_us = 1000 * S
        self.asks_for = AUTOMATIC
        self.refuses: set[str] = set()
        self.policy = "first"
        self.admitted = 0

    def routing(self) -> Routing:
        def admit(item: Alert) -> Approval:
            self.admitted += 1
            if self.refuses & set(item.tags):
                raise HeldError("not shared")
            return self.asks_for

        def render(item: Alert, release: Release) -> bytes:
            by = f" by {release.approval.by}" if release.approval.by else ""
            return f"{item.id} r{release.revision} s{release.seq}{by}".encode()

        def void(item: Void) -> bytes:
            return f"void s{item.release.seq} {item.reason}".encode()

        def closing_of(item: Alert, release: Release) -> bytes:
            return f"{item.id} withdrawn r{release.revision} s{release.seq}".encode()

        def stream(item: Alert) -> str:
            return "urgent" if item.level == "critical" else "normal"

        return Routing("up", stream, render, void, admit=admit, closing=closing_of, policy=self.policy)

    async def put(self, *alerts: Alert) -> None:
        await self.store.commit(alerts, depends_on=1, now_us=self.now_us)

    async def waits(self, after_s: int = 60) -> list[Released]:
        self.now_us += after_s * S
        await self.store.release(self.routing(), limit=100, now_us=self.now_us, interval_us=30 * S)
        return [item for batch in await self.store.waiting("up", 100) for item in batch]

    async def gets(self, status: OutcomeStatus = "accepted", code: str = "", after_s: int = 60) -> list[str]:
        """What it is sent next, and answers so."""
        items = await self.waits(after_s)
        await self.store.settle([Outcome(item.id, status, code) for item in items], self.now_us)
        return [item.body.decode() for item in items]

    async def decide(self, decision: Standing, *ids: str, dry_run: bool = False) -> list[Decided]:
        self.now_us += S
        saying = Saying("up", "lan", self.now_us, "because")
        return await self.store.change(lambda db: decide(db, ids or ["a"], decision, saying, dry_run=dry_run))

    async def reconnect(self) -> int:
        """How many alerts were looked at for it."""
        before = self.admitted
        await self.store.reconsider(self.routing(), self.now_us)
        return self.admitted - before

    def shown(self) -> list[tuple[str, str]]:
        """State and code of each row of the queue."""
        with opened(self.store.path) as db:
            return [(row.state, row.code) for row in rows(db)]
