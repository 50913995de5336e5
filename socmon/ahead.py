"""Ahead of correlating: the journal is read, and matched where there are workers; it is taken frame by frame.

Both ways come to the same, in the order of the journal. What was matched and not taken yet is matched again when the
rules are exchanged, so each frame is seen by the rules in force when it is taken.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

from socmon import metrics
from socmon.errors import JournalError
from socmon.journal import Batch, Reader
from socmon.matching import Matched
from socmon.workers import Asides, Pool, Recipe

_READ_AHEAD = 8  # batches
_STEP_S = 0.25

T = TypeVar("T")


class Taken(NamedTuple):
    """The next frame, or what workers have found in it; and how many records before it are lost, as reading found."""

    frame: Batch | Matched
    lost: int


class Ahead(Protocol):
    """`advance`, `exchange` and `close` run in one thread; `take` in any, while none of them does."""

    def advance(self) -> bool:
        """Read on, for a moment at most; False when the journal's end is reached and all was taken.

        Raises:
            JournalError: it cannot be read.
        """

    def take(self) -> Taken | None:
        """The next frame; None while it is not there."""

    def lost(self) -> int:
        """Records found lost behind the last frame read, and not told yet."""

    def exchange(self, recipe: Recipe) -> None:
        """Match by `recipe` whatever was not taken yet."""

    def close(self) -> None:
        """Let go of what it holds."""


class Inline:
    """Only reads: who takes a frame matches it."""

    def __init__(self, reader: Reader, told: int = 0) -> None:
        self._reader = reader
        self._losses = _Losses(reader, told)
        self._batches: deque[tuple[Batch, int]] = deque()

    def advance(self) -> bool:
        """See Ahead."""
        while len(self._batches) < _READ_AHEAD and (batch := _next(self._reader.read, self._batches)) is not None:
            self._batches.append((batch, self._losses.new()))
        return bool(self._batches)

    def take(self) -> Taken | None:
        """See Ahead."""
        if not self._batches:
            return None
        return Taken(*self._batches.popleft())

    def lost(self) -> int:
        """See Ahead."""
        return self._losses.new()

    def exchange(self, recipe: Recipe) -> None:
        """See Ahead: nothing was matched."""

    def close(self) -> None:
        """See Ahead."""
        self._reader.close()


class Spread:
    """Matches in `workers` processes."""

    def __init__(self, reader: Reader, recipe: Recipe, asides: Asides, workers: int, told: int = 0) -> None:
        self._reader = reader
        self._recipe = recipe
        self._asides = asides
        self._workers = workers
        self._pool: Pool | None = None  # begun by the thread that it belongs to
        self._losses = _Losses(reader, told)
        self._before: deque[int] = deque()  # lost before each frame in the pool

    def advance(self) -> bool:
        """See Ahead."""
        if self._pool is None:
            self._pool = Pool(self._workers, self._recipe, asides=self._asides)
        while self._pool.room and (frame := _next(self._reader.read_raw, self._before)) is not None:
            self._before.append(self._losses.new())
            self._pool.submit(frame)
        self._pool.step(_STEP_S if self._pool.waiting else 0.0)
        return bool(self._pool.waiting)

    def take(self) -> Taken | None:
        """See Ahead."""
        matched = self._pool.take() if self._pool else None
        return None if matched is None else Taken(matched, self._before.popleft())

    def lost(self) -> int:
        """See Ahead."""
        return self._losses.new()

    def exchange(self, recipe: Recipe) -> None:
        """See Ahead."""
        self._recipe = recipe
        if self._pool is not None:
            self._pool.exchange(recipe)

    def close(self) -> None:
        """See Ahead."""
        self._reader.close()
        if self._pool is not None:
            self._pool.close()


def look_ahead(reader: Reader, recipe: Recipe, asides: Asides, workers: int, told: int) -> Ahead:
    """By so many workers; 0 leaves it to who takes.

    Args:
        told: records that were found lost where `reader` begins, and told already.
    """
    metrics.WORKERS_WANTED.set(workers)
    return Spread(reader, recipe, asides, workers, told) if workers else Inline(reader, told)


class _Losses:
    """What a reader has found lost, told once."""

    def __init__(self, reader: Reader, told: int) -> None:
        self._reader = reader
        self._told = told

    def new(self) -> int:
        """Records found lost since the last call."""
        before, self._told = self._told, max(self._told, self._reader.lost_seqs)
        return self._told - before


def _next(read: Callable[[int], list[T]], held: object) -> T | None:
    """The next of what is read; an error waits until nothing is `held` that came before it."""
    try:
        return next(iter(read(1)), None)
    except JournalError:
        if held:
            return None
        raise
