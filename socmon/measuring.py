"""Figures that nobody counts as they happen are looked up now and then: disk space, alerts in the store, backlogs."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from socmon import log, metrics
from socmon.delivering import Delivering
from socmon.errors import StoreError
from socmon.event import LEVELS
from socmon.store import figures, queue
from socmon.worker import Worker

EVERY_S = 10.0
_BLOCK_BYTES = 512  # what stat counts in, whatever the file system's own is
_SEGMENTS = (".seg", ".seg.zst")

_log = log.get("measuring")


class _Seen(Struct, frozen=True):
    """What one look has found; sizes in bytes, alerts by (level, status)."""

    store: int
    journal: int
    segments: int
    free: int
    disk: int
    alerts: dict[tuple[str, str], int]


class Measuring:
    """Shows what lies in the state directory, and what each destination has not got yet.

    Args:
        state_dir: where `socmon.db` and `journal` are.
    """

    def __init__(self, state_dir: Path, deliverings: Sequence[Delivering]) -> None:
        self._state_dir = state_dir
        self._deliverings = deliverings
        # A thread of its own: it may hang with the disk, and must take none from others.
        self._worker = Worker("measuring")
        self._shown: dict[tuple[str, str], int] = {(level, "open"): 0 for level in LEVELS}
        self._failing = ""

    async def run(self) -> None:
        """Look every `EVERY_S` until cancelled."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(EVERY_S)
        finally:
            self._worker.close()

    async def _look(self) -> None:
        try:
            self._show(await self._worker.run(self._seen))
            for delivering in self._deliverings:
                await delivering.measure()
        except (OSError, StoreError) as error:
            if not self._failing:
                _log.warning("sizes and backlogs cannot be measured, will try again", error=str(error))
            self._failing = str(error)
        else:
            self._failing = ""

    def _seen(self) -> _Seen:
        with queue.opened(self._state_dir / "socmon.db") as db:
            alerts = figures.alerts(db)
        files = list(os.scandir(self._state_dir / "journal"))
        disk = os.statvfs(self._state_dir)
        return _Seen(
            store=sum(_taken(path) for path in self._state_dir.glob("socmon.db*")),
            journal=sum(_taken(file) for file in files),
            segments=sum(file.name.endswith(_SEGMENTS) for file in files),
            free=disk.f_bavail * disk.f_frsize,
            disk=disk.f_blocks * disk.f_frsize,
            alerts={(level, status): number for level, status, number in alerts},
        )

    def _show(self, seen: _Seen) -> None:
        metrics.STORE_SIZE.set(seen.store)
        metrics.JOURNAL_SIZE.set(seen.journal)
        metrics.JOURNAL_SEGMENTS.set(seen.segments)
        metrics.STATE_FREE.set(seen.free)
        metrics.STATE_DISK.set(seen.disk)
        self._shown = dict.fromkeys(self._shown, 0) | seen.alerts  # a pair that no alert has any more is shown as 0
        metrics.alerts(self._shown)


def _taken(file: "Path | os.DirEntry[str]") -> int:
    """Disk space of a file, in bytes; 0 when it has gone meanwhile."""
    try:
        return file.stat().st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return 0
