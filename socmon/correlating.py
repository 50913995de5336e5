"""The third stage: journal batches → alerts, and the checkpoints that a restart continues from, exactly.

Reads the journal (live and backlog are one path), matches, correlates, and commits: alerts, their outbox rows and,
every second or so, the checkpoint, in one transaction each.
"""

import asyncio
import copy
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from socmon import failpoints, log, metrics
from socmon.ahead import Ahead, Taken, look_ahead
from socmon.detection import Detection
from socmon.errors import JournalError, StoreError
from socmon.event import LEVELS, Alert
from socmon.intake import Intake, until
from socmon.journal import Batch, Journal
from socmon.ledger import Ledger
from socmon.matching import Matched, Matcher
from socmon.seen import Clock, Seen, Silence, Sources
from socmon.sigma.correlator import Correlator
from socmon.store import Checkpoint, Store
from socmon.telling import Telling
from socmon.unbroken import to_its_end
from socmon.watchdog import Pulse
from socmon.workers import Asides, Recipe

MAX_UNCOMMITTED = 10_000  # alerts; docs/semantics.md, "Disk full"
MAX_FAILING_S = 60.0
_TURN_S = 1.0  # between two turns of reading and of committing, though nothing is new
_RETRY_S = 1.0

_log = log.get("correlating")


