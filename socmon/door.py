"""The door from a component to the rest of socmon: what its Context is in the daemon."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from structlog.typing import FilteringBoundLogger

from socmon import log, metrics
from socmon.component import CollectorSettings, Counters, Settings
from socmon.config import Wiring
from socmon.event import Record, Source
from socmon.intake import Intake
from socmon.journal import Journal


class _Counters(metrics.ComponentCounters):
    """What a component counts as dropped enters the ledger too."""

    def __init__(self, name: str, intake: Intake) -> None:
        super().__init__(name)
        self._name = name
        self._intake = intake

    def dropped(self, records: int, reason: str) -> None:
        """Add records lost before the journal, here and in the ledger."""
        super().dropped(records, reason)
        self._intake.drop(self._name, reason, records)


class Door:
    """The Context of one component (socmon.component.Context).

    A Part of the watchdog too: it moves while the component beats, waits for the journal, or does not run.

    Attributes:
        beaten_s: when the component last said that it moves, on the monotonic clock.
        settled: the component has begun its work, or could not; set once.
    """

    def __init__(self, wiring: Wiring, intake: Intake, journal: Journal) -> None:
        self.name = wiring.name
        self.settings: Settings = wiring.settings
        self.log: FilteringBoundLogger = log.get(wiring.name)
        self.counters: Counters = _Counters(wiring.name, intake)
        self._intake = intake
        self._journal = journal
        self._runs = False
        self._emitting = 0
        self.beaten_s = time.monotonic()
        self.settled = asyncio.Event()
        if isinstance(wiring.settings, CollectorSettings):
            intake.limit(wiring.name, wiring.settings.quota_per_s)

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the body runs the component, it must move."""
        self.beaten_s = time.monotonic()
        self._runs = True
        try:
            yield
        finally:
            self._runs = False
            self.settled.set()

    @property
    def still_s(self) -> float:
        """See Part: seconds since the component last moved."""
        return time.monotonic() - self.beaten_s if self._runs and not self._emitting else 0.0

    async def emit(self, batch: Sequence[Record]) -> None:
        """See Context."""
        self._emitting += 1  # whether the journal moves is not the component's business
        try:
            await self._intake.emit(batch)
        finally:
            self._emitting -= 1
            self.beaten_s = time.monotonic()

    def offer(self, batch: Sequence[Record]) -> int:
        """See Context; what is not taken is counted with the reason."""
        taken, dropped = self._intake.offer(batch)
        for reason, records in dropped.items():
            self.counters.dropped(records, reason)
        return taken

    def free_room(self) -> int:
        """See Context."""
        return self._intake.free_room()

    def over_quota(self, source: Source, records: int) -> bool:
        """See Context."""
        return self._intake.over_quota(source, records)

    def position(self, stream: str) -> bytes | None:
        """See Context."""
        return self._journal.position(self.name, stream)

    def saved(self) -> AsyncIterator[tuple[str, bytes]]:
        """See Context."""
        return self._intake.saved(self.name)

    def beat(self) -> None:
        """See Context."""
        self.beaten_s = time.monotonic()
        self.settled.set()
