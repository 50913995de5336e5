"""The store: every write goes through one thread, in one transaction, after the journal it depends on is safe."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from socmon import failpoints, metrics
from socmon.errors import StoreError
from socmon.event import Alert
from socmon.ledger import Ledger
from socmon.outgoing import Outcome, Place, Released
from socmon.seen import Clock, Seen, Silence
from socmon.store import outbox, pruning, queue, reconsidering, restoring, resuming, sources, triage
from socmon.store.checking import check, damage, is_damage, is_nonsense
from socmon.store.ledgers import is_place, readable_ledger
from socmon.store.outbox import Undelivered
from socmon.store.routing import Routing
from socmon.store.rows import read_alerts, write_alert
from socmon.store.salvaging import Salvaged, requeue, salvage
from socmon.store.schema import prepare

T = TypeVar("T")
_KEPT_EVIDENCE = 20  # first and last; docs/semantics.md, "Evidence"


class Checkpoint(Struct):
    """A journal position and all that is derived from the journal up to it.

    Attributes:
        incarnation: of the journal.
        number: the last journal frame that is in it.
        state: rows of the correlation state: all of them when loaded, the changed ones when written (None: gone).
        sources, silences: the same of what is seen of sources.
    """

    incarnation: str
    number: int
    ledger: Ledger
    state: Mapping[bytes, bytes | None]
    sources: Mapping[Clock, Seen | None] = {}
    silences: Mapping[str, Silence | None] = {}

    def kept(self) -> Iterator[tuple[bytes, bytes]]:
        """What there is of the correlation state."""
        return ((key, value) for key, value in self.state.items() if value is not None)


class Store:
    """One SQLite file. Methods named `…_now` run in the caller's thread; the others return to the event loop.

    Attributes:
        checked: whether the file was looked through at its opening; False where there was too much of it.
        salvaged: what became of the outbox, if it was damaged and nothing else was.
        emptied: whether there was a file with nothing in it.
        forgotten: why the ledger begins anew at the checkpoint that was loaded; "" if it does not.
        damaged: messages that were found damaged when they were to be sent, and whose alerts were queued anew.
    """

    def __init__(
        self, path: Path, *, destinations: Sequence[str] = (), durable: Callable[[int], None] | None = None
    ) -> None:
        """Open or create the store.

        A restore that was cut is finished first.

        Args:
            destinations: names that every stored alert is queued for.
            durable: makes the journal safe up to a frame; called before each write that refers to one.

        Raises:
            StoreError: the file cannot be opened, is damaged, or is from a newer version.
        """
        self.path = path
        self._destinations = list(destinations)
        self._durable = durable or (lambda _number: None)
        self._thread = ThreadPoolExecutor(1, "store")
        self.salvaged: Salvaged | None = None
        self.forgotten = ""
        self.damaged = 0
        try:
            restoring.finish(path)
            self.emptied = path.exists() and path.stat().st_size <= 1  # as SQLite has it
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self.checked, damaged = check(self._db)
            if damaged:
                self._db.close()
                self.salvaged = salvage(path, damaged, self._destinations)
                self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            prepare(self._db, str(path))
            path.chmod(0o640)
        except (sqlite3.Error, OSError) as error:
            if is_damage(error) or is_nonsense(error):
                raise damage(path, error) from error
            raise StoreError(f"cannot open {path}: {error}; is the disk full, or the folder not ours?") from error

    async def load(self) -> Checkpoint | None:
        """The last checkpoint; None in a new store."""
        return await self._in_thread(self.load_now)

    def load_now(self) -> Checkpoint | None:
        """As `load`, in this thread."""
        row = self._db.execute("select incarnation, number, ledger from checkpoint").fetchone()
        if row is None:
            return None
        incarnation, number, stored = row
        ledger, self.forgotten = readable_ledger(stored)
        return Checkpoint(
            # Of a place that is none nothing can go on: the journal is read from its oldest frame.
            incarnation if is_place(incarnation, number) else "",
            number if is_place(incarnation, number) else 0,
            ledger,
            state=dict(self._db.execute("select key, value from state").fetchall()),
            sources={row.clock: row for row in sources.read_seen(self._db)},
            silences={each.name: each for each in sources.read_silences(self._db)},
        )

    @contextmanager
    def whole(self, table: str) -> Iterator[None]:
        """Let whatever cannot be made of the rows of `table` be told as damage.

        Raises:
            StoreError: the body could not read them.
        """
        try:
            yield
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            raise damage(self.path, f"table {table} cannot be read ({error})") from error

    async def commit(
        self, alerts: Sequence[Alert], *, depends_on: int, now_us: int, checkpoint: Checkpoint | None = None
    ) -> int:
        """Write `alerts`, their outbox rows and the checkpoint in one transaction; return how many alerts were news.

        Args:
            depends_on: the last journal frame that any of it was derived from.

        Raises:
            StoreError: nothing was written; call again with the same.
        """
        return await self._in_thread(lambda: self.commit_now(alerts, depends_on, now_us, checkpoint))

    def commit_now(self, alerts: Sequence[Alert], depends_on: int, now_us: int, checkpoint: Checkpoint | None) -> int:
        """As `commit`, in this thread."""
        failpoints.hang("store.hang")
        self._durable(depends_on)
        with self._transaction() as db:
            written = [write_alert(db, alert, now_us, self._destinations, _KEPT_EVIDENCE) for alert in alerts]
            if checkpoint is not None:
                _write_checkpoint(db, checkpoint, now_us)
        opened = [alert.received_us for alert, what in zip(alerts, written, strict=True) if what == "opened"]
        metrics.stored(received_us for received_us in opened if received_us is not None)
        return sum(what != "known" for what in written)

    async def triage(
        self, alert_ids: Sequence[str], change: triage.Change, *, actor: str, now_us: int, dry_run: bool = False
    ) -> list[triage.Triaged]:
        """See `triage.apply`; all in one transaction, which is on the disk when this returns."""

        def work() -> list[triage.Triaged]:
            with self._transaction() as db:
                saying = triage.Saying(actor, now_us, self._destinations)
                return triage.apply(db, alert_ids, change, saying, dry_run=dry_run)

        return await self._in_thread(work)

    async def release(self, routing: Routing, *, limit: int, now_us: int, interval_us: int) -> list[str]:
        """See `outbox.release`."""

        def work() -> list[str]:
            with self._transaction() as db:
                return outbox.release(db, routing, limit=limit, now_us=now_us, before_us=now_us - interval_us)

        return await self._in_thread(work)

    async def change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction, which is on the disk when this returns."""

        def changed() -> T:
            with self._transaction() as db:
                return work(db)

        return await self._in_thread(changed)

    async def reconsider(self, routing: Routing, now_us: int) -> None:
        """See `reconsidering.reconsider`; step by step, for others write too."""
        step: reconsidering.Step | None = reconsidering.Step()
        while step is not None:
            step = await self.change(partial(reconsidering.reconsider, routing=routing, step=step, now_us=now_us))

    async def try_held(self, destination: str, now_us: int) -> None:
        """See `outbox.try_held`."""

        def work() -> None:
            with self._transaction() as db:
                outbox.try_held(db, destination, now_us)

        await self._in_thread(work)

    async def resume(self, destination: str, places: Mapping[str, Place], now_us: int) -> resuming.Resumed:
        """See `resuming.resume`."""

        def work() -> resuming.Resumed:
            with self._transaction() as db:
                return resuming.resume(db, destination, places, now_us)

        return await self._in_thread(work)

    async def waiting(self, destination: str, limit: int) -> list[list[Released]]:
        """See `outbox.waiting`."""
        return await self._in_thread(lambda: outbox.waiting(self._db, destination, limit))

    async def settle(self, outcomes: Sequence[Outcome], now_us: int) -> list[int]:
        """See `outbox.settle`."""

        def work() -> list[int]:
            with self._transaction() as db:
                received_us = outbox.settle(db, outcomes, now_us)
                damaged = requeue(db, outcomes, now_us)
            self.damaged += damaged
            metrics.outbox_damaged(messages=damaged, alerts=damaged)
            return received_us

        return await self._in_thread(work)

    async def backlog(self, destination: str) -> Undelivered:
        """See `outbox.backlog`."""
        return await self._in_thread(lambda: outbox.backlog(self._db, destination))

    async def dead(self, destination: str | None) -> list[queue.Letter]:
        """See `queue.dead`."""
        return await self._in_thread(lambda: queue.dead(self._db, destination))

    async def release_again(self, letters: Sequence[queue.Letter], *, by: str, now_us: int) -> None:
        """See `queue.release_again`."""

        def work() -> None:
            with self._transaction() as db:
                queue.release_again(db, letters, by=by, now_us=now_us)

        await self._in_thread(work)

    async def deliveries(self, destination: str, alert_id: str) -> list[queue.Row]:
        """An alert's rows in the outbox, oldest first; see `queue.rows`."""
        return await self._in_thread(lambda: list(queue.rows(self._db, destination=destination, alert_id=alert_id)))

    async def stored_us(self, alert_id: str) -> int | None:
        """When the alert's last revision was stored; None where there is none."""
        query = "select stored_us from alert where id = ?"
        row = await self._in_thread(lambda: self._db.execute(query, (alert_id,)).fetchone())
        return None if row is None else int(row[0])

    async def open_alerts(self, rule_id: str) -> list[tuple[str, dict[str, str]]]:
        """See `sources.open_alerts`."""
        return await self._in_thread(lambda: sources.open_alerts(self._db, rule_id))

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` reads, in the store's thread; it changes nothing."""
        return await self._in_thread(lambda: work(self._db))

    async def prune(self, before_us: int) -> int:
        """See `pruning.prune_settled`."""

        def work() -> int:
            with self._transaction() as db:
                return pruning.prune_settled(db, before_us)

        return await self._in_thread(work)

    async def retire(self, bounds: pruning.Bounds) -> pruning.Pruned:
        """See `pruning.prune`: one step."""

        def work() -> pruning.Pruned:
            with self._transaction() as db:
                return pruning.prune(db, bounds, pruning.STEP)

        return await self._in_thread(work)

    async def close(self) -> None:
        """Finish what is queued and close the file."""
        await self._in_thread(self._db.close)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            if is_damage(error):
                raise damage(self.path, error) from error
            raise StoreError(f"cannot use {self.path}: {error}; is the disk full?") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("begin immediate")
        try:
            yield self._db
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise


def _write_checkpoint(db: sqlite3.Connection, checkpoint: Checkpoint, now_us: int) -> None:
    ledger = msgspec.msgpack.encode(checkpoint.ledger)
    db.execute(
        "insert or replace into checkpoint (id, incarnation, number, ledger, taken_us) values (1, ?, ?, ?, ?)",
        (checkpoint.incarnation, checkpoint.number, ledger, now_us),
    )
    gone = [(key,) for key, value in checkpoint.state.items() if value is None]
    kept = [(key, value) for key, value in checkpoint.state.items() if value is not None]
    db.executemany("delete from state where key = ?", gone)
    db.executemany("insert or replace into state (key, value) values (?, ?)", kept)
    sources.write_sources(db, checkpoint.sources, checkpoint.silences)


class Reading(Struct, frozen=True):
    """What a store holds, read without the daemon.

    Attributes:
        number: the last journal frame of the checkpoint; 0 before the first.
        acknowledged: per destination, alert id → the highest revision acknowledged.
    """

    number: int
    ledger: Ledger
    alerts: list[Alert]
    acknowledged: dict[str, dict[str, int]]
    backlogs: dict[str, Undelivered]


def read(path: Path) -> Reading:
    """Read a store, whether or not a daemon has it open.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        try:
            db.execute("begin")  # one moment for all that follows
            row = db.execute("select number, ledger from checkpoint").fetchone()
            number, ledger = (row[0], readable_ledger(row[1])[0]) if row else (0, Ledger())
            names = [
                name for (name,) in db.execute("select destination from pending union select destination from released")
            ]
            return Reading(
                number=number,
                ledger=ledger,
                alerts=list(read_alerts(db)),
                acknowledged={name: outbox.acknowledged(db, name) for name in names},
                backlogs={name: outbox.backlog(db, name) for name in names},
            )
        finally:
            db.close()
    except sqlite3.Error as error:
        raise StoreError(f"cannot read {path}: {error}") from error
