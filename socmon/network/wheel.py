"""A timer wheel (Varghese and Lauck, 1987): no tick looks at more than what may be due, however much is waiting."""

from collections.abc import Iterator
from math import ceil, floor
from typing import Generic, TypeVar

Item = TypeVar("Item")

# An item that is due later than this many seconds is handed out early, to be added again. So what ended in the
# meantime, and is gone from its table, is kept in memory no longer than that.
SLOTS = 16


class Wheel(Generic[Item]):
    """Items by the second in which they are due."""

    def __init__(self, now: float = 0.0) -> None:
        self._slots: list[list[Item]] = [[] for _ in range(SLOTS)]
        self._tick = floor(now)  # every slot up to this second has been handed out

    def start(self, now: float) -> None:
        """Begin at `now`; only while nothing waits."""
        self._tick = floor(now)

    def add(self, item: Item, due: float) -> None:
        """Have `item` handed out in the first second that begins at `due` or later, or earlier when that is far off."""
        tick = ceil(due)
        if tick <= self._tick:
            tick = self._tick + 1
        elif tick >= self._tick + SLOTS:
            tick = self._tick + SLOTS - 1
        self._slots[tick % SLOTS].append(item)

    def advance(self, now: float) -> list[Item]:
        """Hand out what is due by `now`; a jump of years turns the wheel once."""
        end = floor(now)
        late: list[Item] = []
        for tick in range(self._tick + 1, min(end, self._tick + SLOTS) + 1):
            if slot := self._slots[tick % SLOTS]:
                late += slot
                self._slots[tick % SLOTS] = []
        self._tick = max(self._tick, end)
        return late

    def next_slots(self) -> Iterator[list[Item]]:
        """The slots, the one that is due next first: where what has been quiet for longest is likely to be."""
        for ahead in range(1, SLOTS):
            yield self._slots[(self._tick + ahead) % SLOTS]
