"""One place for a worker: who works there, on what, since when, and when the next one may begin."""

from collections import deque
from collections.abc import Set as AbstractSet

from msgspec import Struct

from socmon.journal import Frame
from socmon.matching import Matched
from socmon.workers.process import GoneError, Process

REFUSALS = 3  # ends in a row before a worker was ready; then it is the machine or the program, not what it was given
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0


class Limits(Struct, frozen=True):
    """What a worker is allowed.

    Attributes:
        still_s: processor time for one record; what is usual is a fifty-thousandth of it.
        asleep_s: for one record by the clock: a machine may be busy, or its disk slow.
        start_s: until a worker has its rules, by the clock.
        ends: of workers on one record, each by itself, until that is blamed.
    """

    still_s: float = 10.0
    asleep_s: float = 120.0
    start_s: float = 120.0
    ends: int = 3


class Chunk:
    """A frame on its way.

    Attributes:
        aside: sequences that are not to be looked at.
        given: it is with a worker.
        stale: the rules have been exchanged since; nobody waits for its answer.
        done: `matched` is its result.
        blamed: sequence of the record that a worker has ended on, 0 where it was at none; and how often in a row.
    """

    def __init__(self, frame: Frame, aside: AbstractSet[int], *, undated: bool) -> None:
        self.frame = frame
        self.undated = undated
        self.aside = set(aside)
        self.given = self.stale = self.done = False
        self.matched: Matched | None = None
        self.blamed = (0, 0)

    def blame(self, mark: int) -> tuple[int, int]:
        """A worker has ended on this; return on which record, and how many have in a row."""
        seq = mark if self.frame.first_seq <= mark < self.frame.next_seq else 0
        before, times = self.blamed
        self.blamed = (seq, times + 1 if seq == before else 1)
        return self.blamed


class Slot:
    """See above.

    Attributes:
        process: None while nobody works here.
        ready: it has the rules in force.
        given: what it has not answered yet, oldest first: (token, chunk); None for rules.
        due_s: when the next one may begin.
        refused: ends in a row before one was ready.
    """

    def __init__(self) -> None:
        self.process: Process | None = None
        self.ready = False
        self.given: deque[tuple[int, Chunk | None]] = deque()
        self.due_s = 0.0
        self.refused = 0
        self._fruitless = 0  # ends in a row before one has answered
        self._answers = 0
        self._seen: tuple[int, int, int] = (0, 0, 0)
        self._seen_used_s = self._seen_s = 0.0

    @property
    def worker(self) -> Process:
        """Who works here. Raises GoneError while nobody does."""
        if self.process is None:
            raise GoneError("nobody works here")
        return self.process

    @property
    def chunks(self) -> list[Chunk]:
        """What it works on, or will."""
        return [chunk for _, chunk in self.given if chunk is not None]

    def answered(self) -> tuple[int, Chunk | None]:
        """What the next answer is to. Raises GoneError if it has nothing to answer."""
        if not self.given:
            raise GoneError("the worker answers what nobody asked")
        self._answers += 1
        self._fruitless = 0
        return self.given.popleft()

    def moved(self, now_s: float) -> None:
        """Take it for moving now, since nobody has looked for a while."""
        self._seen_s = now_s

    def stands(self, now_s: float, limits: Limits) -> str:
        """Why it is taken for hung; "" while it is not: "spins", or "sleeps" where it does nothing at all."""
        if self.process is None:
            return ""
        seen = (self.process.mark, self._answers, len(self.given))
        if seen != self._seen or not self.given:
            self._seen, self._seen_s, self._seen_used_s = seen, now_s, self.process.used_s
            return ""
        if self.given[0][1] is None:
            return "sleeps" if now_s - self._seen_s > limits.start_s else ""
        if self.process.used_s - self._seen_used_s > limits.still_s:
            return "spins"
        return "sleeps" if now_s - self._seen_s > limits.asleep_s else ""

    def vacate(self, now_s: float) -> None:
        """Nobody works here any more; who ended without an answer is not followed at once again and again."""
        self._fruitless += 1
        self.refused = 0 if self.ready else self.refused + 1
        wait_s = min(_FIRST_WAIT_S * 2 ** min(self._fruitless - 2, 10), _LONGEST_WAIT_S)
        self.due_s = now_s if self._fruitless < 2 else now_s + wait_s
        self.process, self.ready = None, False
        self.given.clear()
