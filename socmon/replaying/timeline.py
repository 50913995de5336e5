"""When events happened, counted in bounded memory whatever their times are: the more time there is, the coarser."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from socmon.event import SECOND_US

_MAX_BINS = 4096


class Span(NamedTuple):
    """Events over time, in equal columns.

    Attributes:
        first_us, last_us: the times of the first and of the last event.
        column_us: the width of a column; the first begins at `first_us` or a little before.
        counts: events in each column.
    """

    first_us: int
    last_us: int
    column_us: int
    counts: Sequence[int]


class Timeline:
    """Counts of events by their times, in bins that double their width when there are too many of them."""

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self._width_us = SECOND_US
        self._first_us: int | None = None
        self._last_us = 0

    def add(self, times_us: Iterable[int]) -> None:
        """Count one event at each of these times."""
        bins, width_us = self._bins, self._width_us
        times_us = list(times_us)
        if not times_us:
            return
        first_us, last_us = min(times_us), max(times_us)
        if self._first_us is None:
            self._first_us, self._last_us = first_us, last_us
        self._first_us, self._last_us = min(self._first_us, first_us), max(self._last_us, last_us)
        for time_us in times_us:
            at = time_us // width_us
            bins[at] = bins.get(at, 0) + 1
        while len(self._bins) > _MAX_BINS:
            self._coarsen()

    def span(self, columns: int) -> Span | None:
        """All of them in at most `columns` columns; None while there is none."""
        if self._first_us is None:
            return None
        while len(range(self._first_us // self._width_us, self._last_us // self._width_us + 1)) > columns:
            self._coarsen()
        low, high = self._first_us // self._width_us, self._last_us // self._width_us
        counts = [self._bins.get(at, 0) for at in range(low, high + 1)]
        return Span(self._first_us, self._last_us, self._width_us, counts)

    def _coarsen(self) -> None:
        self._width_us *= 2
        wider: dict[int, int] = {}
        for at, count in self._bins.items():
            wider[at // 2] = wider.get(at // 2, 0) + count
        self._bins = wider