class Correlating:
    """Owns the state of detection; everything in it is a function of the journal up to `number`.

    Args:
        sources: keeps what is seen of sources.
        asides: records that are known to do harm.
        stored: called after alerts were committed.
    """

    def __init__(  # noqa: PLR0913  it is the middle of it all
        self,
        *,
        journal: Journal,
        intake: Intake,
        store: Store,
        detection: Detection,
        checkpoint_s: float,
        stored: Callable[[], None],
        sources: Sources | None = None,
        asides: Asides | None = None,
    ) -> None:
        self.sources = sources or Sources()
        self._journal = journal
        self._intake = intake
        self._store = store
        self.detection = detection
        self._matcher = Matcher(detection.rules, assets=detection.assets)
        self._correlator = Correlator(detection.rules.rules, journal.incarnation, detection.limits)
        self._asides = Asides() if asides is None else asides
        self._ahead: Ahead | None = None
        self._checkpoint_s = checkpoint_s
        self._stored = stored
        self._ledger = Ledger()
        for level in LEVELS:
            metrics.expect_level(level)
        self._unsaved: dict[str, tuple[Alert, list[int]]] = {}  # and the sequences of evidence to store with it
        self._unsaved_state: dict[bytes, bytes | None] = {}
        self._unsaved_sources: dict[Clock, Seen | None] = {}
        self._unsaved_silences: dict[str, Silence | None] = {}
        self._telling = Telling()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._whole = asyncio.Lock()  # held while a batch is taken in, and while what detection runs by is exchanged
        self._committing = asyncio.Lock()
        self._draining = self._finishing = False
        # Threads of its own: a shared pool could be full of somebody's calls that hang.
        self._reading = ThreadPoolExecutor(1, "journal-read")
        self._looking_up = ThreadPoolExecutor(1, "journal-lookup")
        self._moved_s = time.monotonic()
        self._lost_behind = 0  # records found lost behind that, and counted
        self.number = 0  # the last journal frame that the state includes
        self.committed = 0  # the last journal frame that a durable checkpoint includes
        self.exchanged = 0  # the last journal frame that was seen by what detection ran by before
        self.failing = ""  # why nothing can be stored now; "" when all is well
        self._failing_since_s = 0.0
        self.pulse = Pulse("detection")
        self.commit_pulse = Pulse("store")

    def restore(self, checkpoint: Checkpoint | None) -> None:
        """Continue from `checkpoint`, or from the start of the journal.

        Raises:
            JournalError: the checkpoint lies beyond the journal, so a part of it is lost.
        """
        if checkpoint is None:
            return
        if checkpoint.incarnation != str(self._journal.incarnation):
            _log.warning("the journal is another one than the checkpoint's, starting from its first entry")
            self._unsaved_state = dict.fromkeys(checkpoint.state)  # the next checkpoint drops the other's rows
            self._unsaved_sources = dict.fromkeys(checkpoint.sources)
            self._unsaved_silences = dict.fromkeys(checkpoint.silences)
            return
        if checkpoint.number > self._journal.last_number:
            raise JournalError(
                f"the journal ends at frame {self._journal.last_number}, the store knows frame {checkpoint.number}: "
                f"restore the journal, or move the store {self._store.path} away to start from the journal alone"
            )
        self._correlator.restore(checkpoint.kept())
        self._telling.restored(self._correlator)
        self._ledger = checkpoint.ledger
        self.sources.restore(filter(None, checkpoint.sources.values()), filter(None, checkpoint.silences.values()))
        self.number = self.committed = checkpoint.number

    async def run(self) -> None:
        """Match and correlate the journal in its order, until `drain` and its end."""
        loop = asyncio.get_running_loop()
        kept = self._journal.first_number
        if self.number < kept - 1:
            _log.warning("the journal's beginning was trimmed, starting from its oldest frame", frame=kept)
            self.number = kept - 1
        self._intake.detected(self.number)
        self._ahead = self._look_ahead(self.detection)
        while True:
            self.pulse.beat()
            self._intake.appended.clear()
            more = await loop.run_in_executor(self._reading, self._ahead.advance)
            metrics.PIPELINE_LAG.set(self._journal.last_number - self.number)
            if not more:
                lost = self._ahead.lost()
                self._lost_behind += lost
                self._count_damage(lost)
                if self._draining:
                    return
                await until(self._intake.appended, _TURN_S)
            while more:
                async with self._going_on():
                    failpoints.die("journal.appended")
                    began_s = time.monotonic()
                    if more := (taken := self._ahead.take()) is not None:
                        await self._take(taken, began_s)
                await asyncio.sleep(0)

    def _look_ahead(self, by: Detection) -> Ahead:
        reader, recipe = self._journal.reader(after=self.number), Recipe(by.rules, by.assets)
        return look_ahead(reader, recipe, self._asides, by.workers, self._lost_behind)

    async def _exchange_ahead(self, by: Detection) -> None:
        """Let what is not taken in yet be matched by `by`."""
        if (ahead := self._ahead) is None:
            return
        loop = asyncio.get_running_loop()
        if by.workers == self.detection.workers:
            await loop.run_in_executor(self._reading, ahead.exchange, Recipe(by.rules, by.assets))
        else:
            self._ahead = self._look_ahead(by)  # first, so that nobody calls what is closed
            await loop.run_in_executor(self._reading, ahead.close)

    @asynccontextmanager
    async def _going_on(self) -> AsyncIterator[None]:
        """Hold `_whole`, once there is room for alerts, collectors do not stop, and nothing is being exchanged."""
        self.pulse.waits = True
        await self._room.wait()
        await self._intake.may_detect.wait()
        async with self._whole:
            self.pulse.waits = False
            self.pulse.beat()
            yield

    async def _take(self, taken: Taken, began_s: float) -> None:
        matched = self._matched(taken.frame)
        self._lost_behind = 0
        self._count_damage(taken.lost + matched.damaged)
        await self._apply(matched)
        now_us = time.time_ns() // 1000
        lags_s = {collector: (now_us - moment_us) / 1e6 for collector, moment_us in matched.received_us.items()}
        metrics.applied(matched.number, time.monotonic() - began_s, lags_s)

    def _matched(self, frame: Batch | Matched) -> Matched:
        if isinstance(frame, Matched):
            return frame
        return self._matcher.match(frame, aside=self._asides.within(frame.first_seq, frame.next_seq))

    def _count_damage(self, lost: int) -> None:
        """Enter records into the ledger that the disk has lost out of the middle of the journal."""
        if lost > 0:
            _log.error("a part of the journal is damaged, its records are lost", records=lost)
            self._ledger.add_dropped("journal", "damaged", lost)
            metrics.JOURNAL_DAMAGED.inc(lost)

    @property
    def stalled_s(self) -> float:
        """Seconds since detection has moved, while the journal holds more; 0 when it is at its end."""
        return time.monotonic() - self._moved_s if self._journal.last_number > self.number else 0.0

    @property
    def sentence(self) -> str:
        """What has been done since the journal began."""
        records = sum(account.evaluated + account.unparsed for account in self._ledger.accounts.values())
        return f"{records} records, {sum(self._correlator.tally.opened.values())} alerts since the journal began"

    def shutdown(self) -> None:
        """Let go of the threads, and of workers."""
        if self._ahead is not None:
            self._reading.submit(self._ahead.close)
        self._reading.shutdown()
        self._looking_up.shutdown()

    def drain(self) -> None:
        """Let `run` end at the end of the journal."""
        self._draining = True
        self._intake.appended.set()

    async def _apply(self, matched: Matched) -> None:
        """Take one batch in, in steps between which others have their turn; who holds `_whole` sees a whole state."""
        if matched.tick:
            self._correlator.tick(matched.written_us)
        steps = self._correlator.steps(matched.matches, matched.highs)
        try:
            for _ in steps:
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            deque(steps, maxlen=0)  # half a batch must never be stored
            self._count(matched)
            raise
        self._count(matched)

    def _count(self, matched: Matched) -> None:
        """Account for a batch that is taken in."""
        self._ledger.add_journalled(matched.journalled)
        self._ledger.add_matched(matched.evaluated, matched.unparsed)
        for drop in matched.drops:
            self._ledger.add_dropped(drop.collector, drop.reason, drop.count)
        self.sources.take(matched.number, matched.written_us, matched.sights, matched.own)
        self._telling.unparsed(matched.samples)
        self.number = matched.number
        self._moved_s = time.monotonic()
        self._work.set()
        self._intake.detected(self.number)
        metrics.matched(matched.evaluated, matched.unparsed, (rule for m in matched.matches for rule in m.rules))

    # ── commits ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def commit(self) -> None:
        """Commit what is new as it comes, and a checkpoint each `checkpoint_s`, until `settle`.

        Not to be cancelled: an alert that is being committed is nowhere else.
        """
        due_s = time.monotonic() + self._checkpoint_s
        while not self._finishing:
            await until(self._work, min(max(0.0, due_s - time.monotonic()), _TURN_S))
            self.commit_pulse.beat()
            self._work.clear()
            checkpoint = time.monotonic() >= due_s
            try:
                await self._commit(checkpoint=checkpoint)
            except (StoreError, JournalError) as error:
                self._fail(str(error))
                self._work.set()
                await asyncio.sleep(_RETRY_S)
                continue
            self._recover()
            if checkpoint:
                due_s = time.monotonic() + self._checkpoint_s

    async def settle(self, committing: asyncio.Task[None]) -> None:
        """Let `commit`, which `committing` runs, end, and store the alerts that are left.

        Raises:
            StoreError: they could not be stored; the next start finds them in the journal again.
        """
        self._finishing = True
        self._work.set()
        await committing
        await self._commit(checkpoint=False)

    async def checkpoint(self) -> None:
        """Write the final checkpoint.

        Raises:
            StoreError: it could not be written; the next start continues from the one before.
        """
        await self._commit(checkpoint=True)

    async def exchange(self, detection: Detection) -> None:
        """Run by `detection` from the next batch on, exactly as a restart at this place of the journal would.

        A checkpoint is written, and continued from: rules that did not change keep their windows and open alerts.

        Raises:
            StoreError: the checkpoint could not be written or read; all goes on as before. JournalError likewise.
        """
        async with self._committing, self._whole:
            await self._write(*self._take_news(checkpoint=True))
            checkpoint = await self._store.load()
            self.commit_pulse.beat()
            correlator = Correlator(detection.rules.rules, self._journal.incarnation, detection.limits)
            if checkpoint is not None and checkpoint.incarnation == str(self._journal.incarnation):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._looking_up, correlator.restore, checkpoint.kept())
            await to_its_end(self._put_in_force(detection, correlator), "exchange")

    async def _put_in_force(self, detection: Detection, correlator: Correlator) -> None:
        """All of it or nothing: else frames would be matched by other rules than they are correlated by."""
        await self._exchange_ahead(detection)
        self.detection = detection
        self._matcher = Matcher(detection.rules, assets=detection.assets)
        self._correlator = correlator
        self._telling.restored(correlator)
        self.exchanged = self.number

    async def _commit(self, *, checkpoint: bool) -> None:
        async with self._committing:
            async with self._whole:
                taken = self._take_news(checkpoint=checkpoint)
            await self._write(*taken)

    def _take_news(self, *, checkpoint: bool) -> tuple[int, Checkpoint | None]:
        """What is new by now: alerts, in `_unsaved`, and a checkpoint if it is due. The caller holds `_whole`."""
        number = self.number
        for alert, fresh in self._correlator.take_alerts():
            before = self._unsaved.get(alert.id)
            self._unsaved[alert.id] = (alert, before[1] + fresh if before else fresh)
        metrics.STORE_WAITING.set(len(self._unsaved))
        return number, self._take_checkpoint(number) if checkpoint and number > self.committed else None

    async def _write(self, number: int, saved: Checkpoint | None) -> None:
        if not self._unsaved and saved is None:
            return
        now_us = time.time_ns() // 1000
        alerts = await self._with_evidence(list(self._unsaved.values()))
        with metrics.STORE_COMMIT_SECONDS.time():
            stored = await self._store.commit(alerts, depends_on=number, now_us=now_us, checkpoint=saved)
        self._unsaved.clear()
        metrics.STORE_WAITING.set(0)
        if stored:
            self._stored()
        if saved is None:
            failpoints.die("alerts.committed")
        else:
            self.committed = number
            self._unsaved_state, self._unsaved_sources, self._unsaved_silences = {}, {}, {}
            metrics.CHECKPOINT.set(self.committed)
            self._telling.measure(self._correlator)

    def _take_checkpoint(self, number: int) -> Checkpoint:
        self._unsaved_state.update(self._correlator.take_snapshot())
        rows, silences = self.sources.take_changes()
        self._unsaved_sources |= rows
        self._unsaved_silences |= silences
        incarnation, ledger = str(self._journal.incarnation), copy.deepcopy(self._ledger)
        return Checkpoint(
            incarnation, number, ledger, self._unsaved_state, self._unsaved_sources, self._unsaved_silences
        )

    async def _with_evidence(self, unsaved: Sequence[tuple[Alert, list[int]]]) -> list[Alert]:
        """The alerts, each with those of its events that are not stored yet; a trimmed journal may lack some."""
        wanted = {seq for alert, fresh in unsaved for seq in (*fresh, *alert.opening(fresh))}
        loop = asyncio.get_running_loop()
        records = await loop.run_in_executor(self._looking_up, self._journal.lookup, wanted) if wanted else {}
        for alert, fresh in unsaved:
            names = self.detection.rules.fields_of(alert.rule_id)
            alert.evidence = [self._matcher.evidence(records[seq], names) for seq in fresh if seq in records]
            opening = [records[seq].received_us for seq in alert.opening(fresh) if seq in records]
            alert.received_us = opening[0] if opening else None
        return [alert for alert, _ in unsaved]

    def _fail(self, reason: str) -> None:
        """Nothing can be stored: go on in memory, then make the senders wait (docs/semantics.md, "Disk full")."""
        if not self.failing:
            self._failing_since_s = time.monotonic()
            _log.error("alerts cannot be stored, they are kept in memory", error=reason)
        self.failing = reason
        metrics.STORE_FAILING.set(1)
        full = len(self._unsaved) >= MAX_UNCOMMITTED
        if full or time.monotonic() - self._failing_since_s >= MAX_FAILING_S:
            self._intake.pause()
        if full:
            self._room.clear()

    def _recover(self) -> None:
        if self.failing:
            _log.info("alerts can be stored again")
            self.failing = ""
            metrics.STORE_FAILING.set(0)
            self._intake.resume()
            self._room.set()
