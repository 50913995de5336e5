"""The pool: frames to worker processes and what they match back, in the order of submission, whoever dies or hangs."""

import selectors
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

import msgspec

from socmon import log, metrics
from socmon.errors import JournalError, ParseError
from socmon.journal import Frame
from socmon.matching import Matched
from socmon.workers.asides import Asides
from socmon.workers.messages import CHUNK, MATCHED, READY, RULES, read_answer, task
from socmon.workers.process import GoneError, Process
from socmon.workers.recipe import Recipe
from socmon.workers.slot import REFUSALS, Chunk, Limits, Slot

_DEPTH = 2  # chunks with a worker: one at hand, one in its pipe
_AHEAD = 4  # chunks on their way per worker, answered ones that wait for an earlier one among them
_MAX_BYTES = 64 * 1024 * 1024  # of all frames on their way, one at least
_LOOK_S = 0.5
_STEP_S = 0.25

_log = log.get("workers")


class Pool:
    """Matches frames in `size` processes. What comes out is what one Matcher would make of them one after the other.

    For one thread, the same one from the first call to `close`, as Linux ends the processes with the thread that began
    them; only `take` and `waiting` may be called from another while no other method runs. As replay uses it:

        with Pool(jobs, Recipe(rules, assets, live=False, year=year)) as pool:
            for matched in pool.each(Frame.of(batch) for batch in batches):
                ...  # Matched, as of Matcher.match; `matched.number` is the batch's

    A batch for it is like one of the journal: the sequences of its records follow `first_seq` without holes, and a
    record's `position` is better left out. Events come back without the bytes of their records.

    Args:
        asides: the records that are known to do harm; those found are added to it.
        clock: seconds, for waits and for workers that sleep.

    Attributes:
        ended, hung: workers that were replaced because they died, or did not move.
        redone: chunks that were given to another worker.
    """

    def __init__(
        self,
        size: int,
        recipe: Recipe,
        *,
        asides: Asides | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.ended = self.hung = self.redone = 0
        self._asides = Asides() if asides is None else asides
        self._limits = limits or Limits()
        self._clock = clock
        self._slots = [Slot() for _ in range(size)]
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0
        self._selector = selectors.DefaultSelector()
        self._token = 0
        self._looked_s = clock()
        self._alone = False
        self._use(recipe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def each(self, frames: Iterable[Frame], *, undated: bool = False) -> Iterator[Matched]:
        """What each of `frames` comes to, in their order; reads ahead as far as there is room.

        Args:
            undated: nothing dates a stamp without a year, see Matcher.
        """
        left = iter(frames)
        more = True
        while more or self.waiting:
            while more and self.room:
                frame = next(left, None)
                more = frame is not None
                if frame is not None:
                    self.submit(frame, undated=undated)
            self.step()
            while (matched := self.take()) is not None:
                yield matched

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run."""
        return [slot.process.pid for slot in self._slots if slot.process is not None]

    @property
    def ready(self) -> bool:
        """Whether every worker has its rules."""
        return all(slot.ready for slot in self._slots)

    @property
    def waiting(self) -> int:
        """Frames that were submitted and not taken yet."""
        return len(self._chunks)

    @property
    def room(self) -> bool:
        """Whether another frame may be submitted."""
        return not self._chunks or (len(self._chunks) < _AHEAD * len(self._slots) and self._bytes < _MAX_BYTES)

    def submit(self, frame: Frame, *, undated: bool = False) -> None:
        """Let `frame` be matched."""
        aside = self._asides.within(frame.first_seq, frame.next_seq)
        self._chunks.append(Chunk(frame, aside, undated=undated))
        self._bytes += len(frame.payload)

    def take(self) -> Matched | None:
        """What the oldest frame has come to, once; None while that is not known."""
        if not self._chunks or not self._chunks[0].done:
            return None
        chunk = self._chunks.popleft()
        self._bytes -= len(chunk.frame.payload)
        matched = chunk.matched
        if matched is None:
            frame = chunk.frame
            return Matched(frame.number, 0, False, [], {}, {}, {}, {}, damaged=frame.records)  # noqa: FBT003  `tick`
        if self._assets is not None:
            self._assets.look_at(matched.highs)
        return matched

    def step(self, wait_s: float = _STEP_S) -> None:
        """Give out, take in, look after the workers; waits for something to do, `wait_s` at most."""
        self._begin()
        self._give()
        if self._chunks and (self._chunks[0].done or self._alone):
            wait_s = 0.0
        for key, events in self._selector.select(wait_s):
            slot: Slot = key.data
            if slot.process is not None and key.fd in {slot.process.source, slot.process.sink}:
                self._serve(slot, events)
        self._give()
        self._look()
        self._match_alone()

    def exchange(self, recipe: Recipe) -> None:
        """Match by `recipe` all that was not taken yet, as if it had never been matched."""
        for chunk in self._chunks:
            chunk.stale = True
        self._chunks = deque(Chunk(old.frame, old.aside, undated=old.undated) for old in self._chunks)
        self._use(recipe)
        for slot in self._slots:
            if slot.process is not None:
                slot.ready = False
                self._send_rules(slot)

    def close(self) -> None:
        """End the workers, whatever they do."""
        for slot in self._slots:
            if slot.process is not None:
                slot.process.end()
                slot.process = None
        self._selector.close()
        self._chunks.clear()
        metrics.WORKERS_RUNNING.set(0)

    def _use(self, recipe: Recipe) -> None:
        self._packed = recipe.pack()
        self._assets = recipe.assets
        apart = recipe.apart()
        self._matchers = [apart.matcher(undated=undated) for undated in (False, True)]

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        """Start workers where there is none, and it is time."""
        for slot in self._slots:
            if slot.process is None and self._clock() >= slot.due_s:
                try:
                    slot.process = Process()
                except OSError as error:
                    _log.warning("a worker cannot be started, will try again", error=str(error))
                    slot.vacate(self._clock())
                    continue
                slot.moved(self._clock())
                self._selector.register(slot.process.source, selectors.EVENT_READ, slot)
                self._send_rules(slot)
        metrics.WORKERS_RUNNING.set(len(self.pids))

    def _send_rules(self, slot: Slot) -> None:
        self._send(slot, RULES, None, self._packed)

    def _give(self) -> None:
        """Hand waiting chunks, oldest first, to whoever has least to do."""
        for chunk in self._chunks:
            if not (chunk.given or chunk.done or self._is_for_here(chunk)):
                free = [slot for slot in self._slots if slot.ready and len(slot.given) < _DEPTH]
                if not free:
                    return
                chunk.given = True
                body = task(chunk.frame, undated=chunk.undated, aside=chunk.aside)
                self._send(min(free, key=lambda slot: len(slot.given)), CHUNK, chunk, *body)

    def _send(self, slot: Slot, kind: int, chunk: Chunk | None, *body: bytes) -> None:
        self._token += 1
        slot.given.append((self._token, chunk))
        try:
            slot.worker.send(kind, self._token, *body)
        except GoneError:
            return  # its end is read from its answers
        self._register(slot)

    def _register(self, slot: Slot) -> None:
        """Wait for its pipe to take more, if there is more."""
        worker = slot.worker
        wanted = worker.unsent
        known = worker.sink in self._selector.get_map()
        if wanted and not known:
            self._selector.register(worker.sink, selectors.EVENT_WRITE, slot)
        elif known and not wanted:
            self._selector.unregister(worker.sink)

    def _unregister(self, process: Process) -> None:
        for end in (process.source, process.sink):
            if end in self._selector.get_map():
                self._selector.unregister(end)

    def _serve(self, slot: Slot, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                slot.worker.flush()
                self._register(slot)
            if events & selectors.EVENT_READ:
                self._take_in(slot)
        except (GoneError, msgspec.MsgspecError, JournalError, ParseError, LookupError, RecursionError):
            self._lose(slot, "")

    def _take_in(self, slot: Slot) -> None:
        """Raises GoneError, or what an answer that is none makes."""
        for kind, token, body in slot.worker.receive():
            wanted, chunk = slot.answered()
            if token != wanted or kind != (READY if chunk is None else MATCHED):
                raise GoneError("the worker answers what nobody asked")
            if chunk is None:
                slot.ready = all(other is not None for _, other in slot.given)  # no newer rules are on their way
                slot.refused = 0
            elif not chunk.stale:
                chunk.matched = read_answer(body, chunk.frame, self._matchers[chunk.undated])
                chunk.done = True

    def _look(self) -> None:
        """End workers that do not move."""
        now_s = self._clock()
        if 0 <= now_s - self._looked_s < _LOOK_S:
            return
        if now_s - self._looked_s > 10 * _LOOK_S:  # nobody has looked, so nobody knows
            for slot in self._slots:
                slot.moved(now_s)
        self._looked_s = now_s
        for slot in self._slots:
            if how := slot.stands(now_s, self._limits):
                self._lose(slot, how)

    def _lose(self, slot: Slot, hung: str) -> None:
        """Replace a worker that has ended or hangs; what it had goes to others."""
        process = slot.worker
        mark, how = process.mark, f"it {hung}" if hung else ""
        self._unregister(process)
        process.end(gone=not hung)
        how = how or process.ending
        given = slot.given[0][1] if slot.given else None
        seq, times = given.blame(mark) if given is not None and not given.stale else (0, 0)
        metrics.WORKERS_REPLACED["hung" if hung else "died"].inc()
        self.hung += bool(hung)
        self.ended += not hung
        _log.warning("a worker was lost, another one takes its place", pid=process.pid, how=how, seq=seq or None)
        if given is not None and seq and (hung == "spins" or times >= self._limits.ends):
            self._set_aside(given, seq, how)
        for chunk in slot.chunks:
            chunk.given = False
            self.redone += not chunk.stale
            metrics.CHUNKS_REDONE.inc(not chunk.stale)
        slot.vacate(self._clock())

    def _set_aside(self, chunk: Chunk, seq: int, why: str) -> None:
        chunk.aside.add(seq)
        chunk.blamed = (0, 0)
        if batch := chunk.frame.batch():
            self._asides.add(batch.records[seq - batch.first_seq], why)

    def _is_for_here(self, chunk: Chunk) -> bool:
        """Whether worker after worker has ended on it, and at no record."""
        seq, times = chunk.blamed
        return times >= self._limits.ends and not seq

    def _match_alone(self) -> None:
        """Match one chunk here where no worker can be started, or each ends on it and no record is to blame."""
        alone = all(slot.refused >= REFUSALS for slot in self._slots)
        if alone != self._alone:
            self._alone = alone
            if alone:
                _log.error("no worker can be started, the daemon matches by itself; see its standard error for why")
            else:
                _log.info("workers match again")
        for chunk in self._chunks:
            if not chunk.given and not chunk.done and (alone or self._is_for_here(chunk)):
                batch = chunk.frame.batch()
                chunk.matched = self._matchers[chunk.undated].match(batch, aside=chunk.aside) if batch else None
                chunk.done = True
                return
